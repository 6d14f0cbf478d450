"""What can be asked of dtypes, and small helpers about types and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeGuard, overload

from rubigo import _core
from rubigo._arguments import check_tensors
from rubigo._core import Tensor, dtype

if TYPE_CHECKING:
    from rubigo._core import _DTypeLike

# name: (bits, eps, largest, smallest normal, decimal digits)
_FLOATS = {
    "float16": (16, 2.0**-10, 65504.0, 2.0**-14, 3),
    "bfloat16": (16, 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 2),
    "float32": (32, 2.0**-23, (2 - 2.0**-23) * 2.0**127, 2.0**-126, 6),
    "float64": (64, 2.0**-52, (2 - 2.0**-52) * 2.0**1023, 2.0**-1022, 15),
}


class finfo(NamedTuple("finfo", [("dtype", str), ("bits", int), ("eps", float), ("max", float)])):
    """Limits of a floating point dtype.

    >>> import rubigo as rg
    >>> rg.finfo(rg.float32).bits
    32
    """

    __slots__ = ()

    def __new__(cls, type: _DTypeLike | None = None) -> Self:
        name = (_core.float32 if type is None else dtype(type)).name
        if name not in _FLOATS:
            raise TypeError(f"finfo() takes a floating point dtype, got {name}; use iinfo()")
        bits, eps, largest, _, _ = _FLOATS[name]
        return super().__new__(cls, name, bits, eps, largest)

    @property
    def min(self) -> float:
        """The lowest finite value."""
        return -self.max

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return _FLOATS[self.dtype][3]

    smallest_normal = tiny

    @property
    def resolution(self) -> float:
        """10 to the minus the number of decimal digits."""
        return 10.0 ** -_FLOATS[self.dtype][4]


class iinfo(NamedTuple("iinfo", [("dtype", str), ("bits", int), ("min", int), ("max", int)])):
    """Limits of an integer dtype.

    >>> import rubigo as rg
    >>> rg.iinfo(rg.int8).max
    127
    """

    __slots__ = ()

    def __new__(cls, type: _DTypeLike) -> Self:
        d = dtype(type)
        if d.is_floating_point or d.name == "bool":
            raise TypeError(f"iinfo() takes an integer dtype, got {d.name}")
        bits = d.itemsize * 8
        low = -(2 ** (bits - 1)) if d.is_signed else 0
        high = 2 ** (bits - 1) - 1 if d.is_signed else 2**bits - 1
        return super().__new__(cls, d.name, bits, low, high)


def is_tensor(obj: object) -> TypeGuard[Tensor]:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating point one."""
    check_tensors("is_floating_point", input)
    return input.dtype.is_floating_point


def numel(input: Tensor) -> int:
    """The number of elements."""
    check_tensors("numel", input)
    return input.numel()


def promote_types(a: _DTypeLike, b: _DTypeLike) -> dtype:
    """The dtype that two dtypes promote to."""
    return _core.result_type(_core.empty((1,), dtype=a), _core.empty((1,), dtype=b))


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """The shape that these shapes broadcast to."""
    out: list[int] = []
    for shape in shapes:
        shape = [shape] if isinstance(shape, int) else list(shape)
        n = max(len(out), len(shape))
        a, b = [1] * (n - len(out)) + out, [1] * (n - len(shape)) + shape
        if any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)):
            raise _core.ShapeError(f"shapes {tuple(out)} and {tuple(shape)} do not broadcast")
        out = [y if x == 1 else x for x, y in zip(a, b, strict=True)]
    return tuple(out)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, expanded to their common shape."""
    check_tensors("broadcast_tensors", *tensors)
    shape = broadcast_shapes(*(t.shape for t in tensors))
    return tuple(t.expand(shape) for t in tensors)


@overload
def meshgrid(*tensors: Tensor, indexing: Literal["ij", "xy"] = ...) -> tuple[Tensor, ...]: ...
@overload
def meshgrid(
    tensors: Sequence[Tensor], /, *, indexing: Literal["ij", "xy"] = ...
) -> tuple[Tensor, ...]: ...
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinate grids from 1-d tensors; `indexing` is "ij" (rows first) or "xy".

    >>> import rubigo as rg
    >>> [g.tolist() for g in rg.meshgrid(rg.arange(2), rg.arange(3))]
    [[[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]]]
    """
    alone = len(tensors) == 1 and not isinstance(tensors[0], Tensor)
    return _core.meshgrid(tuple(tensors[0] if alone else tensors), indexing)
