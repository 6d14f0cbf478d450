"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rubigo import _core
from rubigo._core import Tensor

from .optimizer import Optimizer, at_least_zero


class SGD(Optimizer):
    """``p -= lr * v`` with ``v = momentum * v + (1 - dampening) * g``.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        momentum: Share of the last direction that is kept.
        dampening: Share of the gradient that is not added to it.
        weight_decay: ``g`` is the gradient plus ``weight_decay * p``.
        nesterov: Look ahead: step along ``g + momentum * v``.
        maximize: Climb instead.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.tensor([1.0]))
        >>> optimizer = rg.optim.SGD([p], lr=0.5)
        >>> (p * 2.0).sum().backward()
        >>> optimizer.step()
        >>> p.tolist()
        [0.0]

    Reference: Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """

    buffers = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check(group: dict[str, Any]) -> None:
        at_least_zero(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        if group["momentum"] == 0:
            self._step(group, params, grads, None, False)
            return
        # A parameter's first step fills its buffer with the gradient, without dampening.
        fresh = [self.state[p].get("momentum_buffer") is None for p in params]
        buffers = self._buffers(params, "momentum_buffer")
        for first in (True, False):
            chosen = [i for i, new in enumerate(fresh) if new is first]
            if chosen:
                p, g, b = ([items[i] for i in chosen] for items in (params, grads, buffers))
                self._step(group, p, g, b, first)

    @staticmethod
    def _step(group: dict[str, Any], params: Any, grads: Any, buffers: Any, first: bool) -> None:
        _core.sgd_step(
            params,
            grads,
            buffers,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
            first,
        )
