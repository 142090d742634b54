"""The board's files: the same bytes each time, nothing mixed, `check` that sees every change."""

import datetime
import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from board_runs import Answer, ranked_sets, write_run
from commands import refused, run
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tclue.bench.costs.cost import Prices, Usage
from tclue.bench.costs.price_book import Entry, PriceBook
from tclue.board.drawing import LIGHT, sheet, svg
from tclue.board.leaderboard import Board, build, check, picture_names, texts, write
from tclue.board.published_figures import read_published
from tclue.board.wording import escaped
from tclue.errors import UserError
from tclue.puzzle.splits import PUBLISHED

EFFORT = "Outcomes, seconds, tokens, and other costs per 1,000 puzzles"
VARIANTS = ["random", "cheap", "good", "poor", "unpriced"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    write_run(folder, "random", [Answer(a, 0.0) for a in (0.0, 0.5, 0.25)])
    write_run(folder, "cheap", [Answer(a, 0.001) for a in (0.0, 0.5, 1.0)])
    write_run(folder, "good", [Answer(a, 0.1) for a in (1.0, 0.5, 1.0)])
    write_run(folder, "poor", [Answer(a, 0.2) for a in (1.0, 0.5, 0.0)])
    write_run(folder, "unpriced", [Answer(a, None) for a in (1.0, 1.0, 0.5)])
    write_run(folder, "good", [Answer(1.0), Answer(outcome="failed")], puzzle_set="easy-test")
    return folder


def stale(results: Path, board: Path) -> list[str]:
    return check(build(results), board, results)


def write_board(results: Path, board: Path) -> None:
    write(build(results), board, results)


def drawn(results: Path) -> dict[str, str]:
    """The data of each picture, as text."""
    return {stem: repr(chart) for stem, chart in build(results).charts.items()}


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_same_records_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "runs"
    moved.mkdir(parents=True)
    # Made in the other order, so that the file system is likely to list them otherwise too.
    for folder in sorted(results.iterdir(), reverse=True):
        shutil.copytree(folder, moved / folder.name)
    assert texts(build(moved)) == texts(build(results))
    assert picture_names(build(moved)) == picture_names(build(results))
    assert list(texts(build(results))) == ["README.md", "board.json"]
    assert list(picture_names(build(results))) == [
        "easy-test.svg",
        "easy-test-dark.svg",
        "test.svg",
        "test-dark.svg",
        "published.svg",
        "published-dark.svg",
    ]


def test_the_files_hold_no_path(results: Path) -> None:
    for content in texts(build(results)).values():
        assert str(results.parent).encode() not in content


def test_a_table_marks_its_frontier(results: Path) -> None:
    page = section(texts(build(results))["README.md"].decode(), "test")
    heads, _, *rows = cells(page.split("<details>")[0])
    assert heads == [
        "", "variant", "accuracy", "solved", "$ per 1,000 puzzles", "tokens out", "puzzles",
    ]  # fmt: skip
    assert [row[1] for row in rows] == ["good", "unpriced †", "cheap", "poor"]
    assert {row[1]: row[0] for row in rows if row[0]} == {"good": "◆ ≈", "cheap": "◆"}
    assert {row[1]: row[4] for row in rows} == {
        "good": "$100",
        "unpriced †": "*unknown*",
        "cheap": "$1",
        "poor": "$200",
    }
    good = rows[0]
    assert good[2].startswith("0.833 [")
    assert good[5:] == ["50", "3 x 1"]
    assert "Levels: chance (`random`) 0.250 [" in page
    assert "The most accurate model is **good** (accuracy 0.833 [" in page
    assert "$100 per 1,000 puzzles), on 3 puzzles. Of those with a price, **cheap** (" in page
    assert "has the most right answers per dollar" in page
    assert "The lead over the next model, unpriced, is not statistically significant: " in page
    assert "- † unpriced: cost: 3 of 3 responses without a known cost" in page


def test_an_incomplete_row_is_marked(results: Path) -> None:
    page = section(texts(build(results))["README.md"].decode(), "easy-test")
    (row,) = cells(page.split("<details>")[0])[2:]
    assert row[1] == "good † *(incomplete)*"
    assert row[0] == ""
    assert row[7] == "1"
    assert page.startswith(
        "\nNo model has been measured completely on all puzzles of this set yet."
    )
    assert "- † good: incomplete: 1 failed of 2, more than 2%\n" in page


def test_pictures_show_the_rows_whose_cost_is_known(results: Path) -> None:
    chart = build(results).charts["test"]
    assert {point.label: round(point.x, 6) for point in chart.points} == {
        "cheap": 1.0,
        "good": 100.0,
        "poor": 200.0,
    }
    assert chart.levels == (("random", 0.25),)
    assert chart.priced


def test_without_a_price_the_picture_is_of_tokens(tmp_path: Path) -> None:
    write_run(tmp_path, "unpriced", [Answer(0.5, None)] * 3)
    write_run(tmp_path, "free", [Answer(0.7, 0.0)] * 3)
    chart = build(tmp_path).charts["test"]
    assert chart.title == "test: accuracy against output tokens"
    assert [(point.label, point.x) for point in chart.points] == [
        ("free", 50.0),
        ("unpriced", 50.0),
    ]
    assert not chart.priced


def test_published_results_stand_apart(results: Path) -> None:
    board = build(results)
    made = texts(board)
    page = made["README.md"].decode()
    published = section(page, "Published results")
    assert "**Quoted, not measured here**" in published
    assert "OpenPipe, March 2025" in published
    names = {row.model for row in board.published.rows}
    assert len(names) > 5
    before = page.split("\n## Published results\n")[0]
    assert not any(f" {name} |" in before for name in names)
    shown = {row[1] for row in cells(published)[2:]}
    assert shown == names
    assert not shown & set(VARIANTS)
    for ranked in board.sets:
        assert not any(name in drawn(results)[ranked.stem] for name in names)
    assert not any(repr(name) in drawn(results)["published"] for name in VARIANTS)


def test_rows_on_the_published_file_are_named_below_the_published_table(tmp_path: Path) -> None:
    sha256 = PUBLISHED["published-val"]
    write_run(tmp_path, "same", sha256=sha256, grader="published", puzzle_set="published-val")
    write_run(tmp_path, "other grader", sha256=sha256, puzzle_set="published-val")
    write_run(tmp_path, "other file", grader="published")
    text = texts(build(tmp_path))["README.md"].decode()
    beside = text.partition("Measured here on the same file under the same grader:")[2]
    beside = beside.partition("<details>")[0]
    assert beside.strip().startswith("- same: 0.750 [")
    assert "3 puzzles, 1 response to each" in beside
    assert "other" not in beside


def test_published_figures_do_not_depend_on_what_is_measured(results: Path, tmp_path: Path) -> None:
    alone, beside = build(tmp_path / "nothing"), build(results)
    assert alone.published == beside.published == read_published()
    assert alone.charts["published"] == beside.charts["published"]
    page = texts(alone)["README.md"].decode()
    assert section(page, "Published results") == section(
        texts(beside)["README.md"].decode(), "Published results"
    )
    assert "No runs yet." in page
    assert list(picture_names(alone)) == ["published.svg", "published-dark.svg"]


def test_published_figures_are_those_of_the_source() -> None:
    rows = {row.label: row for row in read_published().rows}
    assert len(rows) == 12
    best = rows["Claude Sonnet 3.7, 64k"]
    assert (best.accuracy, best.cost_usd) == (0.695, 0.392)
    assert rows["Qwen 2.5 14B Instruct"].completion_tokens is None
    assert "mean of 64 responses" in rows["Qwen 2.5 32B Instruct, after GRPO"].note
    assert {label for label, row in rows.items() if row.on_frontier} == {
        "Qwen 2.5 14B Instruct",
        "Qwen 2.5 14B Instruct, after GRPO",
        "Qwen 2.5 32B Instruct, after GRPO",
        "Claude Sonnet 3.7, 64k",
    }


@pytest.mark.skipif(
    "TCLUE_PUBLISHED" not in os.environ,
    reason="TCLUE_PUBLISHED is not set: it names the folder of the published figures",
)
def test_the_shipped_figures_are_the_published_ones() -> None:
    from tclue.board.published_figures import FIGURES

    source = Path(os.environ["TCLUE_PUBLISHED"]) / "figures.json"
    assert json.loads(FIGURES.read_text()) == json.loads(source.read_text())


def test_board_json_holds_every_row(results: Path) -> None:
    data = json.loads(texts(build(results))["board.json"])
    assert [(table["title"], table["picture"], table["puzzles"]) for table in data["sets"]] == [
        ("easy-test", "easy-test.svg", 2),
        ("test", "test.svg", 3),
    ]
    (easy,), rows = (table["rows"] for table in data["sets"])
    assert not easy["complete"]
    assert easy["failed"] == 1
    assert data["format"] == 2
    assert [row["variant"] for row in rows] == ["good", "unpriced", "cheap", "poor"]
    assert [row["variant"] for row in data["sets"][1]["levels"]] == ["random"]
    assert rows[0]["accuracy"] == 0.833333
    assert 0 <= rows[0]["accuracy_low"] < 0.833333 < rows[0]["accuracy_high"] <= 1
    assert [row["on_frontier"] for row in rows] == [True, False, True, False]
    assert rows[1]["cost_usd"] is None
    assert data["published"]["rows"][0]["accuracy"] == 0.695


def details(page: str, title: str) -> dict[str, dict[str, str]]:
    """variant -> head -> cell, of a table that is folded away."""
    body = page.split(f"<details><summary>{title}</summary>")[1].split("</details>")[0]
    heads, _, *rows = cells(body)
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


def test_what_else_was_measured_stands_below(tmp_path: Path) -> None:
    some = [Answer(1.0, num_clues=5, latency_s=2.0), Answer(0.0, says="Hall", num_clues=5)]
    some += [Answer(1.0, outcome="truncated", num_clues=40)] * 2
    write_run(tmp_path, "four", some * 8, samples=2)
    write_run(tmp_path, "plain", [Answer(0.5, 0.02, num_clues=5), Answer(0.5, 0.02)] * 8)
    page = texts(build(tmp_path))["README.md"].decode()
    scores = details(page, "Main questions, several samples, and the differences between rows")
    assert scores["four"]["main five"].startswith("0.750 [")
    assert scores["four"]["pass@k"].startswith("1.000 [")
    # A vote that is tied between a right and a wrong answer is half right.
    assert scores["four"]["consensus@k"].startswith("0.750 [")
    assert (scores["four"]["k"], scores["plain"]["k"]) == ("2", "–")
    bands = details(page, "Accuracy by difficulty (puzzles)")
    assert bands["four"]["1 to 9 clues (8)"].startswith("0.500 [")
    assert bands["four"]["30 clues or more (8)"].startswith("1.000 [")
    assert bands["plain"]["30 clues or more (8)"] == "–"
    effort = details(page, EFFORT)
    assert effort["four"] == {
        "truncated, refused, unparsed, failed": "0.500, 0, 0, 0",
        "median s": "1",
        "p95 s": "2",
        "tokens in": "1,000",
        "cached": "400",
        "reasoning": "30",
        "answer": "20",
        "$ by litellm": "$10",
        "prices of": "2026-01-01, given by hand",
    }


def test_what_a_reader_must_know_is_noted(tmp_path: Path) -> None:
    write_run(tmp_path, "moved", [Answer(model_id="b"), Answer(model_id="a")], served_as=("a",))
    book = Prices("book", "2026-01-01", prompt_usd_per_million=9.0, completion_usd_per_million=20.0)
    apart = [Answer(0.5, 0.01), Answer(0.5, 0.01, litellm_usd=0.0101)]
    write_run(tmp_path, "apart", apart, prices=book)
    write_run(tmp_path, "unlisted", [Answer(litellm_usd=None)] * 2, prices=book)
    write_run(tmp_path, "less", [Answer()] * 2, notes=("budget 64k made 60k",))
    write_run(tmp_path, "near", [Answer(litellm_usd=0.01004)] * 2, prices=book)
    page = section(texts(build(tmp_path))["README.md"].decode(), "test")
    assert [line for line in page.splitlines() if line.startswith("- †")] == [
        "- † apart: cost: calculators differ on 1 of 2 responses: $0.02 by our prices, $0.0201 by "
        "litellm (a response: ours $0.01, litellm's $0.01005)",
        "- † less: budget 64k made 60k",
        "- † moved: b (1) of 2 responses came from a model id that was not asked for",
        "- † unlisted: cost: litellm does not know this model (a response: ours $0.01, litellm's "
        "unknown)",
    ]


def test_repriced_costs_stand_beside_those_of_the_day(tmp_path: Path) -> None:
    usage = Usage(1000, 50)
    answers = [Answer(0.5, 0.01, usage=usage)] * 2
    write_run(tmp_path, "model", answers, request={"model": "host/model"})
    entry = Entry("host", ("model",), 2.0, 40.0, datetime.date(2026, 11, 20), "a page")
    sets = ranked_sets(tmp_path, PriceBook((entry,)))
    board = texts(Board(sets, read_published(), "2026-11-20"))
    row = cells(section(board["README.md"].decode(), "test"))[2]
    assert row[4] == "$10"
    effort = details(board["README.md"].decode(), EFFORT)
    assert effort["model"]["$ repriced (2026-11-20)"] == "$4"
    data = json.loads(board["board.json"])
    assert data["price_book"] == "2026-11-20"
    assert data["sets"][0]["rows"][0]["repriced_usd"] == 0.004


@pytest.mark.slow
def test_what_was_written_passes_the_check(results: Path, tmp_path: Path) -> None:
    board = tmp_path / "deep" / "board"
    made = sorted([*texts(build(results)), *picture_names(build(results))])
    assert stale(results, board) == made
    write_board(results, board)
    assert stale(results, board) == []
    assert sorted(path.name for path in board.iterdir()) == made


@pytest.mark.slow
def test_a_picture_of_the_same_data_is_not_drawn_again(results: Path, tmp_path: Path) -> None:
    board = tmp_path / "board"
    write_board(results, board)
    before = {path.name: path.stat().st_mtime_ns for path in board.glob("*.svg")}
    write_run(results, "late", puzzle_set="late-set")
    write_board(results, board)
    assert before == {name: (board / name).stat().st_mtime_ns for name in before}
    assert (board / "late-set.svg").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "board.json", "test.svg", "published-dark.svg"])
def test_check_sees_one_changed_byte(results: Path, tmp_path: Path, name: str) -> None:
    write_board(results, tmp_path / "board")
    path = tmp_path / "board" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert stale(results, tmp_path / "board") == [name]
    path.unlink()
    assert stale(results, tmp_path / "board") == [name]


@pytest.mark.slow
def test_check_sees_a_new_response(results: Path, tmp_path: Path) -> None:
    write_board(results, tmp_path / "board")
    write_run(results, "late", puzzle_set="late-set")
    assert stale(results, tmp_path / "board") == [
        "README.md",
        "board.json",
        "late-set-dark.svg",
        "late-set.svg",
    ]


@pytest.mark.slow
def test_a_picture_of_a_set_that_is_gone_goes_too_and_others_stay(
    results: Path, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    write_board(results, board)
    (board / "logo.svg").write_text("<svg/>")
    for folder in results.glob("*easy-test*"):
        shutil.rmtree(folder)
    assert stale(results, board) == [
        "README.md",
        "board.json",
        "easy-test-dark.svg",
        "easy-test.svg",
    ]
    write_board(results, board)
    assert stale(results, board) == []
    assert (board / "logo.svg").exists()
    assert not (board / "easy-test.svg").exists()


def test_a_board_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "board").touch()
    with pytest.raises(UserError, match="board: the board cannot be written: "):
        write_board(tmp_path / "nothing", tmp_path / "board")


def test_pipes_in_a_name_do_not_make_cells(tmp_path: Path) -> None:
    write_run(tmp_path, "a|b", puzzle_set="x|y")
    page = texts(build(tmp_path))["README.md"].decode()
    assert "a\\|b" in page
    table = MarkdownIt().enable("table").render(page).split("<table>")[1]
    assert "<td>a|b</td>" in table.replace(' style="text-align:left"', "")


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12))
def test_any_name_shows_as_it_is_in_one_cell(name: str) -> None:
    """As a reader of Markdown sees it, by a parser with GitHub's tables."""
    text = f"| one | two |\n| --- | --- |\n| {escaped(name)} | end |\n"
    parser = MarkdownIt().enable("table")
    inline = [token for token in parser.parse(text) if token.type == "inline"]
    shown = ["".join(part.content for part in token.children or ()) for token in inline]
    assert shown == ["one", "two", name, "end"]


def test_names_with_line_ends_and_half_characters(tmp_path: Path) -> None:
    write_run(tmp_path, "two\nlines\x00")
    folder = next(tmp_path.iterdir())
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"variant": "two', '"variant": "\\ud800two'))
    board = texts(build(tmp_path))
    ranking = section(board["README.md"].decode(), "test").split("<details>")[0]
    assert len(cells(ranking)) == 3
    ElementTree.fromstring(build(tmp_path).charts["test"].draw(LIGHT))


def test_runs_on_a_part_and_runs_without_a_response_stand_apart(tmp_path: Path) -> None:
    write_run(tmp_path, "whole", [Answer(0.5)] * 4)
    write_run(tmp_path, "part", [Answer(1.0)] * 2, limit=2)
    write_run(tmp_path, "broken", [Answer(outcome="failed")] * 4)
    write_run(tmp_path, "alone", [Answer(1.0)] * 2, limit=2, puzzle_set="other", sha256="cd" * 32)
    board = build(tmp_path)
    page = texts(board)["README.md"].decode()
    whole = section(page, "test")
    assert [row[1] for row in cells(whole.split("<details>")[0])[2:]] == ["whole"]
    apart = details(whole, "Runs on a part of the set, which are not ranked")
    assert apart["part"]["puzzles"] == "2 of 2"
    assert details(whole, "Runs without a scored response")["broken"]["failed"] == "4"
    other = section(page, "other")
    assert "No model has been measured completely on all puzzles" in other
    assert "alone" in details(other, "Runs on a part of the set, which are not ranked")
    assert list(board.charts) == ["test", "published"]
    data = json.loads(texts(board)["board.json"])
    assert [row["variant"] for row in data["sets"][1]["partial"]] == ["part"]
    assert [row["variant"] for row in data["sets"][1]["unscored"]] == ["broken"]


def test_seeds_stand_below_the_row_of_the_lowest(tmp_path: Path) -> None:
    for seed, accuracy in ((2, 0.9), (0, 0.5), (1, 0.7)):
        write_run(tmp_path, "model", [Answer(accuracy)] * 4, seed=seed)
    write_run(tmp_path, "model", [Answer(0.6)] * 4, seed=5, temperature=0.5)
    page = section(texts(build(tmp_path))["README.md"].decode(), "test")
    rows = cells(page.split("<details>")[0])[2:]
    assert [row[1] for row in rows] == [
        "model (temperature 0.5)",
        "model (default temperature) *(3 seeds)*",
    ]
    assert rows[1][2].startswith("0.500 [")
    seeds = details(page, "Each seed")
    assert [row["seed"] for row in seeds.values()] == ["0", "1", "2"]
    assert seeds["model (default temperature), seed 2"]["accuracy"].startswith("0.900 [")


def test_nothing_at_or_below_random_is_on_the_frontier(tmp_path: Path) -> None:
    write_run(tmp_path, "random", [Answer(0.5, 0.0)] * 4)
    write_run(tmp_path, "guesser", [Answer(0.5, 0.001)] * 4)
    only_guesses = section(texts(build(tmp_path))["README.md"].decode(), "test")
    assert only_guesses.startswith(
        "\nNo model that was measured here is more accurate than chance."
    )
    write_run(tmp_path, "thinker", [Answer(0.75, 0.01)] * 4)
    (ranked,) = build(tmp_path).sets
    assert [(row.label, row.on_frontier) for row in ranked.rows] == [
        ("thinker", True),
        ("guesser", False),
    ]


def test_each_row_has_its_records_and_its_command(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folder = write_run(
        results,
        "my model",
        [Answer()] * 4,
        samples=2,
        max_tokens=99,
        temperature=0.123456789,
        stream=True,
        dtype="float32",
        prices=Prices(
            "given", "2026-01-01", prompt_usd_per_million=0.1, completion_usd_per_million=4
        ),
        given=(
            *("samples", "max_tokens", "temperature", "stream", "dtype"),
            *("price_in", "price_out", "to_dict"),  # the last is no option
        ),
    )
    write_board(results, tmp_path / "deep" / "board")
    page = (tmp_path / "deep" / "board" / "README.md").read_text()
    row = details(page, "Records, and the command that makes each")["my model"]
    assert row["records"] == f"[{folder.name}](../../results/{folder.name})"
    assert row["command"] == (
        "`tclue bench --models 'my model' --puzzles test --temperature 0.123456789 "
        "--max-tokens 99 --stream --dtype float32 --samples 2 --price-in 0.1 --price-out 4`"
    )


def test_runs_can_be_chosen(results: Path) -> None:
    def shown(**chosen: list[str]) -> set[str]:
        sets = build(results, **chosen).sets
        return {
            run.config.variant for ranked in sets for run in (*ranked.measured, *ranked.unscored)
        }

    assert shown(only=["cheap", "p*"]) == {"cheap", "poor"}
    assert shown(without=["*o*"]) == {"cheap", "unpriced"}
    assert shown(only=["good--test"], without=["cheap"]) == {"good"}
    for option in ("only", "without"):
        with pytest.raises(UserError, match=f"--{option} nobody: no run has such a name: expected"):
            shown(**{option: ["nobody"]})


@pytest.mark.slow
def test_a_thousand_runs(tmp_path: Path) -> None:
    for i in range(1000):
        write_run(tmp_path, f"m{i:04}", [Answer(i % 7 / 7, 0.001 * (1 + i))] * 2)
    page = section(texts(build(tmp_path))["README.md"].decode(), "test")
    assert len(cells(page.split("<details>")[0])[2:]) == 40
    assert "<summary>960 more rows</summary>" in page
    assert len(build(tmp_path).charts["test"].named) < 40


@pytest.mark.slow
def test_a_set_that_is_called_dark_has_pictures_of_its_own(tmp_path: Path) -> None:
    results, board = tmp_path / "results", tmp_path / "board"
    for number, name in enumerate(("night", "night-dark", "published-dark")):
        write_run(results, "m", [Answer(0.5)] * 3, puzzle_set=name, sha256=f"{number}a" * 32)
    write_board(results, board)
    assert stale(results, board) == []
    assert len(picture_names(build(results))) == len(set(build(results).charts)) * 2 == 8


@pytest.mark.slow
def test_only_pictures_of_a_board_are_deleted(results: Path, tmp_path: Path) -> None:
    board = tmp_path / "board"
    board.mkdir()
    with sheet(LIGHT, 2, 2) as figure:
        curves = svg(figure, "0" * 64, "curves", "train")
    (board / "curves.svg").write_bytes(curves)
    (board / "gone.svg").symlink_to("nowhere")
    write_board(results, board)
    assert (board / "curves.svg").read_bytes() == curves
    assert stale(results, board) == []


def test_what_records_say_is_never_markup(tmp_path: Path) -> None:
    write_run(tmp_path, "m", [Answer(0.5)] * 3, sha256="`<b>x\n# head" + "0" * 60)
    write_run(tmp_path, "m", [Answer(0.5)] * 3, sha256="`<b>x\n# head" + "0" * 60, temperature=1.0)
    page = texts(build(tmp_path))["README.md"].decode()
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert "<b>" not in rendered
    assert rendered.count("<h1>") == 1


def test_an_incomplete_run_of_random_is_no_level_to_beat(tmp_path: Path) -> None:
    write_run(tmp_path, "random", [Answer(1.0, 0.0)], puzzles=4)
    write_run(tmp_path, "thinker", [Answer(0.75, 0.01)] * 4)
    (ranked,) = build(tmp_path).sets
    assert [row.on_frontier for row in ranked.rows] == [True]
    page = texts(build(tmp_path))["README.md"].decode()
    assert "The most accurate model is **thinker**" in page


def test_a_run_that_cannot_be_read_can_be_left_out(results: Path) -> None:
    (results / "broken--test--1").mkdir()
    (results / "broken--test--1" / "run.json").write_text("{")
    board = build(results)
    assert len(board.sets) == 2
    assert [run.run for run in board.left_out] == ["broken--test--1"]
    assert "run.json: not JSON" in board.left_out[0].reason
    assert board.sets == build(results, without=["broken"]).sets
    assert build(results, without=["broken"]).left_out == ()
    for chosen in ({"without": [""]}, {"only": ["good"], "without": ["good"]}):
        with pytest.raises(UserError, match="expected"):
            build(results, **chosen)


@pytest.mark.slow
def test_settings_of_matplotlib_change_no_picture() -> None:
    import matplotlib

    chart = build(Path("nowhere")).charts["published"]
    before = chart.draw(LIGHT)
    with matplotlib.rc_context({"savefig.transparent": True, "font.size": 30, "text.usetex": True}):
        assert chart.draw(LIGHT) == before


def test_a_board_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    assert run(tmp_path, "leaderboard", "--results", "r", "--board", "b").returncode == 0
    page = tmp_path / "b" / "README.md"
    page.write_bytes(b"an older page")
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    done = run(tmp_path, "leaderboard", "--results", "r", "--board", "b", max_file_bytes=100)
    assert "the board cannot be written: File too large" in refused(done)
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == before
