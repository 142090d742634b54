"""Why a text has the answers that it has: for each letter the line that decided (`grade --why`)."""

from collections.abc import Callable, Iterator, Mapping

from tclue.puzzle.grading.answer_blocks import Decision, decisions
from tclue.puzzle.grading.grade import Graded, published_answers, published_match
from tclue.puzzle.puzzle import Puzzle

_LONGEST = 70  # characters of a line that is shown


def _published(puzzle: Puzzle, text: str) -> dict[str, Decision]:
    """The same for the published evaluation, which takes the last match of its pattern."""
    found = {}
    for letter, option in published_answers(puzzle, text).items():
        if match := published_match(letter, text):
            line = text.count("\n", 0, match.start()) + 1
            reason = f"line {line} has the last match" + ("" if option else ", which is no option")
            found[letter] = Decision(option, line, match[0], reason)
        else:
            reason = f'nothing matches "{letter}. " with letters after it'
            found[letter] = Decision(None, None, "", reason)
    return found


# name of a grader -> its reasons
WHY: Mapping[str, Callable[[Puzzle, str], dict[str, Decision]]] = {
    "sound": decisions,
    "published": _published,
}


def lines(response: Graded, grader: str) -> Iterator[str]:
    """The reasons for the grade of a scored response, for a person; a line may be too long."""
    if not (grade := response.grade):
        return
    yield f"{response.puzzle.id} ({response.where}): accuracy {grade.accuracy:.3f}"
    for letter, found in WHY[grader](response.puzzle, response.text).items():
        wrong = "" if found.option is None or letter in grade.right else " (wrong)"
        yield f"  {letter}: {found.option or 'no answer'}{wrong}, {found.reason}"
        if found.words:
            cut = len(found.words) > _LONGEST
            yield f"     {found.words[: _LONGEST - 1] + '…' if cut else found.words}"
