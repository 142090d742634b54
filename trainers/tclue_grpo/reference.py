"""The reference of a KL term: the policy's first weights, without a second copy on the GPU.

With adapters (`lora.py`) it is the model with the adapters switched off. Otherwise its weights are
kept on the CPU, and replace the policy's own while they are used.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tclue_grpo.fsdp import local_tensor
from tclue_grpo.lora import adapted_layers, adapters_off


class Reference:
    """The weights that a module has when this object is created."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._weights = {} if adapted_layers(module) else _copy_to_cpu(module)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the module's weights by the reference's within the block."""
        if adapted_layers(self._module):
            with adapters_off(self._module):
                yield
            return
        policy_weights = _copy_to_cpu(self._module)
        _overwrite(self._module, self._weights)
        try:
            yield
        finally:
            _overwrite(self._module, policy_weights)


def _copy_to_cpu(module: nn.Module) -> dict[str, Tensor]:
    """Copies of a module's weights (this process's shards), on the CPU."""
    weights = module.named_parameters()
    return {name: local_tensor(weight).detach().to("cpu", copy=True) for name, weight in weights}


@torch.no_grad()
def _overwrite(module: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, weight in module.named_parameters():
        local_tensor(weight).copy_(weights[name])
