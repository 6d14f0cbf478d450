"""Activation functions, elementwise except the softmax family and `glu`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rubigo as rg
from rubigo import _core
from rubigo._core import (
    Tensor,
    hardsigmoid,
    hardswish,
    logsigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softsign,
    tanh,
    tanhshrink,
)

if TYPE_CHECKING:
    from rubigo._core import _DTypeLike

__all__ = [
    "celu", "elu", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6",
    "selu", "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold",
]  # fmt: skip


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * Phi(x)`` with the normal distribution function, or its tanh approximation.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.gelu(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _core.gelu(input, approximate=approximate)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.elu(rg.tensor([2.0, 0.0])).tolist()
        [2.0, 0.0]
    """
    return _core.elu(input, alpha)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.celu(rg.tensor([2.0, 0.0])).tolist()
        [2.0, 0.0]
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be zero")
    return _core.celu(input, alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``x`` where positive, else ``negative_slope * x``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.leaky_relu(rg.tensor([2.0, -2.0]), 0.5).tolist()
        [2.0, -1.0]
    """
    return _core.leaky_relu(input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` where positive, else ``weight * x``, with one weight or one per channel (dimension 1).

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.prelu(rg.tensor([2.0, -2.0]), rg.tensor([0.25])).tolist()
        [2.0, -0.5]
    """
    return _core.prelu(input, weight)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x > threshold``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softplus(rg.tensor([100.0])).tolist()
        [100.0]
    """
    return _core.softplus(input, beta, threshold)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` cut off below ``min_val`` and above ``max_val``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.hardtanh(rg.tensor([-3.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return _core.hardtanh(input, min_val, max_val)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` where ``|x| > lambd``, else 0.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.hardshrink(rg.tensor([-1.0, 0.25])).tolist()
        [-1.0, 0.0]
    """
    return _core.hardshrink(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 where ``|x| <= lambd``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softshrink(rg.tensor([-1.0, 0.25])).tolist()
        [-0.5, 0.0]
    """
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambda must not be negative, got {lambd}")
    return _core.softshrink(input, lambd)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """``x`` where ``x > threshold``, else ``value``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.threshold(rg.tensor([1.0, 3.0]), 2.0, 0.0).tolist()
        [0.0, 3.0]
    """
    return _core.threshold(input, threshold, value)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` with the two halves ``a`` and ``b`` of the input along ``dim``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.glu(rg.tensor([4.0, 0.0])).tolist()
        [2.0]

    Reference: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083
    """
    if input.dim() == 0:
        raise RuntimeError("glu: a 0-d tensor has no halves")
    size = input.shape[dim]
    if size % 2:
        raise _core.ShapeError(f"glu: dimension {dim} must have an even size, got {size}")
    half = size // 2
    return input.narrow(dim, 0, half) * input.narrow(dim, half, half).sigmoid()


def softmax(input: Tensor, dim: int, dtype: _DTypeLike | None = None) -> Tensor:
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``; ``dtype`` casts the input first.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softmax(rg.tensor([1.0, 1.0]), dim=0).tolist()
        [0.5, 0.5]
    """
    return _core.softmax(_cast(input, dtype), dim)


def log_softmax(input: Tensor, dim: int, dtype: _DTypeLike | None = None) -> Tensor:
    """The logarithm of `softmax`, computed without overflow.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.log_softmax(rg.tensor([3.0]), dim=0).tolist()
        [0.0]
    """
    return _core.log_softmax(_cast(input, dtype), dim)


def softmin(input: Tensor, dim: int, dtype: _DTypeLike | None = None) -> Tensor:
    """`softmax` of ``-x``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softmin(rg.tensor([1.0, 1.0]), dim=0).tolist()
        [0.5, 0.5]
    """
    return _core.softmax(-_cast(input, dtype), dim)


def gumbel_softmax(logits: Tensor, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Tensor:
    """A differentiable sample of a category: ``softmax((logits + g) / tau)``, ``g`` Gumbel noise.

    Args:
        logits: Unnormalised log probabilities.
        tau: Temperature; smaller is closer to one-hot.
        hard: Return the one-hot sample, with the gradient of the soft one.
        dim: The dimension of the categories.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.gumbel_softmax(rg.zeros(2, 3), hard=True).sum(-1).tolist()
        [1.0, 1.0]

    Reference: Jang et al. 2016, https://arxiv.org/abs/1611.01144
    """
    tiny = 1e-20 if logits.dtype in (rg.float32, rg.float64) else 1e-7
    uniform = rg.rand_like(logits.detach())
    noise = -((-((uniform + tiny).log())) + tiny).log()
    soft = _core.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(dim, keepdim=True)
    one_hot = rg.zeros_like(soft.detach()).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def _cast(input: Tensor, dtype: _DTypeLike | None) -> Tensor:
    return input if dtype is None else input.to(dtype=dtype)
