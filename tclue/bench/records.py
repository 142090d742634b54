"""The records of a run: `results/RUN/`, one folder for each variant and puzzle set.

* `run.json` has the resolved configuration and the number of this format, `responses.jsonl` one
  line for each attempt that reached an outcome, and `summary.json` the statistics of these lines,
  which can always be computed again.
* Each line has a key: a hash of everything that can change the response. A run that is resumed
  requests the keys that are missing. Streaming does not change a response, so it is not hashed.
* `runs.run_folder` writes the records. `run_folders` finds them.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from tclue.bench.costs.cost import Usage
from tclue.bench.models.model import ModelSettings
from tclue.bench.older_formats import completed, config_of_format_1, is_early
from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grade, grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import find_recorded, load_set, shipped_sizes
from tclue.strict import (
    STRICT,
    Count,
    CountOrZero,
    NotNegative,
    NotNegativeAsWritten,
    Text,
    TextOrNumber,
    parse,
    parse_json,
    read,
    read_json,
)

Outcome = Literal["answered", "truncated", "refused", "unparsed", "failed"]

# The format of run folders. Format 1 had fewer fields. In format 3, each record has the version of
# its grader; records without one were graded by version 1.
FORMAT = 3
# Settings that can change a response, in addition to its puzzle and sample.
_SHAPING = ("api_base", "seed", "temperature", "max_tokens", "dtype", "request")
# Settings that also identify a run: with another value it is another run, in another folder.
_NAMING = ("puzzle_sha256", "limit", "samples")
# The first fields of `run.json`, after the format. The rest is in the order of the fields.
_FIRST = (
    *("variant", "model", "puzzle_set", "puzzle_sha256", "puzzles", "limit", "samples", "seed"),
    *("temperature", "max_tokens", "grader", "grader_version", "prices", "concurrency"),
    *("timeout_s", "stream", "api_base", "request", "reasoning", "notes", "served_as"),
    *("checkpoint", "dtype"),
)
# Fields with a default that every `run.json` has nevertheless.
_ALWAYS = ("seed", "temperature", "max_tokens", "notes", "served_as")
# Fields that `run.json` has only if they have a value.
_OPTIONAL = ("trained", "terms", "sent", "prompts_sha256")
_NO_RAW: Mapping[str, Any] = {}
# Arguments that change how a reply is sent, and not what it says.
_TRANSPORT = ("stream", "stream_options", "timeout")
# Bytes of a line. The text of a reply has at most 16 Mi characters, each of at most 6 bytes here.
LONGEST_LINE = 1 << 27


@dataclass(frozen=True, kw_only=True)
class RunConfig(ModelSettings):
    """The resolved configuration of a run."""

    __pydantic_config__ = STRICT

    # as it is written, because the hash of a run's name distinguishes 0 and 0.0
    temperature: NotNegativeAsWritten | None = None
    # the model's name on the command line
    model: str
    # name and SHA-256 of the puzzle file
    puzzle_set: Text
    puzzle_sha256: Text
    # number of puzzles in the run, and the --limit if it is smaller than the set
    puzzles: Count
    limit: Count | None
    # requests per puzzle
    samples: Count
    # name of the grader of the grades and the summary, and the version of its rules
    grader: Text
    grader_version: Count = 1
    # the settings that the user gave; the others are defaults
    given: tuple[str, ...]
    # versions of Python, tclue and the model's packages, and tclue's commit, at the first request
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    # the origin and the body of the first request as sent, without its prompt and seed
    sent: Mapping[str, Any] | None = None
    # the format of the folder that it was read from
    format: Count = FORMAT

    @property
    def run_name(self) -> str:
        """Model, puzzle set, and a short hash of the settings that can change the responses."""
        named = {**self._shape(), **{name: getattr(self, name) for name in _NAMING}}
        variant, name, digest = slug(self.variant), slug(self.puzzle_set), _digest(named)[:8]
        if len(variant) + len(name) > 243:  # a file's name has at most 255 bytes
            variant, name = variant[:120], name[:120]
        return f"{variant}--{name}--{digest}"

    def response_key(self) -> Callable[[str, int], str]:
        """A function from a prompt and a sample's number to the response's key: 16 hex digits."""
        shape = _digest(self._shape())
        return lambda prompt, sample: _digest([shape, prompt, sample])[:16]

    def _shape(self) -> dict[str, Any]:
        shape = {name: getattr(self, name) for name in _SHAPING}
        shape["model"] = self.checkpoint or self.model
        shape["request"] = {k: v for k, v in self.request.items() if k not in _TRANSPORT}
        return shape

    def to_dict(self) -> dict[str, Any]:
        """The content of `run.json`."""
        data = asdict(self) | {"prices": self.prices.to_dict()}
        for name in _OPTIONAL:
            if not data[name]:
                del data[name]  # versions from before there was such a field can then read it too
        data["format"] = FORMAT
        return {name: data[name] for name in ("format", *_FIRST)} | data


@dataclass(frozen=True)
class Response:
    """One attempt that reached an outcome."""

    __pydantic_config__ = STRICT

    puzzle: str
    sample: CountOrZero
    outcome: Outcome
    grader: str
    # None if the attempt failed; it is never scored
    grade: Grade | None
    text: str
    reasoning: str | None
    finish_reason: str | None
    usage: Usage
    # seconds from the last request to the last token, or until it was given up
    latency_s: NotNegative
    # the response's share of the wall time of a local batch
    compute_s: NotNegative | None
    # the sum of the parts; None if the price is unknown
    cost_usd: NotNegative | None
    cost_parts: Mapping[str, NotNegative] | None
    # the cost by litellm's calculator; None if unknown
    cost_litellm_usd: NotNegative | None = None
    # most that it may have cost if its cost is unknown: a failed request that may have been billed,
    # or a reply that does not report its tokens
    at_most_usd: NotNegative | None = None
    # requests that were sent for it
    tries: Count = 1
    # the model's id according to the server
    model_id: str | None = None
    # the upstream provider that OpenRouter chose
    provider: str | None = None
    # why there is no usable reply
    error: str | None = None
    # time of the record, UTC
    at: str | None = None
    # the puzzle's number of clues, and its difficulty according to its file
    num_clues: CountOrZero | None = None
    difficulty: TextOrNumber | None = None
    # hash of the run's settings, the prompt and the sample
    key: str = ""
    # the version of the grader's rules
    grader_version: Count = 1

    @property
    def pair(self) -> tuple[str, int]:
        """The puzzle and the sample that identify the request."""
        return self.puzzle, self.sample

    @property
    def scored(self) -> bool:
        """Whether it counts for accuracy. Failed responses do not."""
        return self.outcome != "failed"


@dataclass(frozen=True)
class Run:
    """The content of a run folder."""

    config: RunConfig
    # in the order of the file
    responses: tuple[Response, ...]

    def final(self) -> list[Response]:
        """One response for each pair that has any, sorted by puzzle and sample.

        It is the first that did not fail, or the last if all failed.
        """
        chosen: dict[tuple[str, int], Response] = {}
        for response in self.responses:
            if response.pair not in chosen or not chosen[response.pair].scored:
                chosen[response.pair] = response
        return [chosen[pair] for pair in sorted(chosen)]

    def by_puzzle(self) -> dict[str, list[Response]]:
        """puzzle -> its scored responses in the order of the samples; only puzzles with any."""
        scored = (response for response in self.final() if response.scored)
        groups = groupby(scored, key=lambda response: response.puzzle)
        return {puzzle: list(responses) for puzzle, responses in groups}


def slug(name: str) -> str:
    """A name as a part of a folder's name: letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "model"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run folder, of this format or an older one.

    Raises UserError if it is invalid, if a newer version wrote it, or if the folder has the name of
    another run.
    """
    path = folder / "run.json"
    data = read_json(path)
    if (found := data.get("format", 1) if isinstance(data, dict) else FORMAT) == 1:
        data = config_of_format_1(data)
    elif found not in range(2, FORMAT + 1):
        raise UserError(
            f"{path}: its format is {json.dumps(found)[:80]}: expected at most {FORMAT}; a newer "
            "version of tclue wrote it"
        )
    if isinstance(data, dict):
        data["format"] = found
    config = read(RunConfig, data, str(path))
    if missing := [name for name in _ALWAYS if name not in data]:
        raise UserError(f"{path}: {missing[0]} is missing")
    # The number of puzzles is not part of the name, and decides what a whole run is.
    asked = config.limit or shipped_sizes().get(config.puzzle_sha256, config.puzzles)
    if config.puzzles != asked:
        raise UserError(f"{path}: puzzles is {config.puzzles}: expected {asked}")
    # In format 1, the hash in the name was that of other fields.
    if config.format > 1 and folder.absolute().name != config.run_name:
        raise UserError(
            f"{folder}: its run.json describes the run {config.run_name}: expected a folder of "
            "that name; either the folder was renamed, or the settings were edited"
        )
    return config


def read_run(folder: Path, *, texts: bool = True) -> Run:
    """Read a run folder, complete or not. An incomplete last line is left out.

    `texts=False` leaves out texts, reasoning and raw usage, which are most of the data. Raises
    UserError, which names the file and the line, if a record is invalid.
    """
    config = read_config(folder)
    return Run(config, tuple(iter_responses(folder, config, texts=texts)))


def response_file(folder: Path) -> Path | None:
    """The file of a run's responses; None if there is none. Raises UserError if it is no file."""
    path = folder / "responses.jsonl"
    if path.exists() and not path.is_file():  # a pipe or a device may have no end
        raise UserError(f"{path}: expected a file")
    return path if path.exists() else None


def iter_responses(
    folder: Path,
    config: RunConfig,
    *,
    texts: bool = True,
    grades: bool = True,
    puzzles: Mapping[str, Puzzle] | None = None,
) -> Iterator[Response]:
    """Iterate over the responses of a run folder, as `read_run` reads them.

    `grades=False` also accepts grades that contradict themselves, so that the texts can be graded
    again. `puzzles` are those of the run by their ids, needed for early records of a user's file.
    """
    if not (path := response_file(folder)):
        return
    run_puzzles_by_id = cache(lambda: puzzles or run_puzzles(config))
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
            where = f"{path}, line {number}"
            if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                return
            try:
                if len(line) == LONGEST_LINE:
                    raise UserError(f"{where}: longer than {LONGEST_LINE >> 20} MiB")
                response = _read_line(line, where, config, run_puzzles_by_id)
            except UserError as error:
                advice = "correct the line, or remove it to have it requested again"
                raise UserError(f"{error}; {advice}") from None
            if grades and response.grade and (wrong := wrong_grade(response.grade)):
                advice = f"`tclue regrade {folder}` grades the run's texts again"
                raise UserError(f"{where}: {wrong}; {advice}")
            yield response if texts else without_texts(response)


def run_puzzles(config: RunConfig, source: str | None = None) -> dict[str, Puzzle]:
    """The puzzles of a run by their ids, from `source` or from the set that its records name.

    Raises UserError if the set cannot be found, or if `source` is another set or file.
    """
    found = load_set(source) if source else find_recorded(config.puzzle_set, config.puzzle_sha256)
    if found is None:
        raise UserError(
            f"{config.run_name}: its puzzles, {config.puzzle_set}, cannot be found: `tclue regrade "
            "RUN --puzzles FILE` takes them from a file, and grades the texts again"
        )
    if found.sha256 != config.puzzle_sha256:
        raise UserError(
            f"--puzzles {source}: these are not the puzzles of {config.run_name}: expected a file "
            f"with the SHA-256 {config.puzzle_sha256}"
        )
    return {puzzle.id: puzzle for puzzle in found.puzzles}


def _read_line(
    line: bytes, where: str, config: RunConfig, puzzles: Callable[[], Mapping[str, Puzzle]]
) -> Response:
    try:
        return parse(Response, line, where)
    except UserError:
        if not is_early(record := parse_json(line, where)):
            raise
        key = config.response_key()
        record = completed(record, puzzles(), grader(config.grader), key, where)
        return read(Response, record, where)


def wrong_grade(grade: Grade) -> str | None:
    """The contradiction in a grade, and what is expected; None if there is none."""
    right, total = len(set(grade.right)), len(grade.answers)
    if len(grade.right) != right or not set(grade.right) <= grade.answers.keys():
        return f"right is {list(grade.right)!r}: expected letters of its answers"
    if unanswered := [letter for letter in grade.right if grade.answers[letter] is None]:
        return f"{unanswered[0]} is right and has no answer: expected an answer"
    if not math.isclose(grade.accuracy, right / total, abs_tol=1e-9):
        return f"accuracy is {grade.accuracy}: expected {right / total}, {right} of {total} letters"
    if grade.solved != (right == total):
        return f"solved is {json.dumps(grade.solved)}: {right} of {total} letters are right"
    if grade.main_accuracy not in _possible_main_accuracies(right, total):
        return f"main_accuracy is {grade.main_accuracy}, and {right} of {total} letters are right"
    return None


@lru_cache
def _possible_main_accuracies(right: int, total: int) -> set[float | None]:
    """The main accuracies that fit: only the puzzle says which questions are the main ones."""
    return {None} | {
        hits / size
        for size in range(1, total + 1)
        for hits in range(max(0, size - (total - right)), min(size, right) + 1)
    }


def without_texts(response: Response) -> Response:
    """A response that was just read, without its texts, which take most of the memory."""
    object.__setattr__(response.usage, "raw", _NO_RAW)
    # A new one, because pydantic's takes more memory. Short texts are shared by pydantic already.
    return Response(**(vars(response) | {"text": "", "reasoning": None}))


def spent_usd(response: Response) -> float:
    """Dollars that an attempt cost, or the most that it may have cost if that is unknown."""
    cost_usd = response.cost_usd
    return (response.at_most_usd or 0.0) if cost_usd is None else cost_usd


def add_cost(total_usd: float | None, response: Response) -> float | None:
    """A sum of dollars and one attempt more; None where the cost of a usable reply is unknown."""
    if total_usd is None or (response.scored and response.cost_usd is None):
        return None
    return total_usd + spent_usd(response)


def run_folders(results: Path) -> list[Path]:
    """The folders with records in a results folder, sorted by name; none if it does not exist.

    Raises UserError if it is not a folder.
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
