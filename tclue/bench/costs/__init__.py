"""Costs: from the tokens and seconds of a response to US dollars.

The input is the provider's usage object of a response, or the seconds that a local model took, and
the options that say how to price them. The output is the prices of a run (`Prices`, with their date
and their source) and the dollars of each response, in parts.

* `usage` reads the usage objects of five providers into one `Usage`, whose counts mean the same
  for every provider.
* `cost` multiplies `Usage` by `Prices`: `cost_parts`. An unknown price makes an unknown cost,
  never 0.
* `price_book` chooses the prices of a run: the user's options, then the price books (the user's own
  and `bench/data/prices.toml`), then litellm's list.
* `litellm_costs` has litellm's calculator give a second figure, which is recorded beside ours.

`models` chooses prices when it resolves a name, `runs` counts each response, and `stats` adds up.
"""
