"""Files that people give, as other systems write them: marks, line breaks and other encodings."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import bench, gold
from commands import call, refused, run
from places import ROOT

from tclue.bench.costs.price_book import read_book
from tclue.bench.models.registry import load as load_registry
from tclue.bench.options import read_config
from tclue.bench.records import read_run
from tclue.config_files import read_text
from tclue.errors import UserError
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, house_line, published_list
from tclue.secrets import load_env
from tclue.strict import read_json
from tclue_grpo.config_file import load as load_training

EASY = [generate(seed, "easy") for seed in (7, 8)]
BOOKS = ROOT / "tclue" / "bench" / "data"
TEXT = "".join(map(house_line, EASY))
RIGHT = [gold(EASY)(puzzle.prompt) for puzzle in EASY]
# How another system may write the bytes of a file.
MARK, CRLF = codecs.BOM_UTF8, b"\r\n"
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda data: MARK + data,
    "CRLF": lambda data: data.replace(b"\n", CRLF),
    "both": lambda data: MARK + data.replace(b"\n", CRLF),
}
# What reads a file, and the text of one.
READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "puzzles": (read_puzzles, TEXT),
    "published puzzles": (read_puzzles, published_list(EASY)),
    "registry": (load_registry, (BOOKS / "models.toml").read_text("utf-8")),
    "prices": (read_book, (BOOKS / "prices.toml").read_text("utf-8")),
    "options": (read_config, 'models = "random"\nsamples = 2\n'),
    "training": (lambda path: load_training(None, path, []), "[train]\niterations = 3\n"),
    "JSON": (read_json, '{"a":\n 1}\n'),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_is_read_alike_however_it_was_written(reader: str, way: str, tmp_path: Path) -> None:
    read, text = READERS[reader]
    path = tmp_path / "given.toml"
    path.write_bytes(text.encode())
    expected = read(path)
    path.write_bytes(WAYS[way](text.encode()))
    assert read(path) == expected


def test_files_that_were_joined_have_marks_within(tmp_path: Path) -> None:
    path = tmp_path / "joined.jsonl"
    path.write_bytes(b"".join(MARK + house_line(puzzle).encode() for puzzle in EASY))
    assert read_puzzles(path) == EASY


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_by_its_name(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(UserError) as refusal:
        read_text(path)
    assert str(refusal.value) == (
        f"{path}: cannot be read: not UTF-8 text, but UTF-16: expected the file saved as UTF-8"
    )


def test_line_breaks_inside_texts_change_no_puzzle_and_no_grade(tmp_path: Path) -> None:
    """In JSON, they are written as escapes."""
    prompts = [puzzle.prompt.replace("\n", "\r\n") for puzzle in EASY]
    house, bare = tmp_path / "house.jsonl", tmp_path / "published.json"
    fields = [p.to_dict() | {"prompt": text} for p, text in zip(EASY, prompts, strict=True)]
    house.write_text("\n".join(map(json.dumps, fields)))
    assert read_puzzles(house) == EASY
    bare.write_text(json.dumps([{"prompt": f"\ufeff{text}"} for text in prompts]))
    assert [p.id for p in read_puzzles(bare)] == [Puzzle(p.prompt).id for p in EASY]
    answers = [
        json.dumps({"prompt": text, "response": right.replace("\n", "\r\n")})
        for text, right in zip(prompts, RIGHT, strict=True)
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(answers))
    for grader in ("sound", "published"):
        arguments = ("grade", "house.jsonl", "answers.jsonl", "--json", "--grader", grader)
        *graded, _ = map(json.loads, call(tmp_path, *arguments).stdout.splitlines())
        assert [grade["id"] for grade in graded] == [puzzle.id for puzzle in EASY]
        assert all(grade["solved"] for grade in graded) or grader == "published"


@pytest.mark.parametrize("way", WAYS)
def test_responses_are_graded_alike_however_they_were_written(way: str, tmp_path: Path) -> None:
    (tmp_path / "puzzles.jsonl").write_text(TEXT)
    records = [{"id": p.id, "response": right} for p, right in zip(EASY, RIGHT, strict=True)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    for text in (lines, json.dumps(records, indent=4)):
        (tmp_path / "answers").write_bytes(WAYS[way](text.encode()))
        done = call(tmp_path, "grade", "puzzles.jsonl", "answers", "--json")
        graded = [json.loads(line) for line in done.stdout.splitlines()]
        assert [grade["solved"] for grade in graded[:-1]] == [True, True], done.stderr


@pytest.mark.parametrize(
    ("copies", "ids"),
    [([0, 0, 1], ["easy-7", "easy-7-2", "easy-8"]), ([0, 1, 0], ["easy-7", "easy-8", "easy-7-3"])],
)
def test_copies_of_a_puzzle_keep_the_ids_that_records_have(
    copies: list[int], ids: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "copies.jsonl"
    path.write_text("".join(house_line(EASY[i]) for i in copies))
    assert [puzzle.id for puzzle in read_puzzles(path)] == ids


def test_an_id_may_be_a_number_and_a_null_is_a_missing_field(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.jsonl"
    given = dict.fromkeys(("id", "seed", "difficulty", "num_clues", "solution"))
    lines = [given | {"prompt": EASY[0].prompt}, {"prompt": EASY[1].prompt, "id": 0}]
    path.write_text("\n".join(map(json.dumps, lines)))
    first, second = read_puzzles(path)
    assert first == Puzzle(EASY[0].prompt)
    assert second.id == "0"
    (tmp_path / "one.jsonl").write_text(json.dumps(EASY[1].to_dict() | {"id": 0}))
    (tmp_path / "answers.jsonl").write_text('{"id": 0, "response": null}')
    done = call(tmp_path, "grade", "one.jsonl", "answers.jsonl", "--json")
    assert json.loads(done.stdout.splitlines()[0])["id"] == "0"


@pytest.mark.server
@pytest.mark.parametrize("way", WAYS)
def test_a_prompt_on_standard_input_is_the_same_puzzle(way: str, tmp_path: Path) -> None:
    prompt = WAYS[way](EASY[0].prompt.encode()).decode()
    done = run(tmp_path, "show", "--json", stdin=prompt)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"] == Puzzle(EASY[0].prompt).id


def test_standard_input_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    line = refused(call(tmp_path, "show", stdin=EASY[0].prompt.encode("utf-16-le").decode()))
    assert line.startswith("standard input: cannot be read: not UTF-8 text, but UTF-16")


@pytest.mark.parametrize("way", WAYS)
def test_the_records_of_a_run_are_read_alike(way: str, tmp_path: Path) -> None:
    (tmp_path / "puzzles.jsonl").write_text(TEXT)
    bench("random", tmp_path / "puzzles.jsonl", tmp_path / "results")
    (folder,) = (tmp_path / "results").iterdir()
    expected = read_run(folder)
    for path in folder.iterdir():
        path.write_bytes(WAYS[way](path.read_bytes()))
    assert read_run(folder) == expected
    # Another bench finds nothing to ask for, and the results are shown.
    bench("random", tmp_path / "puzzles.jsonl", tmp_path / "results")
    assert read_run(folder).responses == expected.responses
    assert call(tmp_path, "results").returncode == 0


@pytest.mark.parametrize("way", WAYS)
def test_keys_are_found_however_the_file_was_written(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    (tmp_path / ".env").write_bytes(WAYS[way](b"FIRST_API_KEY=one\nOTHER_API_KEY=two\n"))
    load_env(tmp_path / ".env")
    assert os.environ == {"FIRST_API_KEY": "one", "OTHER_API_KEY": "two"}
