"""Runs: a model answers a puzzle set, and every response is recorded.

The input is a list of names and `BenchOptions`. The output is a run folder for each model
(`run.json`, `responses.jsonl`, `summary.json`) and a `Summary`. The same call resumes what was
interrupted, and requests nothing that is recorded already.

* `run` is `tclue bench`: it checks everything first, then runs one model after another.
* `executor` requests one model's missing responses. `throttle` says how many requests may be in
  flight, `budget` how much may still be spent, and `time_shares` divides a machine's time among
  the requests that share it.
* `run_folder` writes what `tclue.bench.records` reads.
* `estimate` is `--estimate`, and `run_progress` shows a run's progress to a person.

The command line and `tclue.bench_training` call `run.run_models`. `stats` and `tclue.board` read
the records.
"""
