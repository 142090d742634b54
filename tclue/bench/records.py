"""The records of a run: `results/RUN/`, one folder for each variant and puzzle set.

* `run.json` holds the resolved configuration and the number of this format, `responses.jsonl` one
  line for each attempt that reached an outcome, `summary.json` what `stats` makes of them. The last
  can always be rebuilt.
* A line is on the disk before whoever records it goes on (`durable`). What a killed process left
  of its last line is cut off when the run is taken up again.
* Each line has a key: a hash of everything that shapes it. A run that is taken up again asks for
  the keys that it lacks. Whether a reply was streamed shapes nothing.
* One process writes a run at a time: it holds a lock on the folder.
* `responses.jsonl` is only ever appended to, but for one case: other prices or another grader
  change what its lines count, and then it is written anew and put in place of the old at once.
* An open folder keeps keys and counts in memory, and no texts.
* No line holds a secret: whatever equals the value of a key in the environment is masked (`keys`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from tclue.bench.costs import Prices, Usage
from tclue.bench.durable import Journal, replace
from tclue.bench.keys import masker
from tclue.bench.origin import Training
from tclue.errors import UserError
from tclue.puzzle.grade import Grade

Outcome = Literal["answered", "truncated", "refused", "unparsed", "failed"]

FORMAT = 2
# What shapes a response, beside its puzzle and sample.
_SHAPING = ("api_base", "seed", "temperature", "max_tokens", "dtype", "request")
# What names the folder beside that. Another value of these is another run.
_NAMING = ("puzzle_sha256", "limit", "samples")
_USAGE = tuple(f.name for f in fields(Usage))
# Fields of a response with few different values.
_WORDS = ("puzzle", "outcome", "grader", "finish_reason", "model_id", "difficulty")
# How a reply travels, not what is in it.
_TRANSPORT = ("stream", "stream_options", "timeout")


@dataclass(frozen=True)
class RunConfig:
    """The resolved configuration of a run."""

    # the model at its reasoning setting, as the board names it
    variant: str
    # the model as the command line named it
    model: str
    # name and SHA-256 of the puzzle file
    puzzle_set: str
    puzzle_sha256: str
    # number of puzzles that are asked, and the --limit that made them so
    puzzles: int
    limit: int | None
    # times that each puzzle is asked
    samples: int
    # None where the provider's own default holds
    seed: int | None
    temperature: float | None
    max_tokens: int | None
    # name of the grader that the grades and the summary are by
    grader: str
    prices: Prices
    # requests in flight, or rows in a local batch; None where a local model chooses
    concurrency: int | None = None
    # seconds after which a hosted request is given up
    timeout_s: float | None = None
    stream: bool = False
    api_base: str | None = None
    # what every hosted request held, but for the messages, the seed and the key
    request: Mapping[str, Any] = field(default_factory=dict)
    # the reasoning setting, in the registry's words ("none", "16k", "high"); None where it has none
    reasoning: str | None = None
    # what a reader must know of how it was asked: a budget that was made smaller, say
    notes: tuple[str, ...] = ()
    # the model ids under which the weights that were asked for answer; empty where any will do
    served_as: tuple[str, ...] = ()
    # what the weights are: SHA-256 over a local checkpoint's files, or a hub commit
    checkpoint: str | None = None
    # number format of a local model's weights
    dtype: str | None = None
    # of weights that a training run kept; not in `run.json` where there is nothing to say
    trained: Training | None = None
    # the settings above that the user gave; the others are defaults
    given: tuple[str, ...] = ()
    # versions of Python, tclue and what the model ran on, and tclue's commit, at the first request
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None

    @property
    def run_name(self) -> str:
        """Model, puzzle set, and a short hash of what shapes the responses."""
        named = {**self._shape(), **{name: getattr(self, name) for name in _NAMING}}
        return f"{slug(self.variant)}--{slug(self.puzzle_set)}--{_digest(named)[:8]}"

    def response_key(self) -> Callable[[str, int], str]:
        """From a prompt and a sample's number to the key of the response: 16 hex digits."""
        shape = _digest(self._shape())
        return lambda prompt, sample: _digest([shape, prompt, sample])[:16]

    def _shape(self) -> dict[str, Any]:
        shape = {name: getattr(self, name) for name in _SHAPING}
        shape["model"] = self.checkpoint or self.model
        shape["request"] = {k: v for k, v in self.request.items() if k not in _TRANSPORT}
        return shape

    @classmethod
    def from_dict(cls, data: Any) -> RunConfig:
        """The configuration that `run.json` holds."""
        prices = Prices.from_dict(data["prices"])
        tuples = {name: tuple(data[name]) for name in ("given", "notes", "served_as")}
        trained = Training(**data["trained"]) if data.get("trained") else None
        return cls(**{**data, "prices": prices, "trained": trained, **tuples})

    def to_dict(self) -> dict[str, Any]:
        """What `run.json` holds."""
        data = asdict(self)
        if self.trained is None:
            del data["trained"]  # as before there was training, so that older versions read it too
        return {"format": FORMAT, **data}


@dataclass(frozen=True)
class Response:
    """One attempt that reached an outcome."""

    puzzle: str
    sample: int
    outcome: Outcome
    grader: str
    # None where the attempt failed: it is never scored
    grade: Grade | None
    text: str
    reasoning: str | None
    finish_reason: str | None
    usage: Usage
    # seconds from asking to the last token, or until it was given up, of the last try
    latency_s: float
    # the response's share of the wall time of a local batch
    compute_s: float | None
    # None where the price is unknown; otherwise the sum of the parts
    cost_usd: float | None
    cost_parts: Mapping[str, float] | None
    # what litellm makes it, by its own list and its own reading of the usage; None where unknown
    cost_litellm_usd: float | None = None
    # most that it may have cost, where that is not known: a request that failed and may have been
    # paid for, a reply that does not say how many tokens it took
    at_most_usd: float | None = None
    # requests that were sent for it
    tries: int = 1
    # the model that the server says it was
    model_id: str | None = None
    # why there is no usable reply
    error: str | None = None
    # time of the record, UTC
    at: str | None = None
    # of the puzzle: its number of clues, and the difficulty that its file names
    num_clues: int | None = None
    difficulty: str | None = None
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

    @classmethod
    def from_dict(cls, data: Any) -> Response:
        """The response that a line of `responses.jsonl` holds."""
        grade = data["grade"] and Grade.from_dict(data["grade"])
        return cls(**{**data, "usage": Usage(**data["usage"]), "grade": grade})


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
    try:
        data = json.loads(path.read_bytes())
        found = data.pop("format", 1)
        if found == FORMAT:
            return RunConfig.from_dict(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: not a run's configuration: {error!r}") from None
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
                data = json.loads(line)
                if not texts:
                    data |= {"text": "", "reasoning": None}
                    data["usage"]["raw"] = {}
                    # Whoever keeps these of every response keeps each word once.
                    data |= {k: sys.intern(data[k]) for k in _WORDS if isinstance(data.get(k), str)}
                yield Response.from_dict(data)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise UserError(
                    f"{path}, line {number}: not a response that a run wrote ({error!r}): "
                    "put the line right, or take it out to have it asked again"
                ) from None


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A write that fails, for a full disk above all, is told in one line."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}. What was recorded is whole; "
            "once that is mended, the same command asks for the rest"
        ) from None


class RunFolder:
    """A run folder open for writing: a context manager that holds the folder's lock."""

    def __init__(self, results: Path, config: RunConfig) -> None:
        """Make the folder of a configuration, or take up the one that is there.

        Raises UserError where another process writes it, it is of another format or another run,
        or it cannot be written or read. Nothing that is there is changed then.
        """
        self.path = results / config.run_name
        with _told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._folder)
            if isinstance(error, BlockingIOError):
                told = "another process is writing this run: let it finish, or stop it"
            else:  # some network file systems have no locks
                told = f"cannot be locked: {error.strerror}: take another --results"
            raise UserError(f"{self.path}: {told}") from None
        try:
            self._take_up(config)
        except BaseException:
            os.close(self._folder)
            raise

    def _take_up(self, config: RunConfig) -> None:
        self._mask = masker()
        self._file = self.path / "responses.jsonl"
        if (self.path / "run.json").exists() or self._file.exists():
            self.config = read_config(self.path)
            if self.config.run_name != config.run_name:
                raise UserError(
                    f"{self.path}: holds a run of other settings or another puzzle file "
                    f"({self.config.run_name}): move it away, or take another --results"
                )
        else:
            self.write_json("run.json", config.to_dict())
            self.config = config
        # keys of the responses that did not fail
        self.done: set[str] = set()
        # dollars that the attempts have cost, at most where that is not known; the dearest of them
        self.spent_usd, self.dearest_usd = 0.0, 0.0
        self._count(iter_responses(self.path, texts=False))
        with _told(self._file):
            self._journal = Journal(self._file)
            os.fsync(self._folder)

    def _count(self, responses: Iterable[Response]) -> None:
        for response in responses:
            if response.scored:
                self.done.add(response.key)
            self.spent_usd += spent_usd(response)
            self.dearest_usd = max(self.dearest_usd, response.cost_usd or 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        os.close(self._folder)

    async def record(self, response: Response) -> None:
        """Write a response, together with those that arrive at the same time.

        It is on the disk when this returns. Raises UserError where it cannot be written; what was
        recorded before stays.
        """
        with _told(self._file):
            await self._journal.add(self._line(response))
        self._count([response])

    def append(self, response: Response) -> None:
        """The same, outside of an event loop."""
        with _told(self._file):
            _, failed = self._journal.append([self._line(response)])
            if failed:
                raise failed
        self._count([response])

    def rescue(self, responses: Sequence[Response]) -> str:
        """Write what could not be written, here or in the system's folder for temporary files.

        Returns a sentence on it, for whoever is told why; nothing where nothing is left over.
        """
        lines = [self._line(response) for response in responses]
        done, failed = self._journal.append(lines)
        if failed is None:
            return ""
        path = Path(tempfile.gettempdir()) / f"{self.path.name}-{os.getpid()}.jsonl"
        try:
            replace(path, lines[done:])
        except OSError:
            return f". {len(lines) - done} more responses had no place anywhere, and are lost"
        return f". {len(lines) - done} more responses are in {path}: append it to that file first"

    def rewrite(self, config: RunConfig, responses: Iterable[Response]) -> None:
        """Put the same responses, counted anew, in place of those that are there."""
        with _told(self._file):
            self._journal.replace(map(self._line, responses))
        self.write_json("run.json", config.to_dict())
        self.config, self.spent_usd, self.dearest_usd = config, 0.0, 0.0
        self._count(iter_responses(self.path, texts=False))

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write one of the folder's small files, whole or not at all."""
        text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        with _told(self.path / name):
            replace(self.path / name, [self._mask(text).encode("utf-8", "replace")])

    def _line(self, response: Response) -> bytes:
        # Not `asdict`: its deep copies take longer than all the rest of recording.
        usage = {name: getattr(response.usage, name) for name in _USAGE}
        data = {**vars(response), "usage": usage}
        data["grade"] = response.grade and vars(response.grade)
        text = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
        # A provider may send half a surrogate pair, which no UTF-8 file can hold.
        return self._mask(text).encode("utf-8", "replace")


def spent_usd(response: Response) -> float:
    """Dollars that an attempt cost; where that is not known, the most that it may have."""
    cost_usd = response.cost_usd
    return (response.at_most_usd or 0.0) if cost_usd is None else cost_usd
