"""Every knob of a training run: what it means, what it may be, what it is if nobody says.

* A section is a frozen dataclass, a TOML table of the same name. The comment above a field is its
  documentation: `config_file` writes it into each run's `config.toml`, and
  docs/reference/configuration.md has it.
* `Config()` is what presets/*.toml change. Values are checked where they come from outside, in
  `config_file`.
* 0, or an empty string, switches off what can be switched off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from tclue.strict import STRICT, Count, CountOrZero, NotNegative, Positive, Share

Beta = Annotated[float, Interval(ge=0, lt=1)]


@dataclass(frozen=True)
class ModelConfig:
    """What is trained."""

    # the checkpoint to start from: `tiny`, a folder, or a name on the Hugging Face hub
    base: str = "tiny"
    # who builds the model: transformers, or torchtune (Qwen 2.5 and Llama 3 alone)
    backend: Literal["hf", "torchtune"] = "hf"
    # what the weights that compute are kept in; the optimizer's own are float32 all the same
    dtype: Literal["float32", "bfloat16"] = "float32"
    # rank of the LoRA adapters that are trained in place of the weights; 0 trains all weights
    lora_rank: CountOrZero = 0
    # LoRA's scale: adapters count lora_alpha / lora_rank
    lora_alpha: Positive = 32.0
    # keep only what goes into each layer, and compute the layer again in the backward pass
    gradient_checkpointing: bool = False
    # places whose logits are held at once
    head_chunk: Count = 1024


@dataclass(frozen=True)
class DataConfig:
    """What it is trained on: fresh puzzles, none of a shipped split."""

    # named difficulty of the puzzles: easy, published-mix, ... (tclue generate --help)
    difficulty: str = "easy"
    # groups with spread that an iteration learns from
    puzzles_per_iteration: Count = 32
    # train on this many puzzles, again and again; 0 takes fresh ones without end
    puzzles: CountOrZero = 0
    # difficulties from easy to hard, moved along by `band`; empty keeps to `difficulty`
    curriculum: tuple[str, ...] = ()
    # mean accuracy of an iteration below or above which the curriculum takes a step back or on
    band: tuple[Share, Share] = (0.3, 0.7)
    # processes that make puzzles ahead
    jobs: Count = 1


@dataclass(frozen=True)
class RolloutConfig:
    """How responses are sampled."""

    # who samples: transformers in this process, or a vLLM server; auto is vllm where a GPU is
    engine: Literal["auto", "hf", "vllm"] = "auto"
    # responses to each puzzle: a group
    responses_per_puzzle: Annotated[int, Ge(2)] = 16
    # most tokens of a response
    max_tokens: Count = 450
    # what logits are divided by, in sampling and in the loss
    temperature: Positive = 1.0
    # responses that are decoded together by transformers
    max_rows: Count = 512
    # break off a response whose moving average of log-probability sinks below the threshold
    stop_degenerate: bool = False
    # weight of what was before in that average, at each token
    degenerate_alpha: Share = 0.992
    # nats
    degenerate_threshold: float = -3.0
    # times that puzzles are sampled to replace groups without spread
    refill_rounds: CountOrZero = 1
    # the Python that has vLLM; empty is the one that trains
    vllm_python: str = ""
    # share of a GPU's memory that the vLLM server may take
    vllm_memory: Annotated[float, Interval(gt=0, le=1)] = 0.3


@dataclass(frozen=True)
class RewardConfig:
    """What a response earns: the accuracy that the grader `sound` gives it, and what is added."""

    # added where all questions are answered right
    solved_bonus: NotNegative = 0.0
    # weight of the five main questions (who, what, where, when, why); the others weigh 1
    main_weight: Positive = 1.0
    # accuracy is raised to this power
    power: Positive = 1.0
    # taken off where a question is left without an answer
    format_penalty: NotNegative = 0.0
    # taken off at the token limit; less before it, and nothing up to four fifths of it
    # (soft overlong punishment, https://arxiv.org/abs/2503.14476)
    length_shaping: NotNegative = 0.0
    # deal the rewards of a group out at random: the control, which must learn nothing
    shuffle: bool = False


@dataclass(frozen=True)
class AdvantageConfig:
    """What a response is better by than its group."""

    # divide by the group's standard deviation (https://arxiv.org/abs/2402.03300)
    divide_by_std: bool = False
    # responses that were cut off count in their group's mean, but not in the loss
    mask_truncated: bool = True


@dataclass(frozen=True)
class LossConfig:
    """What is made smaller."""

    # grpo, dr_grpo, dapo, gspo or cispo: each with its equation in losses.py, objectives.py
    objective: Literal["grpo", "dr_grpo", "dapo", "gspo", "cispo"] = "dr_grpo"
    # the ratio of new to old probability is clipped below 1 minus this
    clip_low: NotNegative = 0.2
    # and above 1 plus this
    clip_high: NotNegative = 0.2
    # weight of the divergence from the base (k3, http://joschu.net/blog/kl-approx.html)
    kl: NotNegative = 0.0
    # weight of the entropy bonus; below 0 it takes entropy away
    entropy: float = 0.0
    # whose log-probabilities the ratio is taken against: the sampler's, or the trainer's own
    old: Literal["sampler", "trainer"] = "sampler"
    # with old = "trainer": truncated importance weights for the sampler, at most this; 0 is off
    # (https://fengyao.notion.site/off-policy-rl)
    tis_cap: NotNegative = 0.0
    # leave out responses whose mean gap between sampler and trainer is above this; nats, 0 is off
    sequence_mask: NotNegative = 0.0
    # learn the token that ends a response, too
    train_end_token: bool = True


@dataclass(frozen=True)
class PackingConfig:
    """How responses are laid side by side."""

    # tokens of a packed sequence
    length: Count = 1024


@dataclass(frozen=True)
class UpdateConfig:
    """How weights are changed: AdamW."""

    # of AdamW, after warm-up
    learning_rate: Positive = 5e-4
    # iterations over which the rate rises to that
    warmup_iterations: CountOrZero = 5
    # last iterations, over which it falls to nothing in even steps; 0 keeps it
    decay_iterations: CountOrZero = 0
    # decay of AdamW's two moments
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    # AdamW's
    weight_decay: NotNegative = 0.0
    # gradients are scaled down to this norm; 0 leaves them
    clip_norm: NotNegative = 1.0
    # optimizer steps an iteration, the same on any number of GPUs
    steps_per_iteration: Count = 1
    # forget AdamW's moments at each iteration
    reset_adam_each_iteration: bool = False
    # update bfloat16 weights themselves, with no float32 copy
    bf16_updates: bool = False
    # multiply the rate with a step's responses / `scale_responses`, at most this much; 0 is off
    scale_cap: NotNegative = 0.0
    # responses a step at which the rate is learning_rate
    scale_responses: Count = 512


@dataclass(frozen=True)
class TrainConfig:
    """How long, and what is kept."""

    # draws puzzles and responses
    seed: CountOrZero = 1
    # iterations in all
    iterations: Count = 60
    # stop after this many minutes of training; 0 is no limit
    minutes: NotNegative = 0.0
    # iterations from one validation to the next
    validate_every: Count = 10
    # puzzles that the best checkpoint is chosen on: a set, or a file
    validation: str = "easy-val"
    # how many of them; 0 takes all
    validation_puzzles: CountOrZero = 64
    # responses to each
    validation_samples: Count = 4
    # iterations from one checkpoint to the next
    save_every: Count = 10
    # best and last are kept, and benchmarked, and those of every so many iterations; 0: no others
    keep_every: CountOrZero = 0


@dataclass(frozen=True)
class GuardConfig:
    """When a run has gone wrong, and what is done about it."""

    # watch at all
    on: bool = True
    # what an alarm does: stop, or go back to the best checkpoint and on with a lower rate
    action: Literal["stop", "rollback"] = "stop"
    # what a roll-back multiplies the learning rate with
    rollback_rate: Annotated[float, Interval(gt=0, le=1)] = 0.5
    # roll-backs before it stops after all
    rollbacks: CountOrZero = 2
    # iterations that give the usual values, before any alarm but those for the sampler gap
    warmup_iterations: CountOrZero = 5
    # iterations in a row that must be wrong
    patience: Count = 2
    # fall of validation accuracy below the best, beyond chance
    accuracy_drop: Share = 0.03
    # share of the usual entropy below which it has collapsed
    entropy_low: NotNegative = 0.1
    # multiple of the usual entropy above which it has burst
    entropy_high: NotNegative = 3.0
    # rise of the share of responses that are cut off
    truncated_rise: Share = 0.3
    # multiple of the usual length of a response; below its inverse, too
    length_ratio: NotNegative = 3.0
    # mean gap between the log-probabilities of sampler and trainer, in nats
    gap: NotNegative = 0.1
    # mean change of the log-probabilities by one iteration, in nats a token (healthy runs of the
    # tiny model: 0.001 to 0.09; at 100 times the rate 0.85)
    moved: NotNegative = 0.5
    # multiple of the usual gradient norm
    gradient_ratio: NotNegative = 20.0


@dataclass(frozen=True)
class BenchConfig:
    """What `--then-bench` asks of the base and of each kept checkpoint alike."""

    # puzzles that results are reported on, never those of `train.validation`
    puzzles: str = "easy-test"
    # only the first so many; 0 takes all
    limit: CountOrZero = 0
    # responses to each puzzle
    samples: Count = 4
    # most tokens of a response; 0 is rollout.max_tokens
    max_tokens: CountOrZero = 0
    # of sampling
    temperature: Positive = 1.0
    # ask once more, greedily
    greedy: bool = True


@dataclass(frozen=True)
class LogConfig:
    """Where metrics go beside metrics.jsonl."""

    # TensorBoard files in the run's folder
    tensorboard: bool = False
    # Weights & Biases
    wandb: bool = False
    # trackio
    trackio: bool = False
    # the project there
    project: str = "tclue"


@dataclass(frozen=True)
class PriceConfig:
    """What the machine and the trained model cost."""

    # dollars for an hour of one GPU; 0 is unknown
    gpu_hour_usd: NotNegative = 0.0
    # GPUs that train: a process for each
    gpus: Count = 1
    # dollars for an hour of a machine without a GPU; 0 is unknown
    hour_usd: NotNegative = 0.10
    # serverless tier that responses in `bench` are counted at (tclue/bench/data/prices.toml)
    tier: str = ""


@dataclass(frozen=True)
class Config:
    """A training run."""

    __pydantic_config__ = STRICT

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    packing: PackingConfig = field(default_factory=PackingConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    log: LogConfig = field(default_factory=LogConfig)
    price: PriceConfig = field(default_factory=PriceConfig)
