"""What each form of statement means, in one hand-made evening."""

from __future__ import annotations

import pytest
from worlds import FULL

from tclue.puzzle.statements import (
    BODDY,
    MURDER_WEAPON,
    MURDERER,
    At,
    Beside,
    Carried,
    Case,
    Either,
    Iff,
    KilledWith,
    Motivated,
    Moved,
    MurderedAt,
    MurderedBy,
    MurderedIn,
    Ref,
    Same,
    Statement,
    Together,
    holds,
)

SCARLET, GREEN, WINTER = (Ref("suspect", s) for s in range(3))
ROPE, KNIFE = Ref("weapon", 0), Ref("weapon", 1)
GREEDY, FEARFUL = Ref("motive", 0), Ref("motive", 1)
HALL, FOUNTAIN, STUDY = range(3)

# FULL's plan: the Hall, the Fountain east of it, the Study south of the Fountain. Miss Scarlet and
# Mr. Green are greedy. She takes the Rope from the Hall to the Fountain and kills there.
CASE = Case(
    suspect_rooms=((HALL, FOUNTAIN), (STUDY, STUDY), (HALL, HALL)),
    weapon_rooms=((HALL, FOUNTAIN), (STUDY, STUDY)),
    boddy_rooms=(FOUNTAIN, FOUNTAIN),
    motives=(0, 0, 1),
    murderer=0,
    weapon=0,
    time=1,
)

TRUE: list[Statement] = [
    At(SCARLET, HALL, 0),
    At(MURDERER, FOUNTAIN, 1),
    At(MURDER_WEAPON, HALL, 0),
    At(GREEDY, STUDY, 0),
    At(GREEDY, HALL, 0),
    Same(SCARLET, WINTER, 0),
    Same(BODDY, ROPE, 1),
    Same(GREEDY, FEARFUL, 0),
    Together(SCARLET, ROPE, HALL),
    Together(MURDERER, BODDY, FOUNTAIN),
    Beside(BODDY, "east", SCARLET, 0),
    Beside(SCARLET, "west", BODDY, 0),
    Beside(BODDY, "north", GREEN, 0),
    Beside(GREEN, "south", BODDY, 1),
    Moved(SCARLET, HALL, FOUNTAIN, 1),
    Moved(GREEDY, HALL, FOUNTAIN, 1),
    Carried(MURDERER, ROPE, HALL, FOUNTAIN, 1),
    Motivated(WINTER, 1),
    Motivated(MURDERER, 0),
    MurderedBy(SCARLET),
    MurderedBy(GREEDY),
    KilledWith(0),
    MurderedIn(FOUNTAIN),
    MurderedAt(1),
    Either(At(SCARLET, HALL, 0), At(GREEN, HALL, 0)),
    Iff(At(SCARLET, HALL, 0), At(WINTER, HALL, 1)),
    Iff(At(SCARLET, STUDY, 0), At(WINTER, STUDY, 1)),
]
FALSE: list[Statement] = [
    At(SCARLET, HALL, 1),
    At(FEARFUL, STUDY, 0),
    Same(SCARLET, GREEN, 0),
    # Each was at the Fountain or in the Hall, but Miss Scarlet had left the Hall's company by then.
    Together(SCARLET, WINTER, FOUNTAIN),
    Together(GREEN, BODDY, STUDY),
    Beside(BODDY, "west", SCARLET, 0),
    # Nothing lies north of the Hall.
    Beside(SCARLET, "north", WINTER, 0),
    Moved(SCARLET, FOUNTAIN, HALL, 1),
    # One greedy suspect was in the Study, another at the Fountain after: nobody made that move.
    Moved(GREEDY, STUDY, FOUNTAIN, 1),
    Carried(SCARLET, KNIFE, HALL, FOUNTAIN, 1),
    Carried(WINTER, ROPE, HALL, FOUNTAIN, 1),
    Motivated(WINTER, 0),
    MurderedBy(GREEN),
    MurderedBy(FEARFUL),
    KilledWith(1),
    MurderedIn(HALL),
    MurderedAt(0),
    Either(At(SCARLET, STUDY, 0), At(GREEN, HALL, 0)),
    Either(At(SCARLET, HALL, 0), At(GREEN, STUDY, 0)),
    Iff(At(SCARLET, HALL, 0), At(GREEN, HALL, 0)),
]


@pytest.mark.parametrize("statement", TRUE)
def test_what_is_so_is_true(statement: Statement) -> None:
    assert holds(statement, CASE, FULL)


@pytest.mark.parametrize("statement", FALSE)
def test_what_is_not_so_is_false(statement: Statement) -> None:
    assert not holds(statement, CASE, FULL)


def test_the_tables_hold_every_form() -> None:
    assert (
        {type(each) for each in TRUE}
        == {type(each) for each in FALSE}
        == set(Statement.__subclasses__())
    )


def test_or_can_be_read_as_inclusive() -> None:
    both = Either(At(SCARLET, HALL, 0), At(GREEN, STUDY, 0))
    neither = Either(At(SCARLET, STUDY, 0), At(GREEN, HALL, 0))
    assert not holds(both, CASE, FULL)
    assert holds(both, CASE, FULL, inclusive_or=True)
    assert not holds(neither, CASE, FULL, inclusive_or=True)
