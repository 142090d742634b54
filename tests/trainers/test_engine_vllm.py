"""Rollouts by a real vLLM server: its log-probabilities are those of transformers.

The server runs on this machine's CPU: `make test-vllm` sets TCLUE_TEST_VLLM. Its Python is that of
.venv-vllm, or TCLUE_VLLM_PYTHON.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tclue.bench.models.local import TINY  # noqa: E402
from tclue_grpo import config_file, metrics  # noqa: E402
from tclue_grpo.build import load_policy  # noqa: E402
from tclue_grpo.engine_hf import HFEngine  # noqa: E402
from tclue_grpo.engine_vllm import VLLMEngine, cache_tokens, check_pack  # noqa: E402
from tclue_grpo.hf_files import write_untied  # noqa: E402
from tclue_grpo.loop import train  # noqa: E402
from tclue_grpo.policy import Policy  # noqa: E402
from tclue_grpo.rollout import Sample, SamplingRequest  # noqa: E402
from tclue_grpo.vllm_server import ServerSettings, find_python  # noqa: E402

pytestmark = pytest.mark.model

real = pytest.mark.skipif(
    "TCLUE_TEST_VLLM" not in os.environ,
    reason="needs a vLLM environment: `make test-vllm` makes it and sets TCLUE_TEST_VLLM",
)
END = 3
PROMPTS = [list(range(10, 60)), list(range(100, 220))]
REQUESTS = [SamplingRequest(prompt, 3, seed=7 + i) for i, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(str(TINY), torch.float32, "cpu", 0.7, 256)


@pytest.fixture(scope="module")
def engine(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMEngine]:
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    engine = VLLMEngine(
        {END},
        python=find_python(),
        max_tokens=48,
        temperature=0.7,
        settings=ServerSettings(max_model_len=512),
        log=log,
    )
    try:
        engine.sync(policy)
        yield engine
    finally:
        engine.close()


def gap(policy: Policy, prompt: list[int], sample: Sample) -> float:
    """The greatest gap between a sample's log-probabilities and the policy's."""
    with torch.no_grad():
        policy_logprobs = policy(check_pack(prompt, sample)).logprobs
    return float((policy_logprobs - torch.tensor(sample.logprobs)).abs().max())


def gaps(policy: Policy, groups: list[list[Sample]]) -> list[float]:
    return [gap(policy, p, s) for p, group in zip(PROMPTS, groups, strict=True) for s in group]


@real
def test_log_probabilities_are_those_of_transformers(engine: VLLMEngine, policy: Policy) -> None:
    groups = engine.sample(REQUESTS)
    assert [len(group) for group in groups] == [3, 3]
    assert max(gaps(policy, groups)) < 1e-3
    module = policy.module
    by_hf = HFEngine(module, {END}, max_tokens=48, temperature=0.7).sample(REQUESTS)
    assert max(gaps(policy, by_hf)) < 1e-3
    for sample in (sample for group in groups for sample in group):
        assert (sample.finish == "stop") == (sample.ids[-1] == END)
        assert sample.finish == "stop" or len(sample.ids) == 48
    assert len({tuple(sample.ids) for sample in groups[0]}) > 1


@real
def test_the_same_request_gives_the_same_responses(engine: VLLMEngine) -> None:
    first, second = engine.sample(REQUESTS), engine.sample(REQUESTS[:1])
    assert [s.ids for s in first[0]] == [s.ids for s in second[0]]


@real
def test_new_weights_are_sampled_from(engine: VLLMEngine, policy: Policy) -> None:
    assert engine.server
    pid, before = engine.server.pid, engine.sample(REQUESTS)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)
    engine.sync(policy)
    groups = engine.sample(REQUESTS)
    assert engine.server.pid == pid
    assert max(gaps(policy, before)) > 0.1
    assert max(gaps(policy, groups)) < 1e-3


@real
def test_a_server_killed_in_the_middle_is_started_again(engine: VLLMEngine, policy: Policy) -> None:
    expected = engine.sample(REQUESTS)
    assert engine.server
    pid = engine.server.pid
    many = [*REQUESTS, *(SamplingRequest(PROMPTS[0], 16, seed=100 + i) for i in range(8))]
    killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
    killer.start()
    groups = engine.sample(many)
    killer.join()
    assert engine.server.pid != pid
    assert [s.ids for s in groups[0]] == [s.ids for s in expected[0]]
    assert max(gaps(policy, groups[:2])) < 1e-3


def test_a_tied_head_becomes_a_weight_of_its_own(tmp_path: Path, policy: Policy) -> None:
    from safetensors.torch import load_file

    state = policy.hf_state()
    state.pop("lm_head.weight", None)
    for tied in (True, False):
        base, folder = tmp_path / f"base-{tied}", tmp_path / f"written-{tied}"
        base.mkdir()
        config = json.loads((policy.base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": tied}))
        write_untied(state, base, folder)
        weights = load_file(folder / "model.safetensors")
        assert ("lm_head.weight" in weights) == tied
        assert not json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
        if tied:
            assert torch.equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"])


def test_cache_size_is_read_from_metrics() -> None:
    text = '# HELP x\nvllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\n'
    assert cache_tokens(text) == 1600


@real
def test_a_training_run_through_it_has_the_numbers_of_one_in_this_process(tmp_path: Path) -> None:
    small = (
        *("data.puzzles_per_iteration=4", "rollout.responses_per_puzzle=4", "guard.on=false"),
        *("train.iterations=2", "train.validate_every=1", "train.validation_puzzles=4"),
    )
    by_engine: dict[str, list[Mapping[str, Any]]] = {}
    for name in ("hf", "vllm"):
        config = config_file.load("tiny", None, (*small, f"rollout.engine={name}"))
        (tmp_path / name).mkdir()
        train(config, tmp_path / name, {})
        by_engine[name] = metrics.iterations(metrics.read(tmp_path / name))
    for number, line in enumerate(by_engine["vllm"]):
        # After each sync, samples come from the same weights that transformers has.
        assert line["gap_max"] < 1e-3
        assert line["responses"] == by_engine["hf"][number]["responses"]
        assert line["rate"] == by_engine["hf"][number]["rate"]
    # The samples differ, the puzzles do not.
    assert [x["prompt_tokens"] for x in by_engine["vllm"]] == [
        x["prompt_tokens"] for x in by_engine["hf"]
    ]
