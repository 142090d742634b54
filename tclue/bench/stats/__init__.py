"""Statistics: the accuracy, rates and costs of a run, and how certain they are.

The input is a run's configuration and its responses. The output is a `Summary` (accuracy, rates,
tokens, seconds, dollars) and the comparison of two runs, each with a 95% interval.

* `intervals` has means and their intervals; puzzles are the unit, and several samples of one puzzle
  are one cluster.
* `at_k` has avg@k, pass@k and consensus@k over the samples of each puzzle.
* `tally` keeps only the numbers of each response, so that a run of any length fits in memory.
* `summary` makes `summary.json`, and `compare` compares two runs, puzzle by puzzle.
* `frames` gives the responses as a pandas frame.

`runs` writes the summaries, and `tclue.board` shows them. The trainer takes its means from here.
"""
