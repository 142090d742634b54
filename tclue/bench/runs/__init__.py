"""Runs: a model answers a puzzle set, and every response is recorded.

The input is a list of names and `BenchOptions`. The output is a run folder for each model
(`run.json`, `responses.jsonl`, `summary.json`) and a `Summary`. The same call resumes an
interrupted run, and never requests a response that is recorded already.

* `run` is `tclue bench`: it first checks everything, then runs one model after another.
* `executor` requests one model's missing responses. `throttle` limits the requests in flight and
  divides a machine's time among them, and `budget` limits the cost.
* `run_folder` writes what `tclue.bench.records` reads.
* `regrade` grades recorded texts again, and finds records that do not fit their texts.
* `estimate` is `--estimate`, and `run_progress` shows a run's progress.

The command line and `tclue.bench_training` call `run.run_models`. `stats` and `tclue.board` read
the records.
"""
