"""What a run would take, before anything is loaded: `tclue train --dry-run`.

* Memory is counted, not measured: what the optimizer and the packs must hold at once. A run that is
  to need more than there is, is refused with these numbers.
* Hours are an estimate: floating-point operations over a share of the peak that is assumed. What is
  assumed is printed beside them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from tclue.errors import UserError
from tclue_grpo.config import Config
from tclue_grpo.hardware import GB, Machine
from tclue_grpo.model_size import Shape, shape_of

# Dense bfloat16 operations a second of one GPU, from its data sheet; by a part of its name.
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "L4": 121e12,
}
PLANNED_GPU = ("H100", 80_000_000_000)  # where none is there to ask
# Float32, of one CPU core: two busy ones trained the tiny base at 6,500 tokens a second and sampled
# 5,300 from it, which is this with the shares below.
CORE_PEAK = 80e9
TRAIN_SHARE, SAMPLE_SHARE = 0.4, 0.1  # of the peak
# Mean tokens of a prompt and a response. The tiny base, in its own tokenizer: prompts as in
# `easy-test`, responses after 16 iterations, when they have become longer.
# For language models: the characters of `easy-test` and `test` at 3.3 a token, as published prompts
# have them; responses as the published 32B wrote before and after training (880 and 1,173).
TINY_TOKENS = (96, 144)
EASY_TOKENS, MIX_TOKENS = (680, 500), (1400, 1030)
# Share of memory that is left to the framework, fragments and kernels.
SPARE = 0.08
# Values that a layer keeps for its backward pass, in multiples of its width and of its MLP's.
KEPT_WIDTHS, KEPT_INNER = 10, 4


@dataclass(frozen=True)
class Memory:
    """Bytes a GPU (or the machine) has to hold at once."""

    weights: float
    gradients: float
    # fp32 masters and AdamW's two moments
    optimizer: float
    activations: float
    # the sampler's keys and values, on several GPUs its own copy of the weights too; with vLLM all
    # that its server takes
    sampler: float

    @property
    def total(self) -> float:
        """All of it, and what is spared."""
        held = self.weights + self.gradients + self.optimizer + self.activations + self.sampler
        return held / (1 - SPARE)


@dataclass(frozen=True)
class Tokens:
    """Tokens of one iteration, as expected."""

    prompt: float
    response: float
    sampled: float
    # in training, each prompt once a group; and were each response to have its own
    executed: float
    unshared: float


@dataclass(frozen=True)
class ResourceEstimate:
    """What a run would take."""

    parameters: int
    trained_parameters: int
    gpus: int
    gpu: str
    # bytes of each GPU, or of the machine
    available: float
    memory: Memory
    tokens: Tokens
    optimizer_steps: int
    hours: float
    dollars: float | None

    @property
    def fits(self) -> bool:
        """Whether the memory is there."""
        return self.memory.total <= self.available


def planned(config: Config, machine: Machine) -> Machine:
    """The machine, or one with the GPUs that a preset is meant for where it has none."""
    if machine.gpus:
        return machine
    return replace(machine, gpus=(PLANNED_GPU,) * config.price.gpus)


def estimate(config: Config, shape: Shape, machine: Machine) -> ResourceEstimate:
    """What a run would take on a machine."""
    gpus = min(config.price.gpus, len(machine.gpus))
    name, available = machine.gpus[0] if gpus else ("", machine.memory)
    tokens = expected_tokens(config)
    hours = _hours(config, shape, tokens, _peak(name) * gpus if gpus else machine.cores * CORE_PEAK)
    price = config.price.gpu_hour_usd * gpus if gpus else config.price.hour_usd
    return ResourceEstimate(
        shape.parameters,
        _trained(config, shape),
        gpus,
        name,
        available,
        memory(config, shape, max(1, gpus), available if gpus else 0),
        tokens,
        config.train.iterations * config.update.steps_per_iteration,
        hours,
        hours * price if price else None,
    )


def _trained(config: Config, shape: Shape) -> int:
    rank = config.model.lora_rank
    return shape.lora_parameters(rank) if rank else shape.parameters


def _peak(gpu: str) -> float:
    return next((peak for part, peak in PEAKS.items() if part in gpu), PEAKS[PLANNED_GPU[0]])


def uses_vllm(config: Config, on_gpu: bool) -> bool:
    """Whether a vLLM server samples."""
    engine = config.rollout.engine
    return engine == "vllm" or (engine == "auto" and on_gpu)


def memory(config: Config, shape: Shape, gpus: int, gpu_bytes: float) -> Memory:
    """What each of `gpus` holds at once; `gpu_bytes` 0 is a machine without one."""
    size = 2 if config.model.dtype == "bfloat16" else 4
    trained = _trained(config, shape)
    own = config.update.bf16_updates
    # fp32 weights are their own masters. AdamW's moments are as wide as what it updates.
    masters = 0 if own or (size == 4 and not config.model.lora_rank) else 4
    moments = 4 if own else 8
    layer = config.packing.length * (KEPT_WIDTHS * shape.width + KEPT_INNER * shape.inner) * size
    inputs = config.packing.length * shape.width * size * shape.layers
    kept = inputs + layer if config.model.gradient_checkpointing else layer * shape.layers
    logits = config.model.head_chunk * shape.vocab * 12  # logits, their softmax, its gradient
    if uses_vllm(config, gpu_bytes > 0):
        sampler = config.rollout.vllm_memory * gpu_bytes
    else:
        rollout = config.rollout
        rows = min(
            rollout.max_rows, rollout.responses_per_puzzle * config.data.puzzles_per_iteration
        )
        tokens = rows * (expected_tokens(config).prompt + rollout.max_tokens)
        sampler = tokens * 2 * shape.layers * shape.kv_width * size
        sampler += shape.parameters * size if gpus > 1 else 0
    return Memory(
        weights=shape.parameters * size / gpus,
        gradients=trained * (size if own else 4) / gpus,
        optimizer=trained * (masters + moments) / gpus,
        activations=kept + logits,
        sampler=sampler,
    )


def expected_tokens(config: Config) -> Tokens:
    """Tokens of an iteration, from mean lengths that were seen elsewhere."""
    lengths = EASY_TOKENS if config.data.difficulty == "easy" else MIX_TOKENS
    prompt, response = TINY_TOKENS if config.model.base == "tiny" else lengths
    response = min(response, config.rollout.max_tokens)
    groups, size = config.data.puzzles_per_iteration, config.rollout.responses_per_puzzle
    executed = groups * (prompt + size * response)
    # A pack begins with what is left of the group before it: one more copy of its prompt at most.
    executed += prompt * (executed // config.packing.length)
    return Tokens(
        prompt, response, groups * size * response, executed, groups * size * (prompt + response)
    )


def _hours(config: Config, shape: Shape, tokens: Tokens, peak: float) -> float:
    """2 operations a weight in each forward pass, twice as many in the backward pass."""
    train = (
        2 * shape.parameters * tokens.executed * (4 if config.model.gradient_checkpointing else 3)
    )
    sample = (
        2 * shape.parameters * (tokens.sampled + config.data.puzzles_per_iteration * tokens.prompt)
    )
    checks = config.train.validation_puzzles * config.train.validation_samples
    sample += 2 * shape.parameters * checks * tokens.response / config.train.validate_every
    seconds = train / (TRAIN_SHARE * peak) + sample / (SAMPLE_SHARE * peak)
    return config.train.iterations * seconds / 3600


def refuse_unfit(name: str, config: Config, needs_gpu: bool, machine: Machine) -> None:
    """Raise UserError where this machine cannot do it: before anything is loaded, with numbers."""
    if needs_gpu and not machine.gpus:
        raise UserError(
            f"{name} needs a GPU, and here is {machine.told}: --preset tiny runs on a CPU"
        )
    shape = shape_of(config.model.base)
    if shape is None:
        return  # its size is known when it has been fetched
    if machine.gpus and config.price.gpus > len(machine.gpus):
        raise UserError(
            f"{name} is for {config.price.gpus} GPUs, and here are {len(machine.gpus)}: "
            "price.gpus says how many train"
        )
    found = estimate(config, shape, machine)
    if not found.fits:
        parts = ", ".join(f"{part} {size / GB:.1f}" for part, size in asdict(found.memory).items())
        where = "each of its GPUs" if machine.gpus else "this machine"
        raise UserError(
            f"{name}: {config.model.base} is too large for the memory at hand: "
            f"{found.memory.total / GB:.1f} GB needed ({parts}), {found.available / GB:.1f} GB on "
            f"{where}: a smaller model, model.lora_rank or packing.length would need less"
        )


def fitting(config: Config, machine: Machine, needs_gpu: bool) -> bool:
    """Whether a machine can do it."""
    try:
        refuse_unfit("", config, needs_gpu, machine)
    except UserError:
        return False
    return True


def numbers(config: Config, found: ResourceEstimate) -> dict[str, Any]:
    """The plan for programs."""
    tokens = found.tokens
    return {
        "base": config.model.base,
        "parameters": found.parameters,
        "trained_parameters": found.trained_parameters,
        "gpus": found.gpus,
        "gpu": found.gpu,
        "memory_bytes": {part: int(size) for part, size in asdict(found.memory).items()},
        "memory_needed_bytes": int(found.memory.total),
        "memory_available_bytes": int(found.available),
        "fits": found.fits,
        "tokens_an_iteration": {
            "sampled": int(tokens.sampled),
            "executed": int(tokens.executed),
            "without_sharing": int(tokens.unshared),
        },
        "iterations": config.train.iterations,
        "optimizer_steps": found.optimizer_steps,
        "hours": found.hours,
        "gpu_hours": found.hours * found.gpus,
        "dollars": found.dollars,
    }


def told(config: Config, found: ResourceEstimate) -> str:
    """The plan for a person."""
    data, tokens = config.data, found.tokens
    size, steps = config.rollout.responses_per_puzzle, config.update.steps_per_iteration
    where = f"each of {found.gpus} x {found.gpu}" if found.gpus else "this machine, on its CPU"
    parts = ", ".join(f"{part} {held / GB:.2f}" for part, held in asdict(found.memory).items())
    peak = _peak(found.gpu) if found.gpus else CORE_PEAK
    unit = "GPU" if found.gpus else "CPU core"
    trained = f", {found.trained_parameters:,} trained" if config.model.lora_rank else ""
    price = "price.gpu_hour_usd" if found.gpus else "price.hour_usd"
    dollars = f"unknown: set {price}" if found.dollars is None else f"${found.dollars:.2f}"
    gpu_hours = f", {found.hours * found.gpus:.1f} GPU-hours" if found.gpus else ""
    lines = {
        "base": f"{config.model.base}: {found.parameters:,} weights{trained}",
        "memory": f"{found.memory.total / GB:.2f} GB of {found.available / GB:.1f} GB on {where}"
        + ("" if found.fits else ": TOO LITTLE"),
        "": f"{parts} GB; {SPARE:.0%} to spare",
        "iteration": f"{data.puzzles_per_iteration} puzzles ({data.difficulty}) x {size} responses,"
        f" {steps} optimizer step{'s' * (steps > 1)}",
        "tokens": f"{tokens.sampled:,.0f} sampled, {tokens.executed:,.0f} in training "
        f"({tokens.unshared:,.0f} if no prompt were shared), each iteration",
        "run": f"{config.train.iterations} iterations, {found.optimizer_steps} optimizer steps",
        "time": f"about {found.hours:.1f} hours{gpu_hours}",
        "cost": dollars,
        "assumed": f"prompts of {tokens.prompt:.0f} tokens, responses of {tokens.response:.0f}; "
        f"{peak / 1e12:g} Tflop/s a {unit},",
        " ": f"of which training reaches {TRAIN_SHARE:.0%}, sampling {SAMPLE_SHARE:.0%}",
    }
    return "\n".join(f"{label:10}  {line}" for label, line in lines.items())
