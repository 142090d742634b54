"""The reference of a KL term: the policy as it was, without a second copy beside it on the GPU.

With adapters (`lora.py`) it is the model with these switched off. Else its weights lie on the CPU,
and change places with the policy's own for as long as they are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tclue_grpo.fsdp import local_tensor
from tclue_grpo.lora import adapted, adapters_off


class Reference:
    """The weights of a module as they are when this is made."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._weights = {} if adapted(module) else _copied(module)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The reference in place of the weights, within; afterwards they are what they were."""
        if adapted(self._module):
            with adapters_off(self._module):
                yield
            return
        own = _copied(self._module)
        _put(self._module, self._weights)
        try:
            yield
        finally:
            _put(self._module, own)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights, on the CPU."""
    weights = module.named_parameters()
    return {name: local_tensor(weight).detach().to("cpu", copy=True) for name, weight in weights}


@torch.no_grad()
def _put(module: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, weight in module.named_parameters():
        local_tensor(weight).copy_(weights[name])
