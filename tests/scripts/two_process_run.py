"""A run in two processes: python tests/scripts/two_process_run.py FOLDER [KEY=VALUE ...].

`tclue train` starts one process for each GPU; without GPUs, this script asks for two. Exit codes
and output lines are those of `tclue train`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tclue.errors import UserError
from tclue_grpo import config_file, trainer
from tclue_grpo.launch import train_in_processes

SETTINGS = (
    "train.iterations=4",
    "train.validate_every=2",
    "train.save_every=1",
    "train.validation_puzzles=4",
    "train.validation_samples=1",
    "data.puzzles_per_iteration=4",
    "rollout.responses_per_puzzle=8",
    "update.steps_per_iteration=2",
)


def main(folder: Path, *settings: str) -> None:
    config = config_file.load("tiny", settings=(*SETTINGS, *settings))
    config_file.settle(config, folder)
    try:
        print(train_in_processes(2, config, folder, trainer.kept_fields(config)).last)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
