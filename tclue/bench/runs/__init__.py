"""Runs: a model is asked a puzzle set, and every response is kept.

What comes in is a list of names and `BenchOptions`. What goes out is a run folder for each model
(`run.json`, `responses.jsonl`, `summary.json`) and a `Summary`. The same call takes up what was
interrupted, and asks for nothing that is recorded already.

* `run` is `tclue bench`: it checks everything first, then asks one model after another.
* `executor` asks one model for what its run lacks. `throttle` says how many requests may be in
  flight, `budget` how much may still be spent, and `time_shares` divides a machine's time among
  the requests that share it.
* `run_folder` writes what `tclue.bench.records` reads.
* `estimate` is `--estimate`, and `run_progress` is what a person sees while a run goes on.

The command line and `tclue.bench_training` call `run.run_models`. `stats` and `tclue.board` read
the records.
"""
