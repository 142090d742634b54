"""Grades stored texts again: `tclue regrade RUN`, and what `tclue leaderboard --check` looks at.

No model is asked. A run can be graded again if its puzzles can be found: a shipped or fetched set,
or the user's own file.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tclue.bench.costs.cost import cost_parts
from tclue.bench.models.failures import ending
from tclue.bench.records import (
    FORMAT,
    Response,
    RunConfig,
    iter_responses,
    read_config,
    run_puzzles,
)
from tclue.bench.runs.run_folder import RunFolder
from tclue.bench.stats.intervals import Estimate
from tclue.bench.stats.run_numbers import read_numbers
from tclue.bench.stats.summary import Summary
from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grader, grader
from tclue.puzzle.puzzle import Puzzle
from tclue.text import counted, shortened

MOST_SHOWN = 5


@dataclass(frozen=True)
class Regraded:
    """What changed in a run that was graded again."""

    run: str
    grader: str
    grader_version: int
    responses: int
    # responses of which the grade or the outcome changed
    changed: int
    # accuracy before (None if the old grades could not be read) and after
    before: Estimate | None
    after: Estimate | None


def regrade(response: Response, config: RunConfig, puzzle: Puzzle, grader: Grader) -> Response:
    """A response with the grade of a grader and the prices of a configuration."""
    parts = cost_parts(config.prices, response.usage, response.compute_s)
    cost_usd = sum(parts.values()) if parts is not None else None
    priced = replace(
        response,
        cost_usd=cost_usd,
        cost_parts=parts,
        grader=grader.name,
        grader_version=grader.version,
    )
    if not response.scored:
        return priced
    grade, outcome = grader.grade(puzzle, response.text), response.outcome
    if outcome != "refused":
        outcome = "answered" if grade.answered else "unparsed"
        if ending(response.finish_reason) == "truncated":
            outcome = "truncated"
    return replace(priced, outcome=outcome, grade=grade)


def write_summary(folder: RunFolder) -> Summary:
    """Compute the summary of an open run, and write it."""
    summary = read_numbers(folder.path).summary
    folder.write_json("summary.json", asdict(summary))
    return summary


def regrade_all(folder: RunFolder, config: RunConfig) -> int:
    """Rewrite an open run with the prices and the grader of a configuration.

    Returns the number of responses with another grade or outcome. Raises UserError if a response is
    of a puzzle that is not among those with which the run was opened.
    """
    new_grader, changed = grader(config.grader), 0

    def updated() -> Iterator[Response]:
        nonlocal changed
        for old in folder.responses(texts=True):
            if old.puzzle not in folder.puzzles:
                raise UserError(
                    f"{folder.path / 'responses.jsonl'}: {old.puzzle} is not a puzzle of "
                    f"{config.puzzle_set}: remove its lines"
                )
            new = regrade(old, config, folder.puzzles[old.puzzle], new_grader)
            changed += (old.grade, old.outcome) != (new.grade, new.outcome)
            yield new

    folder.rewrite(replace(config, format=FORMAT), updated())
    return changed


def regrade_run(folder: Path, puzzles: str | None = None, name: str | None = None) -> Regraded:
    """Grade a run's texts again with the current version of its grader, or with another grader.

    `puzzles` is a file or a set, by default that of the records, and `name` is a grader's. Raises
    UserError if the puzzles are not those of the run, or if another process writes the run.
    """
    config = read_config(folder)
    new_grader = grader(name or config.grader)
    puzzles_by_id = run_puzzles(config, puzzles)
    try:
        before = read_numbers(folder).summary.accuracy
    except UserError:
        before = None  # for example, grades that contradict themselves
    # The parent of `.` would be `.` too.
    with RunFolder(folder.absolute().parent, config, puzzles_by_id) as opened:
        updated = replace(opened.config, grader=new_grader.name, grader_version=new_grader.version)
        changed = regrade_all(opened, updated)
        after = write_summary(opened)
    return Regraded(
        opened.path.name,
        new_grader.name,
        new_grader.version,
        after.responses,
        changed,
        before,
        after.accuracy,
    )


@dataclass(frozen=True)
class GradesChecked:
    """The result of grading the texts of runs again."""

    texts: int
    # one line for each record that differs, or for a run by another version of its grader
    differences: tuple[str, ...]
    # one line for each run that cannot be graded again, because its puzzles cannot be found
    unchecked: tuple[str, ...]

    def lines(self) -> list[str]:
        """The lines that a person reads, with at most a few of the differences."""
        more = len(self.differences) - MOST_SHOWN
        return [
            *self.differences[:MOST_SHOWN],
            *([f"and {counted(more, 'more difference')}"] if more > 0 else []),
            *(f"not graded again: {why}" for why in self.unchecked),
            f"{counted(self.texts, 'text')} graded again; differences: {len(self.differences):,}",
        ]


def check_grades(folders: Iterable[Path]) -> GradesChecked:
    """Grade and price the texts of runs again, and compare the result with their records.

    Raises UserError if a run cannot be read.
    """
    texts, found, unchecked = 0, list[str](), list[str]()
    sets: dict[str, Mapping[str, Puzzle]] = {}  # to read each puzzle file once
    for folder in folders:
        config = read_config(folder)
        try:
            puzzles = sets.get(config.puzzle_sha256) or run_puzzles(config)
            sets[config.puzzle_sha256] = puzzles
        except UserError as error:
            unchecked.append(str(error))
            continue
        current, key = grader(config.grader), config.response_key()
        if current.version != config.grader_version:
            found.append(
                f"{folder.name}: graded by version {config.grader_version} of the grader "
                f"{current.name}, and this is version {current.version}: `tclue regrade {folder}` "
                "grades its texts again"
            )
            continue
        for number, old in enumerate(iter_responses(folder, config), 1):
            texts += 1
            differs: str | None = f"{old.puzzle} is not a puzzle of {config.puzzle_set}"
            if puzzle := puzzles.get(old.puzzle):
                new = regrade(old, config, puzzle, current)
                new = replace(new, num_clues=puzzle.num_clues, difficulty=puzzle.difficulty)
                differs = _difference(old, new, key(puzzle.prompt, old.sample))
            if differs:
                where = f"{folder.name}, line {number} of responses.jsonl"
                found.append(shortened(f"{where}: {differs}"))
    return GradesChecked(texts, tuple(found), tuple(unchecked))


def _difference(old: Response, new: Response, key: str) -> str | None:
    """The first difference between a record and what its text and its usage give, if any."""
    if old.key and old.key != key:
        return f"the key is {old.key}: its settings, prompt and sample give {key}"
    for name in ("outcome", "num_clues", "difficulty"):
        recorded, computed = getattr(old, name), getattr(new, name)
        if recorded != computed and recorded is not None:
            return f"{name} is {recorded}: expected {computed}"
    if old.grade != new.grade:
        for name, recorded in vars(old.grade).items() if old.grade else ():
            if recorded != (computed := getattr(new.grade, name)):
                return f"{name} is {recorded}: the text gives {computed}"
        return "it has a grade: expected none" if old.grade else "it has no grade: expected one"
    recorded, computed = old.cost_usd, new.cost_usd
    same = recorded == computed or (
        recorded and math.isclose(recorded, computed or 0, rel_tol=1e-9)
    )
    return None if same else f"cost_usd is {recorded}: usage and prices give {computed}"
