"""Random zeros."""

from __future__ import annotations

import rubigo as rg
from rubigo import _core
from rubigo._core import Tensor

from ._check import probability

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d"]

# The value of selu far to the left: -scale * alpha.
_SELU_FLOOR = -1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zeroes each element with probability ``p`` and scales the others by ``1 / (1 - p)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.dropout(rg.ones(2), p=0.5, training=False).tolist()
        [1.0, 1.0]

    Reference: Hinton et al. 2012, https://arxiv.org/abs/1207.0580
    """
    probability("dropout", p)
    return _core.dropout(input, p, training)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zeroes whole channels of ``(N, C, L)`` or ``(C, L)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.dropout1d(rg.ones(1, 2, 3), p=1.0).sum().item()
        0.0
    """
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: expected 2 or 3 dimensions, got {input.dim()}")
    return _channels("dropout1d", input, input.dim() - 1, p, training)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zeroes whole channels of ``(N, C, H, W)``; three dimensions are taken as ``(N, C, L)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.dropout2d(rg.ones(1, 2, 3, 3), p=1.0).sum().item()
        0.0
    """
    if input.dim() not in (3, 4):
        raise RuntimeError(f"dropout2d: expected 3 or 4 dimensions, got {input.dim()}")
    return _channels("dropout2d", input, 2, p, training)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """Dropout that keeps mean 0 and variance 1, for networks with `selu`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.alpha_dropout(rg.ones(2), p=0.5).tolist()
        [1.0, 1.0]

    Reference: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """
    probability("alpha_dropout", p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input * 0.0
    scale = ((1.0 - p) * (1.0 + p * _SELU_FLOOR**2)) ** -0.5
    keep = rg.rand_like(input.detach()) >= p
    return input.masked_fill(~keep, _SELU_FLOOR) * scale - scale * _SELU_FLOOR * p


def _channels(name: str, input: Tensor, lead: int, p: float, training: bool) -> Tensor:
    probability(name, p)
    if not training or p == 0.0:
        return input
    shape = (*input.shape[:lead], *(1 for _ in input.shape[lead:]))
    mask = rg.ones(shape, dtype=input.dtype, device=input.device)
    return input * _core.dropout(mask, p, True)
