"""Backends: the same gradients from two of them, checkpoints, LoRA, references."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packs import random_groups

from tclue.bench.models.local import TINY
from tclue.errors import UserError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from tclue_grpo import build  # noqa: E402
from tclue_grpo.build import build_policy, load_policy, sampling_module  # noqa: E402
from tclue_grpo.config import ModelConfig  # noqa: E402
from tclue_grpo.hf_files import load_weights  # noqa: E402
from tclue_grpo.lora import Reference, adapted_layers  # noqa: E402
from tclue_grpo.packing import pack_groups  # noqa: E402
from tclue_grpo.policy import HfPolicy  # noqa: E402

pytestmark = pytest.mark.model

if TYPE_CHECKING:
    from torch import Tensor

    from tclue_grpo.losses import TokenStats
    from tclue_grpo.packing import Pack
    from tclue_grpo.policy import Policy


@pytest.fixture(scope="module")
def batch() -> Pack:
    """One packed sequence of two groups."""
    (pack,) = pack_groups(random_groups(5, 2, 3, lambda rng: 40, (5, 40)), 400)
    return pack


def learn(policy: Policy, batch: Pack) -> dict[str, Tensor]:
    """The gradients of a loss that uses log-probabilities and entropies, by the policy's names."""
    policy.zero_grad()
    policy.train()
    stats = policy(batch)
    loss = (batch.advantage * stats.logprobs + 0.1 * stats.entropy).mean()
    loss.backward()
    gradients = {name: weight.grad for name, weight in policy.named_parameters()}
    return {name: gradient.clone() for name, gradient in gradients.items() if gradient is not None}


def step(policy: Policy, batch: Pack) -> None:
    """Change the trained weights by a visible amount."""
    learn(policy, batch)
    torch.optim.SGD(policy.parameters(), lr=0.1).step()


def logprobs(policy: Policy, batch: Pack) -> Tensor:
    with torch.no_grad():
        stats: TokenStats = policy(batch)
    return stats.logprobs


def plain_logprobs(folder: Path, batch: Pack) -> Tensor:
    """[token] Log-probabilities of the pack's first response, computed by transformers itself."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt, length = int(batch.source[0]) + 1, int(batch.lengths[0])
    with torch.no_grad():
        logits = model(batch.ids[None, : prompt + length]).logits[0]
    logprobs: Tensor = logits.log_softmax(-1)[prompt - 1 : -1]
    return logprobs.gather(1, batch.target_ids[:length, None])[:, 0]


def write_llama(folder: Path, rope: dict[str, Any], tied: bool = False) -> Path:
    """A Llama with grouped heads and random weights."""
    config = transformers.LlamaConfig(
        vocab_size=549, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        rope_parameters=rope, tie_word_embeddings=tied,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_tied_qwen(folder: Path) -> Path:
    """A Qwen2 with grouped heads, a tied head and random weights, biases too."""
    config = transformers.Qwen2Config(
        vocab_size=549, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.Qwen2ForCausalLM(config)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    return folder


PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny", "tied qwen", "llama 3", "llama 3.1"])
def test_torchtune_gives_every_gradient_of_transformers(
    kind: str, batch: Pack, tmp_path: Path
) -> None:
    pytest.importorskip("torchtune")
    from tclue_grpo import backend_torchtune

    folder = {
        "tiny": lambda: TINY,
        "tied qwen": lambda: write_tied_qwen(tmp_path / "base"),
        "llama 3": lambda: write_llama(tmp_path / "base", PLAIN),
        "llama 3.1": lambda: write_llama(tmp_path / "base", SCALED),
    }[kind]()
    ours = load_policy(str(folder))
    tuned = backend_torchtune.load(str(folder), recompute=True)
    torch.testing.assert_close(logprobs(tuned, batch), logprobs(ours, batch), atol=1e-5, rtol=0)
    expected = {k.removeprefix("module."): g for k, g in learn(ours, batch).items()}
    gradients = {k.removeprefix("decoder."): g for k, g in learn(tuned, batch).items()}
    gradients = backend_torchtune.to_hf(gradients, tuned.config)
    assert gradients.keys() == expected.keys() == ours.hf_state().keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)
    # and back: one backend reads what the other has written after a step
    step(tuned, batch)
    tuned.save(tmp_path / "saved")
    load_weights(ours.module, load_file(tmp_path / "saved" / "model.safetensors"))
    torch.testing.assert_close(logprobs(tuned, batch), logprobs(ours, batch), atol=1e-5, rtol=0)
    first = int(batch.lengths[0])
    plain = plain_logprobs(tmp_path / "saved", batch)
    torch.testing.assert_close(plain, logprobs(tuned, batch)[:first], atol=1e-5, rtol=0)


def test_an_engine_has_something_to_sample_from(batch: Pack) -> None:
    pytest.importorskip("torchtune")
    tuned = build_policy(ModelConfig(backend="torchtune"), str(TINY), 1.0)
    step(tuned, batch)
    module = sampling_module(tuned)
    module.load_state_dict(tuned.hf_state())
    sampled = HfPolicy(module, TINY, 1.0, 1024)
    torch.testing.assert_close(logprobs(sampled, batch), logprobs(tuned, batch))
    ours = build_policy(ModelConfig(), str(TINY), 1.0)
    assert sampling_module(ours) is ours.module


def test_quantized_weights_are_not_trained() -> None:
    module = load_policy(str(TINY)).module
    module.hf_quantizer = object()  # as transformers does with weights that stay quantized
    with pytest.raises(UserError, match="tiny has quantized weights: expected a Qwen2 or Llama"):
        build._check_model("tiny", module)


def test_torchtune_refuses_what_its_builders_do_not_make(tmp_path: Path) -> None:
    pytest.importorskip("torchtune")
    from tclue_grpo import backend_torchtune

    folder = write_llama(tmp_path / "base", PLAIN, tied=True)
    with pytest.raises(UserError, match=r"llama, positions default, tied head.*Qwen2, Llama 3"):
        backend_torchtune.load(str(folder))


def test_a_checkpoint_is_what_transformers_loads(batch: Pack, tmp_path: Path) -> None:
    policy = load_policy(str(TINY))
    step(policy, batch)
    policy.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in TINY.iterdir() if path.suffix != ".md"
    }
    first = int(batch.lengths[0])
    plain = plain_logprobs(tmp_path, batch)
    torch.testing.assert_close(plain, logprobs(policy, batch)[:first], atol=1e-5, rtol=0)
    assert (plain - plain_logprobs(TINY, batch)).abs().max() > 0.01
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).chat_template
    # and a run resumes from it, bit for bit, while its reference stays the base
    reloaded = build_policy(ModelConfig(), str(TINY), 1.0)
    reference = Reference(reloaded)
    assert isinstance(reloaded, HfPolicy)
    load_weights(reloaded.module, load_file(tmp_path / "model.safetensors"))
    assert torch.equal(logprobs(reloaded, batch), logprobs(policy, batch))
    with reference.in_place():
        assert torch.equal(
            logprobs(reloaded, batch), logprobs(build_policy(ModelConfig(), str(TINY), 1.0), batch)
        )


def test_a_tied_head_is_written_once_and_learns(batch: Pack, tmp_path: Path) -> None:
    policy = load_policy(str(write_tied_qwen(tmp_path / "base")))
    step(policy, batch)
    policy.save(tmp_path / "saved")
    assert "lm_head.weight" not in load_file(tmp_path / "saved" / "model.safetensors")
    first = int(batch.lengths[0])
    plain = plain_logprobs(tmp_path / "saved", batch)
    torch.testing.assert_close(plain, logprobs(policy, batch)[:first], atol=1e-5, rtol=0)


def test_temperature_and_chunks(batch: Pack) -> None:
    unchunked = load_policy(str(TINY), temperature=0.7, chunk=10_000)
    chunked = load_policy(str(TINY), temperature=0.7, chunk=7)
    torch.testing.assert_close(logprobs(chunked, batch), logprobs(unchunked, batch))
    warm = load_policy(str(TINY))
    assert (logprobs(warm, batch) - logprobs(unchunked, batch)).abs().max() > 0.01


def test_recomputed_layers_run_twice_and_give_the_same_gradients(batch: Pack) -> None:
    expected = learn(load_policy(str(TINY)), batch)
    policy = load_policy(str(TINY), recompute=True)
    runs = [0]
    for layer in policy.layers():
        # modules inside a layer run again in the backward pass; the layer itself is called once
        attention = layer.get_submodule("self_attn")
        attention.register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
    gradients = learn(policy, batch)
    assert runs == [2 * 4]
    assert all(torch.equal(gradients[name], gradient) for name, gradient in expected.items())


def test_the_reference_changes_places_with_the_weights(batch: Pack) -> None:
    policy = load_policy(str(TINY))
    base, reference = logprobs(policy, batch), Reference(policy)
    step(policy, batch)
    learned = logprobs(policy, batch)
    with reference.in_place():
        assert torch.equal(logprobs(policy, batch), base)
    assert torch.equal(logprobs(policy, batch), learned)
    assert (learned - base).abs().max() > 0.01


@pytest.mark.slow
def test_lora_learns_adapters_alone_and_writes_merged_weights(batch: Pack, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    policy = load_policy(str(TINY), lora_rank=4, lora_alpha=8.0)
    base = logprobs(policy, batch)
    assert torch.equal(base, logprobs(load_policy(str(TINY)), batch))
    assert (
        len(adapted_layers(policy)) == 4 * 7
    )  # of four layers: four of attention, three of the MLP
    for _ in range(3):
        step(policy, batch)
    learned = logprobs(policy, batch)
    assert (learned - base).abs().max() > 0.01
    assert all("lora_" in name for name in learn(policy, batch))
    before = copy.deepcopy(dict(policy.named_parameters()))
    policy.save(tmp_path)
    assert all(torch.equal(w, before[name]) for name, w in policy.named_parameters())
    merged = load_policy(str(tmp_path))
    torch.testing.assert_close(logprobs(merged, batch), learned, atol=1e-5, rtol=1e-5)
    # the reference is the base, with the adapters off; afterwards the adapters still learn
    with Reference(policy).in_place():
        assert torch.equal(logprobs(policy, batch), base)
    assert torch.equal(logprobs(policy, batch), learned)
    assert len(learn(policy, batch)) == 2 * 4 * 7


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder: expected a folder, or a hub name"):
        load_policy("./nowhere")
    shutil.copytree(TINY, tmp_path / "sliding")
    path = tmp_path / "sliding" / "config.json"
    config = json.loads(path.read_text())
    config |= {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 2}
    config["layer_types"] = ["full_attention"] * 2 + ["sliding_attention"] * 2
    path.write_text(json.dumps(config))
    with pytest.raises(
        UserError, match="attention other than full: expected a Qwen2 or Llama model"
    ):
        load_policy(str(tmp_path / "sliding"))
