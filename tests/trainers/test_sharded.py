"""FSDP2 on two processes gives the loss, the gradients and the weights of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import PYTHONPATH, SCRIPTS

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

pytestmark = [pytest.mark.model, pytest.mark.server, pytest.mark.slow]

Weights = dict[str, Any]
SCRIPT = SCRIPTS / "sharded_step.py"


def run(backend: str, folder: Path, processes: int) -> tuple[dict[str, float], Weights, Weights]:
    """The numbers, the gradients, and the weights that the script saved."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*start, str(SCRIPT), backend, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=1200,  # long after it is through, however busy the machine is
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    numbers = json.loads((folder / "numbers.json").read_text())
    return numbers, load_file(folder / "gradients.tensors"), load_file(folder / "model.safetensors")


@pytest.mark.parametrize("backend", ["hf", "lora", "torchtune"])
def test_two_processes_are_as_one(backend: str, tmp_path: Path) -> None:
    if backend != "hf":
        pytest.importorskip("peft" if backend == "lora" else backend)
    single, gradients, weights = run(backend, tmp_path / "one", 1)
    sharded, sharded_gradients, sharded_weights = run(backend, tmp_path / "two", 2)
    assert sharded == pytest.approx(single, rel=1e-5)
    assert len(gradients) == (56 if backend == "lora" else 51)
    assert sharded_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(sharded_gradients[name], gradient, atol=1e-6, rtol=1e-4)
    assert sharded_weights.keys() == weights.keys()
    for name, weight in weights.items():
        # Adam's first steps go by the gradient's sign: where that is nearly 0, rounding decides
        torch.testing.assert_close(sharded_weights[name], weight, atol=2e-4, rtol=0)
