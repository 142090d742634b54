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


def weights_on_cpu(module: nn.Module) -> dict[str, Tensor] | None:
    """The weights, on the CPU; None where adapters are what is learned."""
    if adapted(module):
        return None
    weights = module.named_parameters()
    return {name: local_tensor(weight).detach().to("cpu", copy=True) for name, weight in weights}


@contextmanager
def swapped_in(module: nn.Module, reference: dict[str, Tensor] | None) -> Iterator[None]:
    """The reference in place of the weights, within; afterwards they are what they were."""
    if adapted(module):
        with adapters_off(module):
            yield
        return
    if reference is None:
        raise RuntimeError("there is no reference: keep_reference() comes first")
    own = weights_on_cpu(module)
    assert own is not None
    _put(module, reference)
    try:
        yield
    finally:
        _put(module, own)


@torch.no_grad()
def _put(module: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, weight in module.named_parameters():
        local_tensor(weight).copy_(weights[name])
