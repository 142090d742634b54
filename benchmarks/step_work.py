"""The parts of `train_step.py` that count tokens and operations, measure time, and make models.

* Operations are those of the model (https://arxiv.org/abs/2204.02311, appendix B), forward and
  backward, on tokens without padding. Attention counts the pairs of tokens that see each other.
  Operations that are repeated to save memory count once.
* The peak speed of a GPU is that of its data sheet for dense bfloat16. On a CPU it is the measured
  speed of a large matrix product with the same threads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import transformers

from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.model_size import Shape
from tclue_grpo.packing import PADDING, Pack
from tclue_grpo.plan import PEAKS
from tclue_grpo.rollout import GradedSample, Group, Sample

MATMUL = 1024  # rows and columns of the matrix product for a CPU's peak speed
# Tokens of published prompts in Qwen 2.5's vocabulary: minimum, median, maximum; and their spread.
PROMPT_TOKENS, PROMPT_SIGMA = (324, 997, 3364), 0.5
RESPONSE_TOKENS = (200, 1800)  # the published 32B model had 880 before and 1,173 after training


@dataclass(frozen=True)
class Work:
    """The work of an optimizer step."""

    responses: int
    # if each response had its own prompt
    logical: int
    # as packed, with padding
    executed: int
    # that count in the loss
    loss_bearing: int
    # floating-point operations, forward and backward
    operations: float


def work_of(groups: Sequence[Group], packs: Sequence[Pack], shape: Shape) -> Work:
    """The work of packed groups."""
    return Work(
        responses=sum(len(group.responses) for group in groups),
        logical=logical_tokens(groups),
        executed=sum(len(pack.ids) for pack in packs),
        loss_bearing=sum(int(pack.mask.count_nonzero()) for pack in packs),
        operations=sum(operations(pack, shape) for pack in packs),
    )


def logical_tokens(groups: Sequence[Group]) -> int:
    """The tokens of every response with its prompt."""
    return sum(len(g.prompt) + len(r.sample.ids) for g in groups for r in g.responses)


def operations(pack: Pack, shape: Shape) -> float:
    """The operations of a pack, forward and backward: three times the forward pass."""
    real = pack.group != PADDING
    tokens, targets = int(real.sum()), len(pack.target_ids)
    # A token sees itself and all earlier tokens of its prompt and response.
    pairs = int((pack.positions[real] + 1).sum())
    weights = sum(rows * columns for rows, columns in shape.matrices)
    heads_width = shape.matrices[0][1]
    layer = 2 * weights * tokens + 4 * heads_width * pairs
    return 3.0 * (shape.layers * layer + 2 * shape.width * shape.vocab * targets)


def gpu_peak() -> float | None:
    """Operations per second of the first GPU by its data sheet; None if unknown."""
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def matmul_rate(dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product on the CPU, the best of three."""
    left, right = (torch.randn(MATMUL, MATMUL, dtype=dtype) for _ in range(2))
    best_s = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(left, right)
        best_s = min(best_s, time.perf_counter() - start)
    return 2.0 * MATMUL**3 / best_s


def write_random(shape: Shape, dtype: torch.dtype, folder: Path, seed: int) -> Path:
    """A Qwen2 checkpoint of a given shape with random weights, without a tokenizer."""
    torch.manual_seed(seed)
    config = transformers.Qwen2Config(
        vocab_size=shape.vocab,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=32768,
    )
    auto_model: Any = transformers.AutoModelForCausalLM
    model = auto_model.from_config(config, dtype=dtype)
    model.save_pretrained(folder)
    return folder


def made_up(
    puzzles: int,
    size: int,
    vocab: int,
    seed: int,
    prompt: tuple[int, int, int] = PROMPT_TOKENS,
    response: tuple[int, int] = RESPONSE_TOKENS,
) -> list[Group]:
    """Groups of random tokens with the lengths of published prompts and responses."""
    rng = random.Random(seed)
    least, middle, most = prompt

    def ids(count: int) -> list[int]:
        return rng.choices(range(vocab), k=count)

    groups = []
    for number in range(puzzles):
        length = middle * rng.lognormvariate(0, PROMPT_SIGMA)
        group = Group(Puzzle("", id=str(number)), ids(int(min(most, max(least, length)))))
        for i in range(size):
            tokens = ids(rng.randint(*response))
            sample = Sample(tokens, [0.0] * len(tokens), "stop")
            # half of a group is better than the other half
            grade = Grade(float(i % 2), False, {}, (), None)
            group.responses.append(GradedSample(sample, "", grade, i % 2, i % 2 - 0.5))
        groups.append(group)
    return groups


class Timing(NamedTuple):
    """Seconds of wall time, and of processor time of this process."""

    wall_s: float
    cpu_s: float


def timed(do: Callable[[], object]) -> Timing:
    """The time of a call, including work on the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Timing(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def seconds(rounds: Sequence[Timing]) -> dict[str, Any]:
    """The medians of the rounds, and the rounds themselves."""
    return {
        "wall_s": median(timing.wall_s for timing in rounds),
        "cpu_s": median(timing.cpu_s for timing in rounds),
        "rounds_wall_s": [timing.wall_s for timing in rounds],
        "rounds_cpu_s": [timing.cpu_s for timing in rounds],
    }


def figures(
    work: Work, rounds: Sequence[Timing], packed_rounds: Sequence[Timing], peak: float | None
) -> dict[str, Any]:
    """The figures of the rounds of one method. Ratios are its time divided by that of "packed"."""
    medians = seconds(rounds)
    pairs = list(zip(rounds, packed_rounds, strict=True))
    return {
        **asdict(work),
        **medians,
        "logical_per_s": work.logical / medians["wall_s"],
        "executed_per_s": work.executed / medians["wall_s"],
        "loss_bearing_per_s": work.loss_bearing / medians["wall_s"],
        "peak_share": work.operations / medians["wall_s"] / peak if peak else None,
        "wall_ratio": median(own.wall_s / packed.wall_s for own, packed in pairs),
        "cpu_ratio": median(own.cpu_s / packed.cpu_s for own, packed in pairs),
    }


def sampling(measured: Mapping[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
    """The sampled tokens. All groups count, with and without spread."""
    wall_s = measured["sampling"]["wall_s"]
    sampled = sum(len(response.sample.ids) for group in groups for response in group.responses)
    # a prompt is computed once per group
    executed = sampled + sum(len(group.prompt) for group in groups)
    return {
        "responses": sum(len(group.responses) for group in groups),
        "sampled": sampled,
        "logical_per_s": logical_tokens(groups) / wall_s,
        "executed_per_s": executed / wall_s,
        "loss_bearing_per_s": measured["steps"]["packed"]["loss_bearing"] / wall_s,
    }
