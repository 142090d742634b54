"""The published method of generating a puzzle, as a baseline for `generate.py`.

It follows the published description: add random true clues until only one solution fits, then
remove each clue that is not needed. Each test makes a new CP-SAT model and enumerates its
solutions. Here it uses the constraints of `tclue.puzzle.cpsat` and stops at the second solution, so
it is probably faster than the published program.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time
from types import SimpleNamespace
from typing import cast

from tclue.puzzle import cpsat
from tclue.puzzle.candidates import Candidates
from tclue.puzzle.draw import GenerationSettings, Rng, draw_case, draw_world
from tclue.puzzle.generate import POOL_PER_HUNDRED_FACTS
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import Statement
from tclue.puzzle.world import World


def solutions(world: World, clues: Sequence[Statement]) -> int:
    """The number of solutions that fit clues, at most 2, by enumeration in a new model."""
    from ortools.sat.python import cp_model

    # The model needs only these two parts of a puzzle. Writing and reading a prompt is not
    # measured.
    puzzle = cast(Puzzle, SimpleNamespace(world=world, clues=tuple(clues)))
    model = cpsat._Model(puzzle, False)

    class CaseCollector(cp_model.CpSolverSolutionCallback):
        def __init__(self) -> None:
            super().__init__()
            self.cases: set[tuple[int, ...]] = set()

        def on_solution_callback(self) -> None:
            self.cases.add(tuple(self.value(number) for number in model.unknowns))
            if len(self.cases) > 1:
                self.stop_search()

    collector = CaseCollector()
    solver = cp_model.CpSolver()
    solver.parameters.enumerate_all_solutions = True
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.solve(model.cp, collector)
    return len(collector.cases)


def make(seed: int, chosen: GenerationSettings, limit_s: float) -> tuple[float, bool]:
    """CPU seconds to generate the puzzle of a seed as published, and whether that was completed."""
    start = process_time()
    rng = Rng(seed)
    world, motives = draw_world(rng, chosen)
    case = draw_case(rng, chosen, world, motives)
    candidates = Candidates(rng, world, case)
    facts = candidates.plain_facts()
    pool = list(
        dict.fromkeys([*facts, *candidates.pool(POOL_PER_HUNDRED_FACTS * len(facts) // 100 + 20)])
    )
    rng.shuffle(pool)

    def spent_s() -> float:
        return process_time() - start

    clues: list[Statement] = []
    for candidate in pool:
        clues.append(candidate)
        if spent_s() > limit_s:
            return spent_s(), False
        if solutions(world, clues) == 1:
            break
    for clue in list(clues):
        rest = [other for other in clues if other != clue]
        if spent_s() > limit_s:
            return spent_s(), False
        if solutions(world, rest) == 1:
            clues = rest
    return spent_s(), True
