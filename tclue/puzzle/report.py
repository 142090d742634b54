"""What `tclue check` says of a puzzle: which claims about its solution hold.

A claim about the answers and one about the whole history are different: a published puzzle claims
the first, a generated one both. Under the inclusive reading a bare "or" means "one or both"; the
house edition has no bare "or", so the question does not arise there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tclue.puzzle.proof import Entailment, Proof, Scope, Verdict
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import Case
from tclue.puzzle.wording import wording
from tclue.puzzle.world import World

Prover = Literal["sat", "cpsat", "both"]


@dataclass(frozen=True)
class CheckReport:
    """The claims about one puzzle; None where a question was not asked, or does not arise."""

    id: str
    # How many ways there are to answer the questions, and to tell the whole history.
    answers: Verdict
    history: Verdict
    # Whether the one set of answers is the stated one; None where none is stated.
    as_stated: bool | None
    # Whether the answers are also unique, and the same, when "or" is inclusive.
    inclusive_or: bool | None
    # Numbers from 1 of the clues that could be dropped.
    needless: tuple[int, ...] | None

    @property
    def sound(self) -> bool:
        """Every question has exactly one possible answer, the stated one if one is stated."""
        return self.answers == "unique" and self.as_stated is not False


def prove(
    puzzle: Puzzle, scope: Scope, prover: Prover = "sat", inclusive_or: bool = False
) -> Proof:
    """Prove by one of the provers, or by both.

    Raises AssertionError where the two disagree: that is a defect of this program.
    """
    from tclue.puzzle import cpsat, sat

    if prover == "sat":
        return sat.prove(puzzle, scope, inclusive_or)
    if prover == "cpsat":
        return cpsat.prove(puzzle, scope, inclusive_or)
    by_sat = sat.prove(puzzle, scope, inclusive_or)
    by_cpsat = cpsat.prove(puzzle, scope, inclusive_or)
    if by_sat.verdict != by_cpsat.verdict or (
        by_sat.verdict == "unique"
        and puzzle.answers(by_sat.cases[0]) != puzzle.answers(by_cpsat.cases[0])
    ):
        raise AssertionError(f"{puzzle.id}: the provers disagree: {by_sat} and {by_cpsat}")
    return by_sat


def check(puzzle: Puzzle, prover: Prover = "sat", minimal: bool = False) -> CheckReport:
    """Check every claim about a puzzle."""
    answers = prove(puzzle, "answers", prover)
    unique_answers = puzzle.answers(answers.cases[0]) if answers.verdict == "unique" else None
    inclusive: bool | None = None
    if puzzle.edition == "published":
        proof = prove(puzzle, "answers", prover, inclusive_or=True)
        inclusive = proof.verdict == "unique" and puzzle.answers(proof.cases[0]) == unique_answers
    return CheckReport(
        id=puzzle.id,
        answers=answers.verdict,
        history=prove(puzzle, "history", prover).verdict,
        as_stated=unique_answers == dict(puzzle.solution) if puzzle.solution else None,
        inclusive_or=inclusive,
        needless=needless_clues(puzzle) if minimal else None,
    )


def needless_clues(puzzle: Puzzle) -> tuple[int, ...]:
    """Numbers from 1 of the clues each of which could be dropped, and one history would remain.

    Where several histories fit all clues, a clue is needless when the rest entail it.
    """
    from tclue.puzzle.clauses import Clauses

    with Clauses(puzzle.world) as clauses:
        literals = [clauses.literal(clue) for clue in puzzle.clues]
        return tuple(
            number
            for number, literal in enumerate(literals, 1)
            if not clauses.solver.solve([*literals[: number - 1], *literals[number:], -literal])
        )


def entails(puzzle: Puzzle, sentence: str, prover: Prover, inclusive_or: bool) -> Entailment:
    """Whether a sentence in the puzzle's own edition follows from its clues.

    Raises PuzzleError where the sentence cannot be read, AssertionError where provers disagree.
    """
    from tclue.puzzle import cpsat, sat

    statement = wording(puzzle.world, puzzle.edition).read(sentence)
    provers = {"sat": [sat.entails], "cpsat": [cpsat.entails], "both": [sat.entails, cpsat.entails]}
    entailments = [entails(puzzle, statement, inclusive_or) for entails in provers[prover]]
    if len(set(entailments)) > 1:
        raise AssertionError(f"{puzzle.id}: the provers disagree on {sentence!r}: {entailments}")
    return entailments[0]


def proof_record(puzzle: Puzzle, proof: Proof) -> dict[str, Any]:
    """A proof as JSON: the verdict, what it is said of, and the answers of each case found."""
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
    """A case in names: who and what was where at each time, the motives, and the murder."""

    def path(rooms: tuple[int, ...]) -> list[str]:
        return [world.rooms[room] for room in rooms]

    return {
        "rooms": {
            **{w: path(p) for w, p in zip(world.suspects, case.suspect_rooms, strict=True)},
            "Mr. Boddy": path(case.boddy_rooms),
            **{w: path(p) for w, p in zip(world.weapons, case.weapon_rooms, strict=True)},
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
    """claim -> whether it holds, for each puzzle that it was asked about and arises for."""
    values: dict[str, list[bool | None]] = {
        "answers_unique": [report.answers == "unique" for report in reports],
        "answers_as_stated": [report.as_stated for report in reports],
        "history_unique": [report.history == "unique" for report in reports],
        "inclusive_or_unique": [report.inclusive_or for report in reports],
        "minimal": [None if r.needless is None else not r.needless for r in reports],
    }
    return {claim: [v for v in held if v is not None] for claim, held in values.items()}


def summary(reports: Sequence[CheckReport]) -> dict[str, Any]:
    """Reports as JSON: how many puzzles each claim holds for, and each report.

    The number is None for a claim that was not asked about, or arises for none of the puzzles.
    """
    counts = {claim: sum(held) if held else None for claim, held in claims(reports).items()}
    results = [asdict(report) for report in reports]
    return {"puzzles": len(reports), **counts, "results": results}
