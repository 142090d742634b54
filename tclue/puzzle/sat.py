"""The first proof of a puzzle, by a SAT solver: how many solutions fit its rules and clues.

    from tclue.puzzle.sat import entails, prove
    prove(puzzle).verdict             # "unique", "none" or "several" sets of answers
    prove(puzzle, "history")          # the same for complete histories
    entails(puzzle, statement)        # "true", "false" or "open"

`clauses` encodes the rules and the statements. `cpsat` proves the same by another model.
"""

from dataclasses import dataclass

from tclue.puzzle.clauses import Clauses
from tclue.puzzle.puzzle import Entailment, Proof, Puzzle, Scope
from tclue.puzzle.statements import Statement
from tclue.puzzle.world import PuzzleError


def prove(puzzle: Puzzle, scope: Scope = "answers", inclusive_or: bool = False) -> Proof:
    """Whether no solution, one, or several fit a puzzle's clues.

    `inclusive_or` reads "or" as "one or both".
    """
    with Clauses(puzzle.world, inclusive_or, puzzle.clues) as clauses:
        first = clauses.case()
        if first is None:
            return Proof(scope, ())
        if scope == "history":
            same = clauses.facts(first)
        else:
            questions = puzzle.questions.values()
            same = [clauses.literal(q.true_fact(first, puzzle.world)) for q in questions]
        clauses.add(*(-literal for literal in same))
        second = clauses.case()
        return Proof(scope, (first,) if second is None else (first, second))


@dataclass(frozen=True)
class Effort:
    """The solver's work to prove a history unique. It depends on the solver's version."""

    conflicts: int
    decisions: int
    propagations: int


def effort(puzzle: Puzzle) -> Effort:
    """Count the solver's work to prove that only one complete history fits the clues."""
    with Clauses(puzzle.world, clues=puzzle.clues) as clauses:
        if (first := clauses.case()) is not None:
            clauses.add(*(-fact for fact in clauses.facts(first)))
            clauses.case()
        stats = clauses.solver.accum_stats()
        return Effort(stats["conflicts"], stats["decisions"], stats["propagations"])


def entails(puzzle: Puzzle, statement: Statement, inclusive_or: bool = False) -> Entailment:
    """Whether the clues make a statement true, make it false, or leave it open.

    Raises PuzzleError if the clues contradict each other, because then anything follows from them.
    """
    with Clauses(puzzle.world, inclusive_or, puzzle.clues) as clauses:
        literal = clauses.literal(statement)
        can_hold = clauses.solver.solve([literal])
        can_fail = clauses.solver.solve([-literal])
    if not can_hold and not can_fail:
        raise PuzzleError("the clues contradict each other: no conclusion can be drawn from them")
    return "open" if can_hold and can_fail else "true" if can_hold else "false"
