"""TRL's `GRPOTrainer` on the same model, puzzles and settings: `train_step.py` runs this.

    PYTHONPATH=. PYTHON_WITH_TRL benchmarks/trl_grpo.py < job and a line for each iteration

The first line of standard input is the job as JSON (`Job` in beside_trl.py). The program prints a
line of JSON with the version. Then it waits for a line before each iteration, and prints a line of
JSON after it: wall time and processor time, the time until all responses were sampled, and what was
sampled. So the two trainers can alternate.

Design:
* The settings are those of our trainer: objective `dr_grpo` without division by the standard
  deviation, no KL term, one optimizer step per iteration, constant learning rate, AdamW's betas,
  gradient clipping, truncated responses masked, float32, no gradient checkpointing. The reward is
  from the same grader. Everything else is TRL's default.
* Sampling is TRL's own, with `generate` of transformers, all responses of an iteration together.
* In training, `rows` padded responses are one batch, as in TRL.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle


class Turns(TrainerCallback):
    """Waits for a line before each iteration, and reports the times of the iteration after it."""

    def __init__(self, puzzles: dict[str, Puzzle], out: Any) -> None:
        self._puzzles, self._out, self._grader = puzzles, out, grader("sound")
        self._start = (0.0, 0.0)
        self._sampled: dict[str, Any] = {}

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """An iteration follows."""
        if not sys.stdin.readline():
            raise SystemExit("trl_grpo: standard input ended")
        self._start = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The weights are updated."""
        wall_s, cpu_s = self._start
        took = {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}
        print(json.dumps(took | self._sampled), file=self._out, flush=True)

    def reward(
        self, completions: Any, completion_ids: Any, puzzle_id: Any, **_: Any
    ) -> list[float]:
        """The grader's accuracy [response]; counts the sampled tokens too."""
        sample_s = time.perf_counter() - self._start[0]
        grades = [
            self._grader.grade(self._puzzles[identifier], message[-1]["content"]).accuracy
            for identifier, message in zip(puzzle_id, completions, strict=True)
        ]
        self._sampled = {
            "sample_s": sample_s,
            "responses": len(grades),
            "puzzles": len(set(puzzle_id)),
            "sampled_tokens": sum(map(len, completion_ids)),
            "accuracy": sum(grades) / len(grades),
        }
        return grades


def settings(job: dict[str, Any], folder: str) -> Any:
    """TRL's configuration for a job."""
    responses = job["responses"] * len(job["puzzles"])
    if responses % job["rows"]:
        raise SystemExit(f"trl_grpo: {responses} responses do not divide into {job['rows']} rows")
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=job["rows"],
        gradient_accumulation_steps=responses // job["rows"],
        num_generations=job["responses"],
        max_completion_length=job["max_tokens"],
        temperature=job["temperature"],
        loss_type="dr_grpo",
        scale_rewards="none",
        beta=0.0,
        mask_truncated_completions=True,
        learning_rate=job["rate"],
        lr_scheduler_type="constant",
        adam_beta1=job["betas"][0],
        adam_beta2=job["betas"][1],
        weight_decay=job["weight_decay"],
        max_grad_norm=job["clip_norm"],
        max_steps=job["iterations"],
        seed=job["seed"],
        bf16=False,
        use_cpu=job["device"] == "cpu",
        gradient_checkpointing=False,
        shuffle_dataset=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def main() -> None:
    """Read the job, train, and report each iteration's times."""
    # Redirect the output of the libraries to standard error.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    libraries: Any = transformers.logging
    libraries.set_verbosity_error()
    puzzles = [Puzzle.from_dict(data) for data in job["puzzles"]]
    turns = Turns({puzzle.id: puzzle for puzzle in puzzles}, out)
    rows = [
        {"prompt": [{"role": "user", "content": puzzle.prompt}], "puzzle_id": puzzle.id}
        for puzzle in puzzles
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=job["base"],
            reward_funcs=turns.reward,
            args=settings(job, folder),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(job["base"], padding_side="left"),
            callbacks=[turns],
        )
        print(json.dumps({"version": trl.__version__}), file=out, flush=True)
        trainer.train()


if __name__ == "__main__":
    main()
