"""Starting values of parameters, with PyTorch's formulas. Each fills its tensor in place."""

from __future__ import annotations

import math
import warnings
from typing import Any

import rubigo as rg
from rubigo._core import Tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    Args:
        nonlinearity: Its name in `nn.functional`, or the layer's, as ``"conv2d"``.
        param: The slope of ``"leaky_relu"``; 0.01 if None.

    Example:
        >>> import rubigo as rg
        >>> round(rg.nn.init.calculate_gain("relu") ** 2, 6)
        2.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    ones = "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d sigmoid"
    gains.update(dict.fromkeys(ones.split(), 1.0))
    if nonlinearity not in gains:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output has, and how many outputs one input.

    Args:
        tensor: A weight, shape ``(out, in, *)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.fans(rg.empty(4, 2, 3, 3))
        (18, 36)
    """
    if tensor.dim() < 2:
        raise ValueError(
            f"fan in and fan out need a tensor with 2 or more dimensions, got {tuple(tensor.shape)}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ``[a, b)``.

    Args:
        tensor: What is filled.
        a: The lower limit.
        b: The upper limit.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> x = rg.nn.init.uniform_(rg.empty(100), 2.0, 3.0)
        >>> bool((x >= 2).all()), bool((x <= 3).all())
        (True, True)
    """
    with rg.no_grad():
        return tensor.uniform_(a, b, **_optional(generator))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with that mean and standard deviation.

    Args:
        tensor: What is filled.
        mean: The mean.
        std: The standard deviation.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.normal_(rg.empty(2), mean=3.0, std=0.0).tolist()
        [3.0, 3.0]
    """
    with rg.no_grad():
        return tensor.normal_(mean, std, **_optional(generator))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, restricted to ``[a, b]``.

    Args:
        tensor: What is filled.
        mean: The mean of the whole distribution.
        std: Its standard deviation, positive.
        a: The lower limit.
        b: The upper limit.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> bool((rg.nn.init.trunc_normal_(rg.empty(100)).abs() <= 2).all())
        True
    """
    if std <= 0 or a > b:
        raise ValueError(f"trunc_normal_: needs std > 0 and a <= b, got {std}, {a}, {b}")
    low, high = (a - mean) / std, (b - mean) / std
    more = _optional(generator)
    wide = tensor.dtype in (rg.float32, rg.float64)
    with rg.no_grad():
        x = tensor if wide else rg.empty_like(tensor, dtype=rg.float32)
        if low > 2:
            _tail_(x, low, high, more)
        elif high < -2:
            _tail_(x, -high, -low, more).neg_()
        else:  # by the inverse of the distribution function
            x.uniform_(math.erf(low / math.sqrt(2.0)), math.erf(high / math.sqrt(2.0)), **more)
            x.copy_(x.erfinv() * math.sqrt(2.0))
        return tensor.copy_((x * std + mean).clamp(a, b))


def _tail_(x: Tensor, low: float, high: float, more: dict[str, Any]) -> Tensor:
    """The standard normal within ``[low, high]`` with ``low`` far above 0.

    The distribution function is flat there. So this draws from the density ``x exp(-x^2 / 2)``,
    whose inverse is known, and keeps each with probability ``low / x``.
    """
    share = -math.expm1((low - high) * (low + high) / 2)
    missing = rg.ones(x.shape, dtype=rg.bool, device=x.device)
    while bool(missing.any()):
        drawn = rg.empty_like(x).uniform_(**more)
        drawn = (low * low - 2 * (drawn * -share).log1p()).sqrt()
        kept = missing & (rg.empty_like(x).uniform_(**more) * drawn <= low)
        x.copy_(drawn.where(kept, x))
        missing = missing & ~kept
    return x


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All elements ``val``.

    Args:
        tensor: What is filled.
        val: The value.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.constant_(rg.empty(2), 0.5).tolist()
        [0.5, 0.5]
    """
    with rg.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """All ones.

    Args:
        tensor: What is filled.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.ones_(rg.empty(2)).tolist()
        [1.0, 1.0]
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """All zeros.

    Args:
        tensor: What is filled.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.zeros_(rg.empty(2)).tolist()
        [0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Args:
        tensor: What is filled, with 2 dimensions.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.eye_(rg.empty(2, 3)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if tensor.dim() != 2:
        raise ValueError(f"eye_: expected 2 dimensions, got {tensor.dim()}")
    with rg.no_grad():
        return tensor.copy_(rg.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that passes as many channels as possible through unchanged.

    Args:
        tensor: What is filled, with 3 to 5 dimensions.
        groups: Independent parts of the channels.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.init.dirac_(rg.empty(1, 1, 3)).tolist()
        [[[0.0, 1.0, 0.0]]]
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"dirac_: expected 3 to 5 dimensions, got {tensor.dim()}")
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: {tensor.shape[0]} outputs cannot be split into {groups} groups")
    per_group = tensor.shape[0] // groups
    centre = tuple(n // 2 for n in tensor.shape[2:])
    with rg.no_grad():
        tensor.zero_()
        for g in range(groups if tensor.numel() else 0):
            for d in range(min(per_group, tensor.shape[1])):
                tensor[(g * per_group + d, d, *centre)] = 1.0
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ``(-a, a)`` with ``a = gain sqrt(6 / (fan_in + fan_out))``.

    Args:
        tensor: What is filled, with 2 or more dimensions.
        gain: See `calculate_gain`.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> bool((rg.nn.init.xavier_uniform_(rg.empty(3, 3)).abs() <= 1).all())
        True

    Reference: Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with standard deviation ``gain sqrt(2 / (fan_in + fan_out))``.

    Args:
        tensor: What is filled, with 2 or more dimensions.
        gain: See `calculate_gain`.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.init.xavier_normal_(rg.empty(3, 5)).shape)
        (3, 5)

    Reference: Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform in ``(-b, b)`` with ``b = gain sqrt(3 / fan)``; ``a`` is the slope below zero.

    Args:
        tensor: What is filled, with 2 or more dimensions.
        a: The slope below zero, for ``"leaky_relu"``.
        mode: ``"fan_in"``, which keeps the variance forwards, or ``"fan_out"``, backwards.
        nonlinearity: What follows; see `calculate_gain`.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> w = rg.nn.init.kaiming_uniform_(rg.empty(4, 6), nonlinearity="relu")
        >>> bool((w.abs() <= 1).all())
        True

    Reference: He et al. 2015, https://arxiv.org/abs/1502.01852
    """
    if not tensor.numel():
        return _nothing(tensor)
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal with standard deviation ``gain / sqrt(fan)``; arguments as in `kaiming_uniform_`.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.init.kaiming_normal_(rg.empty(3, 5), mode="fan_out").shape)
        (3, 5)

    Reference: He et al. 2015, https://arxiv.org/abs/1502.01852
    """
    if not tensor.numel():
        return _nothing(tensor)
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with the share ``sparsity`` of each column zero, at random rows.

    Args:
        tensor: What is filled, with 2 dimensions.
        sparsity: The share of zeros, in [0, 1].
        std: The standard deviation of the others.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> w = rg.nn.init.sparse_(rg.empty(4, 2), sparsity=0.5)
        >>> (w == 0).sum(0).tolist()
        [2, 2]

    Reference: Martens 2010, https://icml.cc/Conferences/2010/papers/458.pdf
    """
    if tensor.dim() != 2:
        raise ValueError(f"sparse_: expected 2 dimensions, got {tensor.dim()}")
    zeros = math.ceil(sparsity * tensor.shape[0])
    with rg.no_grad():
        tensor.normal_(0.0, std, **_optional(generator))
        keys = rg.rand(*tensor.shape, device=tensor.device, **_optional(generator))
        rank = keys.argsort(0).argsort(0)
        return tensor.copy_(tensor.masked_fill(rank < zeros, 0.0))


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Orthonormal rows or columns, whichever are fewer, of the tensor as ``(size(0), the rest)``.

    Args:
        tensor: What is filled, with 2 or more dimensions.
        gain: A factor of all elements.
        generator: The source of random numbers; the global one if None.

    Example:
        >>> import rubigo as rg
        >>> w = rg.nn.init.orthogonal_(rg.empty(2, 3))
        >>> rg.allclose(w @ w.T, rg.eye(2), atol=1e-6)
        True

    Reference: Saxe et al. 2013, https://arxiv.org/abs/1312.6120
    """
    if tensor.dim() < 2:
        raise ValueError(f"orthogonal_: expected 2 or more dimensions, got {tensor.dim()}")
    if not tensor.numel():
        return tensor
    import numpy as np

    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    with rg.no_grad():
        drawn = rg.empty(rows, columns, dtype=rg.float64).normal_(**_optional(generator)).numpy()
        q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
        # Without the signs of r the result would not be uniform: arXiv:math-ph/0609050.
        q = q * np.sign(np.diag(r))
        result = rg.from_numpy(np.ascontiguousarray(q.T if rows < columns else q)) * gain
        return tensor.copy_(result.reshape(tensor.shape).to(tensor.device, tensor.dtype))


def uniform_fan_in_(weight: Tensor, bias: Tensor | None) -> None:
    """The start of linear and convolution layers: uniform within ``1 / sqrt(fan_in)``.

    Args:
        weight: What is filled, with 2 or more dimensions.
        bias: What is filled with the same limits, if there is one.

    Example:
        >>> import rubigo as rg
        >>> weight, bias = rg.empty(2, 4), rg.empty(2)
        >>> rg.nn.init.uniform_fan_in_(weight, bias)
        >>> bool((weight.abs() <= 0.5).all()), bool((bias.abs() <= 0.5).all())
        (True, True)
    """
    fan_in, _ = fans(weight)
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    uniform_(weight, -bound, bound)
    if bias is not None:
        uniform_(bias, -bound, bound)


def _nothing(tensor: Tensor) -> Tensor:
    """A tensor without elements, about which PyTorch warns here."""
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return tensor


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2.0 / max(1, sum(fans(tensor))))  # the sum is 0 if nothing is to fill


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _optional(generator: Any) -> dict[str, Any]:
    return {} if generator is None else {"generator": generator}
