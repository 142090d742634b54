"""Show that two greedy runs of one checkpoint differ only by near-ties.

    python scripts/compare_backends.py RUN_FOLDER RUN_FOLDER CHECKPOINT [--json]

The runs have the same puzzles, for example one through transformers and one through a server. For
each puzzle whose texts diverge, the checkpoint is run in fp32 up to that position, and the
difference between the log-probabilities (in nats) of the two next tokens is measured. Two programs
that round differently should choose different tokens only if this gap is close to zero.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tclue.bench.records import Response, Run, read_run
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set


@dataclass(frozen=True)
class Divergence:
    """The position at which the texts for a puzzle diverge."""

    puzzle: str
    # number of tokens before the texts diverge
    shared_tokens: int
    # difference of the log-probabilities of the two next tokens in fp32, in nats
    gap_nats: float


def main() -> int:
    """Print the divergences. Returns 1 if one of them is not a near-tie."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN_FOLDER")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--near-tie", type=float, default=0.01, help="largest gap of a near-tie in nats (0.01)"
    )
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    try:
        first_run, second_run = (read_run(folder) for folder in arguments.runs)
        pairs = paired(first_run, second_run)
    except UserError as error:
        print(f"compare_backends: {error}", file=sys.stderr)
        return 2
    same_answers = sum(a.grade.answers == b.grade.answers for a, b in pairs if a.grade and b.grade)
    differing = [(a, b) for a, b in pairs if a.text != b.text]
    puzzles = {puzzle.id: puzzle for puzzle in load_set(first_run.config.puzzle_set).puzzles}
    measured = divergences(differing, puzzles, arguments.checkpoint)
    wide = [d for d in measured if d.gap_nats >= arguments.near_tie]
    if arguments.as_json:
        figures = {"puzzles": len(pairs), "same_answers": same_answers}
        print(json.dumps({**figures, "divergences": [asdict(d) for d in measured]}))
    else:
        print(f"{len(pairs)} puzzles: same answers on {same_answers}, same text on", end=" ")
        print(f"{len(pairs) - len(differing)}")
        for divergence in sorted(measured, key=lambda d: -d.gap_nats):
            print(
                f"{divergence.puzzle}: part after {divergence.shared_tokens} tokens, "
                f"gap {divergence.gap_nats:.6f} nat"
            )
        print(f"{len(wide)} of {len(measured)} gaps reach {arguments.near_tie} nat")
    return 1 if wide else 0


def paired(first: Run, second: Run) -> list[tuple[Response, Response]]:
    """The responses of two runs to the same requests.

    Raises UserError if the runs have different puzzles.
    """
    if first.config.puzzle_sha256 != second.config.puzzle_sha256:
        raise UserError("the runs have different puzzle files: expected the same file")
    others = {response.pair: response for response in second.final() if response.scored}
    scored = [response for response in first.final() if response.scored]
    if {response.pair for response in scored} != set(others):
        raise UserError("the runs have responses to different puzzles: expected two complete runs")
    return [(response, others[response.pair]) for response in scored]


def divergences(
    pairs: list[tuple[Response, Response]], puzzles: dict[str, Puzzle], checkpoint: Path
) -> list[Divergence]:
    """Measure the gap at the position at which each pair of texts diverges."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    model: Any = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, use_safetensors=True
    )
    model.eval()
    measured = []
    for first, second in pairs:
        prompt: list[int] = tokenizer.apply_chat_template(
            [{"role": "user", "content": puzzles[first.puzzle].prompt}],
            add_generation_prompt=True,
            return_dict=True,
        )["input_ids"]
        texts = [
            [*tokenizer(response.text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
            for response in (first, second)
        ]
        shared = next(
            (i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b),
            min(map(len, texts)) - 1,
        )
        with torch.inference_mode():
            ids = torch.tensor([prompt + texts[0][:shared]])
            logps = model(ids, logits_to_keep=1).logits[0, -1].double().log_softmax(-1)
        gap = abs(float(logps[texts[0][shared]] - logps[texts[1][shared]]))
        measured.append(Divergence(first.puzzle, shared, gap))
    return measured


if __name__ == "__main__":
    sys.exit(main())
