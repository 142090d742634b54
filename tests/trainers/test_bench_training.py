"""Benchmarking what training kept: the right step, once, whatever is killed in between."""

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
from places import ROOT

from tclue.bench.models.local import TINY
from tclue.bench.options import BenchOptions
from tclue.bench.records import Run, read_config, read_run
from tclue.bench.runs.run import run_models
from tclue.bench.runs.run_folder import RunFolder
from tclue.board import leaderboard
from tclue.board.lineage import paths
from tclue.board.rows import read_sets
from tclue.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402 (only where torch is)

from tclue.bench.models.local import fingerprint  # noqa: E402
from tclue.bench.models.trained import TrainedModel  # noqa: E402
from tclue.bench_training import then_bench  # noqa: E402
from tclue.training_run import read_manifest  # noqa: E402

pytestmark = pytest.mark.model

PUZZLES, SAMPLES, SEED = 3, 2, 5
# Records of one model: sampled, then greedy.
EACH = PUZZLES * SAMPLES + PUZZLES
STEPS = (20, 40, 60)

# One process imports what takes seconds, and forks a child for every line that it reads.
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
    """The tiny checkpoint as training might have left it: its weights a little moved."""
    folder = run / f"step-{step:06}"
    shutil.copytree(TINY, folder)
    weights = load_file(folder / "model.safetensors")
    dice = torch.Generator().manual_seed(step)
    moved = {
        name: weight + 0.1 * weight.std() * torch.randn(weight.shape, generator=dice)
        for name, weight in weights.items()
    }
    save_file(moved, folder / "model.safetensors", {"format": "pt"})
    (folder / "trainer").mkdir()
    (folder / "trainer" / "state.json").write_text(json.dumps({"iteration": step}))
    return folder


def write_kept(run: Path, **changes: Any) -> None:
    kept = {
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
    (run / "kept.json").write_text(json.dumps(kept | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copy(made.parent.parent / f"easy{PUZZLES}.jsonl", tmp_path)
    copy = shutil.copytree(made, tmp_path / "runs" / "short")
    write_kept(copy)
    return copy


def records(results: Path) -> dict[tuple[str, float | None], Run]:
    """Variant and temperature -> the run."""
    read = [read_run(folder) for folder in sorted(results.iterdir())]
    found = {(run.config.variant, run.config.temperature): run for run in read}
    assert len(found) == len(read)
    return found


def texts(results: Path) -> Mapping[Any, Mapping[Any, str]]:
    return {name: {r.pair: r.text for r in run.responses} for name, run in records(results).items()}


def lines(results: Path) -> dict[Path, bytes]:
    """Each run's records, as far as they are whole."""
    found = {path: path.read_bytes() for path in results.glob("*/responses.jsonl")}
    return {path: data[: data.rfind(b"\n") + 1] for path, data in found.items()}


class Killer:
    """Starts then_bench over and over, and kills it once so many more records are there."""

    def __init__(self, run: Path, root: Path) -> None:
        self._results = root / "results"
        self._parent = subprocess.Popen(
            [sys.executable, "-c", FORKING, str(run), str(root)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def start(self, more: int | None, delay_s: float = 0.0) -> int:
        """The exit code of one; killed after `more` new records and a delay, unless None."""
        assert self._parent.stdin
        assert self._parent.stdout
        before = self._count()
        self._parent.stdin.write(b"\n")
        child = int(self._parent.stdout.readline())
        if more is not None:
            while self._count() < before + more and not self._ended():
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


@pytest.mark.slow
@pytest.mark.server
def test_killed_at_many_points_each_step_is_asked_once_and_as_itself(
    made: Path, tmp_path: Path
) -> None:
    whole = then_bench(made, results=tmp_path / "whole", board=tmp_path / "whole-board")
    dice, results, killer = random.Random(3), tmp_path / "results", Killer(made, tmp_path)
    kills, seen = 0, set()
    try:
        code = None
        for more in [0, 0, *(dice.randint(1, 3) for _ in range(100))]:
            kept = lines(results)
            code = killer.start(more, delay_s=dice.random() * 0.02)
            kills += code == -signal.SIGKILL
            seen.add(sum(data.count(b"\n") for data in lines(results).values()))
            for path, data in kept.items():
                assert path.read_bytes().startswith(data)
            if code == 0 or kills == 14:
                break
        assert code == 0 or killer.start(None) == 0
        finished = lines(results)
        assert killer.start(None) == 0
        assert lines(results) == finished  # the same once more asks nothing
    finally:
        killer.close()
    assert kills >= 8
    assert len(seen) >= 6  # at so many different points
    _check_records(results, made)
    assert texts(results) == texts(tmp_path / "whole")
    assert leaderboard.check(results, tmp_path / "board") == []
    (table,) = read_sets(results)
    assert {row.label for row in table.rows} == {
        f"{variant} ({how})"
        for variant in ("tiny", "short@20", "short@40", "short@60")
        for how in ("greedy", "temperature 1")
    }
    assert whole.step == 40


def _check_records(results: Path, run: Path) -> None:
    found = records(results)
    assert len(found) == 2 * (1 + len(STEPS))
    said = []
    for (variant, temperature), one in found.items():
        pairs = Counter(response.pair for response in one.responses)
        assert set(pairs.values()) == {1}
        assert len(pairs) == (PUZZLES if temperature == 0 else PUZZLES * SAMPLES)
        assert {response.outcome for response in one.responses} <= {"truncated", "answered"}
        step = variant.rpartition("@")[2]
        folder = TINY if variant == "tiny" else run / f"step-{int(step):06}"
        assert one.config.checkpoint == fingerprint(folder)
        if variant != "tiny":
            assert one.config.model == f"train:short@{step}"
            assert one.config.trained is not None
            assert one.config.trained.step == int(step)
            assert one.config.trained.base_checkpoint == fingerprint(TINY)
        said.append((temperature, tuple(sorted((r.pair, r.text) for r in one.responses))))
    assert len(set(said)) == len(said)  # each step's weights say something else


@pytest.mark.slow
def test_what_comes_of_it(run: Path, tmp_path: Path) -> None:
    write_kept(run, best=60, steps=[])  # best and last are one step
    results, board = tmp_path / "results", tmp_path / "board"
    found = then_bench(run, results=results, board=board, progress=Silent())
    by_name = records(results)
    assert set(by_name) == {(name, warm) for name in ("tiny", "short@60") for warm in (0.0, 1.0)}
    assert [step.step for step in found.steps] == [0, 60]
    assert found.greedy is not None
    for gain, warm in ((found.sampled, 1.0), (found.greedy, 0.0)):
        means = {}
        for name in ("tiny", "short@60"):
            one = by_name[name, warm]
            grades = [r.grade.accuracy for r in one.responses if r.grade]
            means[name] = sum(grades) / len(grades)
            asked = (one.config.puzzles, one.config.seed, one.config.max_tokens)
            assert asked == (PUZZLES, SEED, 24)
        assert gain.base_accuracy == pytest.approx(means["tiny"])
        assert gain.trained_accuracy == pytest.approx(means["short@60"])
        assert gain.difference == pytest.approx(means["short@60"] - means["tiny"])
        assert gain.interval[0] <= gain.difference <= gain.interval[1]
        assert gain.puzzles == PUZZLES
    data = json.loads(json.dumps(found.to_dict()))
    assert data["difference"] == found.sampled.difference
    assert data["greedy"]["puzzles"] == PUZZLES
    # At the tier's price for tokens, and the board says so.
    for one in by_name.values():
        for response in one.responses:
            used = (response.usage.prompt_tokens or 0) + (response.usage.completion_tokens or 0)
            assert response.cost_usd == pytest.approx(used * 0.10 / 1e6)
    page = (board / "README.md").read_text()
    assert "tier fireworks-4b" in page
    assert "step 60 of training run short, from tiny, preset tiny, 8.5 minutes" in page
    assert "above its base" in page
    (table,) = read_sets(results)
    ways = [[table.rows[i].config.variant for i in way] for way in paths(table.rows)]
    assert ways == [["tiny", "short@60"]] * 2
    (rows,) = [one["rows"] for one in json.loads((board / "board.json").read_text())["sets"]]
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
    assert len({one.run for one in run_models(names, options, Silent())}) == 1
    model = TrainedModel("short@40", options)
    shutil.copy(run / "step-000060" / "model.safetensors", run / "step-000040")
    with pytest.raises(UserError, match="has changed since this command began"):
        model.open()
    run_models(["train:short@40"], options, Silent())
    found = [read_config(folder) for folder in (tmp_path / "results").iterdir()]
    assert len({one.checkpoint for one in found}) == len(found) == 2
    # A run whose record says other weights than its name is not taken up.
    folder = tmp_path / "results" / found[0].run_name
    wrong = replace(found[0], checkpoint="0" * 64).to_dict()
    (folder / "run.json").write_text(json.dumps(wrong))
    with pytest.raises(UserError, match="holds a run of other settings"):
        RunFolder(tmp_path / "results", found[0])


def test_what_cannot_be_asked(run: Path, tmp_path: Path) -> None:
    options = BenchOptions(runs=run.parent)

    def told(name: str) -> str:
        with pytest.raises(UserError) as error:
            TrainedModel(name, options)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "there are 20, 40, 60" in told("short@50")
    assert "expected a step's number, best or last" in told("short@first")
    assert "expected train:RUN@STEP" in told("short")
    assert "expected a path, or one of short" in told("long@20")
    state = run / "step-000040" / "trainer" / "state.json"
    state.write_text(json.dumps({"iteration": 39}))
    assert "says iteration 39: expected 40" in told("short@40")
    state.unlink()
    assert "state.json: cannot be read: No such file" in told("short@best")
    write_kept(run, best="40")
    with pytest.raises(UserError, match='best is "40": expected a whole number'):
        read_manifest(run)
    write_kept(run, best=None)
    assert "nothing was validated yet: take train:short@last" in told("short@best")
    write_kept(run, price={"euros": 1})
    with pytest.raises(UserError, match=r"unknown field price\.euros: expected one of tier, "):
        read_manifest(run)
    write_kept(run, base_checkpoint="0" * 64)
    with pytest.raises(UserError, match="is not what training began with"):
        then_bench(run, results=tmp_path / "results", board=tmp_path / "board")
    (run / "kept.json").unlink()
    with pytest.raises(UserError, match=r"kept\.json: cannot be read"):
        then_bench(run, results=tmp_path / "results", board=tmp_path / "board")
    assert not (tmp_path / "results").exists()


def test_what_training_took_up_to_a_step(run: Path) -> None:
    state = run / "step-000060" / "trainer" / "state.json"
    state.write_text(json.dumps({"iteration": 60, "trained_s": 360.0}))
    own = {"training_s": None, "training_usd": None}
    options = BenchOptions(runs=run.parent)
    for price, cost_usd in (
        ({"hour_usd": 0.1}, 0.01),
        ({"gpu_hour_usd": 2.0, "gpus": 4}, 0.8),
        ({"hour_usd": 0.0}, None),  # not known
    ):
        write_kept(run, price=price, **own)
        trained = TrainedModel("short@60", options).resolved.trained
        assert trained is not None
        assert trained.seconds == 360.0
        assert trained.cost_usd == (cost_usd and pytest.approx(cost_usd))
