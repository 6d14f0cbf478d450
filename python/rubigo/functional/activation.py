"""Activation functions, elementwise except the softmax family and `glu`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rubigo as rg
from rubigo import _core
from rubigo._core import Tensor, logsigmoid, sigmoid, softsign, tanh, tanhshrink

from ._check import check_tensors, into

if TYPE_CHECKING:
    from rubigo._core import _DTypeLike

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid",
    "hardswish", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid",
    "mish", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_", "sigmoid",
    "silu", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
    "threshold", "threshold_",
]  # fmt: skip


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(0, x)``.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.relu(rg.tensor([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """
    return input.relu_() if inplace else _core.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(0, x), 6)``.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.relu6(rg.tensor([-1.0, 8.0])).tolist()
        [0.0, 6.0]
    """
    return into(input, inplace, _core.relu6)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``scale * (max(0, x) + min(0, alpha (exp(x) - 1)))``, which keeps mean 0 and variance 1.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.selu(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """
    return into(input, inplace, _core.selu)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.silu(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Elfwing et al. 2017, https://arxiv.org/abs/1702.03118
    """
    return into(input, inplace, _core.silu)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.mish(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Misra 2019, https://arxiv.org/abs/1908.08681
    """
    return into(input, inplace, _core.mish)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.hardsigmoid(rg.tensor([-3.0, 0.0, 3.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return into(input, inplace, _core.hardsigmoid)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * min(max(x + 3, 0), 6) / 6``.

    Args:
        input: Any shape.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.hardswish(rg.tensor([0.0, 3.0])).tolist()
        [0.0, 3.0]

    Reference: Howard et al. 2019, https://arxiv.org/abs/1905.02244
    """
    return into(input, inplace, _core.hardswish)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * Phi(x)`` with the normal distribution function, or its tanh approximation.

    Args:
        input: Any shape.
        approximate: ``"none"``, or ``"tanh"`` for the approximation.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.gelu(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _core.gelu(input, approximate=approximate)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Args:
        input: Any shape.
        alpha: Minus the limit on the left.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.elu(rg.tensor([2.0, 0.0])).tolist()
        [2.0, 0.0]
    """
    return into(input, inplace, _core.elu, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``.

    Args:
        input: Any shape.
        alpha: Minus the limit on the left; not 0.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.celu(rg.tensor([2.0, 0.0])).tolist()
        [2.0, 0.0]
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be zero")
    return into(input, inplace, _core.celu, alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where positive, else ``negative_slope * x``.

    Args:
        input: Any shape.
        negative_slope: Slope on the left.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.leaky_relu(rg.tensor([2.0, -2.0]), 0.5).tolist()
        [2.0, -1.0]
    """
    return into(input, inplace, _core.leaky_relu, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` where positive, else ``weight * x``, with one weight or one per channel (dimension 1).

    Args:
        input: Any shape; ``(N, C, *)`` for a weight per channel.
        weight: Shape ``(1,)`` or ``(C,)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.prelu(rg.tensor([2.0, -2.0]), rg.tensor([0.25])).tolist()
        [2.0, -0.5]
    """
    return _core.prelu(input, weight)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x > threshold``.

    Args:
        input: Any shape.
        beta: Sharpness.
        threshold: Where the curve counts as straight.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softplus(rg.tensor([100.0])).tolist()
        [100.0]
    """
    return _core.softplus(input, beta, threshold)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``x`` cut off below ``min_val`` and above ``max_val``.

    Args:
        input: Any shape.
        min_val: Lower limit.
        max_val: Upper limit, not below the lower.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.hardtanh(rg.tensor([-3.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return into(input, inplace, _core.hardtanh, min_val, max_val)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` where ``|x| > lambd``, else 0.

    Args:
        input: Any shape.
        lambd: Half the width of the gap.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.hardshrink(rg.tensor([-1.0, 0.25])).tolist()
        [-1.0, 0.0]
    """
    return _core.hardshrink(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 where ``|x| <= lambd``.

    Args:
        input: Any shape.
        lambd: How far; not negative.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softshrink(rg.tensor([-1.0, 0.25])).tolist()
        [-0.5, 0.0]
    """
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambda must not be negative, got {lambd}")
    return _core.softshrink(input, lambd)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where ``x > threshold``, else ``value``.

    Args:
        input: Any shape.
        threshold: The limit.
        value: What replaces the rest.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.threshold(rg.tensor([1.0, 3.0]), 2.0, 0.0).tolist()
        [0.0, 3.0]
    """
    return into(input, inplace, _core.threshold, threshold, value)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` with the two halves ``a`` and ``b`` of the input along ``dim``.

    Args:
        input: Any shape with an even size along ``dim``.
        dim: The dimension that is halved.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.glu(rg.tensor([4.0, 0.0])).tolist()
        [2.0]

    Reference: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083
    """
    check_tensors("glu", input)
    if input.dim() == 0:
        raise RuntimeError("glu: a 0-d tensor has no halves")
    size = input.shape[dim]
    if size % 2:
        raise _core.ShapeError(f"glu: dimension {dim} must have an even size, got {size}")
    half = size // 2
    return input.narrow(dim, 0, half) * input.narrow(dim, half, half).sigmoid()


def softmax(input: Tensor, dim: int, dtype: _DTypeLike | None = None) -> Tensor:
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``.

    Args:
        input: Any shape.
        dim: The dimension that sums to 1.
        dtype: What the input is cast to first.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softmax(rg.tensor([1.0, 1.0]), dim=0).tolist()
        [0.5, 0.5]
    """
    return _core.softmax(_cast(input, dtype), dim)


def log_softmax(input: Tensor, dim: int, dtype: _DTypeLike | None = None) -> Tensor:
    """The logarithm of `softmax`, computed without overflow; arguments as in `softmax`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.log_softmax(rg.tensor([3.0]), dim=0).tolist()
        [0.0]
    """
    return _core.log_softmax(_cast(input, dtype), dim)


def softmin(input: Tensor, dim: int, dtype: _DTypeLike | None = None) -> Tensor:
    """`softmax` of ``-x``; arguments as in `softmax`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.softmin(rg.tensor([1.0, 1.0]), dim=0).tolist()
        [0.5, 0.5]
    """
    check_tensors("softmin", input)
    return _core.softmax(-_cast(input, dtype), dim)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """`leaky_relu` whose slope is drawn for each element in training, and the middle otherwise.

    Args:
        input: Any shape.
        lower: The smallest slope.
        upper: The largest slope.
        training: Whether slopes are drawn.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.rrelu(rg.tensor([2.0, -8.0]), 0.25, 0.75).tolist()
        [2.0, -4.0]

    Reference: Xu et al. 2015, https://arxiv.org/abs/1505.00853
    """
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = rg.rand_like(input.detach()) * (upper - lower) + lower
    return into(input, inplace, rg.mul, slope.masked_fill(input.detach() > 0, 1.0))


def relu_(input: Tensor) -> Tensor:
    """`relu` into the input; arguments as in `relu`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([-1.0, 2.0])
        >>> rg.nn.functional.relu_(x) is x, x.tolist()
        (True, [0.0, 2.0])
    """
    check_tensors("relu_", input)
    return input.relu_()


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` into the input; arguments as in `elu`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([2.0, 0.0])
        >>> rg.nn.functional.elu_(x) is x, x.tolist()
        (True, [2.0, 0.0])
    """
    check_tensors("elu_", input)
    return elu(input, alpha, True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` into the input; arguments as in `celu`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([2.0, 0.0])
        >>> rg.nn.functional.celu_(x) is x, x.tolist()
        (True, [2.0, 0.0])
    """
    check_tensors("celu_", input)
    return celu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """`selu` into the input; arguments as in `selu`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([0.0])
        >>> rg.nn.functional.selu_(x) is x, x.tolist()
        (True, [0.0])
    """
    check_tensors("selu_", input)
    return selu(input, True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` into the input; arguments as in `leaky_relu`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([2.0, -2.0])
        >>> rg.nn.functional.leaky_relu_(x, 0.5) is x, x.tolist()
        (True, [2.0, -1.0])
    """
    check_tensors("leaky_relu_", input)
    return leaky_relu(input, negative_slope, True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` into the input; arguments as in `hardtanh`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([-3.0, 0.5])
        >>> rg.nn.functional.hardtanh_(x) is x, x.tolist()
        (True, [-1.0, 0.5])
    """
    check_tensors("hardtanh_", input)
    return hardtanh(input, min_val, max_val, True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` into the input; arguments as in `threshold`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([1.0, 3.0])
        >>> rg.nn.functional.threshold_(x, 2.0, 0.0) is x, x.tolist()
        (True, [0.0, 3.0])
    """
    check_tensors("threshold_", input)
    return into(input, True, _core.threshold, threshold, value)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """`rrelu` into the input; arguments as in `rrelu`.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([2.0, -8.0])
        >>> rg.nn.functional.rrelu_(x, 0.25, 0.75) is x, x.tolist()
        (True, [2.0, -4.0])
    """
    check_tensors("rrelu_", input)
    return rrelu(input, lower, upper, training, True)


def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A differentiable sample of a category: ``softmax((logits + g) / tau)``, ``g`` Gumbel noise.

    Args:
        logits: Unnormalised log probabilities.
        tau: Temperature; smaller is closer to one-hot.
        hard: Return the one-hot sample, with the gradient of the soft one.
        eps: Not used, as in PyTorch.
        dim: The dimension of the categories.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.gumbel_softmax(rg.zeros(2, 3), hard=True).sum(-1).tolist()
        [1.0, 1.0]

    Reference: Jang et al. 2016, https://arxiv.org/abs/1611.01144
    """
    check_tensors("gumbel_softmax", logits)
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
