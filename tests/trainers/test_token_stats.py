"""Log-probabilities and entropies of chunked logits, against plain loops in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
from slopes import differences

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tclue_grpo.losses import token_stats  # noqa: E402

pytestmark = pytest.mark.model


def states(targets: int, width: int, vocab: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    hidden = torch.randn(targets, width, generator=rng, dtype=torch.float64).requires_grad_()
    head = torch.randn(vocab, width, generator=rng, dtype=torch.float64).requires_grad_()
    return hidden, head, torch.randint(vocab, (targets,), generator=rng)


@pytest.mark.parametrize("chunk", [1, 3, 5, 10, 100])
def test_stats_are_those_of_the_whole_distribution(chunk: int) -> None:
    hidden, head, ids = states(10, 4, 7)
    stats = token_stats(hidden, head, ids, 0.7, chunk)

    def plain(rows: list[list[float]]) -> list[tuple[float, float]]:
        stats_of_rows = []
        for row, target in zip(rows, ids.tolist(), strict=True):
            logits = [sum(x * y for x, y in zip(row, w, strict=True)) / 0.7 for w in head.tolist()]
            total = sum(map(math.exp, logits))
            shares = [math.exp(x) / total for x in logits]
            stats_of_rows.append((math.log(shares[target]), -sum(p * math.log(p) for p in shares)))
        return stats_of_rows

    expected = plain(hidden.tolist())
    assert stats.logprobs.tolist() == pytest.approx([p for p, _ in expected], abs=1e-12)
    assert stats.entropy.tolist() == pytest.approx([h for _, h in expected], abs=1e-12)
    # Gradients of a sum of both, by differences.
    torch.autograd.backward(stats.logprobs.sum() + 0.5 * stats.entropy.sum())
    assert hidden.grad is not None
    width = hidden.shape[1]

    def mixed(flat: list[float]) -> float:
        rows = [flat[i : i + width] for i in range(0, len(flat), width)]
        return sum(p + 0.5 * h for p, h in plain(rows))

    slopes = differences(mixed, hidden.flatten().tolist())
    assert hidden.grad.flatten().tolist() == pytest.approx(slopes, abs=1e-7)


def test_the_heads_gradient_is_that_of_all_logits_at_once() -> None:
    hidden, head, ids = states(10, 4, 7)
    stats = token_stats(hidden, head, ids, 0.7, 3)
    torch.autograd.backward(stats.logprobs.sum() + 0.5 * stats.entropy.sum())
    chunked_gradient, head.grad = head.grad, None
    logprobs = torch.log_softmax(hidden @ head.T / 0.7, -1)
    picked = logprobs[torch.arange(10), ids].sum()
    torch.autograd.backward(picked - 0.5 * (logprobs.exp() * logprobs).sum())
    torch.testing.assert_close(chunked_gradient, head.grad)


def test_stats_of_bf16_states_are_float32() -> None:
    hidden, head, ids = states(10, 4, 7)
    half = token_stats(hidden.bfloat16(), head.bfloat16(), ids, 1.0, 3)
    assert {half.logprobs.dtype, half.entropy.dtype} == {torch.float32}
    # The logits are rounded to bf16; the rest is float32: the probabilities add up to 1.
    every = token_stats(
        hidden[:1].expand(7, 4).bfloat16(), head.bfloat16(), torch.arange(7), 1.0, 3
    )
    assert float(every.logprobs.detach().exp().sum()) == pytest.approx(1, abs=1e-5)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_the_full_logits_are_never_held() -> None:
    targets, width, vocab, chunk = 64, 4, 500, 8
    hidden, head, ids = states(targets, width, vocab)
    saved: dict[int, int] = {}  # what the forward pass leaves for the backward pass

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 8
        return tensor

    with Largest() as largest:  # type: ignore[no-untyped-call]
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            stats = token_stats(hidden, head, ids, 1.0, chunk)
            loss = stats.logprobs.sum() + stats.entropy.sum()
        torch.autograd.backward(loss)
    assert largest.elements == chunk * vocab
    # At most the inputs are saved, not even the logits of one chunk.
    assert sum(saved.values()) <= hidden.numel() + head.numel() + ids.numel() + 2 * targets
    assert sum(saved.values()) < chunk * vocab
