"""Costs: from the tokens and seconds of a response to US dollars.

The input is the provider's usage object of a response, or the seconds that a local model took, and
the options that say how to price them. The output is the prices of a run (`Prices`, with their date
and source) and the dollars that each response cost, in parts.

* `usage` reads the usage objects of all providers into one `Usage`, whose counts mean the same for
  every provider. Counts that contradict each other are not priced.
* `cost` multiplies `Usage` by `Prices` (`cost_parts`). If a price is unknown, so is the cost; it is
  never 0.
* `price_book` chooses the prices of a run: the user's options, then the price books (the user's own
  and `bench/data/prices.toml`), then litellm's list. It also computes a second figure with
  litellm's own calculator. Both are recorded. `terms` are the arguments that decide a
  request's price, such as the service tier.

`models` chooses prices when it resolves a name, `runs` prices each response, and `stats` adds up.
"""
