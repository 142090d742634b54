"""LoRA (Hu et al., 2021, https://arxiv.org/abs/2106.09685), by peft, inside the model.

Every linear layer except the head gets an adapter, and only adapters are trained. The model keeps
its class, so engines sample from it as usual; `merged_state` computes merged weights each time and
leaves the model in training unchanged.

The reference of a KL term is here too: with adapters it is the model with the adapters switched
off, without a second copy on the GPU. Otherwise the first weights are kept on the CPU, and replace
the policy's own while they are used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tclue.errors import UserError
from tclue_grpo.fsdp import full_state, local_tensor

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


class Reference:
    """The weights that a module has when this object is created."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._weights = {} if adapted_layers(module) else _copy_to_cpu(module)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the module's weights by the reference's within the block."""
        layers = adapted_layers(self._module).values()
        policy_weights = _copy_to_cpu(self._module) if self._weights else {}
        for layer in layers:
            layer.enable_adapters(False)
        _overwrite(self._module, self._weights)
        try:
            yield
        finally:
            for layer in layers:
                layer.enable_adapters(True)
            _overwrite(self._module, policy_weights)


def _copy_to_cpu(module: nn.Module) -> dict[str, Tensor]:
    """Copies of a module's weights (this process's shards), on the CPU."""
    weights = module.named_parameters()
    return {name: local_tensor(weight).detach().to("cpu", copy=True) for name, weight in weights}


@torch.no_grad()
def _overwrite(module: nn.Module, weights: dict[str, Tensor]) -> None:
    parameters = dict(module.named_parameters())
    for name, weight in weights.items():
        local_tensor(parameters[name]).copy_(weight)
