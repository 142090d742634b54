"""Grading: from the text of a response to the letters that are right.

What comes in is a puzzle (its questions, their legal answers and the right ones) and a text. What
goes out is a `Grade`: the answer that was read for each letter, which letters are right, the
accuracy, and whether all are right.

* `grade` has the two graders, `sound` and `published`, and `grader(name)`, which returns one.
  Bench, lm-eval and the trainer's rewards all call the same object, so that a reward and a
  benchmark never disagree.
* `answer_text` takes the markup off a text, `answer_blocks` decides which of its lines count, and
  `answer_words` decides which answer the words of a line commit to. Only `sound` uses them.
* `grade_file` grades texts that were made elsewhere (`tclue grade`).

Nothing here knows of models, prompts or costs.
"""
