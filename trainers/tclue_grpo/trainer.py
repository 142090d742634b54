"""The trainer `grpo`: what `tclue train` calls, and what is settled before torch is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tclue.bench.models.local import fingerprint
from tclue.errors import UserError
from tclue.trainers import PresetLine, TrainedRun, TrainingPlan, TrainRequest
from tclue_grpo import config_file, plan, preflight
from tclue_grpo.config import Config
from tclue_grpo.hardware import Machine, this_machine
from tclue_grpo.model_size import check_base, place_of, shape_of


class GRPO:
    """Group-relative policy optimization on fresh puzzles."""

    def presets(self) -> Sequence[PresetLine]:
        """The presets, and whether this machine has the memory for them."""
        machine = this_machine()
        return [
            PresetLine(p.name, p.about, plan.fitting(p.config, machine, p.needs_gpu))
            for p in config_file.presets().values()
        ]

    def plan(self, request: TrainRequest) -> TrainingPlan:
        """Memory, tokens, steps, hours and dollars, as far as they can be known beforehand."""
        machine = this_machine()
        name, config, preset = resolve(request, machine)
        needs_gpu = is_for_gpus(preset)
        shape = shape_of(config.model.base)
        if shape is None:
            raise UserError(
                f"--dry-run: {config.model.base}: its size is not known here: fetch it, and give "
                "its folder as model.base"
            )
        found = plan.estimate(
            config, shape, plan.planned(config, machine) if needs_gpu else machine
        )
        here = (
            f"{machine.told}; planned for GPUs" if needs_gpu and not machine.gpus else machine.told
        )
        text = f"{'name':10}  {name}\n{'here':10}  {here}\n{plan.told(config, found)}"
        return TrainingPlan(text, {"run": name} | plan.numbers(config, found))

    def train(self, request: TrainRequest) -> TrainedRun | None:
        """Train in the run's folder, or go on there; None in a process that only helps another."""
        machine = joined(this_machine())
        name, config, preset = resolve(request, machine)
        check_base(config.model.base)
        plan.refuse_unfit(preset or name, config, is_for_gpus(preset), machine)
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise UserError('training needs torch and transformers: pip install "tclue[train]"')
        preflight.check(config, on_gpu=bool(machine.gpus))
        about = kept_fields(config, preset, on_gpu=bool(machine.gpus))
        base = Path(place_of(config.model.base)).expanduser()
        if base.is_dir():
            about["base_checkpoint"] = fingerprint(base)
        folder = request.runs / name
        if os.environ.get("RANK", "0") == "0":  # of a torchrun's processes the first one
            config_file.settle(config, folder)
        from tclue_grpo.launch import train_here

        return train_here(config, folder, about, _count(config, machine))


def joined(machine: Machine) -> Machine:
    """A machine with the GPUs of those that `torchrun` has joined to it, taken for its like."""
    started, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return replace(machine, gpus=machine.gpus * max(1, started // here))


def _count(config: Config, machine: Machine) -> int:
    """Processes that train: one for each GPU, one without; as `torchrun` says where it started us.

    Raises UserError where that is not what the run is paid for.
    """
    wanted = config.price.gpus if machine.gpus else 1
    if started := os.environ.get("WORLD_SIZE"):
        if machine.gpus and int(started) != wanted:
            raise UserError(
                f"price.gpus is {wanted}, and torchrun started {started} processes: expected as "
                "many, one for each GPU"
            )
        return int(started)
    return wanted


def resolve(request: TrainRequest, machine: Machine) -> tuple[str, Config, str | None]:
    """The run's name, its configuration, and the preset that this stands on, if any."""
    preset = request.preset or (config_file.preset_of(request.config) if request.config else None)
    if preset is None and request.config is None:
        preset = _usual(machine)
    config = config_file.load(preset, request.config, request.settings, request.seed)
    stem = request.config.stem if request.config else preset
    return request.run or f"{stem}-seed{config.train.seed}", config, preset


def is_for_gpus(preset: str | None) -> bool:
    """Whether a preset is of no use without a GPU."""
    return preset is not None and config_file.preset(preset).needs_gpu


def _usual(machine: Machine) -> str:
    """The preset where none was asked for: `tiny` without a GPU; with one it is to be chosen."""
    if not machine.gpus:
        print(f"preset tiny: {machine.told}", file=sys.stderr)
        return "tiny"
    fit = [
        p.name
        for p in config_file.presets().values()
        if plan.fitting(p.config, machine, p.needs_gpu)
    ]
    raise UserError(f"--preset is missing: {machine.told} can train {', '.join(fit)}")


def kept_fields(
    config: Config, preset: str | None = None, *, on_gpu: bool = False
) -> dict[str, Any]:
    """What a run's kept.json says besides its steps: how base and steps are benchmarked."""
    bench, price = config.bench, config.price
    # A GPU's hour at a price that is not known is not one at the price of a machine without.
    gpu = {"gpu_hour_usd": price.gpu_hour_usd, "gpus": price.gpus}
    own = gpu if on_gpu or price.gpu_hour_usd else {"hour_usd": price.hour_usd}
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
        "price": {"tier": price.tier} if price.tier else own,
        "preset": preset,
    }
