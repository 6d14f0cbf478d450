"""Activations with settings, as layers. ``inplace=True`` writes the result into the input."""

from __future__ import annotations

import warnings
from typing import Any

import rubigo as rg
from rubigo import functional as F
from rubigo._core import Tensor

from .module import Layer
from .parameter import Parameter


def _inplace(layer: Any) -> str:
    return ", inplace=True" if layer.inplace else ""


class GELU(Layer):
    """``x * Phi(x)`` with the normal distribution function ``Phi``.

    Args:
        approximate: ``"none"``, or ``"tanh"`` for the approximation.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.GELU()(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class ELU(Layer):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Args:
        alpha: Minus the limit on the left.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ELU()(rg.tensor([2.0, 0.0])).tolist()
        [2.0, 0.0]

    Reference: Clevert et al. 2015, https://arxiv.org/abs/1511.07289
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + _inplace(self)


class CELU(Layer):
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``.

    Args:
        alpha: Minus the limit on the left.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.CELU()(rg.tensor([2.0, 0.0])).tolist()
        [2.0, 0.0]

    Reference: Barron 2017, https://arxiv.org/abs/1704.07483
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + _inplace(self)


class LeakyReLU(Layer):
    """``x`` where positive, else ``negative_slope * x``.

    Args:
        negative_slope: Slope on the left.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.LeakyReLU(0.5)(rg.tensor([2.0, -2.0])).tolist()
        [2.0, -1.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + _inplace(self)


class RReLU(Layer):
    """`LeakyReLU` whose slope is drawn for each element in training, and the middle otherwise.

    Args:
        lower: The smallest slope.
        upper: The largest slope.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.RReLU(0.25, 0.75).eval()(rg.tensor([2.0, -8.0])).tolist()
        [2.0, -4.0]

    Reference: Xu et al. 2015, https://arxiv.org/abs/1505.00853
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + _inplace(self)


class Softplus(Layer):
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x > threshold``.

    Args:
        beta: Sharpness.
        threshold: Where the curve counts as straight.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Softplus()(rg.tensor([100.0])).tolist()
        [100.0]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardtanh(Layer):
    """``x`` cut off below ``min_val`` and above ``max_val``.

    Args:
        min_val: Lower limit.
        max_val: Upper limit.
        inplace: Write the result into the input.
        min_value: The older name of ``min_val``.
        max_value: The older name of ``max_val``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Hardtanh()(rg.tensor([-3.0, 0.5])).tolist()
        [-1.0, 0.5]
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        if min_value is not None:
            warnings.warn("min_value is now min_val", FutureWarning, stacklevel=2)
            min_val = min_value
        if max_value is not None:
            warnings.warn("max_value is now max_val", FutureWarning, stacklevel=2)
            max_val = max_value
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + _inplace(self)


class Hardshrink(Layer):
    """``x`` where ``|x| > lambd``, else 0.

    Args:
        lambd: Half the width of the gap.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Hardshrink()(rg.tensor([-1.0, 0.25])).tolist()
        [-1.0, 0.0]
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Layer):
    """``x`` moved towards 0 by ``lambd``, and 0 where ``|x| <= lambd``.

    Args:
        lambd: How far.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Softshrink()(rg.tensor([-1.0, 0.25])).tolist()
        [-0.5, 0.0]
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Threshold(Layer):
    """``x`` where ``x > threshold``, else ``value``.

    Args:
        threshold: The limit.
        value: What replaces the rest.
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Threshold(2.0, 0.0)(rg.tensor([1.0, 3.0])).tolist()
        [0.0, 3.0]
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + _inplace(self)


class PReLU(Layer):
    """``x`` where positive, else ``weight * x`` with a learned weight.

    Args:
        num_parameters: 1, or one per channel (dimension 1).
        init: Where the weight starts.
        device: Where it lives.
        dtype: Its type.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.PReLU()(rg.tensor([2.0, -2.0])).tolist()
        [2.0, -0.5]

    Reference: He et al. 2015, https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(rg.full((num_parameters,), init, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Sets the weight to where it started."""
        with rg.no_grad():
            self.weight.fill_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
