"""A run folder that is open for writing: locked, appended to, and resumed.

docs/reference/bench.md says what is where after a crash, under "Resuming".

* A line is on the disk before `record` returns (`tclue.journal`). An incomplete last line, left by
  a killed process, is cut off when the run is resumed.
* The first line of `in_flight.jsonl` is the number of records that are older than all its requests.
* `responses.jsonl` is only appended to, with one exception: if other prices or another grader
  change its lines, a new file replaces it in one step.
* An open folder keeps keys and counts in memory, and no texts.
* No line contains a secret: the values of keys in the environment are masked (`tclue.secrets`).
"""

import asyncio
import dataclasses
import errno
import glob
import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, Self

from tclue.bench.costs.cost import Usage
from tclue.bench.records import (
    Response,
    RunConfig,
    add_cost,
    iter_responses,
    read_config,
    wrong_grade,
)
from tclue.errors import UserError
from tclue.journal import Journal, locked, remove_drafts, replace, same
from tclue.puzzle.puzzle import Puzzle
from tclue.secrets import mask_values, masker
from tclue.strict import CountOrZero, parse
from tclue.text import counted

_USAGE = tuple(f.name for f in fields(Usage))


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Turn an error while writing, such as a full disk, into a UserError of one line."""
    try:
        yield
    except OSError as error:
        advice = ". All earlier records are complete; correct this, and the same command resumes"
        advice = "" if error.errno == errno.ESTALE else advice  # other programs changed the files
        raise UserError(f"{path}: cannot be written: {error.strerror}{advice}") from None


def existing_folder(results: Path, config: RunConfig) -> Path:
    """The folder that a run has, or will have. In format 1 the same run had another name."""
    folder = results / config.run_name
    if not folder.exists():
        name = config.run_name.rpartition("--")[0]
        for older in sorted(results.glob(f"{glob.escape(name)}--*")):
            with suppress(UserError):
                found = read_config(older)
                if found.format == 1 and found.run_name == config.run_name:
                    return older
    return folder


class RunFolder:
    """A run folder that is open for writing: a context manager that holds the folder's lock."""

    def __init__(
        self, results: Path, config: RunConfig, puzzles: Mapping[str, Puzzle] | None = None
    ) -> None:
        """Create the folder of a configuration, or open the existing one.

        A folder of format 1 gets the name that it would have now. `puzzles` are those of the run by
        their ids; early records are completed from them. Raises UserError, and changes nothing, if
        another process writes the folder, if it has another format or another run, or if it cannot
        be read or written.
        """
        self.path, self.puzzles = results / config.run_name, puzzles or {}
        with _one_line_errors(self.path):
            if (existing := existing_folder(results, config)) != self.path:
                existing.rename(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            self._folder = locked(
                self.path,
                "another process is writing this run: wait until it ends, or stop it",
                "choose another --results",
            )
        try:
            self._open(config)
        except BaseException:
            os.close(self._folder)
            raise

    def _open(self, config: RunConfig) -> None:
        self._mask = masker()
        self._rescued_name = f"rescued-{self.path.name[-8:]}-"
        self._file = self.path / "responses.jsonl"
        if (self.path / "run.json").exists() or self._file.exists():
            self.config = read_config(self.path)
            if self.config.run_name != config.run_name:
                raise UserError(
                    f"{self.path}: it has a run with other settings or another puzzle file "
                    f"({self.config.run_name}): move it away, or choose another --results"
                )
        else:
            self.write_json("run.json", config.to_dict())
            self.config = config
        # name and version of the graders of the responses that did not fail, and their keys
        self.graders: set[tuple[str, int]] = set()
        self.done: set[str] = set()
        # puzzle and sample of the requests that `in_flight.jsonl` has, without a record so far
        self._in_flight: set[tuple[str, int]] = set()
        self._in_flight_file = self.path / "in_flight.jsonl"
        self._in_flight_journal: Journal | None = None
        self._start_count()
        recorded, now = self.config.prompts_sha256, config.prompts_sha256
        if recorded not in (None, now) and len(self.done) < config.puzzles * config.samples:
            raise UserError(
                f"{self.path}: the chat template writes other prompts than when this run began, "
                "for example with another date: choose another --results for a new run"
            )
        with _one_line_errors(self._file):
            self._journal = Journal(self._file)
            # lines that could not be written
            self._unwritten: list[bytes] = []
            remove_drafts(self.path)
            if self._add_rescued():
                self._start_count()
            self._count(self._recover())
            os.fsync(self._folder)

    def _start_count(self) -> None:
        # dollars that the attempts have cost, None where a response's cost is unknown
        self.spent_usd: float | None = 0.0
        # puzzle -> the dearest response
        self.dearest_usd: dict[str, float] = {}
        self._records = 0
        self._count(self.responses())

    def responses(self, *, texts: bool = False) -> Iterator[Response]:
        """The recorded responses, including those whose grades contradict themselves."""
        return iter_responses(
            self.path, self.config, texts=texts, grades=False, puzzles=self.puzzles
        )

    def _add_rescued(self) -> bool:
        """Add the lines of rescued files that are not here yet. Returns whether there are files."""
        rescued = sorted(self.path.glob("rescued-*.jsonl"))

        # Not the whole line: other prices or another grader may have changed it since.
        def identity(response: Response) -> tuple[object, ...]:
            return response.pair, response.at, response.latency_s, response.error

        known = set(map(identity, self.responses() if rescued else ()))
        key = self.config.response_key()
        for path in rescued:
            if not path.name.startswith(self._rescued_name) or not path.is_file():
                raise UserError(f"{path}: belongs to another run: move it to that run's folder")
            new = {}
            for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
                if line:
                    found = parse(Response, line, where := f"{path}, line {number}")
                    puzzle = self.puzzles.get(found.puzzle)
                    expected = puzzle and key(puzzle.prompt, found.sample)
                    if self.puzzles and found.key != expected:
                        raise UserError(f"{where}: it is of another run: remove the line")
                    new[identity(found)] = line + b"\n"
            _, failed = self._journal.append([new[each] for each in new if each not in known])
            if failed:
                raise failed
            known |= new.keys()
            path.unlink()
        return bool(rescued)

    def _recover(self) -> list[Response]:
        """Record the requests that were in flight when an earlier process ended; returns them."""
        if not self._in_flight_file.exists():
            return []
        where, text = str(self._in_flight_file), self._in_flight_file.read_bytes()
        before, *lines = text.split(b"\n")[:-1] or [b"0"]  # an incomplete last line is left out
        known = parse(CountOrZero, before, where)
        lost = {r.pair: r for r in (parse(Response, line, where) for line in lines)}
        # Lines that a killed process has moved already are among the later records.
        for response in islice(self.responses(), known, None):
            lost.pop(response.pair, None)
        moved = [response for response in lost.values() if response.at_most_usd]
        _, failed = self._journal.append([self._line(response) for response in moved])
        if failed:
            raise failed
        self._in_flight_file.unlink()
        return moved

    def _count(self, responses: Iterable[Response]) -> None:
        for response in responses:
            self._records += 1
            if response.scored:
                self.done.add(response.key)
                if response.grade and wrong_grade(response.grade):
                    self.graders.add(("edited", 0))
                self.graders.add((response.grader, response.grader_version))
            self.spent_usd = add_cost(self.spent_usd, response)
            if response.cost_usd:
                dearest_usd = self.dearest_usd.get(response.puzzle, 0.0)
                self.dearest_usd[response.puzzle] = max(dearest_usd, response.cost_usd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self._unwritten += self._journal.drain()
        reason, rescued = self._rescue()
        self._journal.close()
        in_place = same(self._folder, self.path)
        if in_place and not (self.path / "run.json").exists():  # another program has removed it
            with suppress(UserError):
                self.write_json("run.json", self.config.to_dict())
        if self._in_flight_journal:
            self._in_flight_journal.close()
            if in_place and not self._in_flight:
                self._in_flight_file.unlink(missing_ok=True)
        os.close(self._folder)
        if not rescued:
            return
        if isinstance(error, Exception) and not isinstance(error, UserError):
            error.add_note(rescued.removeprefix(". "))  # shown below the traceback
            return
        message = f"{self._file}: cannot be written: {reason}"
        if isinstance(error, UserError):
            message = str(error)
        raise UserError(f"{message}{rescued}") from error

    async def set_aside(self, responses: Sequence[Response]) -> None:
        """Write the records of requests that are about to be sent, should their replies be lost.

        With `at_most_usd=None` it says that a request was not billed. Raises UserError if it cannot
        be written.
        """
        told = [each for each in responses if each.at_most_usd or each.pair in self._in_flight]
        if not told:
            return
        self._in_flight.update(each.pair for each in told)
        self._in_flight.difference_update(each.pair for each in told if not each.at_most_usd)
        with _one_line_errors(self._in_flight_file):
            if self._in_flight_journal is None:
                replace(self._in_flight_file, [b"%d\n" % self._records])
                self._in_flight_journal = Journal(self._in_flight_file)
            await asyncio.gather(*(self._in_flight_journal.add(self._line(each)) for each in told))

    async def record(self, response: Response) -> None:
        """Write a response, together with those that arrive at the same time.

        It is on the disk when this returns. Raises UserError if it cannot be written. Closing the
        folder then writes it, or saves it elsewhere, and raises an error that names the place.
        """
        line = self._line(response)
        with _one_line_errors(self._file):
            try:
                await self._journal.add(line)
            except OSError:
                self._unwritten.append(line)
                raise
        self._in_flight.discard(response.pair)
        self._count([response])

    def _rescue(self) -> tuple[str | None, str]:
        """Write what could not be written, here or elsewhere.

        Returns why it cannot be written here, and sentences that say where it is; or empty texts.
        """
        done, failed = self._journal.append(self._unwritten)
        if failed is None:
            return "", ""
        lines, lost, saved = self._unwritten[done:], 0, ""
        try:
            # Earlier lines of a file that was emptied or edited in place no longer exist.
            lost = max(0, self._records - sum(1 for _ in self._journal.lines()))
            path, count = self._journal.rescue(lines, self._rescued_name, self._places())
            saved = f". Saved in {path}: {counted(count, 'response')}. "
            if path.parent != self.path.resolve():
                folder, file = shlex.quote(str(self.path)), shlex.quote(str(path))
                saved += f"Run `mkdir -p {folder} && mv {file} {folder}/` first. "
            saved += "The same command adds them to the run"
        except OSError:
            lost = len(lines) + (self._records if self._journal.orphaned else lost)
        return failed.strerror, saved + (f". Lost: {counted(lost, 'response')}" if lost else "")

    def _places(self) -> Iterator[Path]:
        """The folders for what cannot be written, the best first."""
        if same(self._folder, self.path):
            yield self.path.resolve()
        with suppress(OSError):  # no such folder may be usable
            yield Path(tempfile.gettempdir())
        yield from (self.path.parent, Path())

    def rewrite(self, config: RunConfig, responses: Iterable[Response]) -> None:
        """Replace the configuration and all responses."""
        with _one_line_errors(self._file):
            self._journal.replace(map(self._line, responses))
        self.write_json("run.json", config.to_dict())
        self.config = config
        self._start_count()

    def amend(self, **fields: Any) -> None:
        """Write fields of the configuration that become known during the run."""
        self.config = dataclasses.replace(self.config, **fields)
        self.write_json("run.json", self.config.to_dict())

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write one of the folder's small files completely or not at all."""
        content = self._json(data, indent=2)
        with _one_line_errors(self.path / name):
            if not same(self._folder, self.path):
                raise OSError(errno.ESTALE, "its folder was removed or replaced")
            replace(self.path / name, [content])

    def _line(self, response: Response) -> bytes:
        # Not `asdict`, because its deep copies take longer than everything else here.
        usage = {name: getattr(response.usage, name) for name in _USAGE}
        data = {**vars(response), "usage": usage}
        data["grade"] = response.grade and vars(response.grade)
        return self._json(data)

    def _json(self, data: Mapping[str, Any], indent: int | None = None) -> bytes:
        """JSON with a line break at its end, and without the values of keys."""
        text = json.dumps(data, ensure_ascii=False, indent=indent, allow_nan=False)
        if self._mask(text) != text:  # rarely; only the values, because a name may be equal to one
            masked = mask_values(data, self._mask)
            text = json.dumps(masked, ensure_ascii=False, indent=indent, allow_nan=False)
        # A provider may send an unpaired surrogate, which no UTF-8 file can hold.
        return (text + "\n").encode("utf-8", "replace")
