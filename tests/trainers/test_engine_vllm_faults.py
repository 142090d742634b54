"""The vLLM engine when its server fails, with a small fake server that has vLLM's endpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from places import SUPPORT

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from tclue.bench.models.local import TINY  # noqa: E402
from tclue.errors import UserError  # noqa: E402
from tclue_grpo.build import tensor_parallel_size  # noqa: E402
from tclue_grpo.engine_vllm import VLLMEngine  # noqa: E402
from tclue_grpo.engines import WatchedRow  # noqa: E402
from tclue_grpo.losses import TokenStats  # noqa: E402
from tclue_grpo.packing import Pack  # noqa: E402
from tclue_grpo.policy import Policy  # noqa: E402
from tclue_grpo.rollout import Sample, SamplingRequest  # noqa: E402

pytestmark = pytest.mark.model

FAKE = SUPPORT / "fake_vllm.py"
REQUESTS = [SamplingRequest([1, 2, 3], 2, seed=1), SamplingRequest([4], 3, seed=2)]


class Level(Policy):
    """A policy that gives every token the same log-probability."""

    def __init__(self, base: Path, level: float) -> None:
        super().__init__(base, temperature=1.0, chunk=1024)
        self.level = torch.nn.Parameter(torch.tensor(level))

    def forward(self, pack: Pack) -> TokenStats:
        logprobs = self.level.expand(len(pack.target_ids))
        return TokenStats(logprobs, -logprobs)

    def hf_state(self) -> dict[str, Tensor]:
        return {"level": self.level.detach()}


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python whose vLLM is the fake server."""
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("FAKE_VLLM", str(tmp_path))
    wrapper = tmp_path / "bin" / "python"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {FAKE} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture
def engine(python: Path, tmp_path: Path) -> Iterator[VLLMEngine]:
    engine = VLLMEngine({3}, python=python, max_tokens=8, log=tmp_path / "vllm.log")
    yield engine
    engine.close()


@pytest.mark.slow
@pytest.mark.server
def test_new_weights_a_death_and_a_second_failure(engine: VLLMEngine, tmp_path: Path) -> None:
    engine.sync(Level(tmp_path, -1.0))
    groups = engine.sample(REQUESTS)
    assert [len(group) for group in groups] == [2, 3]
    assert groups[1][2].ids == [5] * 8
    engine.sync(Level(tmp_path, -2.0))
    (tmp_path / "die").touch()
    assert engine.sample(REQUESTS)[0][0].logprobs == [-2.0] * 8
    assert not (tmp_path / "die").exists()
    (tmp_path / "broken").touch()
    with pytest.raises(UserError, match=r"failed twice.*500.*vllm\.log"):
        engine.sample(REQUESTS)


@pytest.mark.server
def test_degenerate_responses_are_stopped_and_others_are_not(python: Path, tmp_path: Path) -> None:
    # The average of equal log-probabilities of -4 is -4 * (1 - 0.5^n): below -3.2 after 3 tokens.
    make_row = partial(WatchedRow, alpha=0.5, threshold=-3.2)
    settings: dict[str, Any] = {"python": python, "max_tokens": 8, "log": tmp_path / "vllm.log"}
    with closing(VLLMEngine({3}, **settings, make_row=make_row)) as engine:
        engine.sync(Level(tmp_path, -4.0))
        stopped = engine.sample(REQUESTS)
        engine.sync(Level(tmp_path, -1.0))
        whole = engine.sample(REQUESTS)
    expected = Sample([5] * 3, [-4.0] * 3, "degenerate")
    assert stopped == [[expected] * 2, [expected] * 3]
    assert whole[1] == [Sample([5] * 8, [-1.0] * 8, "length")] * 3


def test_a_response_that_ends_by_itself_is_not_degenerate() -> None:
    row = WatchedRow(0, 8, alpha=0.5, threshold=-3.2)
    for token in (5, 5, 3):
        row.extend(token, -4.0, {3})
    assert (row.finish, row.average) == ("stop", -3.5)


@pytest.mark.slow
@pytest.mark.server
def test_stale_weights_are_noticed_and_the_server_started_anew(
    engine: VLLMEngine, tmp_path: Path
) -> None:
    engine.sync(Level(tmp_path, -1.0))
    assert engine.server
    pid = engine.server.pid
    (tmp_path / "stale").touch()
    engine.sync(Level(tmp_path, -1.5))
    assert engine.sample(REQUESTS)[0][0].logprobs == [-1.5] * 8
    assert engine.server.pid != pid


@pytest.mark.server
def test_missing_log_probabilities_are_an_error(engine: VLLMEngine, tmp_path: Path) -> None:
    (tmp_path / "bare").touch()
    engine.sync(Level(tmp_path, -1.0))
    with pytest.raises(UserError, match="0 log-probabilities for 8 tokens"):
        engine.sample(REQUESTS)


@pytest.mark.slow
@pytest.mark.server
def test_nothing_outlives_an_owner_that_is_killed(python: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tclue_grpo.vllm_server import *\n"
        "folder, python = map(Path, sys.argv[1:])\n"
        "s = Server(folder, python, ServerSettings(), folder / 'log')\n"
        "print(s.pid, flush=True); time.sleep(1000)"
    )
    from safetensors.torch import save_file

    save_file({"level": torch.tensor(-1.0)}, tmp_path / "model.safetensors")
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(python)], stdout=subprocess.PIPE
    )
    assert owner.stdout
    server = int(owner.stdout.readline())
    group = os.getpgid(server)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 300  # only if something does outlive it
    while group_members(group) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not group_members(group)


def group_members(group: int) -> list[int]:
    """The processes of a group that are still running."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


@pytest.mark.parametrize(
    ("heads", "kv_heads", "max_gpus", "expected"),
    [(40, 8, 8, 8), (28, 4, 8, 4), (14, 2, 8, 2), (12, 2, 1, 1)],
)
def test_a_server_is_split_as_the_heads_allow(
    heads: int, kv_heads: int, max_gpus: int, expected: int, tmp_path: Path
) -> None:
    config = json.loads((TINY / "config.json").read_text())
    config |= {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": 8}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert tensor_parallel_size(str(tmp_path), max_gpus) == expected
