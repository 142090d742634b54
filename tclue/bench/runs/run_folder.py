"""A run folder open for writing: locked, appended to, resumed where it was left.

* A line is on the disk before `record` returns (`tclue.journal`). An incomplete last line of a
  killed process is cut off when the run is resumed.
* One process writes a run at a time: it holds a lock on the folder.
* `responses.jsonl` is only ever appended to, but for one case: other prices or another grader
  change what its lines count, and then a new file replaces the old one at once.
* An open folder keeps keys and counts in memory, and no texts.
* No line holds a secret: the values of the environment's keys are masked (`tclue.secrets`).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from tclue.bench.costs.cost import Usage
from tclue.bench.records import Response, RunConfig, add_cost, iter_responses, read_config
from tclue.errors import UserError
from tclue.journal import Journal, locked, replace
from tclue.secrets import masker

_USAGE = tuple(f.name for f in fields(Usage))


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Turn an error of writing, such as a full disk, into a UserError of one line."""
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
        """Make the folder of a configuration, or open the existing one.

        Raises UserError where another process writes it, it is of another format or another run,
        or it cannot be written or read. Nothing in it is changed then.
        """
        self.path = results / config.run_name
        with _one_line_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._folder = locked(
                self.path,
                "another process is writing this run: let it finish, or stop it",
                "take another --results",
            )
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
        # dollars that the attempts have cost, None where a response's cost is unknown; the dearest
        self.spent_usd: float | None = 0.0
        self.dearest_usd = 0.0
        self._count(iter_responses(self.path, texts=False))
        with _one_line_errors(self._file):
            self._journal = Journal(self._file)
            os.fsync(self._folder)

    def _count(self, responses: Iterable[Response]) -> None:
        for response in responses:
            if response.scored:
                self.done.add(response.key)
            self.spent_usd = add_cost(self.spent_usd, response)
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
        with _one_line_errors(self._file):
            await self._journal.add(self._line(response))
        self._count([response])

    def append(self, response: Response) -> None:
        """Write a response outside of an event loop."""
        with _one_line_errors(self._file):
            _, failed = self._journal.append([self._line(response)])
            if failed:
                raise failed
        self._count([response])

    def rescue(self, responses: Sequence[Response]) -> str:
        """Write responses after an error, here or in the system's folder for temporary files.

        Returns a sentence on it for the error message; "" where all could be written here.
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
        """Replace the configuration and all responses by recounted ones."""
        with _one_line_errors(self._file):
            self._journal.replace(map(self._line, responses))
        self.write_json("run.json", config.to_dict())
        self.config, self.spent_usd, self.dearest_usd = config, 0.0, 0.0
        self._count(iter_responses(self.path, texts=False))

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write one of the folder's small files, whole or not at all."""
        text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        with _one_line_errors(self.path / name):
            replace(self.path / name, [self._mask(text).encode("utf-8", "replace")])

    def _line(self, response: Response) -> bytes:
        # Not `asdict`: its deep copies take longer than all the rest of recording.
        usage = {name: getattr(response.usage, name) for name in _USAGE}
        data = {**vars(response), "usage": usage}
        data["grade"] = response.grade and vars(response.grade)
        text = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
        # A provider may send half a surrogate pair, which no UTF-8 file can hold.
        return self._mask(text).encode("utf-8", "replace")
