"""LoRA (Hu et al., 2021, https://arxiv.org/abs/2106.09685), by peft, inside the model.

Every linear layer except the head gets an adapter, and only adapters are trained. The model keeps
its class, so engines sample from it as usual; `merged_state` computes merged weights each time and
leaves the model in training unchanged. With adapters switched off the model is the base, which
serves as the reference of a KL term.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tclue.errors import UserError
from tclue_grpo.fsdp import full_state

NAME = "default"


def add_adapters(module: nn.Module, rank: int, alpha: float) -> None:
    """Insert adapters and freeze everything else. Untrained adapters have no effect."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("model.lora_rank needs peft: run `pip install 'tclue[lora]'`") from None
    config: Any = LoraConfig
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same adapters in every run
        inject_adapter_in_model(
            config(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear"), module
        )


def adapted_layers(module: nn.Module) -> dict[str, Any]:
    """The layers that have an adapter, by name."""
    return {name: layer for name, layer in module.named_modules() if hasattr(layer, "lora_A")}


def merged_state(module: nn.Module) -> dict[str, Tensor]:
    """All weights under their names without adapters, with the adapters merged into them."""
    state = full_state(module)
    for name, layer in adapted_layers(module).items():
        if not state:  # process 0 has the weights
            break
        # [out, in] = [out, rank] [rank, in]
        added = state.pop(f"{name}.lora_B.{NAME}.weight").float() @ (
            state.pop(f"{name}.lora_A.{NAME}.weight").float()
        )
        weight = state[f"{name}.base_layer.weight"]
        merged = weight.float() + layer.scaling[NAME] * added
        state[f"{name}.base_layer.weight"] = merged.to(weight.dtype)
    return {name.replace(".base_layer.", "."): weight for name, weight in state.items()}


@contextmanager
def adapters_off(module: nn.Module) -> Iterator[None]:
    """Switch the adapters off within the block, so that the model is the base."""
    layers = adapted_layers(module).values()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
