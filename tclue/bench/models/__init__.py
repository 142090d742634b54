"""Models: from a name on the command line to completions of prompts.

The input is a name (`random`, `hf:PATH`, `train:RUN@STEP`, an alias of the registry, anything that
litellm reaches) with the options, and then puzzles to answer. The output is one `Model` for each
variant, already checked, and one `Completion` for each request: text, reasoning, finish reason,
usage, seconds, or the failure and what to do about it.

* `resolve` turns a name into models; `registry`, `capabilities` and `reasoning` say what an alias
  stands for, what a model can do, and what a reasoning setting is in the provider's own terms.
* `model` has the types, and the two built-in models, chance and the solver.
* `hosted` uses litellm. `http_capture` keeps what the provider really sent, `wire_formats`
  reads it, and `failures` says what an error calls for.
* `local` runs a checkpoint through transformers, and `trained` a step of a training run. The
  trainer shares `decode`, `memory` and `chat_template` with them.
* `listing` is `tclue models`.

`runs` sends the requests; nothing here writes a record.
"""
