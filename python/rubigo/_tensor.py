"""Functions of the package beyond the op table, most of them methods too, and pickling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, overload

from rubigo import _core
from rubigo._arguments import check_tensors
from rubigo._core import Tensor, dtype
from rubigo._methods import methods

if TYPE_CHECKING:
    from rubigo._core import _DTypeLike, _Operand, _Size

    _Result = TypeVar("_Result", covariant=True)

    class _Best(Protocol[_Result]):
        @overload
        def __call__(self, input: Tensor, dim: None = ..., keepdim: bool = ...) -> Tensor: ...
        @overload
        def __call__(self, input: Tensor, dim: int, keepdim: bool = ...) -> _Result: ...
        @overload
        def __call__(self, input: Tensor, dim: Tensor) -> Tensor: ...
        @overload
        def __call__(self, input: Tensor, *, other: _Operand) -> Tensor: ...

    class _Moment(Protocol):
        def __call__(
            self,
            input: Tensor,
            dim: _Size | None = ...,
            unbiased: bool | None = ...,
            keepdim: bool = ...,
            *,
            correction: float | None = ...,
        ) -> Tensor: ...


def _lines(self: Any) -> str:
    """The text of a named tuple of tensors, each in lines of its own."""
    parts = ",\n".join(f"{name}={value!r}" for name, value in self._asdict().items())
    return f"{type(self).__name__}(\n{parts})"


class _ValuesIndices(NamedTuple):
    """Values along a dimension, and where they were."""

    values: Tensor
    indices: Tensor

    __repr__ = _lines


class max_result(_ValuesIndices):
    __slots__ = ()


class min_result(_ValuesIndices):
    __slots__ = ()


class sort_result(_ValuesIndices):
    __slots__ = ()


class topk_result(_ValuesIndices):
    __slots__ = ()


class kthvalue_result(_ValuesIndices):
    __slots__ = ()


class median_result(_ValuesIndices):
    __slots__ = ()


class mode_result(_ValuesIndices):
    __slots__ = ()


class cummax_result(_ValuesIndices):
    __slots__ = ()


class cummin_result(_ValuesIndices):
    __slots__ = ()


class aminmax_result(NamedTuple):
    """The smallest and the largest elements."""

    min: Tensor
    max: Tensor

    __repr__ = _lines


# As they print. The qualified names stay, by which pickle finds the classes.
aminmax_result.__name__ = "aminmax"
_NAMED: dict[str, type] = {}
for _class in _ValuesIndices.__subclasses__():
    _class.__name__ = _class.__name__.removesuffix("_result")
    _NAMED[_class.__name__] = _class
_core.set_named_results(_NAMED)


def _best(name: str, result: Callable[[Tensor, Tensor], Any]) -> Any:
    """`max` and `min` in PyTorch's three forms."""
    full = getattr(_core, "a" + name)
    index = getattr(_core, "arg" + name)
    pairwise = getattr(_core, name + "imum")

    def best(
        input: Tensor,
        dim: int | Tensor | None = None,
        keepdim: bool = False,
        *,
        other: _Operand | None = None,
    ) -> Any:
        if isinstance(dim, Tensor):
            return pairwise(input, dim)
        if other is not None:
            return pairwise(input, other)
        if dim is None:
            return full(input)
        where = index(input, dim, True)
        if where.ndim == 0:
            return result(full(input), where)
        values = _core.gather(input, dim, where)
        if not keepdim:
            values, where = values.squeeze(dim), where.squeeze(dim)
        return result(values, where)

    best.__name__ = best.__qualname__ = name
    best.__doc__ = (
        f"The {name} over all elements; with `dim` a pair (values, indices); with another tensor "
        f"the elementwise {name}.\n\n"
        ">>> import rubigo as rg\n"
        f">>> rg.{name}(rg.tensor([[1.0, 5.0], [4.0, 2.0]]), dim=1).indices.tolist()\n"
        f"{[1, 0] if name == 'max' else [0, 1]}"
    )
    return best


max: _Best[max_result] = _best("max", max_result)
min: _Best[min_result] = _best("min", min_result)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> aminmax_result:
    """The smallest and the largest, over all elements or along `dim`."""
    return aminmax_result(_core.amin(input, dim, keepdim), _core.amax(input, dim, keepdim))


def _moments(name: str) -> _Moment:
    op = getattr(_core, name)

    def moment(
        input: Tensor,
        dim: _Size | None = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        return op(input, dim, correction=correction, keepdim=keepdim)

    moment.__name__ = moment.__qualname__ = name
    moment.__doc__ = (
        f"The {'variance' if name == 'var' else 'standard deviation'} over `dim`, divided by "
        "n - correction (1 unless given; `unbiased=False` means 0)."
    )
    return moment


var = _moments("var")
std = _moments("std")


def var_mean(
    input: Tensor,
    dim: _Size | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The pair (var, mean)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return (
        var(input, dim, unbiased, keepdim, correction=correction),
        _core.mean(input, dim, keepdim),
    )


def std_mean(
    input: Tensor,
    dim: _Size | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The pair (std, mean)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return (
        std(input, dim, unbiased, keepdim, correction=correction),
        _core.mean(input, dim, keepdim),
    )


def norm(
    input: Tensor,
    p: float | Literal["fro"] | None = "fro",
    dim: _Size | None = None,
    keepdim: bool = False,
    dtype: _DTypeLike | None = None,
) -> Tensor:
    """The p-norm over `dim` (all by default); 'fro' and None are the 2-norm."""
    x = input if dtype is None else input.to(dtype)
    order = 2 if p is None or p == "fro" else p
    return _core.vector_norm(x, order, dim, keepdim)


def allclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether |x - y| <= atol + rtol * |y| for every element."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def isclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Elementwise |x - y| <= atol + rtol * |y|; equal infinities are close."""
    check_tensors("isclose", input, other)
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"rtol and atol must not be negative, got {rtol} and {atol}")
    close = input == other
    if equal_nan and input.dtype.is_floating_point:
        close = close | (input.isnan() & other.isnan())
    if not input.dtype.is_floating_point and not other.dtype.is_floating_point:
        # A GPU has no float64, and float32 would round.
        if input.device.type == "cpu":
            input, other = input.double(), other.double()
        else:
            input, other = input.long(), other.long()
    gap = (input - other).abs()
    return close | (gap.isfinite() & (gap <= atol + rtol * other.abs()))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    check_tensors("equal", input, other)
    return input.shape == other.shape and bool((input == other).all())


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of x - y."""
    check_tensors("dist", input, other)
    return norm(input - other, p)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are."""
    check_tensors("t", input)
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else input.transpose(0, 1)


def broadcast_to(input: Tensor, size: _Size) -> Tensor:
    """Expanded to `size`."""
    check_tensors("broadcast_to", input)
    return input.expand(size)


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    check_tensors("ravel", input)
    return input.reshape(-1)


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension split into several of the given sizes, one of which may be -1."""
    check_tensors("unflatten", input)
    d = dim if dim >= 0 else dim + input.ndim
    if not 0 <= d < input.ndim:
        raise IndexError(f"dimension {dim} is out of range for a {input.ndim}-d tensor")
    shape, sizes = input.shape, list(sizes)
    if sizes.count(-1) == 1:
        # From this dimension alone: another may be 0.
        rest = math.prod(size for size in sizes if size != -1)
        if rest > 0 and shape[d] % rest == 0:
            sizes[sizes.index(-1)] = shape[d] // rest
    return input.reshape([*shape[:d], *sizes, *shape[d + 1 :]])


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """`length` elements of one dimension from `start`, as a view."""
    check_tensors("narrow", input)
    n = input.size(dim)
    start = int(start)
    first = start + n if start < 0 else start
    if length < 0 or first < 0 or first + length > n:
        raise RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({n}) of dim {dim}"
        )
    return _core.slice(input, dim, first, first + length)


@overload
def nonzero(input: Tensor, *, as_tuple: Literal[False] = ...) -> Tensor: ...
@overload
def nonzero(input: Tensor, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """The indices of the elements that are not zero: a row for each, or a tuple of one per dim."""
    if as_tuple and input.ndim == 0:
        input = input.reshape(1)
    found = _core.nonzero(input)
    return tuple(found.unbind(1)) if as_tuple else found


@overload
def where(condition: Tensor) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Tensor, input: _Operand, other: _Operand) -> Tensor: ...
def where(
    condition: Tensor, input: _Operand | None = None, other: _Operand | None = None
) -> Tensor | tuple[Tensor, ...]:
    """`input` where `condition` holds, `other` elsewhere; alone, the indices where it holds."""
    if input is None or other is None:
        if input is not other:
            raise TypeError("where() takes input and other, or neither")
        check_tensors("where", condition)
        return nonzero(condition, as_tuple=True)
    return _core.where(condition, input, other)


def index_put(
    input: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor,
    accumulate: bool = False,
) -> Tensor:
    """A copy with `values` written (or added, where several meet) to ``input[indices]``.

    Args:
        input: any tensor.
        indices: integer or bool tensors, or None for a whole dimension, as in ``input[...]``.
        values: of the dtype of `input`; broadcasts to the shape of ``input[indices]``.
        accumulate: add instead of overwriting.

    >>> import rubigo as rg
    >>> rg.zeros(3).index_put((rg.tensor([1, 1]),), rg.tensor([1.0, 2.0]), accumulate=True)
    tensor([0., 3., 0.])
    """
    check_tensors("index_put", input, values)
    if isinstance(indices, Tensor) or not isinstance(indices, Sequence):
        kind = type(indices).__name__
        raise TypeError(f"index_put: indices is a tuple of Tensors or None, got {kind}")
    check_tensors("index_put", optional=indices)
    if values.dtype != input.dtype:
        raise RuntimeError(
            f"index_put: input is {input.dtype} and values {values.dtype}\n"
            f"  hint: cast them with values.to(input.dtype)"
        )
    key = tuple(slice(None) if index is None else index for index in indices)
    if not accumulate:
        out = input.clone()
        out[key] = values
        return out
    places = _core.arange(input.numel(), device=input.device).reshape(input.shape)[key]
    flat = values.to(input.device).expand(places.shape).reshape(-1)
    return input.reshape(-1).index_add(0, places.reshape(-1), flat).reshape(input.shape)


def index_put_(
    self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """`index_put` into the tensor itself."""
    return self.copy_(index_put(self, indices, values, accumulate))


def _rebuild(
    cls: type[Tensor],
    storage_bytes: Any,
    dtype_name: str,
    shape: tuple[int, ...],
    device: str,
    requires_grad: bool,
    state: dict[str, Any],
) -> Tensor:
    data = _core._from_bytes(storage_bytes, dtype(dtype_name), shape)
    out = data.to(device) if device != "cpu" else data
    out = out.as_subclass(cls) if cls is not Tensor else out
    if requires_grad:
        out.requires_grad_(True)
    if state:
        out.__dict__.update(state)
    return out


def _reduce(self: Tensor, protocol: int) -> tuple[Any, ...]:
    if not self.is_leaf:
        raise RuntimeError("only leaf tensors can be pickled; use .detach() first")
    buffer: Any = _core._to_bytes(self.detach())
    if protocol >= 5:
        import pickle

        buffer = pickle.PickleBuffer(buffer)
    args = (
        type(self),
        buffer,
        self.dtype.name,
        self.shape,
        str(self.device),
        self.requires_grad,
        dict(self.__dict__),
    )
    return _rebuild, args


def _attach() -> None:
    """Adds all this to the native class, once, at import."""
    functions: dict[str, Any] = {
        "max": max, "min": min, "nonzero": nonzero, "aminmax": aminmax, "var": var, "std": std,
        "norm": norm, "index_put": index_put, "index_put_": index_put_, "allclose": allclose,
        "isclose": isclose, "equal": equal, "dist": dist, "t": t, "broadcast_to": broadcast_to,
        "ravel": ravel, "unflatten": unflatten, "narrow": narrow, "__reduce_ex__": _reduce,
    }  # fmt: skip
    for name, function in (functions | methods()).items():
        setattr(Tensor, name, function)


_attach()
