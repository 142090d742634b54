"""The records of a run: `results/RUN/`, one folder for each variant and puzzle set.

* `run.json` holds the resolved configuration and the number of this format, `responses.jsonl` one
  line for each attempt that reached an outcome, `summary.json` what `stats` makes of them. The last
  can always be rebuilt.
* Each line has a key: a hash of everything that shapes it. A run that is taken up again asks for
  the keys that it lacks. Whether a reply was streamed shapes nothing.
* `run_folder` writes them, and `run_folders` says where they are.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tclue.bench.costs.cost import Usage
from tclue.bench.models.model import ModelSettings
from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grade
from tclue.strict import (
    STRICT,
    Count,
    CountOrZero,
    NotNegative,
    Text,
    TextOrNumber,
    parse,
    read,
    read_json,
)

Outcome = Literal["answered", "truncated", "refused", "unparsed", "failed"]

FORMAT = 2
# What shapes a response, beside its puzzle and sample.
_SHAPING = ("api_base", "seed", "temperature", "max_tokens", "dtype", "request")
# What names the folder beside that. Another value of these is another run.
_NAMING = ("puzzle_sha256", "limit", "samples")
# What `run.json` begins with, after the format; the rest is in the order of the fields.
_FIRST = (
    *("variant", "model", "puzzle_set", "puzzle_sha256", "puzzles", "limit", "samples"),
    *("seed", "temperature", "max_tokens", "grader", "prices", "concurrency", "timeout_s"),
    *("stream", "api_base", "request", "reasoning", "notes", "served_as", "checkpoint", "dtype"),
)
# Fields with a default that every `run.json` has all the same.
_ALWAYS = ("seed", "temperature", "max_tokens", "notes", "served_as")
# Fields of a response with few different values.
_WORDS = ("puzzle", "outcome", "grader", "finish_reason", "model_id", "difficulty")
# How a reply travels, not what is in it.
_TRANSPORT = ("stream", "stream_options", "timeout")


@dataclass(frozen=True, kw_only=True)
class RunConfig(ModelSettings):
    """The resolved configuration of a run."""

    __pydantic_config__ = STRICT

    # the model as the command line named it
    model: str
    # name and SHA-256 of the puzzle file
    puzzle_set: Text
    puzzle_sha256: Text
    # number of puzzles that are asked, and the --limit that made them so
    puzzles: Count
    limit: Count | None
    # times that each puzzle is asked
    samples: Count
    # name of the grader that the grades and the summary are by
    grader: Text
    # the settings that the user gave; the others are defaults
    given: tuple[str, ...]
    # versions of Python, tclue and what the model ran on, and tclue's commit, at the first request
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None

    @property
    def run_name(self) -> str:
        """Model, puzzle set, and a short hash of what shapes the responses."""
        named = {**self._shape(), **{name: getattr(self, name) for name in _NAMING}}
        rest = f"--{slug(self.puzzle_set)[:200]}--{_digest(named)[:8]}"
        return slug(self.variant)[: 255 - len(rest)] + rest  # most bytes of a file's name

    def response_key(self) -> Callable[[str, int], str]:
        """From a prompt and a sample's number to the key of the response: 16 hex digits."""
        shape = _digest(self._shape())
        return lambda prompt, sample: _digest([shape, prompt, sample])[:16]

    def _shape(self) -> dict[str, Any]:
        shape = {name: getattr(self, name) for name in _SHAPING}
        shape["model"] = self.checkpoint or self.model
        shape["request"] = {k: v for k, v in self.request.items() if k not in _TRANSPORT}
        return shape

    def to_dict(self) -> dict[str, Any]:
        """What `run.json` holds."""
        data = asdict(self)
        if self.trained is None:
            del data["trained"]  # as before there was training, so that older versions read it too
        return {"format": FORMAT, **{name: data[name] for name in _FIRST}, **data}


@dataclass(frozen=True)
class Response:
    """One attempt that reached an outcome."""

    __pydantic_config__ = STRICT

    puzzle: str
    sample: CountOrZero
    outcome: Outcome
    grader: str
    # None where the attempt failed: it is never scored
    grade: Grade | None
    text: str
    reasoning: str | None
    finish_reason: str | None
    usage: Usage
    # seconds from asking to the last token, or until it was given up, of the last try
    latency_s: NotNegative
    # the response's share of the wall time of a local batch
    compute_s: float | None
    # None where the price is unknown; otherwise the sum of the parts
    cost_usd: NotNegative | None
    cost_parts: Mapping[str, float] | None
    # what litellm makes it, by its own list and its own reading of the usage; None where unknown
    cost_litellm_usd: NotNegative | None = None
    # most that it may have cost, where that is not known: a request that failed and may have been
    # paid for, a reply that does not say how many tokens it took
    at_most_usd: NotNegative | None = None
    # requests that were sent for it
    tries: int = 1
    # the model that the server says it was
    model_id: str | None = None
    # why there is no usable reply
    error: str | None = None
    # time of the record, UTC
    at: str | None = None
    # of the puzzle: its number of clues, and the difficulty that its file names
    num_clues: CountOrZero | None = None
    difficulty: TextOrNumber | None = None
    # hash of everything that shapes it: the run's settings, the prompt and the sample
    key: str = ""

    @property
    def pair(self) -> tuple[str, int]:
        """Which request this answers: puzzle and sample."""
        return self.puzzle, self.sample

    @property
    def scored(self) -> bool:
        """Whether it counts in accuracy; what failed is counted apart."""
        return self.outcome != "failed"


@dataclass(frozen=True)
class Run:
    """A run as its folder holds it."""

    config: RunConfig
    # in the order in which they came
    responses: tuple[Response, ...]

    def final(self) -> list[Response]:
        """One response for each pair that has any, by puzzle and sample.

        The first that did not fail; where all failed, the last.
        """
        chosen: dict[tuple[str, int], Response] = {}
        for response in self.responses:
            if response.pair not in chosen or not chosen[response.pair].scored:
                chosen[response.pair] = response
        return [chosen[pair] for pair in sorted(chosen)]


def slug(name: str) -> str:
    """A name as part of a folder's name: letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "model"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run folder.

    Raises UserError where it is not one of this format.
    """
    path = folder / "run.json"
    data = read_json(path)
    found = data.pop("format", 1) if isinstance(data, dict) else FORMAT
    if found == FORMAT:
        config = read(RunConfig, data, str(path))
        if missing := [name for name in _ALWAYS if name not in data]:
            raise UserError(f"{path}: {missing[0]} is missing")
        # As it is written: a name's hash tells 0 from 0.0.
        return replace(config, temperature=data["temperature"])
    age = "an older" if found == 1 else "another"
    raise UserError(
        f"{path}: of format {found}, which {age} version of tclue wrote; this one reads format "
        f"{FORMAT}: take that version, or move the folder away and ask anew"
    )


def read_run(folder: Path, *, texts: bool = True) -> Run:
    """Read a run folder, finished or not; a last line that is not whole yet is left out.

    `texts=False` leaves out texts, reasoning and raw usage, which are most of it. Raises UserError,
    naming the file and the line, where it is not what a run writes.
    """
    return Run(read_config(folder), tuple(iter_responses(folder, texts=texts)))


def iter_responses(folder: Path, *, texts: bool = True) -> Iterator[Response]:
    """The responses of a run folder, one after another, as `read_run` reads them."""
    path = folder / "responses.jsonl"
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                response = parse(Response, line, f"{path}, line {number}")
            except UserError as error:
                advice = "put the line right, or take it out to have it asked again"
                raise UserError(f"{error}; {advice}") from None
            yield response if texts else _without_texts(response)


def _without_texts(response: Response) -> Response:
    """A response without what takes most of the memory; whoever keeps it keeps each word once."""
    words: dict[str, Any] = {
        name: sys.intern(word) for name in _WORDS if (word := getattr(response, name)) is not None
    }
    usage = replace(response.usage, raw={})
    return replace(response, text="", reasoning=None, usage=usage, **words)


def spent_usd(response: Response) -> float:
    """Dollars that an attempt cost; where that is not known, the most that it may have."""
    cost_usd = response.cost_usd
    return (response.at_most_usd or 0.0) if cost_usd is None else cost_usd


def add_cost(total_usd: float | None, response: Response) -> float | None:
    """A sum of dollars and one attempt more; None where the cost of a usable reply is unknown."""
    if total_usd is None or (response.scored and response.cost_usd is None):
        return None
    return total_usd + spent_usd(response)


def run_folders(results: Path) -> list[Path]:
    """The folders below a results folder that hold records, by name; none where it is not there.

    Raises UserError where it is no folder.
    """
    if not results.exists():
        return []
    try:
        entries = sorted(results.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{results}: cannot be read: {error.strerror}: expected a folder of run folders"
        ) from None
    records = ("run.json", "responses.jsonl")
    return [entry for entry in entries if any((entry / name).is_file() for name in records)]
