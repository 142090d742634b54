"""Benchmarks of kept checkpoints: each step once and as itself, even after many kills."""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import Silent, write_puzzles
from board_runs import ranked_sets
from places import ROOT

from tclue.bench.models.local import TINY
from tclue.bench.options import BenchOptions
from tclue.bench.records import Run, read_config, read_run
from tclue.bench.runs.run import run_models
from tclue.bench.runs.run_folder import RunFolder
from tclue.board import leaderboard
from tclue.board.leaderboard import paths
from tclue.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402 (only where torch is)

from tclue.bench.models.local import TrainedModel, fingerprint  # noqa: E402
from tclue.bench_training import then_bench  # noqa: E402
from tclue.trainers import read_manifest  # noqa: E402

pytestmark = pytest.mark.model

PUZZLES, SAMPLES, SEED = 3, 2, 5
# Records of one model: sampled, then greedy.
EACH = PUZZLES * SAMPLES + PUZZLES
STEPS = (20, 40, 60)

# One process does the slow imports, and forks a child for every line that it reads.
FORKING = """
import os, sys
from pathlib import Path
import transformers
from tclue.bench_training import then_bench
import tclue.bench.models.local, tclue.bench.models.decode
transformers.AutoModelForCausalLM, transformers.AutoTokenizer, transformers.AutoConfig
from transformers import Qwen2ForCausalLM
run, root = sys.argv[1:]
for _ in sys.stdin:
    if not (child := os.fork()):
        then_bench(Path(run), results=Path(root, "results"), board=Path(root, "board"))
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def write_step(run: Path, step: int) -> Path:
    """The tiny checkpoint as after some training: its weights are slightly changed."""
    folder = run / f"step-{step:06}"
    shutil.copytree(TINY, folder)
    weights = load_file(folder / "model.safetensors")
    rng = torch.Generator().manual_seed(step)
    moved = {
        name: weight + 0.1 * weight.std() * torch.randn(weight.shape, generator=rng)
        for name, weight in weights.items()
    }
    save_file(moved, folder / "model.safetensors", {"format": "pt"})
    (folder / "trainer").mkdir()
    (folder / "trainer" / "state.json").write_text(json.dumps({"iteration": step}))
    return folder


def write_kept(run: Path, **changes: Any) -> None:
    manifest = {
        "base": "tiny",
        "best": 40,
        "last": 60,
        "steps": list(STEPS),
        "puzzles": str(run.parent.parent / f"easy{PUZZLES}.jsonl"),
        "samples": SAMPLES,
        "seed": SEED,
        "max_tokens": 24,
        "price": {"tier": "fireworks-4b"},
        "preset": "tiny",
        "training_s": 510.0,
        "training_usd": 0.0142,
    }
    (run / "kept.json").write_text(json.dumps(manifest | changes))


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run of three steps, below `runs`, beside its puzzles."""
    root = tmp_path_factory.mktemp("made")
    write_puzzles(root, PUZZLES)
    run = root / "runs" / "short"
    run.mkdir(parents=True)
    for step in STEPS:
        write_step(run, step)
    write_kept(run)
    return run


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of the trained run that a test may change."""
    shutil.copy(trained_run.parent.parent / f"easy{PUZZLES}.jsonl", tmp_path)
    copy = shutil.copytree(trained_run, tmp_path / "runs" / "short")
    write_kept(copy)
    return copy


def records(results: Path) -> dict[tuple[str, float | None], Run]:
    """Variant and temperature -> the run."""
    runs = [read_run(folder) for folder in sorted(results.iterdir())]
    by_name = {(run.config.variant, run.config.temperature): run for run in runs}
    assert len(by_name) == len(runs)
    return by_name


def texts(results: Path) -> Mapping[Any, Mapping[Any, str]]:
    return {name: {r.pair: r.text for r in run.responses} for name, run in records(results).items()}


def lines(results: Path) -> dict[Path, bytes]:
    """The complete records of each run."""
    contents = {path: path.read_bytes() for path in results.glob("*/responses.jsonl")}
    return {path: data[: data.rfind(b"\n") + 1] for path, data in contents.items()}


class Killer:
    """Starts then_bench repeatedly, and kills it after a given number of new records."""

    def __init__(self, run: Path, root: Path) -> None:
        self._results = root / "results"
        self._parent = subprocess.Popen(
            [sys.executable, "-c", FORKING, str(run), str(root)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def start(self, new_records: int | None, delay_s: float = 0.0) -> int:
        """Start one process, kill it after `new_records` and a delay; return its exit code."""
        assert self._parent.stdin
        assert self._parent.stdout
        before = self._count()
        self._parent.stdin.write(b"\n")
        child = int(self._parent.stdout.readline())
        if new_records is not None:
            while self._count() < before + new_records and not self._ended():
                time.sleep(0.0005)
            time.sleep(delay_s)
            if not self._ended():
                os.kill(child, signal.SIGKILL)
        return int(self._parent.stdout.readline())

    def _count(self) -> int:
        return sum(data.count(b"\n") for data in lines(self._results).values())

    def _ended(self) -> bool:
        assert self._parent.stdout
        return bool(select.select([self._parent.stdout], [], [], 0)[0])

    def close(self) -> None:
        self._parent.communicate()


def test_a_temperature_is_kept_as_it_is_written(tmp_path: Path) -> None:
    # The hash in the names of the benchmark's runs tells 1 from 1.0.
    for written in (1, 1.0):
        (tmp_path / "kept.json").write_text(
            json.dumps({"base": "tiny", "best": 1, "last": 1, "temperature": written})
        )
        assert json.dumps(read_manifest(tmp_path).temperature) == json.dumps(written)
    (tmp_path / "kept.json").write_text('{"base": "tiny", "best": 1, "last": 1}')
    assert read_manifest(tmp_path).temperature == 1.0


@pytest.mark.slow
@pytest.mark.server
def test_killed_at_many_points_each_step_is_asked_once_and_as_itself(
    trained_run: Path, tmp_path: Path
) -> None:
    uninterrupted = then_bench(
        trained_run, results=tmp_path / "whole", board=tmp_path / "whole-board"
    )
    rng, results, killer = random.Random(3), tmp_path / "results", Killer(trained_run, tmp_path)
    kills, record_counts = 0, set()
    try:
        code = None
        for new_records in [0, 0, *(rng.randint(1, 3) for _ in range(100))]:
            before = lines(results)
            code = killer.start(new_records, delay_s=rng.random() * 0.02)
            kills += code == -signal.SIGKILL
            record_counts.add(sum(data.count(b"\n") for data in lines(results).values()))
            for path, data in before.items():
                assert path.read_bytes().startswith(data)
            if code == 0 or kills == 14:
                break
        assert code == 0 or killer.start(None) == 0
        finished = lines(results)
        assert killer.start(None) == 0
        assert lines(results) == finished  # a repetition asks nothing
    finally:
        killer.close()
    assert kills >= 8
    assert len(record_counts) >= 6  # at so many different points
    _check_records(results, trained_run)
    assert texts(results) == texts(tmp_path / "whole")
    assert leaderboard.check(leaderboard.build(results), tmp_path / "board", results) == []
    (table,) = ranked_sets(results)
    assert {row.label for row in table.rows} == {
        f"{variant} ({sampling})"
        for variant in ("tiny", "short@20", "short@40", "short@60")
        for sampling in ("greedy", "temperature 1")
    }
    assert uninterrupted.step == 40


def _check_records(results: Path, run: Path) -> None:
    by_name = records(results)
    assert len(by_name) == 2 * (1 + len(STEPS))
    answers = []
    for (variant, temperature), record in by_name.items():
        pairs = Counter(response.pair for response in record.responses)
        assert set(pairs.values()) == {1}
        assert len(pairs) == (PUZZLES if temperature == 0 else PUZZLES * SAMPLES)
        assert {response.outcome for response in record.responses} <= {"truncated", "answered"}
        step = variant.rpartition("@")[2]
        folder = TINY if variant == "tiny" else run / f"step-{int(step):06}"
        assert record.config.checkpoint == fingerprint(folder)
        if variant != "tiny":
            assert record.config.model == f"train:short@{step}"
            assert record.config.trained is not None
            assert record.config.trained.step == int(step)
            assert record.config.trained.base_checkpoint == fingerprint(TINY)
        answers.append((temperature, tuple(sorted((r.pair, r.text) for r in record.responses))))
    assert len(set(answers)) == len(answers)  # each step's weights answer differently


@pytest.mark.slow
def test_what_comes_of_it(run: Path, tmp_path: Path) -> None:
    write_kept(run, best=60, steps=[])  # best and last are one step
    results, board = tmp_path / "results", tmp_path / "board"
    result = then_bench(run, results=results, board=board, progress=Silent())
    by_name = records(results)
    assert set(by_name) == {
        (name, temperature) for name in ("tiny", "short@60") for temperature in (0.0, 1.0)
    }
    assert [step.step for step in result.steps] == [0, 60]
    assert result.greedy is not None
    for gain, temperature in ((result.sampled, 1.0), (result.greedy, 0.0)):
        means = {}
        for name in ("tiny", "short@60"):
            record = by_name[name, temperature]
            grades = [r.grade.accuracy for r in record.responses if r.grade]
            means[name] = sum(grades) / len(grades)
            settings = (record.config.puzzles, record.config.seed, record.config.max_tokens)
            assert settings == (PUZZLES, SEED, 24)
        assert gain.base_accuracy == pytest.approx(means["tiny"])
        assert gain.trained_accuracy == pytest.approx(means["short@60"])
        assert gain.difference == pytest.approx(means["short@60"] - means["tiny"])
        assert gain.interval[0] <= gain.difference <= gain.interval[1]
        assert gain.puzzles == PUZZLES
    data = json.loads(json.dumps(result.to_dict()))
    assert data["difference"] == result.sampled.difference
    assert data["greedy"]["puzzles"] == PUZZLES
    # Costs are at the tier's token price, and the board shows the tier.
    for record in by_name.values():
        for response in record.responses:
            used = (response.usage.prompt_tokens or 0) + (response.usage.completion_tokens or 0)
            assert response.cost_usd == pytest.approx(used * 0.10 / 1e6)
    page = (board / "README.md").read_text()
    assert "tier fireworks-4b" in page
    assert "step 60 of training run short, from tiny, preset tiny, 8.5 minutes" in page
    assert "above its base" in page
    (table,) = ranked_sets(results)
    ways = [[table.rows[i].config.variant for i in way] for way in paths(table.rows)]
    assert ways == [["tiny", "short@60"]] * 2
    (rows,) = [record["rows"] for record in json.loads((board / "board.json").read_text())["sets"]]
    trained = [row for row in rows if row["variant"] == "short@60"]
    assert all(row["trained"]["cost_usd"] == 0.0142 for row in trained)
    assert all(row["base"]["accuracy"]["puzzles"] == PUZZLES for row in trained)


def test_other_weights_under_the_same_step_are_another_run(run: Path, tmp_path: Path) -> None:
    options = BenchOptions(
        puzzles=str(tmp_path / f"easy{PUZZLES}.jsonl"),
        runs=run.parent,
        results=tmp_path / "results",
        max_tokens=4,
        limit=1,
    )
    names = ["train:short@best", "train:short@40", f"train:{run}@40"]
    assert len({config.run for config in run_models(names, options, Silent())}) == 1
    model = TrainedModel("short@40", options)
    shutil.copy(run / "step-000060" / "model.safetensors", run / "step-000040")
    with pytest.raises(UserError, match="it changed after this command began"):
        model.open()
    run_models(["train:short@40"], options, Silent())
    configs = [read_config(folder) for folder in (tmp_path / "results").iterdir()]
    assert len({config.checkpoint for config in configs}) == len(configs) == 2
    # A run whose record has other weights than its name is not resumed.
    folder = tmp_path / "results" / configs[0].run_name
    other_weights = replace(configs[0], checkpoint="0" * 64).to_dict()
    (folder / "run.json").write_text(json.dumps(other_weights))
    with pytest.raises(UserError, match="describes the run"):
        RunFolder(tmp_path / "results", configs[0])


def test_what_cannot_be_asked(run: Path, tmp_path: Path) -> None:
    options = BenchOptions(runs=run.parent)

    def error_of(name: str) -> str:
        with pytest.raises(UserError) as error:
            TrainedModel(name, options)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "expected one of 20, 40, 60" in error_of("short@50")
    assert "expected the number of a step, best or last" in error_of("short@first")
    assert "expected train:RUN@STEP" in error_of("short")
    assert "expected the name of one, or a path, or one of short" in error_of("long@20")
    state = run / "step-000040" / "trainer" / "state.json"
    state.write_text(json.dumps({"iteration": 39}))
    assert "is 39: expected 40" in error_of("short@40")
    state.unlink()
    assert "state.json: cannot be read: No such file" in error_of("short@best")
    write_kept(run, best="40")
    with pytest.raises(UserError, match='best is "40": expected a whole number'):
        read_manifest(run)
    write_kept(run, best=None)
    assert "there was no validation yet: expected train:short@last" in error_of("short@best")
    write_kept(run, price={"euros": 1})
    with pytest.raises(UserError, match=r"unknown field price\.euros: expected one of tier, "):
        read_manifest(run)
    write_kept(run, base_checkpoint="0" * 64)
    with pytest.raises(UserError, match="it is not the model that training began with"):
        then_bench(run, results=tmp_path / "results", board=tmp_path / "board")
    (run / "kept.json").unlink()
    with pytest.raises(UserError, match=r"kept\.json: cannot be read"):
        then_bench(run, results=tmp_path / "results", board=tmp_path / "board")
    assert not (tmp_path / "results").exists()


def test_what_training_took_up_to_a_step(run: Path) -> None:
    state = run / "step-000060" / "trainer" / "state.json"
    state.write_text(json.dumps({"iteration": 60, "trained_s": 360.0}))
    unknown_cost = {"training_s": None, "training_usd": None}
    options = BenchOptions(runs=run.parent)
    for price, cost_usd in (
        ({"hour_usd": 0.1}, 0.01),
        ({"gpu_hour_usd": 2.0, "gpus": 4}, 0.8),
        ({"hour_usd": 0.0}, None),  # not known
    ):
        write_kept(run, price=price, **unknown_cost)
        trained = TrainedModel("short@60", options).resolved.trained
        assert trained is not None
        assert trained.seconds == 360.0
        assert trained.cost_usd == (cost_usd and pytest.approx(cost_usd))
