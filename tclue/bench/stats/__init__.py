"""Statistics: what the responses of a run add up to, and how sure that is.

What comes in is a run's configuration and its responses. What goes out is a `Summary` (accuracy,
rates, tokens, seconds, dollars) and the comparison of two runs, each with a 95% interval.

* `intervals` has means and their intervals; puzzles are the unit, and several samples of one puzzle
  are one cluster.
* `at_k` has avg@k, pass@k and consensus@k over the samples of each puzzle.
* `tally` keeps of each response the numbers alone, so that a run of any length fits in memory.
* `summary` is `summary.json`, and `compare` sets two runs beside each other, puzzle by puzzle.
* `frames` gives the responses as a pandas frame.

`runs` writes the summaries, and `tclue.board` shows them. The trainer takes its means from here.
"""
