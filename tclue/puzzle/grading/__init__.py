"""Grading: from the text of a response to the letters that are right.

The input is a puzzle (its questions, their legal answers and the right ones) and a text. The output
is a `Grade`: the answer that was read for each letter, the letters that are right, the accuracy,
and whether all are right.

* `grade` has the two graders, `sound` and `published`, and `grader(name)`, which returns one. The
  benchmark, lm-eval and the trainer's rewards all call the same object, so they always agree.
  Its `grade_file` grades texts that were made elsewhere (`tclue grade`).
* `reasoning` has the marks of models' reasoning, and `answer_text` removes them and the markup.
  `answer_lines` says which letters a line answers, and `answer_words` which option its words name
  (with `answer_options` for names, and `answer_clauses` and `answer_remarks` for what is said
  after them).
  `answer_doubts` says which answers a sentence takes back, and `answer_blocks` which lines count.
  `vocabulary` has their words.
* `why` says which line of a text decided, and `shape` how a text looks of which no answer was
  read.

Nothing here depends on models, prompts or costs.
"""
