"""`tclue generate`, `show`, `solve`, `check` and `grade` as a person or a program runs them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import bench, gold, write_puzzles
from commands import call, environment, refused, run
from places import ROOT
from worlds import BARE, ONE_TIME, published_path

from tclue.bench.stats.intervals import mean_interval, rate_interval
from tclue.puzzle import prompt
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, house_line, published_list
from tclue.puzzle.splits import load_set
from tclue.puzzle.statements import At, Either, KilledWith, MurderedBy, Ref
from tclue.puzzle.wording import Question

SCARLET, GREEN = Ref("suspect", 0), Ref("suspect", 1)
EASY = [generate(seed, "easy") for seed in (7, 8, 9)]

# One answer to its question, but more than one history.
LOOSE = Puzzle(prompt.write(BARE, (KilledWith(0),), {"A": Question("weapon")}), {"A": "Rope"})
# The answer is another than the stated one.
WRONG = Puzzle(LOOSE.prompt, {"A": "Knife"}, id="wrong")
# Two answers, and none.
OPEN = Puzzle(prompt.write(BARE, (KilledWith(0),), {"A": Question("murderer")}))
CLASH = Puzzle(
    prompt.write(BARE, (At(SCARLET, 0, 0), At(SCARLET, 1, 0)), {"A": Question("murderer")})
)
# A clue too many: the last follows from the one before it.
NEEDLESS = Puzzle(
    prompt.write(
        ONE_TIME,
        (MurderedBy(SCARLET), At(GREEN, 1, 0), Either(At(GREEN, 1, 0), At(GREEN, 0, 0))),
        {"A": Question("murderer")},
    ),
    {"A": "Miss Scarlet"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with puzzle files."""
    for name, puzzles in {
        "easy": EASY,
        "loose": [LOOSE],
        "wrong": [EASY[0], WRONG],
        "open": [OPEN],
        "clash": [CLASH],
        "needless": [NEEDLESS],
    }.items():
        text = "".join(house_line(puzzle) for puzzle in puzzles)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def json_of(folder: Path, *arguments: str, code: int = 0, stdin: str = "") -> Any:
    """The JSON that a command prints."""
    done = call(folder, *arguments, "--json", stdin=stdin)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


# generate


@pytest.mark.server
def test_generate_prints_what_it_would_write(folder: Path) -> None:
    command = ("generate", "-n", "3", "--seed", "7", "--difficulty", "easy")
    printed = run(folder, *command)
    assert printed.returncode == 0
    assert printed.stdout == (folder / "easy.jsonl").read_text(encoding="utf-8")
    done = run(folder, *command, "--reprove", "--format", "published", "-o", "out.json")
    assert done.returncode == 0
    assert "wrote out.json: 3 puzzles, proved by SAT and by CP-SAT" in done.stderr
    read = read_puzzles(folder / "out.json")
    assert [puzzle.prompt for puzzle in read] == [puzzle.prompt for puzzle in EASY]


def test_generate_takes_every_knob(folder: Path) -> None:
    knobs = {
        "min-players": "2",
        "max-players": "2",
        "suspects": "3",
        "weapons": "2",
        "rooms": "4",
        "times": "2",
        "max-suspects": "9",
        "max-weapons": "7",
        "max-rooms": "9",
        "max-times": "5",
        "move-probability": "0.25",
        "carry-probability": "0.75",
        "unique-motives-probability": "1",
        "max-questions": "4",
    }
    arguments = [part for knob, value in knobs.items() for part in (f"--{knob}", value)]
    done = call(folder, "generate", "-n", "1", "--seed", "4", *arguments)
    assert done.returncode == 0, done.stderr
    changes = {
        knob.replace("-", "_"): float(value) if "prob" in knob else int(value)
        for knob, value in knobs.items()
    }
    assert done.stdout == house_line(generate(4, "published-mix", **changes))
    world = Puzzle.from_dict(json.loads(done.stdout)).world
    assert (len(world.suspects), len(world.weapons), len(world.rooms)) == (3, 2, 4)


# show, solve


def test_show(folder: Path) -> None:
    shown = json_of(folder, "show", "easy.jsonl", "--puzzle", "2")
    measured = shown.pop("measured")
    assert shown == EASY[1].to_dict()
    assert measured["num_clues"] == EASY[1].num_clues
    assert sum(measured["shares"].values()) == pytest.approx(1)
    assert set(measured) == {"num_clues", "shares", "rounds", "steps", "solved", "effort"}
    assert set(measured["effort"]) == {"conflicts", "decisions", "propagations"}
    by_id = json_of(folder, "show", "easy.jsonl", "--puzzle", EASY[1].id)
    assert by_id == {**shown, "measured": measured}
    by_prompt = json_of(folder, "show", stdin=EASY[1].prompt)
    assert by_prompt["prompt"] == EASY[1].prompt
    seen = call(folder, "show", "easy.jsonl", "--solution").stdout
    # In a pipe the prompt is as it is, so that it can be read back.
    assert seen.startswith(f"{EASY[0].prompt}\n")
    asked = EASY[0].to_dict()["questions"]["A"]
    assert f"A. {asked} {EASY[0].solution['A']}" in seen


@pytest.mark.server
def test_solve_from_a_prompt_alone(folder: Path) -> None:
    done = run(folder, "solve", "--json", stdin=EASY[0].prompt)
    assert done.returncode == 0, done.stderr
    proof = json.loads(done.stdout)
    assert (proof["scope"], proof["verdict"]) == ("answers", "unique")
    assert [each["answers"] for each in proof["solutions"]] == [dict(EASY[0].solution)]
    history_proof = json_of(
        folder, "solve", "easy.jsonl", "--puzzle", "1", "--history", "--prover", "cpsat"
    )
    assert (history_proof["scope"], history_proof["verdict"]) == ("history", "unique")
    assert history_proof["solutions"] == proof["solutions"]
    history = history_proof["solutions"][0]["history"]
    assert set(history) == {"rooms", "motives", "murderer", "weapon", "room", "time"}
    world = EASY[0].world
    assert set(history["rooms"]) == {*world.suspects, *world.weapons, "Mr. Boddy"}
    assert all(len(path) == world.num_times for path in history["rooms"].values())
    seen = call(folder, "solve", "easy.jsonl").stdout
    assert all(answer in seen for answer in EASY[0].solution.values())


@pytest.mark.slow
@pytest.mark.server
def test_solve_shows_two_that_differ_or_none(folder: Path) -> None:
    proof = json_of(folder, "solve", "open.jsonl", code=1)
    first, second = (each["answers"] for each in proof["solutions"])
    assert proof["verdict"] == "several"
    assert first != second
    seen = run(folder, "solve", "open.jsonl")
    assert seen.returncode == 1
    assert first["A"] in seen.stdout
    assert second["A"] in seen.stdout
    none = json_of(folder, "solve", "clash.jsonl", "--prover", "sat", code=1)
    assert (none["verdict"], none["solutions"]) == ("none", [])
    assert "contradict each other" in call(folder, "solve", "clash.jsonl").stdout


def test_solve_asks_whether_a_sentence_follows(folder: Path) -> None:
    def follows(sentence: str) -> str:
        answer = json_of(folder, "solve", "loose.jsonl", "--ask", sentence)
        assert answer["statement"] == sentence
        return str(answer["follows"])

    assert follows("Mr. Boddy was killed with the Rope") == "true"
    assert follows("Mr. Boddy was killed with the Knife") == "false"
    assert follows("Miss Scarlet was in the Hall") == "open"


# check


@pytest.mark.server
def test_check_reports_each_claim(folder: Path) -> None:
    report = json_of(folder, "check", "easy.jsonl", "--minimal", "--prover", "both")
    results = report.pop("results")
    assert report == {
        "puzzles": 3,
        "answers_unique": 3,
        "answers_as_stated": 3,
        "history_unique": 3,
        "inclusive_or_unique": None,
        "minimal": 3,
        "controls_hold": 3,
    }
    assert results[0] == {
        "id": "easy-7",
        "answers": "unique",
        "history": "unique",
        "as_stated": True,
        "inclusive_or": None,
        "needless": [],
        "failed_controls": {},
    }
    assert run(folder, "check", "easy.jsonl", "--history").returncode == 0


@pytest.mark.parametrize(
    ("name", "options", "code", "counts"),
    [
        ("loose", [], 0, {"answers_as_stated": 1, "history_unique": 0, "minimal": None}),
        ("loose", ["--history"], 1, {"answers_as_stated": 1, "history_unique": 0}),
        ("wrong", [], 1, {"puzzles": 2, "answers_unique": 2, "answers_as_stated": 1}),
        ("open", [], 1, {"answers_unique": 0, "answers_as_stated": None}),
        ("clash", [], 1, {"answers_unique": 0, "history_unique": 0}),
        ("needless", ["--minimal"], 0, {"answers_as_stated": 1, "minimal": 0}),
    ],
)
def test_check_exits_with_1_where_a_claim_fails(
    name: str, options: list[str], code: int, counts: dict[str, int], folder: Path
) -> None:
    report = json_of(folder, "check", f"{name}.jsonl", *options, code=code)
    assert {key: report[key] for key in counts} == counts
    if name == "needless":
        assert report["results"][0]["needless"] == [3]


def test_check_names_a_control_that_is_graded_wrong(tmp_path: Path) -> None:
    """The answer format of this prompt is an answer: "A. SUSPECT"."""
    world = replace(BARE, suspects=("SUSPECT", "Mr. Green"))
    text = prompt.write(world, (MurderedBy(SCARLET),), {"A": Question("murderer")})
    misleading = Puzzle(text, {"A": "SUSPECT"}, id="misleading")
    lines = house_line(EASY[0]) + house_line(misleading)
    (tmp_path / "puzzles.jsonl").write_text(lines, encoding="utf-8")
    report = json_of(tmp_path, "check", "puzzles.jsonl", code=1)
    assert (report["puzzles"], report["answers_as_stated"], report["controls_hold"]) == (2, 2, 1)
    assert [each["failed_controls"] for each in report["results"]] == [{}, {"prompt": ["A"]}]
    shown = call(tmp_path, "check", "puzzles.jsonl").stdout
    assert shown.startswith("misleading: control graded wrong: prompt, for A\n")
    assert re.search(r"^controls as expected +1 +2$", shown, re.MULTILINE)


@pytest.mark.slow
def test_check_the_published_puzzles(folder: Path) -> None:
    report = json_of(folder, "check", str(published_path()))
    assert report["controls_hold"] == 64
    assert report["puzzles"] == report["answers_as_stated"] == 64
    assert report["inclusive_or_unique"] == 57


# grade


def response(puzzle: Puzzle, key: str = "id") -> str:
    gold = "\n".join(f"{letter}. {answer}" for letter, answer in puzzle.solution.items())
    named = puzzle.id if key == "id" else puzzle.prompt
    return json.dumps({key: named, "response": gold}) + "\n"


@pytest.mark.server
def test_grade_gives_one_line_for_each_response(folder: Path) -> None:
    lines = [
        response(EASY[2]),
        response(EASY[0], "prompt"),
        response(EASY[2]),
        json.dumps({"id": EASY[1].id, "response": "I do not know."}) + "\n",
    ]
    (folder / "responses.jsonl").write_text("".join(lines), encoding="utf-8")
    done = run(folder, "grade", "easy.jsonl", "responses.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    *graded, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [grade["id"] for grade in graded] == [EASY[i].id for i in (2, 0, 2, 1)]
    assert [grade["accuracy"] for grade in graded] == [1, 1, 1, 0]
    assert [grade["solved"] for grade in graded] == [True, True, True, False]
    assert graded[0]["answers"] == dict(EASY[2].solution)
    assert set(graded[0]) == {"id", "accuracy", "solved", "answers"}
    assert set(summary) == {"summary"}
    assert call(folder, "grade", "easy.jsonl", "responses.jsonl").returncode == 0
    strict = call(
        folder, "grade", "easy.jsonl", "responses.jsonl", "--grader", "published", "--json"
    )
    times = sum(answer in EASY[2].world.times for answer in EASY[2].solution.values())
    expected = 1 - times / len(EASY[2].solution)
    assert json.loads(strict.stdout.splitlines()[0])["accuracy"] == pytest.approx(expected)


def test_grade_averages_by_puzzle_and_counts_what_has_no_text(folder: Path) -> None:
    """Two right responses to one puzzle, none to the third, and null to the second."""
    right = response(EASY[0])
    null = json.dumps({"id": EASY[1].id, "response": None})
    (folder / "responses.jsonl").write_text(right + right + null, encoding="utf-8")
    done = call(folder, "grade", "easy.jsonl", "responses.jsonl", "--json")
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    assert summary == {
        # By puzzle the mean is 1/2, by response it would be 2/3.
        "accuracy": vars(mean_interval([1.0, 0.0])),
        "solved": vars(rate_interval([1.0, 0.0])),
        "puzzles": 2,
        "puzzles_without_response": 1,
        "responses": 3,
        "responses_without_text": 1,
        "failed": 0,
        "unread": None,
    }
    shown = call(folder, "grade", "easy.jsonl", "responses.jsonl").stdout
    assert "3 responses to 2 puzzles, grader sound: accuracy 0.500 [0.000, 1.000]" in shown
    assert "1 response without a text, scored 0" in shown
    assert "1 puzzle without a response, not scored" in shown
    assert "failed" not in shown


def test_grade_reads_the_responses_of_a_run_as_the_run_counts_them(tmp_path: Path) -> None:
    """The first attempt that did not fail counts, and failed requests are not scored."""
    file, puzzles = write_puzzles(tmp_path, 3)
    summary = bench("random", file, tmp_path / "results", samples=2)
    (path,) = (tmp_path / "results").glob("*/responses.jsonl")
    first, *others = path.read_text(encoding="utf-8").splitlines(keepends=True)
    failed = json.dumps({**json.loads(first), "outcome": "failed", "grade": None, "text": ""})
    later = json.dumps({**json.loads(first), "text": gold(puzzles)(puzzles[0].prompt)})
    lost = json.dumps({**json.loads(failed), "sample": 2})
    text = "\n".join([failed, first, *others, later, lost])
    path.write_text(text, encoding="utf-8")
    done = call(tmp_path, "grade", file.name, str(path), "--json")
    found = json.loads(done.stdout.splitlines()[-1])["summary"]
    assert summary.accuracy
    assert summary.solved
    assert found["accuracy"] == asdict(summary.accuracy)
    assert found["solved"] == asdict(summary.solved)
    assert (found["puzzles"], found["responses"], found["failed"]) == (3, 6, 1)


def test_grade_says_how_the_texts_look_that_nobody_could_read(folder: Path) -> None:
    suspects = EASY[0].world.suspects
    texts = [
        f"A: {suspects[0]} or {suspects[1]}?",
        f"A: {suspects[1]} or {suspects[0]}?",
        "No.",
        "",
    ]
    lines = [json.dumps({"id": EASY[0].id, "response": text}) + "\n" for text in texts]
    (folder / "r.jsonl").write_text("".join(lines) + response(EASY[1]), encoding="utf-8")
    done = call(folder, "grade", "easy.jsonl", "r.jsonl", "--json")
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    expected = {"responses": 3, "scored": 5, "shape": "X: SUSPECT or SUSPECT?", "alike": 2}
    assert (summary["unread"], summary["responses_without_text"]) == (expected, 1)
    assert (
        "no answer was read in the text of 3 of 5 responses (60.0%), 2 of them of this shape: "
        "X: SUSPECT or SUSPECT?\n"
    ) in call(folder, "grade", "easy.jsonl", "r.jsonl").stdout


WHY = """{id} (r.jsonl, line 1): accuracy {accuracy}
  A: {A}, line 3 names it
     a. {a}
  B: {B} (wrong), line 4 names it
     b. {b}
"""


def test_grade_says_why(folder: Path) -> None:
    """For each letter the line that decided; of one puzzle or of all; and as JSON."""
    puzzle, letters = EASY[0], list(EASY[0].questions)
    right = puzzle.solution["A"]
    wrong = next(each for each in puzzle.options["B"] if each != puzzle.solution["B"])
    text = f"Let me see.\n\n**A.** {right}\nB. {wrong}"
    lines = [json.dumps({"id": puzzle.id, "response": text}) + "\n", response(EASY[1])]
    (folder / "r.jsonl").write_text("".join(lines), encoding="utf-8")
    command = ("grade", "easy.jsonl", "r.jsonl", "--why")
    shown = call(folder, *command, "--puzzle", "1").stdout
    accuracy = f"{1 / len(letters):.3f}"
    named = {"A": right, "a": right.lower(), "B": wrong, "b": wrong.lower()}
    assert shown.startswith(WHY.format(id=puzzle.id, accuracy=accuracy, **named))
    assert f"  {letters[2]}: no answer, no line answers it\n" in shown
    assert max(map(len, shown.partition("1 response")[0].splitlines())) <= 80
    assert f"{EASY[1].id} (" not in shown
    assert f"{EASY[1].id} (r.jsonl, line 2): accuracy 1.000\n" in call(folder, *command).stdout
    first, second, _ = map(json.loads, call(folder, *command, "--json").stdout.splitlines())
    assert list(first["why"]) == letters
    reason = {"option": right, "line": 3, "words": f"a. {right.lower()}"}
    assert first["why"]["A"] == reason | {"reason": "line 3 names it"}
    assert (first["why"][letters[2]]["option"], first["why"][letters[2]]["line"]) == (None, None)
    assert {k: each["option"] for k, each in second["why"].items()} == second["answers"]


def test_grade_says_why_of_the_published_grader(folder: Path) -> None:
    suspect = EASY[0].solution["A"]
    text = f"A. Nobody\n\nPLAN A. {suspect}\nB. the moon?"
    (folder / "r.jsonl").write_text(json.dumps({"id": EASY[0].id, "response": text}))
    command = ("grade", "easy.jsonl", "r.jsonl", "--why", "--grader", "published")
    shown = call(folder, *command).stdout
    assert f"  A: {suspect}, line 3 has the last match\n     A. {suspect}\n" in shown
    assert "  B: no answer, line 4 has the last match, which is no option\n" in shown
    assert '  C: no answer, nothing matches "C. " with letters after it\n' in shown


def test_grade_says_why_of_a_run_and_shows_no_commands_to_a_terminal(tmp_path: Path) -> None:
    """A failed request has no grade and no reason. A long line is cut."""
    file, puzzles = write_puzzles(tmp_path, 3)
    bench("random", file, tmp_path / "results")
    (path,) = (tmp_path / "results").glob("*/responses.jsonl")
    first, second, third = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    suspect = puzzles[0].world.suspects[0]
    first["text"] = f"A. {suspect} \x1b[31m\u202e\ud800" + "\x07 as said" * 50
    second |= {"outcome": "failed", "grade": None, "text": ""}
    path.write_text("\n".join(map(json.dumps, (first, second, third))), encoding="utf-8")
    done = call(tmp_path, "grade", file.name, str(path), "--why")
    assert done.returncode == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert f"{second['puzzle']} (" not in done.stdout
    assert f"{third['puzzle']} (" in done.stdout
    assert "1 failed request not scored" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if line[0] == " ") <= 80


# Bad input: one line, exit code 2, no traceback

BAD: list[tuple[list[str], str, str]] = [
    # (arguments, standard input, what the line says)
    (["generate", "-n", "0"], "", "-n is 0: expected 1 or more"),
    (["generate", "-n", "-5", "-o", "out"], "", "-n is -5: expected 1 or more"),
    (["generate", "-j", "-1"], "", "-j is -1: expected 1 or more"),
    (["generate", "--seed", "-1"], "", "--seed is -1: expected 0 to 92"),
    (["generate", "--difficulty", "hardest"], "", "'hardest' is unknown: expected one of easy"),
    (["generate", "--suspects", "1"], "", "suspects is 1: expected 2 or more"),
    (["generate", "--move-probability", "2"], "", "move_probability is 2.0: expected at most 1"),
    (["generate", "-n", "1", "-o", "no/where"], "", "No such file or directory"),
    (["generate", "-n", "1", "-o", "easy.jsonl"], "", "easy.jsonl already exists"),
    (["check", "nowhere.jsonl"], "", "nowhere.jsonl: cannot be read: No such file"),
    (["check", "."], "", ".: cannot be read: Is a directory"),
    (["check", "bytes"], "", "bytes: cannot be read: not UTF-8 text"),
    (["check", "empty"], "", "empty: it holds no puzzle"),
    (["check", "torn"], "", "torn, line 2: not JSON: Unterminated string"),
    (["check", "list"], "", "list: not JSON: Expecting ',' delimiter"),
    (["check", "deep"], "", "deep: nested too deeply: expected JSON"),
    (["check", "half"], "", "half, line 1: the prompt has an unpaired surrogate"),
    (["check", "other"], "", 'other, line 1: expected an object with a text "prompt"'),
    (["check", "clue"], "", "made of the listed names"),
    (["show", "easy.jsonl", "--puzzle", "4"], "", "--puzzle 4: no such puzzle in easy.jsonl"),
    (["solve"], "Who did it?", 'no suspects: expected a line "Suspects:"'),
    (["solve", "easy.jsonl", "--ask", "Ann did it"], "", '"Ann did it": expected a clue'),
    (["solve", "clash.jsonl", "--ask", "Miss Scarlet was in the Hall"], "", "contradict"),
    (["grade", "easy.jsonl", "nowhere"], "", "nowhere: cannot be read: No such file"),
    (["grade", "easy.jsonl", "unknown"], "", 'unknown, line 1: expected the "id" of a puzzle'),
    (["grade", "easy.jsonl", "mute"], "", "mute, line 1: expected an object with a text"),
    (["grade", "easy.jsonl", "torn"], "", "torn, line 1: expected an object with a text"),
    (["grade", "easy.jsonl", "empty"], "", "empty: it holds no response: expected JSON Lines"),
    (["grade", "easy.jsonl", "number"], "", "number, line 1: expected an object with a text"),
    (["grade", "easy.jsonl", "parts"], "", "parts, response 1: expected an object with a text"),
    (["grade", "easy.jsonl", "comma"], "", "comma, line 1: not JSON: Extra data"),
    (["grade", "easy.jsonl", "cut"], "", "cut, line 2: not JSON: Unterminated string"),
    (
        ["grade", "easy.jsonl", "cut", "--why", "--puzzle", "2"],
        "",
        "cut, line 2: not JSON: Unterminated string",
    ),
    (
        ["grade", "easy.jsonl", "right", "--why", "--puzzle", "2"],
        "",
        "--puzzle 2: no such puzzle in easy.jsonl: expected 1 to 1, or an id such as easy-7",
    ),
    (["check", "number"], "", 'number, line 1: expected an object with a text "prompt"'),
    (["check", "nothing"], "", "nothing: it holds no puzzle: expected JSON Lines"),
    (
        ["check", "same-id"],
        "",
        "same-id, line 2: its id easy-7 is that of line 1, which",
    ),
    (["check", "same-id.json"], "", "same-id.json, puzzle 2: its id easy-7 is that of puzzle 1"),
    (["check", "same-copy"], "", "same-copy, line 3: its id easy-7-3 is that of line 1"),
    (["check", "list-id"], "", 'list-id, line 1: "id": expected a text'),
]


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that cannot be read, each in its own way."""
    folder = tmp_path_factory.mktemp("bad")
    line = house_line(EASY[0])
    for name, data in {
        "easy.jsonl": line,
        "clash.jsonl": house_line(CLASH),
        "empty": "\n\n",
        "torn": line + line[:200],
        "list": "[" + line,
        "deep": "[" * 100_000,
        "half": json.dumps({"prompt": "\ud83d" + EASY[0].prompt}) + "\n",
        "other": '{"question": "Who?"}\n',
        "clue": json.dumps({"prompt": EASY[0].prompt.replace("Clues:\n- ", "Clues:\n- Ann and ")}),
        "unknown": '{"id": "nobody", "response": "A. Ann"}\n',
        "mute": f'{{"id": "{EASY[0].id}"}}\n',
        "number": "5\n",
        "nothing": "[]",
        "parts": json.dumps([{"id": EASY[0].id, "response": ["A. Ann"]}]),
        "comma": response(EASY[0]).strip() + ",\n",
        "right": response(EASY[0]),
        "cut": response(EASY[0]) + response(EASY[0])[:40],
        "same-id": line + house_line(replace(EASY[1], id=EASY[0].id)),
        "same-id.json": json.dumps([p.to_dict() | {"id": "easy-7"} for p in EASY]),
        "same-copy": house_line(replace(EASY[1], id="easy-7-3")) + line + line,
        "list-id": json.dumps(EASY[0].to_dict() | {"id": [1]}),
    }.items():
        (folder / name).write_text(data, encoding="utf-8")
    (folder / "bytes").write_bytes(b"\xff\xfe\x00")
    return folder


@pytest.mark.parametrize(("arguments", "stdin", "expected"), BAD)
def test_bad_input_is_one_line(
    arguments: list[str], stdin: str, expected: str, bad_folder: Path
) -> None:
    done = call(bad_folder, *arguments, stdin=stdin)
    assert expected in refused(done)
    assert done.stdout == ""


@pytest.mark.server
def test_a_malformed_clue_is_named_by_file_and_line(bad_folder: Path) -> None:
    line = EASY[0].prompt.split("\n").index("Clues:") + 2
    assert f"clue, line 1: line {line}: " in refused(run(bad_folder, "check", "clue"))


# Start-up


@pytest.mark.server
def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"torch", "transformers", "litellm", "pandas", "ortools", "lm_eval"}
    script = (
        "import sys, tclue.cli\n"
        "sys.argv = ['tclue', *sys.argv[1:]]\n"
        "try:\n    tclue.cli.main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    for arguments in ([], ["generate"], ["bench"], ["grade"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments, "--help"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Usage: tclue" in done.stdout
        imported = done.stderr
        assert not [name for name in heavy if f"'{name}'" in imported], arguments


def examples() -> list[str]:
    """The commands that the help of the puzzle commands shows."""
    shown: list[str] = []
    for command in ("generate", "show", "solve", "check", "grade"):
        json_of = call(ROOT, command, "--help").stdout
        commands = re.findall(rf"^  (tclue {command} .*)$", json_of, re.MULTILINE)
        assert commands, command
        shown += commands
    return shown


@pytest.mark.slow
@pytest.mark.server
def test_the_examples_of_the_help_do_what_they_say(folder: Path) -> None:
    """Run as they stand, but for their numbers of puzzles."""
    asked = load_set("test").puzzles[0]
    for name, text in {
        "prompt.txt": EASY[0].prompt,
        "val.json": published_list([asked]),
        "responses.jsonl": response(asked, "prompt"),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    for example in examples():
        command = re.sub(r"-n (?:64|3000)", "-n 2", example)
        done = subprocess.run(
            command.replace("tclue ", f"{shlex.quote(sys.executable)} -m tclue "),
            shell=True,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (example, done.stderr)
        assert done.stdout or "-o" in example
