"""The records of a run: `results/RUN/`, one folder for each variant and puzzle set.

* `run.json` holds the resolved configuration, `responses.jsonl` one line for each attempt that
  reached an outcome, `summary.json` what `stats` makes of them. The last can always be rebuilt.
* A line is on the disk (written whole, then fsync) before `append` returns. What a killed process
  left of its last line is cut off when the run is taken up again.
* One process writes a run at a time: it holds a lock on the folder.
* `responses.jsonl` is only ever appended to, but for one case: other prices or another grader
  change what its lines count, and then it is written anew and put in place of the old at once.
* No line holds a secret: whatever equals the value of a key in the environment is masked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from tclue.bench.costs import Prices, Usage
from tclue.errors import UserError
from tclue.puzzle.grade import Grade

Outcome = Literal["answered", "truncated", "refused", "unparsed", "failed"]

# What shapes the responses, and so names the folder. Another value of these is another run.
_SHAPING = (
    "api_base",
    "puzzle_sha256",
    "limit",
    "samples",
    "seed",
    "temperature",
    "max_tokens",
    "dtype",
    "request",
)
_SECRET_NAME = re.compile(r"_(KEY|TOKEN|SECRET|PASSWORD)$|^AWS_SECRET")
_SHORTEST_SECRET = 8  # shorter values ("none", "EMPTY") are placeholders, and words of many texts


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
    # the settings above that the user gave; the others are defaults
    given: tuple[str, ...] = ()
    # versions of Python, tclue and what the model ran on, and tclue's commit, at the first request
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None

    @property
    def run_name(self) -> str:
        """Model, puzzle set, and a short hash of what shapes the responses."""
        shape = {name: getattr(self, name) for name in _SHAPING}
        shape["model"] = self.checkpoint or self.model
        digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()
        return f"{slug(self.variant)}--{slug(self.puzzle_set)}--{digest[:8]}"

    @classmethod
    def from_dict(cls, data: Any) -> RunConfig:
        """The configuration that `run.json` holds."""
        prices = Prices(**data["prices"])
        tuples = {name: tuple(data[name]) for name in ("given", "notes", "served_as")}
        return cls(**{**data, "prices": prices, **tuples})


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
    # seconds from asking to the last token, of the try that succeeded
    latency_s: float
    # the response's share of the wall time of a local batch
    compute_s: float | None
    # None where the price is unknown; otherwise the sum of the parts
    cost_usd: float | None
    cost_parts: Mapping[str, float] | None
    # what litellm makes it, by its own list and its own reading of the usage; None where unknown
    cost_litellm_usd: float | None = None
    # most that a failed request may have cost, where it may have been paid for
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


def mask_secrets(text: str) -> str:
    """The text without the values of the environment's keys, tokens and passwords."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, f"[{name}]")
    return text


def read_run(folder: Path) -> Run:
    """Read a run folder, finished or not; a last line that is not whole yet is left out.

    Raises UserError, naming the file and the line, where it is not what a run writes.
    """
    config_path = folder / "run.json"
    try:
        config = RunConfig.from_dict(json.loads(config_path.read_bytes()))
    except OSError as error:
        raise UserError(f"{config_path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{config_path}: not a run's configuration: {error!r}") from None
    return Run(config, tuple(_read_responses(folder / "responses.jsonl")))


def _read_responses(path: Path) -> Iterator[Response]:
    if not path.exists():
        return
    *lines, _torn = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            yield Response.from_dict(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{path}, line {number}: not a response that a run wrote ({error!r}): "
                "put the line right, or take it out to have it asked again"
            ) from None


def _line(response: Response) -> bytes:
    text = json.dumps(asdict(response), ensure_ascii=False, allow_nan=False) + "\n"
    # A provider may send half a surrogate pair, which no UTF-8 file can hold.
    return mask_secrets(text).encode("utf-8", "replace")


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


def _replace(path: Path, data: bytes) -> None:
    """Put new bytes in a file's place at once: a reader sees the old ones or the new."""
    draft = path.with_name(f"{path.name}.new")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


class RunFolder:
    """A run folder open for writing: a context manager that holds the folder's lock."""

    def __init__(self, results: Path, config: RunConfig) -> None:
        """Make the folder of a configuration, or take up the one that is there.

        Raises UserError where another process writes it, or it cannot be written or read.
        """
        self.path = results / config.run_name
        with _told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._folder)
            raise UserError(
                f"{self.path}: another process is writing this run: let it finish, or stop it"
            ) from None
        try:
            self._take_up(config)
        except BaseException:
            os.close(self._folder)
            raise

    def _take_up(self, config: RunConfig) -> None:
        self._file = self.path / "responses.jsonl"
        if not (self.path / "run.json").exists():
            self.write_json("run.json", asdict(config))
        run = read_run(self.path)
        self.config, self._responses = run.config, list(run.responses)
        with _told(self._file):
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.fsync(self._folder)
            # What follows the last line end is a line that a killed process did not finish.
            self._end = self._file.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._descriptor, self._end)

    @property
    def run(self) -> Run:
        """What the folder holds by now."""
        return Run(self.config, tuple(self._responses))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        os.close(self._folder)

    def append(self, response: Response) -> None:
        """Write a response; it is on the disk when this returns.

        Raises UserError where it cannot be written; the file then ends as it did before.
        """
        data = _line(response)
        with _told(self._file):
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._end)
                raise
        self._end += len(data)
        self._responses.append(response)

    def rewrite(self, config: RunConfig, responses: Iterable[Response]) -> None:
        """Put the same responses, counted anew, in place of those that are there."""
        responses = list(responses)
        with _told(self._file):
            _replace(self._file, b"".join(map(_line, responses)))
            os.close(self._descriptor)
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND)
            self._end = os.fstat(self._descriptor).st_size
        self.write_json("run.json", asdict(config))
        self.config, self._responses = config, responses

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write one of the folder's small files, whole or not at all."""
        text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        with _told(self.path / name):
            _replace(self.path / name, mask_secrets(text).encode("utf-8", "replace"))
