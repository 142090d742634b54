"""The trainer `grpo`: the interface for `tclue train`, and the steps before torch is loaded."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tclue.bench.models.loading import check_folder
from tclue.bench.models.local import fingerprint
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue.trainers import PresetLine, TrainedRun, TrainingPlan, TrainRequest, check_run_name
from tclue_grpo import config_file, plan
from tclue_grpo.config import Config
from tclue_grpo.metrics import SINKS
from tclue_grpo.model_size import resolve_base, shape_of
from tclue_grpo.plan import Machine, this_machine


class GRPO:
    """Group-relative policy optimization on fresh puzzles."""

    def presets(self) -> Sequence[PresetLine]:
        """The presets, and whether this machine has enough memory for them."""
        machine = this_machine()
        return [
            PresetLine(p.name, p.about, plan.fits_machine(p.config, machine, p.needs_gpu))
            for p in config_file.presets().values()
        ]

    def plan(self, request: TrainRequest) -> TrainingPlan:
        """Estimate memory, tokens, steps, hours and dollars before anything is loaded."""
        machine = this_machine()
        name, config, preset = resolve(request, machine)
        shape = shape_of(config.model.base)
        if shape is None:
            raise UserError(
                f"--dry-run: the size of {config.model.base} is unknown: download it, and set "
                "model.base to its folder"
            )
        planned, hardware = machine, machine.summary
        if is_for_gpus(preset) and not machine.gpus:
            planned = replace(machine, gpus=(plan.PLANNED_GPU,) * config.price.gpus)
            hardware += "; planned for GPUs"
        needs = plan.estimate(config, shape, planned)
        text = f"{'name':10}  {name}\n{'machine':10}  {hardware}\n{plan.describe(config, needs)}"
        return TrainingPlan(text, {"run": name} | plan.numbers(config, needs))

    def train(self, request: TrainRequest) -> TrainedRun | None:
        """Train or resume in the run's folder; under `torchrun`, None in all but process 0."""
        machine = joined_machine(this_machine())
        name, config, preset = resolve(request, machine)
        base = Path(resolve_base(config.model.base)).expanduser()
        if base.is_dir():
            check_folder(config.model.base, base)
        plan.refuse_unfit(preset or name, config, is_for_gpus(preset), machine)
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise UserError('training needs torch and transformers: pip install "tclue[train]"')
        preflight(config, on_gpu=bool(machine.gpus))
        manifest = kept_fields(config, preset, on_gpu=bool(machine.gpus))
        if base.is_dir():
            manifest["base_checkpoint"] = fingerprint(base)
        folder = request.runs / name
        if os.environ.get("RANK", "0") == "0":  # under torchrun, process 0 only
            config_file.settle(config, folder)
        from tclue_grpo.launch import run_training

        return run_training(config, folder, manifest, _process_count(config, machine))


def preflight(config: Config, *, on_gpu: bool = False) -> None:
    """Raise UserError for what would stop a run later, after hours.

    A run's folder fixes its configuration. So an impossible configuration is refused before the
    folder exists, and the corrected command can start afresh.
    """
    validation = _puzzles("train.validation", config.train.validation)
    reported = _puzzles("bench.puzzles", config.bench.puzzles)
    if both := {p.prompt for p in validation} & {p.prompt for p in reported}:
        raise UserError(
            f"bench.puzzles is {config.bench.puzzles}, which has {len(both)} of the puzzles of "
            f"train.validation, {config.train.validation}: expected none, because the best step is "
            "chosen on these and results are reported on those"
        )
    for name in SINKS:
        if getattr(config.log, name) and find_spec(name) is None:
            raise UserError(
                f"log.{name} is true, and the package {name} is not installed: "
                f"run `pip install {name}`, or set log.{name} to false"
            )
    if plan.uses_vllm(config, on_gpu):
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
    from tclue.bench.models.chat_template import check_hub_name, prompt_ids

    base = resolve_base(config.model.base)
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


def joined_machine(machine: Machine) -> Machine:
    """The machine with the GPUs of all machines of a `torchrun`, assuming that all are equal."""
    world, local = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return replace(machine, gpus=machine.gpus * max(1, world // local))


def _process_count(config: Config, machine: Machine) -> int:
    """The number of processes: one for each GPU, or one without; under `torchrun`, as it says.

    Raises UserError if `torchrun` started another number than `price.gpus`.
    """
    expected = config.price.gpus if machine.gpus else 1
    if started := os.environ.get("WORLD_SIZE"):
        if machine.gpus and int(started) != expected:
            raise UserError(
                f"price.gpus is {expected}, and torchrun started {started} processes: expected the "
                "same number, one process for each GPU"
            )
        return int(started)
    return expected


def resolve(request: TrainRequest, machine: Machine) -> tuple[str, Config, str | None]:
    """The run's name, its configuration, and the preset that it is based on, if any."""
    preset = request.preset or (config_file.preset_of(request.config) if request.config else None)
    if preset is None and request.config is None:
        preset = _default_preset(machine)
    config = config_file.load(preset, request.config, request.settings, request.seed)
    stem = request.config.stem if request.config else preset
    name = request.run or f"{stem}-seed{config.train.seed}"
    check_run_name(name)
    return name, config, preset


def is_for_gpus(preset: str | None) -> bool:
    """Whether a preset needs a GPU."""
    return preset is not None and config_file.preset(preset).needs_gpu


def _default_preset(machine: Machine) -> str:
    """The default preset: `tiny` without a GPU; with one, UserError asks for a choice."""
    if not machine.gpus:
        print(f"preset tiny: {machine.summary}", file=sys.stderr)
        return "tiny"
    presets = config_file.presets().values()
    fit = [p.name for p in presets if plan.fits_machine(p.config, machine, p.needs_gpu)]
    raise UserError(f"--preset is missing: {machine.summary} can train {', '.join(fit)}")


def kept_fields(
    config: Config, preset: str | None = None, *, on_gpu: bool = False
) -> dict[str, Any]:
    """The fields of kept.json besides the steps: how base and steps are benchmarked."""
    bench, price = config.bench, config.price
    # If a GPU's price is unknown, the price of a machine without a GPU must not stand in for it.
    gpu = {"gpu_hour_usd": price.gpu_hour_usd, "gpus": price.gpus}
    machine_price = gpu if on_gpu or price.gpu_hour_usd else {"hour_usd": price.hour_usd}
    return {
        "base": config.model.base if config.model.base == "tiny" else f"hf:{config.model.base}",
        "puzzles": bench.puzzles,
        "limit": bench.limit or None,
        "seed": config.train.seed,
        "samples": bench.samples,
        "temperature": bench.temperature,
        "max_tokens": bench.max_tokens or config.rollout.max_tokens,
        "dtype": config.model.dtype,
        "greedy": bench.greedy,
        "price": {"tier": price.tier} if price.tier else machine_price,
        "preset": preset,
    }
