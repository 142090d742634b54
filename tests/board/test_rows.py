"""From records to rows: which rows share a table, their order, the frontier, broken records."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from board_runs import Answer, ranked_sets, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from tclue.bench.costs.cost import Prices
from tclue.bench.models.model import CheckpointOrigin
from tclue.bench.records import Run, RunConfig
from tclue.bench.stats.intervals import Estimate
from tclue.bench.stats.run_numbers import RunNumbers
from tclue.bench.stats.summary import Scores
from tclue.bench.stats.summary import summary as summary_of
from tclue.board.leaderboard import paths
from tclue.board.rows import Row, ranked
from tclue.errors import UserError


def test_a_row_is_what_the_records_say(tmp_path: Path) -> None:
    answers = [
        Answer(0.5, 0.01),
        Answer(1.0, 0.02),
        Answer(0.0, 0.03, "truncated"),
        Answer(outcome="failed"),
    ]
    write_run(tmp_path, "gpt@high", answers, puzzles=6)
    ((row,),) = (table.rows for table in ranked_sets(tmp_path))
    assert row.label == row.summary.variant == "gpt@high"
    assert row.run == next(tmp_path.iterdir()).name
    summary = row.summary
    assert summary.accuracy is not None
    assert summary.solved is not None
    assert row.accuracy == summary.accuracy.value == pytest.approx(0.5)
    assert summary.solved.value == pytest.approx(1 / 3)
    assert 0 <= summary.accuracy.low < 0.5 < summary.accuracy.high <= 1
    assert row.cost_usd == pytest.approx(0.02)
    assert (summary.prompt_tokens, summary.completion_tokens) == (1000, 50)
    assert (summary.puzzles, summary.samples, summary.responses) == (3, 1, 3)
    assert summary.outcomes == {
        "answered": 2, "truncated": 1, "refused": 0, "unparsed": 0, "failed": 1,
    }  # fmt: skip
    assert summary.missing == 2
    assert not summary.complete


def test_summary_json_is_not_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    before = ranked_sets(tmp_path)
    (folder / "summary.json").write_text('{"accuracy": {"value": 1.0}}')
    assert ranked_sets(tmp_path) == before


def test_other_puzzles_or_another_grader_is_another_table(tmp_path: Path) -> None:
    answers = [Answer(0.5)] * 3
    write_run(tmp_path, "a", answers)
    write_run(tmp_path, "b", answers)
    write_run(tmp_path, "c", answers, sha256="cd" * 32)
    write_run(tmp_path, "d", answers[:2])
    write_run(tmp_path, "e", answers, grader="published")
    write_run(tmp_path, "f", answers, puzzle_set="easy-test")
    write_run(tmp_path, "g", answers, puzzle_set="published")
    sets = ranked_sets(tmp_path)
    tables = [{row.config.variant for row in table.rows} for table in sets]
    assert sorted(map(sorted, tables)) == [["a", "b"], ["c"], ["e"], ["f"], ["g"]]
    assert len({table.title for table in sets}) == len({table.stem for table in sets}) == 5
    assert "published" not in {table.stem for table in sets}
    assert [row.label for table in sets for row in table.partial] == ["d"]


def test_a_trial_on_few_puzzles_does_not_rename_the_whole_set(tmp_path: Path) -> None:
    write_run(tmp_path, "a", [Answer(0.5)] * 3)
    (full_set,) = ranked_sets(tmp_path)
    assert (full_set.title, full_set.stem) == ("test", "test")
    write_run(tmp_path, "a", [Answer(0.5)] * 2, seed=2, limit=2)
    write_run(tmp_path, "a", [Answer(0.5)] * 3, grader="published", seed=1)
    first, other = ranked_sets(tmp_path)
    assert first == replace(full_set, partial=first.partial)
    assert [row.config.limit for row in first.partial] == [2]
    assert other.title == "test (grader published, version 1, file abababab)"


def test_two_runs_of_one_variant_are_told_apart(tmp_path: Path) -> None:
    def table(*settings: dict[str, Any]) -> list[str]:
        results = tmp_path / str(len(list(tmp_path.iterdir())))
        for setting in settings:
            write_run(results, "twin", [Answer()] * 4, puzzles=4, **setting)
        write_run(results, "single", [Answer()] * 4, puzzles=4)
        (ranked_set,) = ranked_sets(results)
        return sorted(row.label for row in ranked_set.rows)

    assert table({"temperature": 0.0, "samples": 1}, {"temperature": 1.0, "samples": 2}) == [
        "single",
        "twin (greedy)",
        "twin (temperature 1)",
    ]
    # They differ in nothing but the seed, so they are one row.
    assert table({"seed": 1}, {"seed": 2}) == ["single", "twin"]
    assert table({"api_base": "http://secret.example/v1"}, {"samples": 2}, {"samples": 3}) == [
        "single",
        "twin (in process, 2 samples)",
        "twin (in process, 3 samples)",
        "twin (over HTTP, 1 sample)",
    ]
    by_hash = table({"request": {"top_p": 0.5}}, {"request": {"top_p": 0.6}})
    assert len(set(by_hash)) == 3
    assert all(re.fullmatch(r"single|twin \([0-9a-f]{8}\)", label) for label in by_hash)


CONFIG = RunConfig(
    variant="m", model="m", puzzle_set="test", puzzle_sha256="ab", puzzles=100, limit=None,
    samples=1, seed=0, temperature=None, max_tokens=None, grader="sound",
    prices=Prices("given", "2026-01-01"), notes=(), served_as=(), given=(),
)  # fmt: skip


def row(number: int, accuracy: float, cost_usd: float | None, failed: int, missing: int) -> Row:
    config = replace(CONFIG, variant=f"m{number}")
    summary = replace(
        summary_of(Run(config, ())),
        responses=100 - failed - missing,
        accuracy=Estimate(accuracy, accuracy, accuracy),
        cost_usd=cost_usd,
        complete=failed + missing <= 2,
    )
    scores = {f"p{i}": Scores(accuracy, 0.0) for i in range(10)}
    numbers = RunNumbers(config, summary, scores, None)
    return Row(**vars(numbers), label=config.variant, run=f"r{number}")


fields = st.tuples(
    st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    st.sampled_from([None, 0.0, 0.001, 0.01, 0.1]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0, 0, 1]),
)
rows = st.lists(fields, max_size=8).map(lambda all_: [row(i, *one) for i, one in enumerate(all_)])


@settings(deadline=None)
@given(rows)
def test_the_frontier_is_among_complete_rows_with_a_known_cost_above_zero(table: list[Row]) -> None:
    racing = [r for r in table if r.summary.complete and r.cost_usd]
    in_race = [(r.cost_usd or 0, r.accuracy or 0) for r in racing]
    for r in ranked(table):
        mine = (r.cost_usd or 0, r.accuracy or 0)
        beaten = any(c <= mine[0] and a >= mine[1] and (c, a) != mine for c, a in in_race)
        assert r.on_frontier == bool(r.summary.complete and r.cost_usd and not beaten)


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_rows_stand_by_accuracy_in_whatever_order_they_came(table: list[Row], random: Any) -> None:
    shuffled = list(table)
    random.shuffle(shuffled)
    assert ranked(shuffled) == ranked(table)
    accuracies = [r.accuracy or 0 for r in ranked(table)]
    assert accuracies == sorted(accuracies, reverse=True)


NEAR = [Answer(a) for a in (0.2, 0.4, 0.6, 0.8, 0.5, 0.3)]
FAR = [Answer(0.0, 0.001) for _ in NEAR]


def test_neighbours_on_the_frontier_are_compared_puzzle_by_puzzle(tmp_path: Path) -> None:
    # One puzzle in six differs between the first two; every one between the second and the third.
    write_run(tmp_path, "dear", [*NEAR[:-1], Answer(0.9, 0.02)])
    write_run(tmp_path, "fair", NEAR)
    write_run(tmp_path, "poor", FAR)
    write_run(tmp_path, "beaten", [Answer(0.1, 0.05)] * 6)
    (table,) = ranked_sets(tmp_path)
    rows = {row.config.variant: row for row in table.rows}
    dear, fair = rows["dear"].neighbour, rows["fair"].neighbour
    assert dear is not None
    assert fair is not None
    assert (dear.run, fair.run) == (rows["fair"].run, rows["poor"].run)
    assert dear.accuracy.difference == pytest.approx(0.1)
    assert dear.accuracy.p == pytest.approx(0.363217, abs=1e-6)  # scipy.stats.ttest_rel
    assert {name for name, row in rows.items() if row.like_neighbour} == {"dear"}
    assert rows["poor"].neighbour is None is rows["beaten"].neighbour


def test_a_run_without_responses_is_not_ranked(tmp_path: Path) -> None:
    write_run(tmp_path, "none", [], puzzles=3)
    write_run(tmp_path, "zero", [Answer(0.0)] * 3)
    (table,) = ranked_sets(tmp_path)
    assert [row.config.variant for row in table.rows] == ["zero"]
    assert [(row.config.variant, row.accuracy) for row in table.unscored] == [("none", None)]


def test_no_results_are_no_tables(tmp_path: Path) -> None:
    assert ranked_sets(tmp_path / "missing") == ()
    (tmp_path / "notes").mkdir()
    (tmp_path / ".gitkeep").touch()
    assert ranked_sets(tmp_path) == ()


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match=r"results: cannot be read: .*expected a folder"):
        ranked_sets(tmp_path / "results")


def edit_line(folder: Path, number: int, **fields: Any) -> None:
    path = folder / "responses.jsonl"
    lines = path.read_text().splitlines()
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **fields})
    path.write_text("\n".join(lines) + "\n")


GRADE = {
    "accuracy": 0.5,
    "solved": False,
    "answers": {"A": "x", "B": None},
    "right": ["A"],
    "main_accuracy": 0.5,
}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"sample": 7}, "sample is 7: expected 0 to 0"),
        ({"puzzle": None}, "puzzle is null: expected a text"),
        ({"outcome": "good"}, 'outcome is "good": expected one of answered, truncated'),
        ({"grade": None}, "the outcome is answered, and there is no grade"),
        ({"grade": GRADE | {"accuracy": 1.5}}, "grade.accuracy is 1.5: expected at most 1"),
        ({"grade": GRADE | {"accuracy": "1"}}, 'grade.accuracy is "1": expected a number'),
        ({"grade": GRADE | {"main_accuracy": 7}}, "grade.main_accuracy is 7: expected at most 1"),
        ({"grade": GRADE | {"solved": 1}}, "grade.solved is 1: expected true or false"),
        ({"grade": GRADE | {"answers": {}}}, "grade.answers is {}: expected 1 or more"),
        ({"grade": GRADE | {"right": ["Q"]}}, "right is ['Q']"),
        ({"grade": GRADE | {"right": ["A", "A"]}}, "right is ['A', 'A']"),
        ({"grade": GRADE | {"right": ["B"]}}, "B is right and has no answer: expected an answer"),
        ({"grade": GRADE | {"accuracy": 0.75}}, "accuracy is 0.75: expected 0.5, 1 of 2 letters"),
        ({"grade": GRADE | {"solved": True}}, "solved is true: 1 of 2 letters are right"),
        (
            {"grade": GRADE | {"main_accuracy": 0.25}},
            "main_accuracy is 0.25, and 1 of 2 letters are right",
        ),
        ({"puzzle": "p000", "grade": GRADE}, "answers to A, B: expected A, A1"),
        ({"sample": -1}, "sample is -1: expected 0 or more"),
        ({"sample": True}, "sample is true: expected a whole number"),
        ({"num_clues": -1}, "num_clues is -1: expected 0 or more"),
        ({"latency_s": float("inf")}, "latency_s is Infinity: expected a finite number"),
        ({"difficulty": [3]}, "difficulty is [3]: expected a text"),
        ({"scored": True}, "unknown field scored: expected one of puzzle, sample"),
        ({"model_id": 3}, "model_id is 3: expected a text"),
        ({"cost_litellm_usd": -1}, "cost_litellm_usd is -1"),
        (
            {"usage": {"cache_write_1h_tokens": "9"}},
            'cache_write_1h_tokens is "9": expected a whole',
        ),
        ({"usage": {"reported_usd": -0.1}}, "usage.reported_usd is -0.1: expected 0 or more"),
        ({"grader": "published"}, "graded by published (version 1): expected sound (version 1)"),
        ({"cost_usd": -0.5}, "cost_usd is -0.5: expected 0 or more"),
        ({"cost_usd": float("nan")}, "cost_usd is NaN: expected a finite number"),
        ({"usage": {"prompt_tokens": "many"}}, 'usage.prompt_tokens is "many": expected a whole'),
        ({"puzzle": "p999"}, None),
    ],
)
def test_a_line_that_no_run_writes_is_named(
    tmp_path: Path, fields: dict[str, Any], complaint: str | None
) -> None:
    folder = write_run(tmp_path)
    edit_line(folder, 2, **fields)
    if complaint is None:
        assert len(ranked_sets(tmp_path)) == 1
        return
    with pytest.raises(UserError) as refused:
        ranked_sets(tmp_path)
    assert str(refused.value).startswith(f"{folder / 'responses.jsonl'}, line 2: ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with (folder / "responses.jsonl").open("a") as file:
        file.write("{half\n")
    with pytest.raises(UserError, match=r"responses\.jsonl, line 4: "):
        ranked_sets(tmp_path)


def test_more_responses_than_were_asked_for(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    config = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**config, "puzzles": 2}))
    with pytest.raises(UserError, match=r"line 3: expected at most 2 responses, as run\.json says"):
        ranked_sets(tmp_path)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"puzzles": 0}, "puzzles is 0: expected 1 or more"),
        ({"samples": "two"}, 'samples is "two": expected a whole number'),
        ({"variant": None}, "variant is null: expected a text"),
        ({"puzzles": True}, "puzzles is true: expected a whole number"),
        ({"grader": ""}, 'grader is "": expected a text that is not empty'),
        ({"colour": "red"}, "unknown field colour: expected one of seed"),
        ({"prices": None}, "prices is null: expected fields with values"),
        ({"prices": {"source": "given", "date": 3}}, "prices.date is 3: expected a text"),
    ],
)
def test_a_configuration_that_no_run_writes(
    tmp_path: Path, fields: dict[str, Any], complaint: str
) -> None:
    path = write_run(tmp_path) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(UserError) as refused:
        ranked_sets(tmp_path)
    assert str(refused.value).startswith(f"{path}: ")
    assert complaint in str(refused.value)


def test_responses_without_a_configuration(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "run.json").unlink()
    with pytest.raises(UserError, match=r"run\.json: cannot be read"):
        ranked_sets(tmp_path)


def test_steps_stand_beside_the_weights_that_training_began_with(tmp_path: Path) -> None:
    def write(variant: str, accuracy: float, step: int | None = None, **settings: Any) -> None:
        trained = CheckpointOrigin("run", step, "tiny", "aa") if step is not None else None
        checkpoint = "aa" if step is None else f"step {step}"
        given = {"checkpoint": checkpoint, "trained": trained, "temperature": 1.0} | settings
        write_run(tmp_path, variant, [Answer(accuracy)] * 4, **given)

    write("tiny", 0.5)
    write("tiny", 0.5, temperature=0.0)
    write("other weights", 0.1, checkpoint="bb")
    write("run@100", 0.75, 100)
    write("run@20", 0.625, 20)
    write("run@20", 0.6, 20, temperature=0.0)
    write("run@20", 0.6, 20, max_tokens=7)  # its base was not asked so
    (table,) = ranked_sets(tmp_path)
    request_settings = [
        {(table.rows[i].config.temperature, table.rows[i].config.max_tokens) for i in path}
        for path in paths(table.rows)
    ]
    assert sorted(map(len, request_settings)) == [1, 1]
    variants = [[table.rows[i].config.variant for i in path] for path in paths(table.rows)]
    assert sorted(variants) == [["tiny", "run@20"], ["tiny", "run@20", "run@100"]]
    gains = {
        (row.config.variant, row.config.temperature, row.config.max_tokens): row.base
        and round(row.base.accuracy.difference, 6)
        for row in table.rows
    }
    assert gains.pop(("run@100", 1.0, None)) == 0.25
    assert gains.pop(("run@20", 1.0, None)) == 0.125
    assert gains.pop(("run@20", 0.0, None)) == 0.1
    assert set(gains.values()) == {None}
    (note,) = {
        note for row in table.rows if row.base for note in row.summary.notes if "100" in note
    }
    assert note == "step 100 of training run run, from tiny"


def test_what_was_not_trained_is_recorded_as_before(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    assert "trained" not in json.loads((folder / "run.json").read_text())
    changed = json.loads((folder / "run.json").read_text())
    changed["trained"] = {"run": "r", "step": "first"}
    (folder / "run.json").write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r'trained\.step is "first": expected a whole number'):
        ranked_sets(tmp_path)
