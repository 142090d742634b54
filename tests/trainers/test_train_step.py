"""The training benchmark: its counts are right, it runs, and it compares the same work."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from packs import random_groups
from places import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

sys.path.insert(0, str(ROOT / "benchmarks"))

from step_work import made_up, operations, write_random  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from train_step import Options, configuration, steps  # noqa: E402

from tclue.bench.models.local import TINY  # noqa: E402
from tclue_grpo.build import load_policy  # noqa: E402
from tclue_grpo.model_size import Shape, shape_of  # noqa: E402
from tclue_grpo.packing import pack_groups  # noqa: E402

pytestmark = pytest.mark.model

SMALL = Shape(layers=2, width=32, heads=2, kv_heads=1, inner=48, vocab=64, tied=True, qkv_bias=True)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark with all GPUs hidden."""
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "train_step.py"), *arguments],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,  # long after it is through, however busy the machine is
    )


def test_operations_are_those_that_torch_counts() -> None:
    shape = shape_of("tiny")
    assert shape
    (pack,) = pack_groups(random_groups(1, 2, 3, lambda _: 20, (5, 30)), 1024)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        load_policy(str(TINY))(pack)
    by_name = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    attention = sum(count for name, count in by_name.items() if "attention" in name)
    products = sum(by_name.values()) - attention
    tokens, pairs = len(pack.ids), int((pack.positions + 1).sum())
    per_pair = 4 * shape.layers * shape.width
    assert operations(pack, shape) / 3 == products + per_pair * pairs
    # torch counts all pairs, masked or not
    assert attention in (0, per_pair * tokens**2)


@pytest.mark.slow
@pytest.mark.server
def test_it_runs_and_compares_the_same_work() -> None:
    sizes = ("--puzzles", "2", "--responses", "4", "--max-tokens", "150")
    done = run(*sizes, "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    ways = measured["steps"]
    assert {"packed", "unshared", "alone"} <= set(ways)
    first = ways["packed"]
    for name, way in ways.items():
        assert way["wall_ratio"] > 0
        assert way["peak_share"] > 0
        for same in ("responses", "logical", "loss_bearing"):
            assert way[same] == first[same]
        assert (way["executed"] < way["logical"]) == (name in ("packed", "torchtune"))
    assert first["loss_bearing"] <= measured["sampling"]["sampled"]
    assert measured["iterations"]["ours"]["responses"] == 8
    assert measured["iterations"]["trl_version"] is None


@pytest.mark.slow
@pytest.mark.server
def test_a_shape_without_a_gpu_is_refused_in_one_line() -> None:
    done = run("--shape", "qwen2.5-0.5b")
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("train_step: --shape qwen2.5-0.5b needs a GPU, and here is no GPU")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_shape_is_measured_on_random_weights_and_responses(
    tmp_path: Path, dtype: Literal["float32", "bfloat16"]
) -> None:
    options = Options(2, 2, 2048, rounds=1, seed=1, shape="qwen2.5-0.5b")
    config = configuration(options)
    config = replace(config, model=replace(config.model, dtype=dtype))
    base = write_random(SMALL, getattr(torch, dtype), tmp_path / "model", options.seed)
    groups = made_up(
        *(options.puzzles, options.responses, SMALL.vocab, options.seed),
        prompt=(20, 40, 80),
        response=(5, 30),
    )
    measured = steps(config, str(base), SMALL, groups, options.rounds)
    assert measured["sampling"] is None
    assert measured["steps"]["packed"]["executed"] < measured["steps"]["unshared"]["executed"]
