"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rubigo import _core
from rubigo._core import Tensor

from .optimizer import Optimizer, at_least_zero


class Adam(Optimizer):
    """``p -= lr * m / (sqrt(v) + eps)`` with bias-corrected means ``m`` of g and ``v`` of g^2.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: How much of ``m`` and of ``v`` each step keeps.
        eps: Keeps the division finite.
        weight_decay: ``g`` is the gradient plus ``weight_decay * p``.
        amsgrad: Divide by the largest ``v`` so far.
        maximize: Climb instead.
        decoupled_weight_decay: Shrink the parameter itself instead, as `AdamW` does.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.tensor([1.0]))
        >>> optimizer = rg.optim.Adam([p], lr=0.5)
        >>> (p * 2.0).sum().backward()
        >>> optimizer.step()
        >>> round(p.item(), 4)
        0.5

    Reference: Kingma and Ba 2014, https://arxiv.org/abs/1412.6980
    """

    buffers = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check(group: dict[str, Any]) -> None:
        at_least_zero(group, "lr", "eps", "weight_decay")
        if len(group["betas"]) != 2:
            raise ValueError(f"betas must be two numbers, got {group['betas']}")
        for i, beta in enumerate(group["betas"]):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"invalid beta parameter at index {i}: {beta} (must be in [0, 1))")

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        largest = self._buffers(params, "max_exp_avg_sq") if group["amsgrad"] else None
        _core.adam_step(
            params,
            grads,
            self._buffers(params, "exp_avg"),
            self._buffers(params, "exp_avg_sq"),
            largest,
            self._count(params),
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["amsgrad"],
            group["maximize"],
            group["decoupled_weight_decay"],
        )


class AdamW(Adam):
    """`Adam` with weight decay apart from the gradient: ``p *= 1 - lr * weight_decay``.

    Arguments as in `Adam`.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.tensor([1.0]))
        >>> optimizer = rg.optim.AdamW([p], lr=0.5, weight_decay=1.0)
        >>> (p * 2.0).sum().backward()
        >>> optimizer.step()
        >>> round(p.item(), 4)
        0.0

    Reference: Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
