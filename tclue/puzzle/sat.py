"""The proof by clauses: what the rules and the clues of a puzzle leave, by a SAT solver.

    from tclue.puzzle.sat import entails, prove
    prove(puzzle).verdict             # "unique", "none" or "several", said of the answers
    prove(puzzle, "history")          # of the complete history
    entails(puzzle, statement)        # "true", "false" or "open"

`clauses` encodes the rules and statements; `cpsat` proves the same by another model.
"""

from __future__ import annotations

from dataclasses import dataclass

from tclue.puzzle.clauses import Clauses
from tclue.puzzle.proof import Entailment, Proof, Scope
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import Statement
from tclue.puzzle.world import PuzzleError


def prove(puzzle: Puzzle, scope: Scope = "answers", inclusive_or: bool = False) -> Proof:
    """Prove what a puzzle's clues leave: one solution, none, or two different ones.

    `inclusive_or` reads "or" as "one or both".
    """
    with Clauses(puzzle.world, inclusive_or) as clauses:
        for clue in puzzle.clues:
            clauses.add(clauses.literal(clue))
        first = clauses.case()
        if first is None:
            return Proof(scope, ())
        if scope == "history":
            same = clauses.facts(first)
        else:
            same = [clauses.answer(question, first) for question in puzzle.questions.values()]
        clauses.add(*(-literal for literal in same))
        second = clauses.case()
        return Proof(scope, (first,) if second is None else (first, second))


@dataclass(frozen=True)
class Effort:
    """The solver's work for the proof of one history; it depends on the solver's version."""

    conflicts: int
    decisions: int
    propagations: int


def effort(puzzle: Puzzle) -> Effort:
    """Count the solver's work in proving the whole history unique."""
    with Clauses(puzzle.world) as clauses:
        for clue in puzzle.clues:
            clauses.add(clauses.literal(clue))
        if (first := clauses.case()) is not None:
            clauses.add(*(-fact for fact in clauses.facts(first)))
            clauses.case()
        stats = clauses.solver.accum_stats()
        return Effort(stats["conflicts"], stats["decisions"], stats["propagations"])


def entails(puzzle: Puzzle, statement: Statement, inclusive_or: bool = False) -> Entailment:
    """Whether a statement follows from the clues, its denial does, or neither.

    Raises PuzzleError where the clues contradict each other: everything would follow.
    """
    with Clauses(puzzle.world, inclusive_or) as clauses:
        for clue in puzzle.clues:
            clauses.add(clauses.literal(clue))
        literal = clauses.literal(statement)
        can_hold = clauses.solver.solve([literal])
        can_fail = clauses.solver.solve([-literal])
    if not can_hold and not can_fail:
        raise PuzzleError("the clues contradict each other: nothing can be concluded from them")
    return "open" if can_hold and can_fail else "true" if can_hold else "false"
