"""What `tclue bench` takes, checked as far as it can be without knowing the model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tclue.errors import UserError
from tclue.strict import Count, CountOrZero, NotNegative, Positive, check


@dataclass(frozen=True)
class BenchOptions:
    """What `tclue bench` takes; None leaves the choice to the model, and is recorded as chosen."""

    # a shipped puzzle set's name, or a puzzle file
    puzzles: str = "test"
    # ask only the first so many puzzles
    limit: Count | None = None
    # times that each puzzle is asked
    samples: Count = 1
    # random and local models: 0 if None; hosted: sent only if given
    seed: CountOrZero | None = None
    # most tokens of a response; local models: 2048 if None; hosted: sent only if given
    max_tokens: Count | None = None
    # local models, if None: 0 (greedy) for one sample, 1 for several; hosted: sent only if given
    temperature: NotNegative | None = None
    # hosted: requests in flight, 32 if None; local: rows in a batch, what memory allows if None
    concurrency: Count | None = None
    # seconds after which a hosted request is given up, and the whole command
    timeout_s: Positive = 600.0
    total_timeout_s: Positive | None = None
    # let hosted models stream their replies
    stream: bool = False
    # root of an OpenAI-compatible server, such as http://localhost:8000/v1
    api_base: str | None = None
    # dollars per million tokens, for hosted and local models; both or neither
    price_in: NotNegative | None = None
    price_out: NotNegative | None = None
    # a price book that goes before the shipped one; the user's own, if there is one, if None
    prices: Path | None = None
    # a serverless tier of the price book, for a model behind `api_base` or a local one
    tier: str | None = None
    # dollars for an hour of the machine, for local models; 0.10 if None
    hour_usd: NotNegative | None = None
    # dollars for an hour of one GPU, and how many there are, for the same
    gpu_hour_usd: NotNegative | None = None
    gpus: Count = 1
    # most dollars that the runs may cost, what they have cost so far included
    max_cost: Positive | None = None
    # tell the expected bill first, and ask for a yes where it is above so many dollars
    estimate: bool = False
    ask_above_usd: NotNegative = 5.0
    yes: bool = False
    # grader of the grades; sound if None
    grader: str | None = None
    # a model registry to merge over the shipped one; the usual one if None
    registry: Path | None = None
    # weights of local models, float32 or bfloat16; by the device if None
    dtype: Literal["float32", "bfloat16"] | None = None
    # folder of the run folders
    results: Path = Path("results")
    # folder of the training runs that `train:` models are in
    runs: Path = Path("runs")

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
        not_settings = (
            "puzzles",
            "results",
            "runs",
            "registry",
            "max_cost",
            "estimate",
            "ask_above_usd",
            "yes",
        )
        return tuple(name for name in names if name not in not_settings)


def flag(name: str) -> str:
    """An option as the command line writes it."""
    names = {
        "timeout_s": "timeout",
        "total_timeout_s": "total-timeout",
        "ask_above_usd": "ask-above",
    }
    return f"--{names.get(name, name).replace('_', '-')}"
