"""Generation: draw a case, draw many candidate clues, remove them until the set is minimal.

Candidates are tried in order, plain facts first, so that the clues that stay need reasoning. A clue
is dropped exactly when the rest still leave one history. That is a question of truth, so the same
seed gives the same puzzle whatever the solver, its version or its search. Most tries need no
solver: a clue that is not in the last unsatisfiable core can go.

    tclue generate -n 64 --seed 1 --difficulty published-mix -o puzzles.jsonl
"""

from __future__ import annotations

from dataclasses import dataclass

from tclue.errors import UserError
from tclue.puzzle import prompt
from tclue.puzzle.candidates import Candidates
from tclue.puzzle.draw import GenerationSettings, Rng, draw_case, draw_world, settings
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import (
    BODDY,
    MURDER_WEAPON,
    MURDERER,
    At,
    Carried,
    Case,
    KilledWith,
    Motivated,
    Moved,
    MurderedAt,
    MurderedBy,
    MurderedIn,
    Ref,
    Statement,
)
from tclue.puzzle.wording import MAIN_QUESTIONS, Question
from tclue.puzzle.world import World

# Raised by every change after which a seed gives other bytes.
VERSION = 1

# Drawn statements for every hundred plain facts: more makes harder puzzles, more slowly.
POOL_PER_HUNDRED_FACTS = 200


def generate(seed: int, difficulty: str = "published-mix", **changes: object) -> Puzzle:
    """Make the puzzle of a seed: one history fits its clues, and none of them can be dropped.

    `changes` are fields of `GenerationSettings` that differ from the named difficulty's. The same
    seed, difficulty and changes give the same bytes on any machine. Raises UserError for an unknown
    difficulty, or a seed or setting out of range.
    """
    return make(seed, difficulty, settings(difficulty, **changes)).puzzle


@dataclass(frozen=True)
class Made:
    """A puzzle and the case that it is about, which only the generator knows."""

    puzzle: Puzzle
    case: Case


def make(seed: int, difficulty: str, chosen: GenerationSettings) -> Made:
    """`generate`, with the case that the puzzle is about."""
    if seed < 0:
        # Python's generator takes -1 for 1.
        raise UserError(f"seed is {seed}: expected 0 or more")
    rng = Rng(seed)
    world, motives = draw_world(rng, chosen)
    case = draw_case(rng, chosen, world, motives)
    candidates = Candidates(rng, world, case)
    plain_facts = candidates.plain_facts()
    # Enough to choose from, in proportion to what there is to find out.
    pool = candidates.pool(POOL_PER_HUNDRED_FACTS * len(plain_facts) // 100 + 20)
    clues = minimise(world, case, list(dict.fromkeys([*plain_facts, *pool])))
    rng.shuffle(clues)
    asked = choose_questions(rng, world, clues, chosen.max_questions)
    questions = dict(zip(prompt.LETTERS, asked, strict=False))
    puzzle = Puzzle(
        prompt=prompt.write(world, tuple(clues), questions),
        solution={letter: q.answer(case, world) for letter, q in questions.items()},
        id=f"{difficulty}-{seed}",
        seed=seed,
        difficulty=difficulty,
    )
    return Made(puzzle, case)


def minimise(world: World, case: Case, candidates: list[Statement]) -> list[Statement]:
    """Remove candidates in their order until none can go without letting in another history.

    The candidates must determine the case together.
    """
    from tclue.puzzle.clauses import Clauses

    with Clauses(world) as clauses:
        # Some fact differs from what happened: satisfiable exactly while another history fits.
        clauses.add(*(-fact for fact in clauses.facts(case)))
        remaining = {clauses.literal(statement): statement for statement in candidates}
        core = clauses.core(list(remaining))
        if core is None:
            raise AssertionError("the plain facts leave another history open")
        for literal in list(remaining):
            if literal in core:
                rest = clauses.core([other for other in remaining if other != literal])
                if rest is None:
                    continue
                core = rest
            del remaining[literal]
        return list(remaining.values())


def choose_questions(rng: Rng, world: World, clues: list[Statement], most: int) -> list[Question]:
    """Choose the questions: of the main five those that no clue gives away, then others.

    The others are about positions and motives that no clue states.
    """
    given = {question for clue in clues for question in _given(clue, world)}
    asked = [
        question
        for topic in MAIN_QUESTIONS.values()
        if (question := Question(topic)) not in given and question.options(world)
    ]
    suspects = [Ref("suspect", s) for s in range(len(world.suspects))]
    weapons = [Ref("weapon", w) for w in range(len(world.weapons))]
    single = [Ref("motive", m) for m, count in enumerate(world.motive_counts) if count == 1]
    kinds = [
        [Question("position", who, t) for who in suspects for t in range(world.num_times)],
        [Question("position", who, t) for who in weapons for t in range(world.num_times)],
        [Question("position", who, t) for who in single for t in range(world.num_times)],
        [Question("motive of", who) for who in suspects] if world.motives else [],
        [Question("holder of", who) for who in single],
    ]
    for questions in kinds:
        rng.shuffle(questions)
    # Drawn in the published proportions; a kind that has run out is not drawn again.
    shares = [7, 7, 4, 1, 1]
    while len(asked) < most and any(kinds):
        weights = [share if kind else 0 for share, kind in zip(shares, kinds, strict=True)]
        question = kinds[rng.weighted(weights)].pop()
        if question not in given:
            asked.append(question)
    return asked[:most]


def _given(clue: Statement, world: World) -> list[Question]:
    """The questions that a clue answers outright."""
    match clue:
        case KilledWith():
            return [Question("weapon")]
        case MurderedIn():
            return [Question("room")]
        case MurderedAt():
            return [Question("time")]
        case MurderedBy(who):
            return [Question("motive" if who.kind == "motive" else "murderer")]
        case Motivated(who, motive):
            return [Question("motive of", who), Question("holder of", Ref("motive", motive))]
        case At(who, _, time):
            # With one moment, where the murder's people and things were is where it happened.
            scene = not world.times and who in (BODDY, MURDERER, MURDER_WEAPON)
            return [Question("position", who, time), *([Question("room")] if scene else [])]
        case Moved(who, _, _, time):
            return [Question("position", who, time - 1), Question("position", who, time)]
        case Carried(who, weapon, _, _, time):
            return [Question("position", ref, t) for ref in (who, weapon) for t in (time - 1, time)]
        case _:
            return []
