"""Estimates the resources of a run before anything is loaded: `tclue train --dry-run`.

* The machine is looked at without torch: GPUs by nvidia-smi, memory by the kernel.
* Memory is computed, not measured, from what the optimizer and the packs need at once. A run that
  needs more than the machine has is refused with these numbers.
* Hours are an estimate: floating-point operations over an assumed share of the peak. The
  assumptions are printed with it.
"""

import os
import subprocess
from dataclasses import asdict, astuple, dataclass
from typing import Any

from tclue.bench.models.memory import memory_bytes
from tclue.errors import UserError
from tclue.text import counted, money
from tclue_grpo.config import Config
from tclue_grpo.model_size import Shape, shape_of

GB = 1e9
SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
# Dense bfloat16 operations per second of one GPU, from its data sheet, by a part of its name.
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "L4": 121e12,
}
PLANNED_GPU = ("H100", 80_000_000_000)  # if this machine has no GPU
# Float32 operations per second of a CPU core. With the shares below it gives what was measured on
# two busy cores with the tiny base: 6,500 tokens per second in training and 5,300 in sampling.
CORE_PEAK = 80e9
TRAIN_SHARE, SAMPLE_SHARE = 0.4, 0.1  # of the peak
# Mean tokens of a prompt and of a response. The tiny base, in its own tokenizer: prompts of
# `easy-test`, and responses after 16 iterations, which are longer than at first. Language models:
# the characters of `easy-test` and `test` at 3.3 per token, as in published prompts; responses as
# long as those of the published 32B before and after training (880 and 1,173).
TINY_TOKENS = (96, 144)
EASY_TOKENS, MIX_TOKENS = (680, 500), (1400, 1030)
# Share of memory that is reserved for the framework, fragmentation and kernels.
SPARE = 0.08
# Values that a layer keeps for its backward pass, in multiples of its width and of its MLP's.
KEPT_WIDTHS, KEPT_INNER = 10, 4


@dataclass(frozen=True)
class Machine:
    """The hardware that a run may use."""

    # name and bytes of each GPU
    gpus: tuple[tuple[str, int], ...]
    # bytes of main memory
    memory: int
    cores: int

    @property
    def summary(self) -> str:
        """The machine in words."""
        if not self.gpus:
            return f"no GPU, {self.cores} CPU cores, {self.memory / GB:.0f} GB of memory"
        name, memory = self.gpus[0]
        return f"{len(self.gpus)} x {name} of {memory / GB:.0f} GB"


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(_gpus(), memory_bytes(), len(os.sched_getaffinity(0)))


def _gpus() -> tuple[tuple[str, int], ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        # No driver, no GPU.
        return ()
    rows = [line.rpartition(", ") for line in done.stdout.splitlines() if line.strip()]
    gpus = [(name, int(mebibytes) * 2**20) for name, _, mebibytes in rows if mebibytes.isdecimal()]
    if visible is None:
        return tuple(gpus)
    return tuple(gpus[int(i)] for i in visible.split(",") if i.isdecimal() and int(i) < len(gpus))


@dataclass(frozen=True)
class Memory:
    """Bytes that a GPU (or the machine) needs at once."""

    weights: float
    gradients: float
    # fp32 masters and AdamW's two moments
    optimizer: float
    activations: float
    # the sampler's keys and values, and on several GPUs its copy of the weights; with vLLM all the
    # memory of its server
    sampler: float

    @property
    def total(self) -> float:
        """The sum, with the reserve."""
        used: float = sum(astuple(self))
        return used / (1 - SPARE)


@dataclass(frozen=True)
class Tokens:
    """The expected tokens of one iteration."""

    prompt: float
    response: float
    sampled: float
    # in training, with each prompt once a group; and if each response had its own copy
    executed: float
    without_sharing: float


@dataclass(frozen=True)
class ResourceEstimate:
    """The estimated resources of a run."""

    parameters: int
    trained_parameters: int
    gpus: int
    gpu: str
    # of each GPU, or of the machine
    memory_available_bytes: float
    memory_bytes: Memory
    tokens_an_iteration: Tokens
    optimizer_steps: int
    hours: float
    dollars: float | None

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.memory_bytes.total <= self.memory_available_bytes


def estimate(config: Config, shape: Shape, machine: Machine) -> ResourceEstimate:
    """Estimate the resources of a run on a machine."""
    gpus = min(config.price.gpus, len(machine.gpus))
    name, available = machine.gpus[0] if gpus else ("", machine.memory)
    tokens = expected_tokens(config)
    hours = _hours(config, shape, tokens, _peak(name) * gpus if gpus else machine.cores * CORE_PEAK)
    price = config.price.gpu_hour_usd * gpus if gpus else config.price.hour_usd
    return ResourceEstimate(
        shape.parameters,
        _trained_parameters(config, shape),
        gpus,
        name,
        available,
        memory(config, shape, max(1, gpus), available if gpus else 0),
        tokens,
        config.train.iterations * config.update.steps_per_iteration,
        hours,
        hours * price if price else None,
    )


def _trained_parameters(config: Config, shape: Shape) -> int:
    rank = config.model.lora_rank
    return shape.lora_parameters(rank) if rank else shape.parameters


def _peak(gpu: str) -> float:
    return next((peak for part, peak in PEAKS.items() if part in gpu), PEAKS[PLANNED_GPU[0]])


def uses_vllm(config: Config, on_gpu: bool) -> bool:
    """Whether a vLLM server samples."""
    engine = config.rollout.engine
    return engine == "vllm" or (engine == "auto" and on_gpu)


def memory(config: Config, shape: Shape, gpus: int, gpu_bytes: float) -> Memory:
    """The memory that each of `gpus` needs; `gpu_bytes` is 0 on a machine without a GPU."""
    size = 2 if config.model.dtype == "bfloat16" else 4
    trained = _trained_parameters(config, shape)
    bf16_updates = config.update.bf16_updates
    # fp32 weights are their own masters. AdamW's moments have the type of what it updates.
    masters = 0 if bf16_updates or (size == 4 and not config.model.lora_rank) else 4
    moments = 4 if bf16_updates else 8
    layer = config.packing.length * (KEPT_WIDTHS * shape.width + KEPT_INNER * shape.inner) * size
    inputs = config.packing.length * shape.width * size * shape.layers
    activations = inputs + layer if config.model.gradient_checkpointing else layer * shape.layers
    logits = config.model.head_chunk * shape.vocab * 12  # logits, their softmax, its gradient
    if uses_vllm(config, gpu_bytes > 0):
        sampler = config.rollout.vllm_memory * gpu_bytes
    else:
        rollout, groups = config.rollout, config.data.puzzles_per_iteration
        rows = min(rollout.max_rows, rollout.responses_per_puzzle * groups)
        tokens = rows * (expected_tokens(config).prompt + rollout.max_tokens)
        sampler = tokens * 2 * shape.layers * shape.kv_width * size
        sampler += shape.parameters * size if gpus > 1 else 0
    return Memory(
        weights=shape.parameters * size / gpus,
        gradients=trained * (size if bf16_updates else 4) / gpus,
        optimizer=trained * (masters + moments) / gpus,
        activations=activations + logits,
        sampler=sampler,
    )


def expected_tokens(config: Config) -> Tokens:
    """The tokens of an iteration, from mean lengths that were measured in other runs."""
    lengths = EASY_TOKENS if config.data.difficulty == "easy" else MIX_TOKENS
    prompt, response = TINY_TOKENS if config.model.base == "tiny" else lengths
    response = min(response, config.rollout.max_tokens)
    groups, size = config.data.puzzles_per_iteration, config.rollout.responses_per_puzzle
    executed = groups * (prompt + size * response)
    # A pack begins with the rest of a split group: at most one more copy of its prompt.
    executed += prompt * (executed // config.packing.length)
    sampled, without_sharing = groups * size * response, groups * size * (prompt + response)
    return Tokens(prompt, response, sampled, executed, without_sharing)


def _hours(config: Config, shape: Shape, tokens: Tokens, peak: float) -> float:
    """Hours, at 2 operations per weight in a forward pass, and twice as many in a backward pass."""
    forward = 2 * shape.parameters  # operations for a token
    train = forward * tokens.executed * (4 if config.model.gradient_checkpointing else 3)
    sample = forward * (tokens.sampled + config.data.puzzles_per_iteration * tokens.prompt)
    checks = config.train.validation_puzzles * config.train.validation_samples
    sample += forward * checks * tokens.response / config.train.validate_every
    seconds = train / (TRAIN_SHARE * peak) + sample / (SAMPLE_SHARE * peak)
    return config.train.iterations * seconds / 3600


def refuse_unfit(name: str, config: Config, needs_gpu: bool, machine: Machine) -> None:
    """Raise UserError, with numbers, if this machine cannot run it; nothing is loaded."""
    if needs_gpu and not machine.gpus:
        raise UserError(
            f"{name} needs a GPU, and this machine has {machine.summary}: use --preset tiny"
        )
    shape = shape_of(config.model.base)
    if shape is None:
        return  # its size is known only after it has been fetched
    if machine.gpus and config.price.gpus > len(machine.gpus):
        raise UserError(
            f"{name} needs {counted(config.price.gpus, 'GPU')}, and this machine has "
            f"{len(machine.gpus)}: set price.gpus to the number that should train"
        )
    needs = estimate(config, shape, machine)
    if not needs.fits:
        parts = ", ".join(
            f"{part} {size / GB:.1f}" for part, size in asdict(needs.memory_bytes).items()
        )
        where = "each of its GPUs" if machine.gpus else "this machine"
        needed, available = needs.memory_bytes.total / GB, needs.memory_available_bytes / GB
        raise UserError(
            f"{name}: {config.model.base} needs {needed:.1f} GB of memory ({parts}), and {where} "
            f"has {available:.1f} GB: use a smaller model, set model.lora_rank, or lower "
            "packing.length"
        )


def fits_machine(config: Config, machine: Machine, needs_gpu: bool) -> bool:
    """Whether a machine can run a configuration."""
    try:
        refuse_unfit("", config, needs_gpu, machine)
    except UserError:
        return False
    return True


def numbers(config: Config, needs: ResourceEstimate) -> dict[str, Any]:
    """The plan as data, for `--json`."""
    return {
        "base": config.model.base,
        **asdict(needs),
        "memory_needed_bytes": needs.memory_bytes.total,
        "fits": needs.fits,
        "iterations": config.train.iterations,
        "gpu_hours": needs.hours * needs.gpus,
    }


def describe(config: Config, needs: ResourceEstimate) -> str:
    """The plan as text."""
    data, tokens = config.data, needs.tokens_an_iteration
    group, steps = config.rollout.responses_per_puzzle, config.update.steps_per_iteration
    where = f"each of {needs.gpus} x {needs.gpu}" if needs.gpus else "this machine, on its CPU"
    parts = ", ".join(
        f"{part} {size / GB:.2f}" for part, size in asdict(needs.memory_bytes).items()
    )
    peak = _peak(needs.gpu) if needs.gpus else CORE_PEAK
    unit = "GPU" if needs.gpus else "CPU core"
    trained = f", {needs.trained_parameters:,} trained" if config.model.lora_rank else ""
    price = "price.gpu_hour_usd" if needs.gpus else "price.hour_usd"
    dollars = f"unknown: set {price}" if needs.dollars is None else money(needs.dollars)
    gpu_hours = f", {needs.hours * needs.gpus:.1f} GPU-hours" if needs.gpus else ""
    lines = {
        "base": f"{config.model.base}: {needs.parameters:,} weights{trained}",
        "memory": f"{needs.memory_bytes.total / GB:.2f} GB of "
        f"{needs.memory_available_bytes / GB:.1f} GB on {where}"
        + ("" if needs.fits else ": NOT ENOUGH"),
        "": f"{parts} GB; {SPARE:.0%} in reserve",
        "iteration": f"{counted(data.puzzles_per_iteration, 'puzzle')} ({data.difficulty}) "
        f"x {counted(group, 'response')}, {counted(steps, 'optimizer step')}",
        "tokens": f"{tokens.sampled:,.0f} sampled, {tokens.executed:,.0f} in training "
        f"({tokens.without_sharing:,.0f} if no prompt were shared), each iteration",
        "run": f"{counted(config.train.iterations, 'iteration')}, "
        f"{counted(needs.optimizer_steps, 'optimizer step')}",
        "time": f"about {needs.hours:.1f} hours{gpu_hours}",
        "cost": dollars,
        "assumed": f"prompts of {tokens.prompt:.0f} tokens, responses of {tokens.response:.0f}; "
        f"{peak / 1e12:g} Tflop/s per {unit},",
        " ": f"of which training reaches {TRAIN_SHARE:.0%}, sampling {SAMPLE_SHARE:.0%}",
    }
    return "\n".join(f"{label:10}  {line}" for label, line in lines.items())
