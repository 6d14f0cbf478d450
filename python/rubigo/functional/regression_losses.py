"""Losses between numbers. Shapes must be equal: a loss never broadcasts input against target."""

from __future__ import annotations

import math

import rubigo as rg
from rubigo._core import ShapeError, Tensor

from ._check import reduce, same_shape

__all__ = [
    "gaussian_nll_loss", "huber_loss", "l1_loss", "mse_loss", "poisson_nll_loss",
    "smooth_l1_loss",
]  # fmt: skip


def mse_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """``(x - y)^2``.

    Args:
        input: Predictions, any shape.
        target: Same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: Same shape; the mean is then divided by its sum.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.mse_loss(rg.tensor([1.0, 2.0]), rg.tensor([1.0, 4.0])).item()
        2.0
    """
    same_shape("mse_loss", input, target)
    loss = (input - target).square()
    return reduce(loss, reduction) if weight is None else _weighted(loss, weight, reduction)


def l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """``|x - y|``; arguments as in `mse_loss`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.l1_loss(rg.tensor([1.0, 2.0]), rg.tensor([1.0, 4.0])).item()
        1.0
    """
    same_shape("l1_loss", input, target)
    loss = (input - target).abs()
    return reduce(loss, reduction) if weight is None else _weighted(loss, weight, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """``0.5 d^2 / beta`` where ``d = |x - y| < beta``, else ``d - 0.5 beta``.

    Args:
        input: Predictions, any shape.
        target: Same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        beta: Where the square turns into a line; not negative.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.smooth_l1_loss(rg.tensor([0.0]), rg.tensor([3.0])).item()
        2.5

    Reference: Girshick 2015, https://arxiv.org/abs/1504.08083
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    same_shape("smooth_l1_loss", input, target)
    d = input - target
    # Both branches, also for an infinite d; in the gradient, too, nothing cancels.
    unit = (d / beta).clamp(-1, 1)
    return reduce(unit * (d - unit * (0.5 * beta)), reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """``0.5 d^2`` where ``d = |x - y| < delta``, else ``delta (d - 0.5 delta)``.

    Unlike in `mse_loss`, the mean of weighted elements is over their number.

    Args:
        input: Predictions, any shape.
        target: Same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        delta: Where the square turns into a line; positive.
        weight: Same shape.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.huber_loss(rg.tensor([0.0]), rg.tensor([3.0]), delta=2.0).item()
        4.0

    Reference: Huber 1964, https://doi.org/10.1214/aoms/1177703732
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    same_shape("huber_loss", input, target)
    d = input - target
    near = d.clamp(-delta, delta)  # both branches, as in smooth_l1_loss
    loss = near * (d - near * 0.5)
    if weight is not None:
        same_shape("huber_loss", loss, weight, "weight")
        loss = loss * weight
    return reduce(loss, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """``exp(x) - y x`` for a log rate ``x``, or ``x - y log(x + eps)`` for a rate.

    Args:
        input: The (log) rate, any shape.
        target: The counts, same shape.
        log_input: Whether the input is the logarithm of the rate.
        full: Add Stirling's approximation of ``log y!`` where ``y > 1``.
        eps: Keeps the logarithm finite.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.poisson_nll_loss(rg.tensor([0.0]), rg.tensor([3.0])).item()
        1.0
    """
    same_shape("poisson_nll_loss", input, target)
    if log_input:
        loss = input.exp() - target * input
    else:
        loss = input - target * (input + eps).log()
    if full:
        few = target <= 1
        y = target.masked_fill(few, 1)
        stirling = y * y.log() - y + (y * (2 * math.pi)).log() * 0.5
        loss = loss + stirling.masked_fill(few, 0)
    return reduce(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``0.5 (log var + (x - y)^2 / var)``.

    Args:
        input: The means, shape ``(N, *)``.
        target: Same shape.
        var: The variances: a number, the same shape, or one without (or with 1 as) the last
            dimension. Below ``eps`` they count as ``eps``.
        full: Add ``0.5 log(2 pi)``.
        eps: The smallest variance.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> one = rg.tensor([1.0])
        >>> rg.nn.functional.gaussian_nll_loss(one, rg.tensor([3.0]), one).item()
        2.0

    Reference: Nix and Weigend 1994, https://doi.org/10.1109/ICNN.1994.374138
    """
    same_shape("gaussian_nll_loss", input, target)
    if not isinstance(var, Tensor):
        var = rg.full_like(input.detach(), var)
    elif tuple(var.shape) != tuple(input.shape):
        if tuple(var.shape) == tuple(input.shape[:-1]):
            var = var.unsqueeze(-1)
        elif tuple(var.shape) != (*input.shape[:-1], 1):
            raise ShapeError(
                f"gaussian_nll_loss: var has shape {tuple(var.shape)}, which does not fit "
                f"the input's {tuple(input.shape)}"
            )
    if bool((var.detach() < 0).any()):
        raise ValueError("gaussian_nll_loss: var has negative entries")
    # The clamp is invisible to the gradient, so that a small variance can still grow.
    safe = var + (var.clamp(min=eps) - var).detach()
    loss = (safe.log() + (input - target).square() / safe) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce(loss, reduction)


def _weighted(loss: Tensor, weight: Tensor, reduction: str) -> Tensor:
    same_shape("loss", loss, weight, "weight")
    loss = loss * weight
    if reduction == "mean":
        return loss.sum() / weight.expand_as(loss).sum()
    return reduce(loss, reduction)
