"""Random zeros."""

from __future__ import annotations

from typing import Any

import rubigo as rg
from rubigo import _core
from rubigo._core import Tensor

from ._check import check_tensors, into, probability

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "feature_alpha_dropout"]

# The value of selu far to the left: -scale * alpha.
_SELU_FLOOR = -1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes each element with probability ``p`` and scales the others by ``1 / (1 - p)``.

    Args:
        input: Any shape.
        p: The probability of a zero, in [0, 1].
        training: Without it the input comes back as it is.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.dropout(rg.ones(2), p=0.5, training=False).tolist()
        [1.0, 1.0]

    Reference: Hinton et al. 2012, https://arxiv.org/abs/1207.0580
    """
    probability("dropout", p)
    if inplace and not training:
        return input
    return into(input, inplace, _core.dropout, p, training)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of ``(N, C, L)`` or ``(C, L)``.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        p: The probability of a zero, in [0, 1].
        training: Without it the input comes back as it is.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.dropout1d(rg.ones(1, 2, 3), p=1.0).sum().item()
        0.0
    """
    check_tensors("dropout1d", input)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: expected 2 or 3 dimensions, got {input.dim()}")
    return _channels("dropout1d", input, input.dim() - 1, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zeroes whole channels of ``(N, C, H, W)``; three dimensions are taken as ``(N, C, L)``.

    Args:
        input: Shape ``(N, C, H, W)`` or ``(N, C, L)``.
        p: The probability of a zero, in [0, 1].
        training: Without it the input comes back as it is.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.dropout2d(rg.ones(1, 2, 3, 3), p=1.0).sum().item()
        0.0
    """
    check_tensors("dropout2d", input)
    if input.dim() not in (3, 4):
        raise RuntimeError(f"dropout2d: expected 3 or 4 dimensions, got {input.dim()}")
    return _channels("dropout2d", input, 2, p, training, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean 0 and variance 1, for networks with `selu`.

    Args:
        input: Any shape.
        p: The probability of a zero, in [0, 1].
        training: Without it the input comes back as it is.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.alpha_dropout(rg.ones(2), p=0.5).tolist()
        [1.0, 1.0]

    Reference: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """
    check_tensors("alpha_dropout", input)
    return _alpha("alpha_dropout", input, input.shape, p, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of ``(N, C, *)``.

    Args:
        input: Shape ``(N, C, *)``.
        p: The probability of a zero, in [0, 1].
        training: Without it the input comes back as it is.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.feature_alpha_dropout(rg.ones(1, 2, 3), p=0.5).sum().item()
        6.0
    """
    check_tensors("feature_alpha_dropout", input)
    if input.dim() < 2:
        raise RuntimeError(f"feature_alpha_dropout: expected 2 or more dims, got {input.dim()}")
    shape = (*input.shape[:2], *(1 for _ in input.shape[2:]))
    return _alpha("feature_alpha_dropout", input, shape, p, training, inplace)


def _alpha(name: str, input: Tensor, shape: Any, p: float, training: bool, inplace: bool) -> Tensor:
    """Alpha dropout that decides once for each element of ``shape``."""
    probability(name, p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return into(input, inplace, rg.mul, 0.0)
    scale = ((1.0 - p) * (1.0 + p * _SELU_FLOOR**2)) ** -0.5
    drop = rg.rand(shape, dtype=input.dtype, device=input.device) < p
    shift = -scale * _SELU_FLOOR * p
    return into(input, inplace, lambda x: x.masked_fill(drop, _SELU_FLOOR) * scale + shift)


def _channels(
    name: str, input: Tensor, lead: int, p: float, training: bool, inplace: bool
) -> Tensor:
    probability(name, p)
    if not training or p == 0.0:
        return input
    shape = (*input.shape[:lead], *(1 for _ in input.shape[lead:]))
    mask = rg.ones(shape, dtype=input.dtype, device=input.device)
    return into(input, inplace, rg.mul, _core.dropout(mask, p, True))
