"""The report of `tclue check`: which claims about a puzzle's solution are true.

That the answers are unique and that the whole history is unique are two claims. A published puzzle
makes the first, a generated puzzle both. Under the inclusive reading a bare "or" means "one or
both". The house edition has no bare "or", so its puzzles have no result for that claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tclue.puzzle import controls
from tclue.puzzle.puzzle import Entailment, Proof, Puzzle, Scope, Verdict
from tclue.puzzle.statements import Case
from tclue.puzzle.wording import wording
from tclue.puzzle.world import World

Prover = Literal["sat", "cpsat", "both"]


@dataclass(frozen=True)
class CheckReport:
    """The claims about one puzzle. None means that a claim was not checked or does not apply."""

    id: str
    # how many sets of answers, and how many complete histories, fit the clues
    answers: Verdict
    history: Verdict
    # whether the only set of answers is the stated one; None if none is stated
    as_stated: bool | None
    # whether the answers are unique and the same if "or" is inclusive
    inclusive_or: bool | None
    # the clues that could be removed, numbered from 1
    needless: tuple[int, ...] | None
    # texts whose grade is known (`controls`) that the grader `sound` reads wrongly -> their letters
    failed_controls: Mapping[str, Sequence[str]]

    @property
    def sound(self) -> bool:
        """Whether every question has one possible answer, which is the stated one if any is."""
        return self.answers == "unique" and self.as_stated is not False


def prove(
    puzzle: Puzzle, scope: Scope, prover: Prover = "sat", inclusive_or: bool = False
) -> Proof:
    """Prove a puzzle by one of the provers, or by both.

    Raises AssertionError if the two disagree, which is a bug in this program.
    """
    proofs: list[Proof] = [each.prove(puzzle, scope, inclusive_or) for each in _provers(prover)]
    first, last = proofs[0], proofs[-1]
    if first.verdict != last.verdict or _only_answers(puzzle, first) != _only_answers(puzzle, last):
        raise AssertionError(f"{puzzle.id}: the provers disagree: {first} and {last}")
    return first


def _provers(prover: Prover) -> list[Any]:
    """The modules of a prover, or of both."""
    from tclue.puzzle import cpsat, sat

    return {"sat": [sat], "cpsat": [cpsat], "both": [sat, cpsat]}[prover]


def _only_answers(puzzle: Puzzle, proof: Proof) -> dict[str, str] | None:
    """letter -> answer if a proof finds one solution, otherwise None."""
    return puzzle.answers(proof.cases[0]) if proof.verdict == "unique" else None


def check(puzzle: Puzzle, prover: Prover = "sat", minimal: bool = False) -> CheckReport:
    """Check every claim about a puzzle."""
    answers = prove(puzzle, "answers", prover)
    unique_answers = _only_answers(puzzle, answers)
    inclusive: bool | None = None
    if puzzle.edition == "published":
        proof = prove(puzzle, "answers", prover, inclusive_or=True)
        inclusive = proof.verdict == "unique" and _only_answers(puzzle, proof) == unique_answers
    return CheckReport(
        id=puzzle.id,
        answers=answers.verdict,
        history=prove(puzzle, "history", prover).verdict,
        as_stated=unique_answers == dict(puzzle.solution) if puzzle.solution else None,
        inclusive_or=inclusive,
        needless=needless_clues(puzzle) if minimal else None,
        failed_controls=controls.failed(puzzle),
    )


def needless_clues(puzzle: Puzzle) -> tuple[int, ...]:
    """The numbers, from 1, of the clues that follow from all the others: any one can be removed."""
    from tclue.puzzle.sat import Clauses

    with Clauses(puzzle.world) as clauses:
        literals = [clauses.literal(clue) for clue in puzzle.clues]
        return tuple(
            number
            for number, literal in enumerate(literals, 1)
            if not clauses.solver.solve([*literals[: number - 1], *literals[number:], -literal])
        )


def entails(puzzle: Puzzle, sentence: str, prover: Prover, inclusive_or: bool) -> Entailment:
    """Whether the clues make a sentence of the puzzle's edition true or false, or leave it open.

    Raises PuzzleError if the sentence cannot be read, and AssertionError if the provers disagree.
    """
    statement = wording(puzzle.world, puzzle.edition).read(sentence)
    entailments: list[Entailment] = [
        each.entails(puzzle, statement, inclusive_or) for each in _provers(prover)
    ]
    if len(set(entailments)) > 1:
        raise AssertionError(f"{puzzle.id}: the provers disagree on {sentence!r}: {entailments}")
    return entailments[0]


def proof_record(puzzle: Puzzle, proof: Proof) -> dict[str, Any]:
    """A proof as JSON: its verdict and scope, and the answers and history of each case found."""
    return {
        "id": puzzle.id,
        "scope": proof.scope,
        "verdict": proof.verdict,
        "solutions": [
            {"answers": puzzle.answers(case), "history": history(puzzle.world, case)}
            for case in proof.cases
        ],
    }


def history(world: World, case: Case) -> dict[str, Any]:
    """A case in names: the rooms of everybody and everything over time, motives and the murder."""
    names = (*world.suspects, "Mr. Boddy", *world.weapons)
    paths = (*case.suspect_rooms, case.boddy_rooms, *case.weapon_rooms)
    return {
        "rooms": {
            name: [world.rooms[room] for room in path]
            for name, path in zip(names, paths, strict=True)
        },
        "motives": {
            world.suspects[suspect]: world.motives[motive]
            for suspect, motive in enumerate(case.motives)
        },
        "murderer": world.suspects[case.murderer],
        "weapon": world.weapons[case.weapon],
        "room": world.rooms[case.room],
        "time": world.times[case.time] if world.times else None,
    }


def claims(reports: Sequence[CheckReport]) -> dict[str, list[bool]]:
    """claim -> whether it is true, for each puzzle for which it was checked."""
    values: dict[str, list[bool | None]] = {
        "answers_unique": [report.answers == "unique" for report in reports],
        "answers_as_stated": [report.as_stated for report in reports],
        "history_unique": [report.history == "unique" for report in reports],
        "inclusive_or_unique": [report.inclusive_or for report in reports],
        "minimal": [None if r.needless is None else not r.needless for r in reports],
        "controls_hold": [not report.failed_controls for report in reports],
    }
    return {claim: [v for v in held if v is not None] for claim, held in values.items()}


def summary(reports: Sequence[CheckReport]) -> dict[str, Any]:
    """Reports as JSON: the number of puzzles for which each claim is true, and each report.

    The number is None if the claim was checked for none of the puzzles.
    """
    counts = {claim: sum(held) if held else None for claim, held in claims(reports).items()}
    results = [asdict(report) for report in reports]
    return {"puzzles": len(reports), **counts, "results": results}
