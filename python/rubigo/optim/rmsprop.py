"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rubigo import _core
from rubigo._core import Tensor

from .optimizer import Optimizer, at_least_zero


class RMSprop(Optimizer):
    """``p -= lr * g / (sqrt(v) + eps)`` with a running mean ``v`` of g^2.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        alpha: How much of ``v`` each step keeps.
        eps: Keeps the division finite.
        weight_decay: ``g`` is the gradient plus ``weight_decay * p``.
        momentum: Share of the last direction that is kept.
        centered: Subtract the square of the mean gradient from ``v``.
        maximize: Climb instead.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.tensor([1.0]))
        >>> optimizer = rg.optim.RMSprop([p], lr=0.5, alpha=0.0)
        >>> (p * 2.0).sum().backward()
        >>> optimizer.step()
        >>> round(p.item(), 4)
        0.5

    Reference: Hinton 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """

    buffers = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check(group: dict[str, Any]) -> None:
        at_least_zero(group, "lr", "alpha", "eps", "weight_decay", "momentum")

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        self._count(params)
        _core.rmsprop_step(
            params,
            grads,
            self._buffers(params, "square_avg"),
            self._buffers(params, "grad_avg") if group["centered"] else None,
            self._buffers(params, "momentum_buffer") if group["momentum"] > 0 else None,
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            group["maximize"],
        )
