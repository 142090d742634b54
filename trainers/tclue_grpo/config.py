"""Every option of a training run: its meaning, its valid values, and its default.

* A section is a frozen dataclass, and a TOML table of the same name. The comment above a field is
  its documentation, which is written into each run's `config.toml` and into
  docs/reference/configuration.md.
* The presets in presets/*.toml change the defaults of `Config()`. `config_file` checks values from
  files and from the command line.
* 0, or an empty string, switches an option off where that is possible.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from tclue.strict import STRICT, Count, CountOrZero, NotNegative, Positive, Seed, Share

Beta = Annotated[float, Interval(ge=0, lt=1)]


@dataclass(frozen=True)
class ModelConfig:
    """The model that is trained."""

    # the checkpoint to start from: `tiny`, a folder, or a name on the Hugging Face hub
    base: str = "tiny"
    # the library that builds the model: transformers, or torchtune (Qwen 2.5 and Llama 3 only)
    backend: Literal["hf", "torchtune"] = "hf"
    # type of the weights; the optimizer updates a float32 copy (but see update.bf16_updates)
    dtype: Literal["float32", "bfloat16"] = "float32"
    # rank of the LoRA adapters that are trained instead of the weights; 0 trains all weights
    lora_rank: CountOrZero = 0
    # LoRA's scale: the adapters' output is multiplied by lora_alpha / lora_rank
    lora_alpha: Positive = 32.0
    # keep only the input of each layer, and compute the layer again in the backward pass
    gradient_checkpointing: bool = False
    # number of tokens whose logits are in memory at once
    head_chunk: Count = 1024


@dataclass(frozen=True)
class DataConfig:
    """The training puzzles: newly generated ones, none of them from a shipped set."""

    # named difficulty of the puzzles: easy, published-mix, ... (tclue generate --help)
    difficulty: str = "easy"
    # groups of responses with different rewards that an iteration learns from
    puzzles_per_iteration: Count = 32
    # repeat this many puzzles; 0 generates new ones all the time
    puzzles: CountOrZero = 0
    # difficulties from easy to hard; `band` moves along them; empty always uses `difficulty`
    curriculum: tuple[str, ...] = ()
    # accuracies of an iteration: below the first the curriculum steps back, above the second on
    band: tuple[Share, Share] = (0.3, 0.7)
    # processes that generate puzzles in advance
    jobs: Count = 1


@dataclass(frozen=True)
class RolloutConfig:
    """How responses are sampled."""

    # what samples: transformers in this process, or a vLLM server; auto uses vLLM if there is a GPU
    engine: Literal["auto", "hf", "vllm"] = "auto"
    # responses to each puzzle; together they are a group
    responses_per_puzzle: Annotated[int, Ge(2)] = 16
    # maximum number of tokens of a response
    max_tokens: Count = 450
    # the logits are divided by this, in sampling and in the loss
    temperature: Positive = 1.0
    # maximum number of responses that transformers decodes together
    max_rows: Count = 512
    # stop a response when the moving average of its log-probabilities falls below the threshold
    stop_degenerate: bool = False
    # weight of the previous value in that moving average, at each token
    degenerate_alpha: Share = 0.992
    # the threshold, in nats
    degenerate_threshold: float = -3.0
    # how often new puzzles are sampled to replace groups whose responses all have the same reward
    refill_rounds: CountOrZero = 1
    # the Python of vLLM's environment; if empty, TCLUE_VLLM_PYTHON, else the checkout's .venv-vllm,
    # else the Python that trains
    vllm_python: str = ""
    # share of a GPU's memory that the vLLM server may use
    vllm_memory: Annotated[float, Interval(gt=0, le=1)] = 0.3


@dataclass(frozen=True)
class RewardConfig:
    """The reward of a response: its accuracy by the grader `sound`, changed by these options."""

    # added if all questions are answered right
    solved_bonus: NotNegative = 0.0
    # weight of the five main questions (who, what, where, when, why); all others have weight 1
    main_weight: Positive = 1.0
    # accuracy is raised to this power
    power: Positive = 1.0
    # subtracted, multiplied by the share of questions without an answer
    format_penalty: NotNegative = 0.0
    # subtracted at the token limit; it rises linearly from 0 at four fifths of the limit
    # (soft overlong punishment, https://arxiv.org/abs/2503.14476)
    length_shaping: NotNegative = 0.0
    # shuffle the rewards among the responses: a control run, which must learn nothing
    shuffle: bool = False


@dataclass(frozen=True)
class AdvantageConfig:
    """How much better a response is than its group."""

    # divide by the group's standard deviation (https://arxiv.org/abs/2402.03300)
    divide_by_std: bool = False
    # truncated responses count in their group's mean, but not in the loss
    mask_truncated: bool = True


@dataclass(frozen=True)
class LossConfig:
    """The loss that training minimizes."""

    # grpo, dr_grpo, dapo, gspo or cispo; their equations are in losses.py and objectives.py
    objective: Literal["grpo", "dr_grpo", "dapo", "gspo", "cispo"] = "dr_grpo"
    # the ratio of new to old probability is clipped below 1 minus this
    clip_low: NotNegative = 0.2
    # and above 1 plus this
    clip_high: NotNegative = 0.2
    # weight of the KL divergence from the base (k3, http://joschu.net/blog/kl-approx.html)
    kl: NotNegative = 0.0
    # weight of the entropy bonus; a negative weight lowers entropy
    entropy: float = 0.0
    # the old log-probabilities in the ratio: those of the sampler, or the trainer's own
    old: Literal["sampler", "trainer"] = "sampler"
    # with old = "trainer": importance weights of trainer over sampler, truncated at this; 0 is off
    # (https://fengyao.notion.site/off-policy-rl)
    tis_cap: NotNegative = 0.0
    # leave out responses whose mean gap between sampler and trainer is larger; nats, 0 is off
    sequence_mask: NotNegative = 0.0
    # also learn the token that ends a response
    train_end_token: bool = True


@dataclass(frozen=True)
class PackingConfig:
    """How responses are packed into sequences."""

    # tokens of a packed sequence
    length: Count = 1024


@dataclass(frozen=True)
class UpdateConfig:
    """How AdamW updates the weights."""

    # learning rate of AdamW after the warm-up
    learning_rate: Positive = 5e-4
    # iterations over which the rate rises to `learning_rate`
    warmup_iterations: CountOrZero = 5
    # last iterations, over which the rate falls linearly to 0; 0 keeps it constant
    decay_iterations: CountOrZero = 0
    # decay rates of AdamW's two moments
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    # weight decay of AdamW
    weight_decay: NotNegative = 0.0
    # gradients with a larger norm are scaled down to this norm; 0 does not clip
    clip_norm: NotNegative = 1.0
    # optimizer steps in each iteration, the same on any number of GPUs
    steps_per_iteration: Count = 1
    # reset AdamW's moments at each iteration
    reset_adam_each_iteration: bool = False
    # update the bfloat16 weights themselves, without a float32 copy
    bf16_updates: bool = False
    # multiply the rate by (responses of a step / `scale_responses`), by at most this; 0 is off
    scale_cap: NotNegative = 0.0
    # number of responses in a step at which the rate is `learning_rate`
    scale_responses: Count = 512


@dataclass(frozen=True)
class TrainConfig:
    """How long training takes, and which checkpoints are kept."""

    # seed of the puzzles and of sampling
    seed: Seed = 1
    # number of iterations
    iterations: Count = 60
    # stop after this many minutes of training; 0 means no limit
    minutes: NotNegative = 0.0
    # number of iterations between validations
    validate_every: Count = 10
    # puzzles on which the best checkpoint is chosen: a set, or a file
    validation: str = "easy-val"
    # number of these puzzles that are used; 0 uses all
    validation_puzzles: CountOrZero = 64
    # responses to each of them
    validation_samples: Count = 4
    # number of iterations between checkpoints
    save_every: Count = 10
    # keep every n-th iteration's checkpoint, besides the best and the last; 0 keeps no others
    keep_every: CountOrZero = 0


@dataclass(frozen=True)
class GuardConfig:
    """When the guard raises an alarm, and what happens then."""

    # switch the guard on
    on: bool = True
    # what an alarm does: stop, or return to the best checkpoint and continue at a lower rate
    action: Literal["stop", "rollback"] = "stop"
    # factor on the learning rate at each rollback
    rollback_rate: Annotated[float, Interval(gt=0, le=1)] = 0.5
    # number of rollbacks, after which the next alarm stops the run
    rollbacks: CountOrZero = 2
    # first iterations, which give the usual values that later ones are compared with
    warmup_iterations: CountOrZero = 5
    # number of iterations in a row that must be wrong
    patience: Count = 2
    # fall of validation accuracy below the best one, if it is also larger than chance explains
    accuracy_drop: Share = 0.03
    # entropy below this share of the usual entropy is an alarm
    entropy_low: NotNegative = 0.1
    # entropy above this multiple of the usual entropy is an alarm
    entropy_high: NotNegative = 3.0
    # rise of the share of truncated responses above the usual one
    truncated_rise: Share = 0.3
    # response length above this multiple of the usual length, or below its inverse, is an alarm
    length_ratio: NotNegative = 3.0
    # mean gap between the log-probabilities of sampler and trainer, in nats
    gap: NotNegative = 0.1
    # mean change of the log-probabilities by one iteration, in nats per token (in healthy runs of
    # the tiny model it was 0.001 to 0.09; at 100 times the learning rate it was 0.85)
    moved: NotNegative = 0.5
    # gradient norm above this multiple of the usual one is an alarm
    gradient_ratio: NotNegative = 20.0


@dataclass(frozen=True)
class BenchConfig:
    """How `--then-bench` benchmarks the base and each kept checkpoint."""

    # puzzles on which results are reported; they must differ from those of `train.validation`
    puzzles: str = "easy-test"
    # number of these puzzles that are used, the first ones; 0 uses all
    limit: CountOrZero = 0
    # responses to each puzzle
    samples: Count = 4
    # maximum number of tokens of a response; 0 means rollout.max_tokens
    max_tokens: CountOrZero = 0
    # sampling temperature
    temperature: Positive = 1.0
    # also benchmark with one greedy response to each puzzle
    greedy: bool = True


@dataclass(frozen=True)
class LogConfig:
    """Where metrics go in addition to metrics.jsonl."""

    # write TensorBoard files into the run's folder
    tensorboard: bool = False
    # log to Weights & Biases
    wandb: bool = False
    # log to trackio
    trackio: bool = False
    # the project's name in Weights & Biases and trackio
    project: str = "tclue"


@dataclass(frozen=True)
class PriceConfig:
    """What the machine and responses of the trained model cost."""

    # dollars per hour of one GPU; 0 means unknown
    gpu_hour_usd: NotNegative = 0.0
    # number of GPUs that train; each has its own process
    gpus: Count = 1
    # dollars per hour of a machine without a GPU; 0 means unknown
    hour_usd: NotNegative = 0.10
    # serverless price tier of the responses in `bench` (see tclue/bench/data/prices.toml)
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
