"""Generation: draw a case, draw many candidate clues, and remove clues until the set is minimal.

The plain facts are tried for removal first, so that the clues that remain need reasoning. A clue is
removed exactly if the others still leave only one history. This depends only on what is true, so a
seed gives the same puzzle with any solver, version or search. Most removals need no solver: a clue
that is not in the last unsatisfiable core can be removed at once.

    tclue generate -n 64 --seed 1 --difficulty published-mix -o puzzles.jsonl
"""

from dataclasses import dataclass

from tclue.errors import UserError
from tclue.puzzle import prompt
from tclue.puzzle import statements as st
from tclue.puzzle.candidates import Candidates
from tclue.puzzle.draw import GenerationSettings, Rng, draw_case, draw_world, settings
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import MURDERER, Case, Ref, Statement
from tclue.puzzle.wording import MAIN_QUESTIONS, Question
from tclue.puzzle.world import World

# Increase this with every change after which a seed gives other bytes.
VERSION = 1

# Statements drawn per hundred plain facts. A larger number gives harder puzzles and takes longer.
POOL_PER_HUNDRED_FACTS = 200


def generate(seed: int, difficulty: str = "published-mix", **changes: object) -> Puzzle:
    """Generate the puzzle of a seed: one history fits its clues, and every clue is needed.

    `changes` are fields of `GenerationSettings` that differ from those of the named difficulty. The
    same seed, difficulty and changes give the same bytes on every machine. Raises UserError if the
    difficulty is unknown, or the seed or a setting is out of range.
    """
    return make(seed, difficulty, settings(difficulty, **changes)).puzzle


@dataclass(frozen=True)
class Made:
    """A puzzle and its case, which is known only to the generator."""

    puzzle: Puzzle
    case: Case


def make(seed: int, difficulty: str, chosen: GenerationSettings) -> Made:
    """Generate a puzzle, and return its case too. See `generate`."""
    if seed < 0:  # for Python's generator, seed -1 is the same as 1
        raise UserError(f"seed is {seed}: expected 0 or more")
    rng = Rng(seed)
    world, motives = draw_world(rng, chosen)
    case = draw_case(rng, chosen, world, motives)
    candidates = Candidates(rng, world, case)
    plain_facts = candidates.plain_facts()
    # The size of the pool is in proportion to the number of unknown facts.
    pool = candidates.pool(POOL_PER_HUNDRED_FACTS * len(plain_facts) // 100 + 20)
    clues = minimise(world, case, list(dict.fromkeys([*plain_facts, *pool])))
    rng.shuffle(clues)
    asked = choose_questions(rng, world, case, clues, chosen.max_questions)
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
    """Remove candidates in their order until the removal of any would allow another history.

    The candidates together must determine the case.
    """
    from tclue.puzzle.sat import Clauses

    with Clauses(world) as clauses:
        # "Some fact differs from this case" is satisfiable exactly if another history fits.
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


def choose_questions(
    rng: Rng, world: World, case: Case, clues: list[Statement], most: int
) -> list[Question]:
    """Choose at most `most` questions: the main ones first, then positions and motives.

    A question whose answer a clue states is left out.
    """
    given = {fact for clue in clues for fact in _stated(clue, world)}

    def is_open(question: Question) -> bool:
        return question.true_fact(case, world) not in given

    main = [Question(topic) for topic in MAIN_QUESTIONS.values()]
    asked = [question for question in main if question.options(world) and is_open(question)]
    suspects = [Ref("suspect", s) for s in range(len(world.suspects))]
    weapons = [Ref("weapon", w) for w in range(len(world.weapons))]
    single = [Ref("motive", m) for m, count in enumerate(world.motive_counts) if count == 1]
    times = range(world.num_times)
    # Kinds of questions are drawn in the published proportions until they are used up.
    kinds = [
        (7, [Question("position", who, t) for who in suspects for t in times]),
        (7, [Question("position", who, t) for who in weapons for t in times]),
        (4, [Question("position", who, t) for who in single for t in times]),
        (1, [Question("motive of", who) for who in suspects] if world.motives else []),
        (1, [Question("holder of", who) for who in single]),
    ]
    for _, questions in kinds:
        rng.shuffle(questions)
    while len(asked) < most and any(questions for _, questions in kinds):
        weights = [share if questions else 0 for share, questions in kinds]
        question = kinds[rng.weighted(weights)][1].pop()
        if is_open(question):
            asked.append(question)
    return asked[:most]


def _stated(clue: Statement, world: World) -> list[Statement]:
    """The facts that a clue states, in the forms that `Question.fact` gives them."""
    match clue:
        case st.MurderedBy(Ref("motive", motive)):
            return [st.Motivated(MURDERER, motive)]
        case st.At(Ref("boddy" | "murderer" | "murder weapon"), room) if not world.times:
            # If there is only one time, the place of the murderer is the place of the murder.
            return [st.MurderedIn(room)]
        case st.Moved(who, start, end, time):
            return [st.At(who, start, time - 1), st.At(who, end, time)]
        case st.Carried(who, weapon, start, end, time):
            moves = st.Moved(who, start, end, time), st.Moved(weapon, start, end, time)
            return [fact for move in moves for fact in _stated(move, world)]
        case _:
            return [clue]
