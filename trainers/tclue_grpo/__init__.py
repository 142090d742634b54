"""GRPO on Temporal Clue: the trainer that `tclue train` brings (docs/howto/write-a-trainer.md).

Nothing heavy is imported here: `tclue train --help` and `--dry-run` load no torch.
"""
