"""Layers that put a border around sequences and images."""

from __future__ import annotations

from typing import Any

from rubigo import functional as F
from rubigo._core import Tensor
from rubigo.functional._check import sized

from .module import Layer


class _Pad(Layer):
    """``n`` spatial dimensions of ``(N, C, *)`` or ``(C, *)`` get a border on both sides."""

    _n: int
    _mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding: tuple[int, ...] = sized(padding, 2 * self._n, "padding")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class ConstantPad1d(_Pad):
    """A border of one value around a sequence.

    Args:
        padding: Width on both sides, or left and right; negative widths cut off.
        value: What it is filled with.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ConstantPad1d((1, 2), 7.0)(rg.ones(1, 2)).tolist()
        [[7.0, 1.0, 1.0, 7.0, 7.0]]
    """

    _n = 1

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """A border of one value around an image: left, right, top and bottom.

    Args:
        padding: Width on all sides, or left, right, top and bottom; negative widths cut off.
        value: What the border is filled with.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.ConstantPad2d((1, 0, 2, 0), 7.0)(rg.ones(3, 4, 4)).shape)
        (3, 6, 5)
    """

    _n = 2


class ZeroPad1d(ConstantPad1d):
    """A border of zeros around a sequence.

    Args:
        padding: Width on both sides, or left and right; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ZeroPad1d(1)(rg.ones(1, 2)).tolist()
        [[0.0, 1.0, 1.0, 0.0]]
    """

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad2d(ZeroPad1d):
    """A border of zeros around an image.

    Args:
        padding: Width on all sides, or left, right, top and bottom; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.ZeroPad2d(1)(rg.ones(3, 4, 4)).shape)
        (3, 6, 6)
    """

    _n = 2


class ReflectionPad1d(_Pad):
    """A border that mirrors a sequence at its first and last element.

    Args:
        padding: Width on both sides, or left and right; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ReflectionPad1d(2)(rg.tensor([[1.0, 2.0, 3.0]])).tolist()
        [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """

    _n = 1
    _mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """A border that mirrors an image at its edges.

    Args:
        padding: Width on all sides, or left, right, top and bottom; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.ReflectionPad2d(1)(rg.ones(3, 4, 4)).shape)
        (3, 6, 6)
    """

    _n = 2


class ReplicationPad1d(_Pad):
    """A border that repeats the first and last element of a sequence.

    Args:
        padding: Width on both sides, or left and right; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.ReplicationPad1d(2)(rg.tensor([[1.0, 2.0]])).tolist()
        [[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]]
    """

    _n = 1
    _mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """A border that repeats the edges of an image.

    Args:
        padding: Width on all sides, or left, right, top and bottom; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.ReplicationPad2d(1)(rg.ones(3, 4, 4)).shape)
        (3, 6, 6)
    """

    _n = 2


class CircularPad1d(_Pad):
    """A border that goes on at the other end of a sequence.

    Args:
        padding: Width on both sides, or left and right; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.CircularPad1d(1)(rg.tensor([[1.0, 2.0, 3.0]])).tolist()
        [[3.0, 1.0, 2.0, 3.0, 1.0]]
    """

    _n = 1
    _mode = "circular"


class CircularPad2d(CircularPad1d):
    """A border that goes on at the other side of an image.

    Args:
        padding: Width on all sides, or left, right, top and bottom; negative widths cut off.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.CircularPad2d(1)(rg.ones(3, 4, 4)).shape)
        (3, 6, 6)
    """

    _n = 2
