"""Shared by the lm-eval tests: a separate lm-eval for a test, and a comparison with bench.

The runs use the installed lm-eval with its files linked into a separate folder, so that registering
in a test does not change the installed lm-eval.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from bench_support import Silent, the_run
from places import ROOT

from tclue.bench.records import Response
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.puzzle.splits import load_set

LIMIT = 8


@dataclass(frozen=True)
class Installed:
    """An environment with an lm-eval that has its own tasks folder."""

    path: Path

    @property
    def stubs(self) -> Path:
        return self.path / "lm_eval" / "tasks" / "temporal_clue"

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        places = (self.path, ROOT, os.environ.get("PYTHONPATH", ""))
        environment |= {
            "HF_HUB_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HF_HOME": str(self.path / "hf"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(map(str, places)),
        }
        return subprocess.run(
            [sys.executable, "-P", "-m", *command],
            cwd=self.path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def tclue(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("tclue", "lm-eval", *arguments)


def install(path: Path) -> Installed:
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        pytest.skip('lm-eval is not installed: pip install "tclue[lm-eval]"')
    source = Path(spec.origin).parent
    (path / "lm_eval" / "tasks").mkdir(parents=True)
    for part in (*source.iterdir(), *(source / "tasks").glob("*.py")):
        if part.name not in ("tasks", "__pycache__"):
            (path / "lm_eval" / part.relative_to(source)).symlink_to(part)
    return Installed(path)


@dataclass(frozen=True)
class Evaluated:
    """The results of lm-eval for one task."""

    # "accuracy,none" -> value
    metrics: dict[str, Any]
    # one per puzzle, in the order of the puzzles
    samples: list[dict[str, Any]]


def evaluate(
    installed: Installed, *arguments: str, tasks: str, limit: int = LIMIT, **environment: str
) -> dict[str, Evaluated]:
    """Run lm-eval; task or group -> its results."""
    output = installed.path / "output"
    done = installed.run(
        *(*arguments, "--tasks", tasks, "--apply_chat_template", "--limit", str(limit)),
        *("--output_path", str(output), "--log_samples"),
        **environment,
    )
    assert done.returncode == 0, done.stderr
    assert "published_accuracy" in done.stdout
    (results,) = output.rglob("results_*.json")
    evaluated = {}
    for task, metrics in json.loads(results.read_text())["results"].items():
        lines = [
            json.loads(line)
            for path in output.rglob(f"samples_{task}_2*.jsonl")
            for line in path.read_text().splitlines()
        ]
        evaluated[task] = Evaluated(
            metrics, sorted(lines, key=lambda sample: int(sample["doc_id"]))
        )
    return evaluated


def bench(model: str, puzzles: str, folder: Path, **options: Any) -> dict[str, list[Response]]:
    """Run bench; puzzle id -> responses."""
    chosen = BenchOptions(puzzles=puzzles, limit=LIMIT, results=folder, **options)
    run_models([model], chosen, Silent())
    by_puzzle: dict[str, list[Response]] = {}
    for response in the_run(folder).final():
        by_puzzle.setdefault(response.puzzle, []).append(response)
    return by_puzzle


def compare(
    evaluated: Evaluated,
    responses: dict[str, list[Response]],
    puzzles: str,
    key: str = "none",
    *,
    texts: bool = True,
) -> None:
    """Assert that lm-eval's scores and texts equal bench's, except where thinking was cut off."""
    asked = [sample["doc"]["id"] for sample in evaluated.samples]
    assert asked == [puzzle.id for puzzle in load_set(puzzles).puzzles[:LIMIT]]
    for sample in evaluated.samples:
        theirs = responses[sample["doc"]["id"]]
        if texts:
            # lm-eval logs a missing text as "None"
            texts_logged = ["" if text == "None" else text for text in sample["resps"][0]]
            assert sorted(texts_logged) == sorted(response.text for response in theirs)
        grades = [response.grade for response in theirs if response.grade]
        assert sample["accuracy"] == pytest.approx(fmean(grade.accuracy for grade in grades))
        assert sample["solved"] == pytest.approx(fmean(grade.solved for grade in grades))
    for metric in ("accuracy", "solved", "published_accuracy"):
        value = fmean(sample[metric] for sample in evaluated.samples)
        assert evaluated.metrics[f"{metric},{key}"] == pytest.approx(value)
        assert isinstance(evaluated.metrics[f"{metric}_stderr,{key}"], float)
