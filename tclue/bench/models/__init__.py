"""Models: from a name on the command line to completions of prompts.

The input is a name (`random`, `hf:PATH`, `train:RUN@STEP`, an alias of the registry, or any name of
litellm's) with the options, and then puzzles to answer. The output is one `Model` for each variant,
already checked, and one `Completion` for each request: text, reasoning, finish reason, usage and
seconds, or a failure and what to do about it.

* `resolve` turns a name into models, and knows what a model can do. `registry` knows what an alias
  means, and `reasoning` how a provider expresses a reasoning setting.
* `model` has the types and the two built-in models, chance and the solver.
* `hosted` uses litellm. `wire` captures and reads what the provider really sent, and `failures`
  decides what to do about an error.
* `local` runs a checkpoint with transformers, also one of a training run. The trainer uses its
  `loading`, `decode`, `memory` and `chat_template` too.
* `listing` is `tclue models`.

`runs` sends the requests. Nothing here writes a record.
"""
