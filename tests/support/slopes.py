"""Gradients without automatic differentiation, for the tests of the losses."""

from __future__ import annotations

from collections.abc import Callable


def differences(loss: Callable[[list[float]], float], at: list[float]) -> list[float]:
    """The gradient by central differences."""
    step, slopes = 1e-6, []
    for i in range(len(at)):
        up, down = at.copy(), at.copy()
        up[i] += step
        down[i] -= step
        slopes.append((loss(up) - loss(down)) / (2 * step))
    return slopes
