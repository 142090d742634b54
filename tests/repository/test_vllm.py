"""A checkpoint behind a real vLLM server answers as it does in process.

The server runs on this machine's CPU, out of an environment of its own: `make test-vllm` makes that
and sets TCLUE_TEST_VLLM.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from places import ROOT

from tclue.bench.records import Run, read_run
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.puzzle.splits import load_set

pytestmark = [
    pytest.mark.model,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(
        "TCLUE_TEST_VLLM" not in os.environ,
        reason="needs a vLLM environment: `make test-vllm` makes it and sets TCLUE_TEST_VLLM",
    ),
]

CHECKPOINT = Path(str(files("tclue.bench") / "data" / "tiny"))
sys.path.insert(0, str(ROOT / "scripts"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Greedy runs of the tiny checkpoint in fp32: in process, and over HTTP through litellm."""
    from tclue_grpo.vllm_server import Server, ServerSettings, find_python, new_log

    results = tmp_path_factory.mktemp("results")
    options = BenchOptions(
        puzzles="easy-val", limit=48, max_tokens=400, temperature=0.0, results=results
    )
    (local,) = run_models([f"hf:{CHECKPOINT}"], replace(options, dtype="float32"))
    settings = ServerSettings(max_model_len=2048)
    with closing(Server(CHECKPOINT, find_python(), settings, new_log())) as server:
        over_http = replace(options, api_base=f"{server.url}/v1")
        (served,) = run_models([server.model], over_http)
    return read_run(results / local.run), read_run(results / served.run)


def test_every_request_is_answered_and_its_cost_is_unknown(runs: tuple[Run, Run]) -> None:
    _, served = runs
    assert len(served.final()) == 48
    assert all(response.scored for response in served.final())
    assert all(response.usage.prompt_tokens for response in served.final())
    assert all(response.cost_usd is None for response in served.final())


def test_answers_agree_and_texts_part_only_at_near_ties(runs: tuple[Run, Run]) -> None:
    from compare_backends import divergences, paired

    pairs = paired(*runs)
    same = sum(a.grade == b.grade for a, b in pairs)
    assert same >= 0.9 * len(pairs)
    puzzles = {puzzle.id: puzzle for puzzle in load_set("easy-val").puzzles}
    parted = [(a, b) for a, b in pairs if a.text != b.text]
    for found in divergences(parted, puzzles, CHECKPOINT):
        assert found.gap_nats < 0.01, found
