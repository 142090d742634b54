"""Properties of the `sound` grader: it scores what is meant, and nobody gains by meaning less."""

from __future__ import annotations

import json

import pytest
from grading import GOLD, KINDS, PUZZLE, QUESTION_TEXTS, SOLUTION
from hypothesis import given, settings
from hypothesis import strategies as st

from tclue.puzzle.grading.grade import grader

SOUND = grader("sound")
LETTERS = list(PUZZLE.questions)
OPTIONS = PUZZLE.options
CHECKED = settings(max_examples=80, deadline=None)

Draw = st.DrawFn


def assignments(complete: bool = False) -> st.SearchStrategy[dict[str, str]]:
    """Answers to all of the letters, or to some of them."""
    answers = {letter: st.sampled_from(OPTIONS[letter]) for letter in LETTERS}
    if complete:
        return st.fixed_dictionaries(answers)
    return st.fixed_dictionaries({}, optional=answers).filter(bool)


def score(answers: dict[str, str]) -> float:
    return sum(answers.get(letter) == answer for letter, answer in SOLUTION.items()) / len(SOLUTION)


# Composing a response around an assignment

MARKERS = ["{}. ", "{}) ", "({}) ", "{}: ", "{} - ", "{} — ", "{}.\u00a0", "{} → ", "[{}] "]
EMPHASES = ["{m}{x}", "**{m}**{x}", "{m}**{x}**", "**{m}{x}**", "__{m}__ *{x}*", "`{m}{x}`"]
INDENTS = ["", "- ", "* ", "• ", "> ", "### ", "1. ", "   "]
# Made up of neither letters nor other options, so that they leave any answer standing.
REMARKS = ["", ".", "!", " (see clue 3)", " - because nobody else was there", "; clue 7 proves it"]


@st.composite
def spellings(draw: Draw, letter: str, option: str) -> str:
    """An option as a model may spell it."""
    if KINDS[letter] == "TIME":
        clock, half = option.split(" ")
        clock = draw(st.sampled_from([clock, clock.removeprefix("0")]))
        halves = [f" {half}", f" {half.lower()}", half, f" {half[0]}.{half[1]}.", f"\u202f{half}"]
        return draw(st.sampled_from(["", "at "])) + clock + draw(st.sampled_from(halves))
    articles = {"WEAPON": ["", "the ", "The "], "ROOM": ["", "the ", "in the ", "At the "]}
    article = draw(st.sampled_from(articles.get(KINDS[letter], [""])))
    option = draw(st.sampled_from([option, option.upper(), option.lower()]))
    return (article + option).replace(" ", draw(st.sampled_from([" ", "\u00a0", "  "])))


@st.composite
def answer_lines(draw: Draw, answers: dict[str, str]) -> str:
    """One line, or two, for each answer."""
    marker, emphasis = draw(st.sampled_from(MARKERS)), draw(st.sampled_from(EMPHASES))
    indent, gap = draw(st.sampled_from(INDENTS)), draw(st.sampled_from(["\n", "\n\n", "  \n"]))
    label = draw(st.sampled_from(["", "kind", "question", "question above"]))
    lines = []
    for letter, option in answers.items():
        answer_text = draw(spellings(letter, option))
        if label == "kind":
            answer_text = f"{KINDS[letter]}: {answer_text}"
        elif label == "question":
            answer_text = f"{QUESTION_TEXTS[letter]} {answer_text}"
        elif label == "question above":
            lines.append(f"**{letter}. {QUESTION_TEXTS[letter]}**\n{answer_text}")
            continue
        line = emphasis.format(m=marker.format(letter), x=answer_text)
        lines.append(indent + line + draw(st.sampled_from(REMARKS)))
    return gap.join(lines)


@st.composite
def blocks(draw: Draw, answers: dict[str, str]) -> str:
    """A block of answers, in one of the styles that models write."""
    style = draw(st.sampled_from(["lines", "lines", "lines", "table", "json", "box", "row", "tag"]))
    answer_texts = {letter: draw(spellings(letter, option)) for letter, option in answers.items()}
    match style:
        case "table":
            reason = draw(st.sampled_from(["", " see clue 3 |"]))
            rows = [f"| {letter} | **{words}** |{reason}" for letter, words in answer_texts.items()]
            return "\n".join(["| Letter | Answer |", "|---|---|", *rows])
        case "json":
            indent = draw(st.sampled_from([None, 2]))
            text = json.dumps(answer_texts, ensure_ascii=False, indent=indent)
            return f"```json\n{text}\n```" if draw(st.booleans()) else text
        case "box":
            rows = [rf"\text{{{letter}. {words}}}" for letter, words in answer_texts.items()]
            return r"\[ \boxed{" + " \\\\\n".join(rows) + r"} \]"
        case "row":
            # Only consecutive letters may share a line.
            joint = draw(st.sampled_from([", ", "; ", " | "]))
            text = ""
            for letter, words in sorted(answer_texts.items()):
                before = chr(ord(letter) - 1) in answer_texts
                text += f"{(joint if before else chr(10)) if text else ''}{letter}. {words}"
            return text
        case "tag":
            return f"<answer>\n{draw(answer_lines(answers))}\n</answer>"
        case _:
            return draw(answer_lines(answers))


@st.composite
def preambles(draw: Draw) -> str:
    """Reasoning before the answers, of which nothing may count."""
    draft = draw(answer_lines(draw(assignments())))
    return draw(
        st.sampled_from(
            [
                "",
                "Here are my answers.\n\n",
                "The murderer was in the Hall at 11:30 PM.\nA. The clues say that it was dark.\n",
                f"<think>\nFirst guess:\n{draft}\n\nNo, that fails.\n</think>\n\n",
                f"Perhaps:\n{draft}\n</think>\n",
                f"<reasoning>{draft}</reasoning>",
                f"First guess:\n\n{draft}\n\nThat contradicts clue 4.\n\n**Final answer:**\n\n",
            ]
        )
    )


SIGN_OFFS = ["", "\n", "\n\nAll clues hold.", "\n\nBest of luck!", "<|im_end|>", "\n<think>"]


@pytest.mark.slow
@CHECKED
@given(st.data())
def test_any_surface_form_scores_exactly_its_answers(data: st.DataObject) -> None:
    answers = data.draw(assignments())
    text = (
        data.draw(preambles()) + data.draw(blocks(answers)) + data.draw(st.sampled_from(SIGN_OFFS))
    )
    grade = SOUND.grade(PUZZLE, text)
    assert grade.answers == {letter: answers.get(letter) for letter in LETTERS}
    assert grade.accuracy == score(answers)
    assert grade.solved == (answers == SOLUTION)


# Cheating

JOINTS = [" or ", " and ", " / ", "/", ", ", "; ", " & ", ", or ", " and/or ", " | ", " - ", " -> "]
TWO_OR_MORE = ["{joined}", "either {joined}", "one of {joined}", "{first} ({second})", "[{joined}]",
    "{first} (or {second})", "{first}. Alternatively: {second}", "{first}, maybe {second}",
    "{first} (50%), {second} (50%)", "{first} -- no, {second}", "{first}, could also be {second}",
    "{first}\n{second}", "{first}\nor {second}", "\n- {first}\n- {second}"]  # fmt: skip
NONE = ["not {first}", "neither {joined}", "anything but {first}", "{first}?",
    "{first} (no)", "{first}: ruled out", "maybe {first}", "~~{first}~~", "{first} is impossible",
    "no {first}"]  # fmt: skip


@st.composite
def evasions(draw: Draw, letter: str) -> str:
    """Words that name options of a letter and commit to none."""
    chosen = draw(st.permutations(OPTIONS[letter]).map(list))
    if draw(st.booleans()):  # the right answer first: where it is most likely to be credited
        chosen.sort(key=lambda option: option != SOLUTION[letter])
    chosen = chosen[: draw(st.integers(2, len(chosen)))]
    spelled = [draw(spellings(letter, option)) for option in chosen]
    form = draw(st.sampled_from(TWO_OR_MORE + NONE))
    joined = draw(st.sampled_from(JOINTS)).join(spelled)
    return form.format(joined=joined, first=spelled[0], second=spelled[1])


@st.composite
def evasive_lines(draw: Draw, letter: str) -> str:
    """Lines about a letter that commit to none of its options."""
    marker, emphasis = draw(st.sampled_from(MARKERS)), draw(st.sampled_from(EMPHASES))
    indent = draw(st.sampled_from(INDENTS))
    if draw(st.booleans()):
        evasion = draw(evasions(letter))
        return indent + emphasis.format(m=marker.format(letter), x=evasion)
    chosen = draw(st.lists(st.sampled_from(OPTIONS[letter]), min_size=2, max_size=3, unique=True))
    between = draw(st.sampled_from(["\n", "\n\n", "\nor\n", "\nAlternatively:\n", "\nOption 2:\n"]))
    spelled = [draw(spellings(letter, option)) for option in chosen]
    return between.join(
        indent + emphasis.format(m=marker.format(letter), x=words) for words in spelled
    )


@pytest.mark.slow
@CHECKED
@given(st.data())
def test_a_letter_that_commits_to_nothing_scores_nothing(data: st.DataObject) -> None:
    letter = data.draw(st.sampled_from(LETTERS))
    lines = [
        data.draw(evasive_lines(letter)) if other == letter else f"{other}. {answer}"
        for other, answer in SOLUTION.items()
    ]
    text = data.draw(preambles()) + "\n".join(lines) + data.draw(st.sampled_from(SIGN_OFFS))
    assert SOUND.grade(PUZZLE, text).answers == {**SOLUTION, letter: None}


@pytest.mark.slow
@CHECKED
@given(st.data())
def test_a_text_that_commits_to_nothing_scores_nothing(data: st.DataObject) -> None:
    lines = [data.draw(evasive_lines(letter)) for letter in LETTERS]
    text = data.draw(preambles()) + "\n".join(lines) + data.draw(st.sampled_from(SIGN_OFFS))
    grade = SOUND.grade(PUZZLE, text)
    assert not grade.answered, grade.answers
    assert grade.accuracy == 0


@pytest.mark.slow
@CHECKED
@given(st.data())
def test_several_blocks_score_as_the_last_one_alone(data: st.DataObject) -> None:
    """Words between them make blocks of them, and full ones owe nothing to those before."""
    guesses = data.draw(st.lists(assignments(complete=True), min_size=1, max_size=4))
    texts = [data.draw(blocks(guess)) for guess in guesses]
    between = data.draw(st.sampled_from(["\nWait.\n", "\n\nLet me check that.\n\n"]))
    assert SOUND.grade(PUZZLE, between.join(texts)) == SOUND.grade(PUZZLE, texts[-1])
    assert SOUND.grade(PUZZLE, texts[-1]).accuracy == score(guesses[-1])


@CHECKED
@given(st.data())
def test_thoughts_score_nothing(data: st.DataObject) -> None:
    tag = data.draw(st.sampled_from(["<think>", "<thinking>", "<reasoning>", "[THINK]", "◁think▷"]))
    block = data.draw(blocks(data.draw(assignments())))
    before = data.draw(st.sampled_from(["", "Hm. ", "<think>a</think>\n"]))
    assert not SOUND.grade(PUZZLE, before + tag + block).answered
    assert not SOUND.grade(PUZZLE, f"{before}{tag}{block}</think>\nI give up.").answered
    assert not SOUND.grade(PUZZLE, f"{block}\n</think>\n").answered


# Any text at all

PIECES = [
    *(f"{letter}{sign}" for letter in "ABH" for sign in (". ", ") ", ":", " | ", "\n")),
    *("Miss Scarlet", "Mr. Green", "Green", "Rope", "Lead Pipe", "Sgt. Gray", "power", "Hall"),
    *("\n", " ", ", ", " or ", "not ", "|", "**", "(", ")", "{", "}", '"', "\\\\", "\\boxed{"),
    *("<think>", "</think>", "<answer>", "final answer:", "wait", "because ", "was ", "the ", "?"),
]


@CHECKED
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_scraps_never_score_more_than_one_answer_a_letter(text: str) -> None:
    grade = SOUND.grade(PUZZLE, text)
    assert all(answer is None or answer in OPTIONS[key] for key, answer in grade.answers.items())
    # Whatever came before, a full block after a heading is all that counts.
    assert SOUND.grade(PUZZLE, f"{text}\n</think>\n\nFinal answer:\n\n{GOLD}").solved
    # Case and the kind of blank mean nothing.
    assert SOUND.grade(PUZZLE, text.upper().replace(" ", "\u00a0")) == grade


@CHECKED
@given(st.text(max_size=200))
def test_any_text_gets_a_grade(text: str) -> None:
    for name in ("sound", "published"):
        assert 0 <= grader(name).grade(PUZZLE, text).accuracy <= 1
