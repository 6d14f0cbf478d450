"""What the functions of this package check before they compute."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, SupportsIndex

from rubigo._arguments import check_tensors
from rubigo._core import ShapeError, Tensor, bfloat16, float16, is_grad_enabled


def sized(value: Any, n: int, name: str) -> tuple[int, ...]:
    """``n`` ints from one int, alone or in a sequence, or a sequence of ``n``."""
    if type(value) is int:
        return (value,) * n
    if isinstance(value, (tuple, list)) and len(value) in (1, n):
        items = tuple(value) if len(value) == n else tuple(value) * n
        if all(isinstance(item, int) for item in items):
            return items
    elif isinstance(value, SupportsIndex):  # an integer of numpy's
        return (operator.index(value),) * n
    raise TypeError(f"{name} must be an int or {n} ints, got {value!r}")


def into(input: Tensor, inplace: bool, op: Callable[..., Tensor], *args: Any) -> Tensor:
    """``op(input, *args)``; ``inplace`` writes that into the input and returns it."""
    if not inplace:
        return op(input, *args)
    # Backward may need what is overwritten.
    kept = input.clone() if input.requires_grad and is_grad_enabled() else input
    return input.copy_(op(kept, *args))


def wide(x: Tensor) -> Tensor:
    """Half precision as float32, for sums that would overflow; the rest as it is."""
    return x.float() if x.dtype in (float16, bfloat16) else x


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or the elements themselves."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    check_reduction(reduction)
    return loss


def check_reduction(reduction: str) -> None:
    """Refuses what is not one of the three names."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")


def same_shape(name: str, input: Tensor, target: Tensor, what: str = "target") -> None:
    """Refuses to broadcast inside a loss: (8, 1) against (8,) would silently give (8, 8)."""
    check_tensors(name, input, target)
    a, b = tuple(input.shape), tuple(target.shape)
    if a == b or b == ():
        return
    if [n for n in a if n != 1] == [n for n in b if n != 1]:
        hint = f"same elements, other shape: use {what}.reshape(input.shape)"
        if len(a) == len(b) + 1 and a[-1] == 1:
            hint = f"drop the last dimension with input.squeeze(-1), or use {what}.unsqueeze(-1)"
        elif len(b) == len(a) + 1 and b[-1] == 1:
            hint = f"drop the last dimension with {what}.squeeze(-1), or use input.unsqueeze(-1)"
    else:
        hint = f"if broadcasting is meant, say so with {what}.expand_as(input)"
    raise ShapeError(
        f"{name}: input has shape {a} and {what} {b}; they must be equal\n  hint: {hint}"
    )


def probability(name: str, p: float) -> None:
    """Refuses a dropout probability outside [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: probability has to be between 0 and 1, but got {p}")
