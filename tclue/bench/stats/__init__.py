"""Statistics: the accuracy, rates and costs of a run, and how certain they are.

The input is a run's configuration and its responses. The output is a `Summary` (accuracy, rates,
tokens, seconds, dollars) and the comparison of two runs, with 95% intervals.

* `intervals` has means and their intervals. The puzzle is the unit, and the samples of a puzzle are
  one cluster.
* `at_k` has avg@k, pass@k and consensus@k over the samples of each puzzle.
* `summary` keeps the responses of a run without their texts, and computes `summary.json`.
* `run_numbers` checks the records of a run and returns its numbers, which `cached` keeps.
* `compare` compares two runs, puzzle by puzzle.
* `frames` returns the responses as a pandas frame.

`runs` writes the summaries, and `tclue.board` shows them. The trainer uses the means too.
"""
