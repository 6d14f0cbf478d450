"""Layers that work along a dimension: the softmax family and `GLU`."""

from __future__ import annotations

from rubigo import functional as F
from rubigo._core import Tensor

from .module import Layer
from .trace import shape_error


class GLU(Layer):
    """``a * sigmoid(b)`` with the two halves of the input along ``dim``.

    Args:
        dim: The dimension that is halved.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.GLU()(rg.tensor([4.0, 0.0])).tolist()
        [2.0]

    Reference: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(Layer):
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``.

    Args:
        dim: The dimension that sums to 1.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Softmax(dim=0)(rg.tensor([1.0, 1.0])).tolist()
        [0.5, 0.5]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Layer):
    """`Softmax` over the channels of ``(N, C, H, W)`` or ``(C, H, W)``.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Softmax2d()(rg.ones(2, 1, 1)).flatten().tolist()
        [0.5, 0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            raise shape_error(f"expected 3 or 4 dimensions, got shape {tuple(input.shape)}")
        return F.softmax(input, -3)


class LogSoftmax(Layer):
    """The logarithm of `Softmax`, computed without overflow.

    Args:
        dim: The dimension that sums to 1 after `exp`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.LogSoftmax(dim=0)(rg.tensor([3.0])).tolist()
        [0.0]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(Layer):
    """`Softmax` of ``-x``.

    Args:
        dim: The dimension that sums to 1.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Softmin(dim=0)(rg.tensor([1.0, 1.0])).tolist()
        [0.5, 0.5]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
