"""The optimizer of a model in bf16: AdamW on fp32 copies of its weights, its master weights.

Gradients are accumulated in fp32, and after each step the model's weights are the masters rounded
to bf16. A step that is smaller than the spacing of bf16 is thus not lost.
"""

import torch
from torch import Tensor

from tclue_grpo.config import UpdateConfig
from tclue_grpo.policy import Policy
from tclue_grpo.step import Optimizer


def make_optimizer(policy: Policy, update: UpdateConfig) -> Optimizer:
    """The optimizer of a policy, for any type of its weights.

    With `bf16_updates` bf16 weights are updated without masters, as in the published recipe.
    """
    weights: list[Tensor] = [w for w in policy.parameters() if w.requires_grad]
    if update.bf16_updates or all(weight.dtype == torch.float32 for weight in weights):
        return Optimizer(weights, update)
    masters = [w if w.dtype == torch.float32 else w.detach().float() for w in weights]
    return MasterWeightsOptimizer(weights, update, masters)


class MasterWeightsOptimizer(Optimizer):
    """AdamW on fp32 master weights; weights that are fp32 already are their own masters."""

    def backward(self, loss: Tensor) -> None:
        """Add a pack's gradients to the accumulated ones."""
        super().backward(loss)
        for master, weight in self._copies():
            if weight.grad is not None:
                gradient, weight.grad = weight.grad.float(), None
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)

    def step(self, rate: float) -> tuple[float, bool]:
        """Apply and clear the gradients; return their norm and whether it was finite."""
        norm, finite = super().step(rate)
        with torch.no_grad():
            for master, weight in self._copies():
                weight.copy_(master)
        return norm, finite

    def _copies(self) -> list[tuple[Tensor, Tensor]]:
        """Each master that is a copy, with the weight that it was copied from."""
        pairs = zip(self.masters, self.weights, strict=True)
        return [(master, weight) for master, weight in pairs if master is not weight]
