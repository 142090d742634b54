"""The policy: a causal language model whose loss can be computed.

A policy's forward takes a packed sequence, runs the body once, and applies the head, chunk by
chunk, only at the tokens that predict a target: the full logits never exist. Body and head are
within one `forward`, as FSDP2 requires.

* `HfPolicy` is the default backend, a transformers model. On a CPU its attention is `sdpa` with a
  boolean mask, on CUDA `flex_attention` with a block mask. It is never `eager`, which would add a
  boolean mask to the scores. `build` loads it, and refuses models that it would get wrong.
* `backend_torchtune` is the other backend; adapters and the KL term's reference are in `lora`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tclue_grpo.hf_files import write_checkpoint
from tclue_grpo.lora import merged_state
from tclue_grpo.losses import TokenStats, token_stats
from tclue_grpo.packing import Pack, block_mask, dense_mask


class Policy(nn.Module):
    """The interface of a backend, and what all backends share."""

    def __init__(self, base: Path, temperature: float, chunk: int) -> None:
        """`base` is the folder of the checkpoint that it was built from."""
        super().__init__()
        self.base, self.temperature, self.chunk = base, temperature, chunk

    def forward(self, pack: Pack) -> TokenStats:
        """Log-probabilities and entropies of the pack's targets."""
        hidden, head = self.body(pack)
        return token_stats(hidden[pack.source], head, pack.target_ids, self.temperature, self.chunk)

    def body(self, pack: Pack) -> tuple[Tensor, Tensor]:
        """[token, width] The pack's last hidden states; [vocab, width] the head."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @torch.no_grad()
    def score(self, pack: Pack) -> Tensor:
        """[target] Log-probabilities of the pack's targets, on the CPU, without gradients."""
        training = self.training
        self.eval()
        logprobs: Tensor = self(pack.to(self.device)).logprobs.cpu()
        self.train(training)
        return logprobs

    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, in order: the units of sharding and of recomputation."""
        raise NotImplementedError

    def hf_state(self) -> dict[str, Tensor]:
        """The weights under their Hugging Face names, for engines and checkpoints.

        A tied head appears once. If the policy is sharded, all processes have to call this, and
        process 0 gets the weights.
        """
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write a checkpoint that transformers loads: safetensors, configuration, tokenizer."""
        if state := self.hf_state():
            write_checkpoint(state, self.base, folder)


class HfPolicy(Policy):
    """A causal language model of transformers."""

    def __init__(self, module: Any, base: Path, temperature: float, chunk: int) -> None:
        super().__init__(base, temperature, chunk)
        self.module = module

    def body(self, pack: Pack) -> tuple[Tensor, Tensor]:
        """[token, width] The pack's last hidden states; [vocab, width] the head."""
        on_cpu = pack.ids.device.type == "cpu"
        hidden = self.module.base_model(
            input_ids=pack.ids[None],
            attention_mask=dense_mask(pack)[None, None] if on_cpu else block_mask(pack),
            position_ids=pack.positions[None],
            use_cache=False,
        ).last_hidden_state[0]
        return hidden, self.module.get_output_embeddings().weight

    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, in order."""
        return list(self.module.base_model.layers)

    def hf_state(self) -> dict[str, Tensor]:
        """The weights under their Hugging Face names, adapters merged."""
        return merged_state(self.module)
