"""Activations as layers. ``inplace=True`` writes the result into the input."""

from __future__ import annotations

from rubigo import functional as F
from rubigo._core import Tensor

from .activation_params import Hardtanh
from .module import Layer


class ReLU(Layer):
    """``max(0, x)``.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ReLU()(rg.tensor([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU6(Hardtanh):
    """``min(max(0, x), 6)``.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ReLU6()(rg.tensor([-1.0, 8.0])).tolist()
        [0.0, 6.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class SELU(Layer):
    """``scale * (max(0, x) + min(0, alpha (exp(x) - 1)))``, which keeps mean 0 and variance 1.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.SELU()(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class SiLU(Layer):
    """``x * sigmoid(x)``.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.SiLU()(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Elfwing et al. 2017, https://arxiv.org/abs/1702.03118
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Mish(Layer):
    """``x * tanh(softplus(x))``.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Mish()(rg.tensor([0.0])).tolist()
        [0.0]

    Reference: Misra 2019, https://arxiv.org/abs/1908.08681
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(Layer):
    """``min(max(x + 3, 0), 6) / 6``.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Hardsigmoid()(rg.tensor([-3.0, 0.0, 3.0])).tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)


class Hardswish(Layer):
    """``x * min(max(x + 3, 0), 6) / 6``.

    Args:
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Hardswish()(rg.tensor([0.0, 3.0])).tolist()
        [0.0, 3.0]

    Reference: Howard et al. 2019, https://arxiv.org/abs/1905.02244
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)


class Sigmoid(Layer):
    """``1 / (1 + exp(-x))``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Sigmoid()(rg.tensor([0.0])).tolist()
        [0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Layer):
    """``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Tanh()(rg.tensor([0.0])).tolist()
        [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class LogSigmoid(Layer):
    """``log(1 / (1 + exp(-x)))``, without overflow.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.LogSigmoid()(rg.tensor([-100.0])).tolist()
        [-100.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Softsign(Layer):
    """``x / (1 + |x|)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Softsign()(rg.tensor([1.0, -1.0])).tolist()
        [0.5, -0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class Tanhshrink(Layer):
    """``x - tanh(x)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Tanhshrink()(rg.tensor([0.0])).tolist()
        [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)
