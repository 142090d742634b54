"""The options of `tclue bench`, checked as far as possible without knowing the model.

An option is one field here: its type says what its value may be, its metadata hold its help and
its place on the command line (`tclue.cli.common.options_of`). `RecordedOptions` are also fields of
what a model resolves of the options, and of `run.json`, which inherit them.
"""

from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints
from urllib.parse import urlsplit

from tclue.config_files import read_toml
from tclue.errors import UserError
from tclue.strict import (
    LARGEST_SEED,
    STRICT,
    Count,
    NotNegative,
    Positive,
    RecordedSeed,
    Several,
    Text,
    check,
    read,
)

# Options that are no settings of a run.
_NOT_SETTINGS = (
    *("puzzles", "results", "runs", "registry"),
    *("max_cost", "estimate", "dry_run", "pilot", "ask_above_usd", "yes"),
)
_FLAGS = {
    "timeout_s": "request-timeout",
    "silence_timeout_s": "silence-timeout",
    "total_timeout_s": "total-timeout",
    "ask_above_usd": "ask-above",
}

Group = Literal["models", "puzzles", "money", "pace", "files"]


def option(default: Any, group: Group, text: str, *, rare: bool = False) -> Any:
    """A field that is an option of the command line; `--help` does not list rare ones."""
    return field(default=default, metadata={"help": text, "group": group, "rare": rare})


@dataclass(frozen=True)
class RecordedOptions:
    """Options that `run.json` records as they were resolved; None where the model decides."""

    seed: RecordedSeed | None = option(
        None, "models", "Local: 0 by default. Hosted: sent only if you give it."
    )
    temperature: NotNegative | None = option(
        None, "models", "Local: 0, or 1 for several samples. Hosted: the provider's default."
    )
    max_tokens: Count | None = option(
        None, "models", "Limit for a response. Local: 2048. Hosted: the provider's limit."
    )
    concurrency: Count | None = option(
        None, "pace", "Requests in flight (32), or responses in a local batch (by memory)."
    )
    timeout_s: Positive | None = option(
        None,
        "pace",
        "Seconds for one request; by its output limit.",
        rare=True,
    )
    silence_timeout_s: Positive | None = option(
        None, "pace", "Seconds without a byte of a reply, 900 by default.", rare=True
    )
    stream: bool = option(False, "pace", "Ask hosted models to stream their replies.", rare=True)
    api_base: str | None = option(None, "models", "URL of your own OpenAI-compatible server.")
    dtype: Literal["float32", "bfloat16"] | None = option(
        None, "models", "Number format of local weights.", rare=True
    )


@dataclass(frozen=True)
class BenchOptions(RecordedOptions):
    """The options of `tclue bench`; None leaves the choice to the model, which is recorded."""

    puzzles: str = option("test", "puzzles", "A puzzle set or file; see `tclue puzzles list`.")
    limit: Count | None = option(None, "puzzles", "Ask only the first N puzzles.")
    samples: Count = option(1, "puzzles", "Responses to each puzzle.")
    total_timeout_s: Positive | None = option(None, "pace", "Seconds for the whole command.")
    # for hosted and local models; both or neither
    price_in: NotNegative | None = option(None, "money", "Dollars per million input tokens.")
    price_out: NotNegative | None = option(None, "money", "Dollars per million output tokens.")
    # ~/.config/tclue/prices.toml if None
    prices: Path | None = option(None, "money", "Your own price book.", rare=True)
    tier: str | None = option(None, "money", "Serverless tier of your own model.", rare=True)
    # 0.10 if None
    hour_usd: NotNegative | None = option(
        None, "money", "Dollars per hour of this machine, for local models.", rare=True
    )
    gpu_hour_usd: NotNegative | None = option(None, "money", "Dollars per GPU-hour.", rare=True)
    gpus: Count = option(1, "money", "Number of GPUs that are paid for.", rare=True)
    # what the runs have cost so far is included
    max_cost: Positive | None = option(None, "money", "Limit for all runs together, in dollars.")
    estimate: bool = option(False, "money", "Print the expected bill first; ask if it is high.")
    dry_run: bool = option(False, "money", "Print what would be asked, and its expected bill.")
    pilot: Several | None = option(
        None, "money", "Ask the first N puzzles once, then estimate the rest."
    )
    ask_above_usd: NotNegative = option(5.0, "money", "Dollars that count as high.", rare=True)
    yes: bool = option(False, "money", "Answer the question of --estimate or --pilot.")
    grader: Literal["sound", "published"] | None = option(
        None, "puzzles", "sound (the default), or published: the rules of 2025, with faults."
    )
    # ~/.config/tclue/models.toml if None
    registry: Path | None = option(None, "files", "Your own file of model aliases.")
    results: Path = option(Path("results"), "files", "Folder of the run folders.")
    # that `train:` models are in
    runs: Path = option(Path("runs"), "files", "Folder of the training runs.")

    def __post_init__(self) -> None:
        """Raise UserError, naming the flag, for an invalid value."""
        check(self, flag)
        largest = LARGEST_SEED - self.samples + 1  # each further sample has the next seed
        if self.seed is not None and self.seed > largest:
            raise UserError(
                f"--seed is {self.seed}: expected at most {largest} with --samples {self.samples}"
            )
        if (self.price_in is None) != (self.price_out is None):
            raise UserError("--price-in and --price-out: expected both, or neither")
        if self.api_base is not None:
            known = False
            with suppress(ValueError):  # of a port or an IPv6 address that is none
                url = urlsplit(self.api_base)
                secret = url.query or "@" in url.netloc or url.port == 0
                known = bool(url.scheme in ("http", "https") and url.hostname and not secret)
            if not known:
                raise UserError(
                    "--api-base: expected a URL such as http://localhost:8000/v1, without a "
                    "password or a query; a key goes in the environment"
                )

    @property
    def keyless(self) -> bool:
        """Whether a key may still be missing, because nothing is sent yet."""
        return self.dry_run or (self.estimate and self.pilot is None)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that are not at their defaults."""
        names = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        return tuple(name for name in names if name not in _NOT_SETTINGS)


def flag(name: str) -> str:
    """An option as the command line writes it."""
    return f"--{_FLAGS.get(name, name).replace('_', '-')}"


def read_config(path: Path) -> dict[str, Any]:
    """The options in a TOML file, by field, and `models`; each key is a flag with underscores.

    Raises UserError, naming the file and the key, for an unknown key or an invalid value.
    """
    hints = get_type_hints(BenchOptions, include_extras=True)
    names = {flag(name)[2:].replace("-", "_"): name for name in hints}
    kinds = [("models", Text), *((key, hints[name]) for key, name in names.items())]
    kind: type[Any] = make_dataclass(
        "BenchFile",
        [(key, each, field(default=None)) for key, each in kinds],
        namespace={"__pydantic_config__": STRICT},
    )
    data = read_toml(path)
    given = read(kind, data, str(path))
    return {names.get(key, key): getattr(given, key) for key in data}
