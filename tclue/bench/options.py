"""What `tclue bench` takes, checked as far as it can be without knowing the model.

A knob is one field here: its type says what its value may be, and its help is that of the option
that the command line makes of it (`tclue.cli.common.options_of`). One of `RecordedOptions` is also
a field of what a model resolves of the options and of `run.json`, which inherit it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tclue.errors import UserError
from tclue.strict import Count, CountOrZero, NotNegative, Positive, check

# What chooses no setting of a run.
_NOT_SETTINGS = (
    *("puzzles", "results", "runs", "registry"),
    *("max_cost", "estimate", "ask_above_usd", "yes"),
)
_FLAGS = {"timeout_s": "timeout", "total_timeout_s": "total-timeout", "ask_above_usd": "ask-above"}


def option(default: Any, text: str) -> Any:
    """A field that is an option of the command line, with its help."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class RecordedOptions:
    """Options that `run.json` records as they were resolved; None where the model's own holds."""

    seed: CountOrZero | None = option(None, "Local: 0 if not given. Hosted: sent only if given.")
    temperature: NotNegative | None = option(
        None, "Local: 0 for one sample, 1 for several. Hosted: the provider's own."
    )
    max_tokens: Count | None = option(
        None, "Most tokens of a response. Local: 2048. Hosted: the provider's."
    )
    concurrency: Count | None = option(
        None, "Requests in flight (32), or rows of a local batch (automatic)."
    )
    timeout_s: Positive | None = option(600.0, "Seconds a request.")
    stream: bool = option(False, "Let hosted models stream their replies.")
    api_base: str | None = option(None, "URL of an OpenAI-compatible server of your own.")
    dtype: Literal["float32", "bfloat16"] | None = option(None, "Of local weights.")


@dataclass(frozen=True)
class BenchOptions(RecordedOptions):
    """What `tclue bench` takes; None leaves the choice to the model, and is recorded as chosen."""

    puzzles: str = option("test", "A split or a puzzle file.")
    limit: Count | None = option(None, "Only the first puzzles.")
    samples: Count = option(1, "Responses for each puzzle.")
    total_timeout_s: Positive | None = option(None, "Seconds the command may take.")
    # dollars per million tokens, for hosted and local models; both or neither
    price_in: NotNegative | None = option(None, "Dollars per million input tokens.")
    price_out: NotNegative | None = option(None, "Dollars per million output tokens.")
    prices: Path | None = option(
        None, "A price book of yours; ~/.config/tclue/prices.toml if not given."
    )
    tier: str | None = option(
        None, "Serverless tier that a self-hosted or local model is counted at."
    )
    # 0.10 if None
    hour_usd: NotNegative | None = option(
        None, "Dollars per hour of this machine, for local models."
    )
    gpu_hour_usd: NotNegative | None = option(None, "Dollars per GPU-hour, for the same.")
    gpus: Count = option(1, "GPUs that it runs on.")
    # what the runs have cost so far is included
    max_cost: Positive | None = option(None, "Most dollars that the runs may cost, in all.")
    estimate: bool = option(False, "Tell the expected bill first.")
    ask_above_usd: NotNegative = option(5.0, "Dollars above which --estimate asks for a yes.")
    yes: bool = option(False, "Answer yes to that question.")
    grader: Literal["sound", "published"] | None = option(None, "Who grades; sound if not given.")
    registry: Path | None = option(
        None, "A file with aliases of your own; ~/.config/tclue/models.toml if not given."
    )
    results: Path = option(Path("results"), "Where the run folders are.")
    # that `train:` models are in
    runs: Path = option(Path("runs"), "Where the training runs are.")

    def __post_init__(self) -> None:
        """Raise UserError, naming the flag, for a value that cannot be meant."""
        check(self, flag)
        if (self.price_in is None) != (self.price_out is None):
            raise UserError("--price-in and --price-out: expected both, or neither")
        if self.api_base is not None:
            url = urlsplit(self.api_base)
            secret = url.query or "@" in url.netloc
            if url.scheme not in ("http", "https") or not url.hostname or secret:
                raise UserError(
                    "--api-base: expected a URL such as http://localhost:8000/v1, without a "
                    "password or a query; a key goes in the environment"
                )

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that are not at their defaults."""
        names = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        return tuple(name for name in names if name not in _NOT_SETTINGS)


def flag(name: str) -> str:
    """An option as the command line writes it."""
    return f"--{_FLAGS.get(name, name).replace('_', '-')}"
