"""Checks before a run gets its folder, for errors that would otherwise stop it after hours.

A run's folder fixes its configuration. So an impossible configuration is refused before the folder
exists, and the corrected command can start afresh.
"""

from importlib.util import find_spec
from pathlib import Path

from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue_grpo.config import Config
from tclue_grpo.metrics import missing_package
from tclue_grpo.model_size import resolve_base
from tclue_grpo.plan import uses_vllm


def check(config: Config, *, on_gpu: bool = False) -> None:
    """Raise UserError if something is missing or does not fit."""
    validation = _puzzles("train.validation", config.train.validation)
    reported = _puzzles("bench.puzzles", config.bench.puzzles)
    if both := {p.prompt for p in validation} & {p.prompt for p in reported}:
        raise UserError(
            f"bench.puzzles is {config.bench.puzzles}, which has {len(both)} of the puzzles of "
            f"train.validation, {config.train.validation}: expected none, because the best step is "
            "chosen on these and results are reported on those"
        )
    for name in ("tensorboard", "wandb", "trackio"):
        if getattr(config.log, name) and find_spec(name) is None:
            raise missing_package(name)
    if uses_vllm(config, on_gpu):
        from tclue_grpo.vllm_server import find_python

        find_python(config.rollout.vllm_python)
    _check_lengths(config, validation[: config.train.validation_puzzles or None])


def _puzzles(option: str, name: str) -> tuple[Puzzle, ...]:
    """A set's puzzles. Raises UserError if it has none."""
    puzzles = load_set(name).puzzles
    if not puzzles:
        raise UserError(f"{option} is {name}, which has no puzzle: expected one or more")
    return puzzles


def _check_lengths(config: Config, puzzles: tuple[Puzzle, ...]) -> None:
    """Refuse packs, or a context, too short for these prompts with responses at the limit."""
    base = resolve_base(config.model.base)
    from tclue.bench.models.chat_template import check_hub_name, prompt_ids

    if not Path(base).expanduser().is_dir():
        check_hub_name(base, base)
        return  # its tokenizer would have to be fetched
    from tclue_grpo.build import load_tokenizer, max_sequence_length

    tokenizer, limit = load_tokenizer(base), max_sequence_length(config, base)
    prompt = max(len(prompt_ids(tokenizer, puzzle)) for puzzle in puzzles)
    if (needed := prompt + config.rollout.max_tokens) > limit:
        limited_by = "packing.length" if limit == config.packing.length else "the model's context"
        raise UserError(
            f"{limited_by} is {limit} tokens: expected at least {needed}, for the longest prompt "
            f"of train.validation ({prompt}) and rollout.max_tokens ({config.rollout.max_tokens})"
        )
