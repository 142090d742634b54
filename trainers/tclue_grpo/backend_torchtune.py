"""The policy as a torchtune model: its Qwen2 and Llama 3 builders (`pip install tclue[torchtune]`).

torchtune 0.6.1 is its last release; it needs torchao 0.15.0, which peft does not accept from 0.19
on, so the extra pins peft to 0.18. Weights are read and written under their Hugging Face names
by torchtune's own conversion, so checkpoints, engines and configurations are those of `HfPolicy`;
the gradients are the same up to fp32 rounding.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchtune.models.convert_weights import hf_to_tune, tune_to_hf
from torchtune.models.llama3 import llama3
from torchtune.models.llama3_1 import llama3_1
from torchtune.models.qwen2 import qwen2
from torchtune.models.qwen2._convert_weights import qwen2_hf_to_tune, qwen2_tune_to_hf

from tclue.bench.models.loading import load_model
from tclue.errors import UserError
from tclue_grpo.fsdp import full_state
from tclue_grpo.hf_files import fetch
from tclue_grpo.packing import Pack, block_mask, dense_mask
from tclue_grpo.policy import Policy


class TorchtunePolicy(Policy):
    """A causal language model of torchtune."""

    def __init__(
        self, decoder: Any, config: Any, base: Path, temperature: float, chunk: int, recompute: bool
    ) -> None:
        super().__init__(base, temperature, chunk)
        self.decoder, self.config, self.recompute = decoder, config, recompute

    def body(self, pack: Pack) -> tuple[Tensor, Tensor]:
        """[token, width] The pack's last hidden states; [vocab, width] the head."""
        on_cpu = pack.ids.device.type == "cpu"
        mask = dense_mask(pack)[None] if on_cpu else block_mask(pack)
        hidden = self.decoder.tok_embeddings(pack.ids[None])  # [1, token, width]
        for layer in self.decoder.layers:
            run = partial(layer, mask=mask, input_pos=pack.positions[None])
            recompute = self.recompute and torch.is_grad_enabled()
            hidden = checkpoint(run, hidden, use_reentrant=False) if recompute else run(hidden)
        hidden = self.decoder.norm(hidden)[0]
        tied = self.config.tie_word_embeddings
        return hidden, (self.decoder.tok_embeddings if tied else self.decoder.output).weight

    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, in order."""
        return list(self.decoder.layers)

    def hf_state(self) -> dict[str, Tensor]:
        """The weights under their Hugging Face names."""
        return to_hf(full_state(self.decoder), self.config)


def load(
    name: str,
    dtype: torch.dtype = torch.float32,
    temperature: float = 1.0,
    chunk: int = 1024,
    recompute: bool = False,
    empty: bool = False,
) -> TorchtunePolicy:
    """A Hugging Face checkpoint (a folder or a hub name) as a policy; see `build.load_policy`."""
    base = fetch(name)
    config = transformers.AutoConfig.from_pretrained(base, trust_remote_code=False)
    with torch.device("meta"):
        decoder = _build(name, config)
    if empty:
        shapes = {key: weight.shape for key, weight in decoder.state_dict().items()}
        weights = {key: torch.empty(shape, dtype=dtype) for key, shape in shapes.items()}
    else:
        weights = from_hf(load_model(name, base, dtype=dtype).state_dict(), config)
    decoder.load_state_dict(weights, assign=True)
    # as in transformers, the padding token's embedding gets no gradient
    decoder.tok_embeddings.padding_idx = config.pad_token_id
    for module in decoder.modules():
        if hasattr(module, "rope_init"):  # not part of a checkpoint
            module.rope_init()
    return TorchtunePolicy(decoder, config, base, temperature, chunk, recompute)


def _build(name: str, config: Any) -> Any:
    """torchtune's model of a transformers configuration."""
    rope = config.rope_parameters
    kind = (config.model_type, rope["rope_type"], config.tie_word_embeddings)
    shape = {
        "vocab_size": config.vocab_size,
        "num_layers": config.num_hidden_layers,
        "num_heads": config.num_attention_heads,
        "num_kv_heads": config.num_key_value_heads,
        "embed_dim": config.hidden_size,
        "intermediate_dim": config.intermediate_size,
        "max_seq_len": config.max_position_embeddings,
        "norm_eps": config.rms_norm_eps,
        "rope_base": rope["rope_theta"],
    }
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    if head_size * heads != config.hidden_size:
        kind = ("of an unusual head size", *kind[1:])
    if kind[:2] == ("qwen2", "default") and not config.use_sliding_window:
        return qwen2(**shape, tie_word_embeddings=config.tie_word_embeddings)
    if kind == ("llama", "default", False):
        return llama3(**shape)
    # torchtune fixes the other scaling parameters to those of Llama 3.1
    fixed = {"low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}
    if kind == ("llama", "llama3", False) and all(rope[key] == fixed[key] for key in fixed):
        return llama3_1(**shape, scale_factor=rope["factor"])
    raise UserError(
        f"{name}: torchtune cannot build this model (model type {kind[0]}, positions {kind[1]}, "
        f"{'tied' if kind[2] else 'untied'} head): expected Qwen2, Llama 3 or Llama 3.1; use "
        "model.backend = hf for others"
    )


def from_hf(state: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """Weights, or gradients, under torchtune's names."""
    if config.tie_word_embeddings:
        state = {name: value for name, value in state.items() if name != "lm_head.weight"}
    convert = qwen2_hf_to_tune if config.model_type == "qwen2" else hf_to_tune
    return dict(convert(state, **_sizes(config)))


def to_hf(state: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """Weights, or gradients, under their Hugging Face names."""
    convert = qwen2_tune_to_hf if config.model_type == "qwen2" else tune_to_hf
    return dict(convert(state, **_sizes(config)))


def _sizes(config: Any) -> dict[str, int]:
    return {
        "num_heads": config.num_attention_heads,
        "num_kv_heads": config.num_key_value_heads,
        "dim": config.hidden_size,
    }
