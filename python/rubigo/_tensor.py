"""What `Tensor` has beyond the op table: conversions, printing, copies, names of several forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, overload

from rubigo import _core
from rubigo._arguments import check_tensors
from rubigo._core import Tensor, dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rubigo._core import _DeviceLike, _DTypeLike, _Operand, _Size

_Result = TypeVar("_Result", covariant=True)


class _ValuesIndices(NamedTuple):
    """Values along a dimension, and where they were."""

    values: Tensor
    indices: Tensor


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


# As they print. The qualified names stay, by which pickle finds the classes.
aminmax_result.__name__ = "aminmax"
_NAMED: dict[str, type] = {}
for _class in _ValuesIndices.__subclasses__():
    _class.__name__ = _class.__name__.removesuffix("_result")
    _NAMED[_class.__name__] = _class
_core.set_named_results(_NAMED)


class _Best(Protocol[_Result]):
    @overload
    def __call__(self, input: Tensor, dim: None = ..., keepdim: bool = ...) -> Tensor: ...
    @overload
    def __call__(self, input: Tensor, dim: int, keepdim: bool = ...) -> _Result: ...
    @overload
    def __call__(self, input: Tensor, dim: Tensor) -> Tensor: ...
    @overload
    def __call__(self, input: Tensor, *, other: _Operand) -> Tensor: ...


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
        values = _core.gather(input, dim, where) if input.ndim else input.clone()
        if not keepdim and input.ndim:
            values, where = values.squeeze(dim), where.squeeze(dim)
        elif not input.ndim:
            where = where.reshape(())
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
    if not input.dtype.is_floating_point:
        input, other = input.double(), other.double()
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


def numpy(self: Tensor, *, force: bool = False) -> NDArray[Any]:
    """The tensor as a numpy array over the same memory.

    `force=True` detaches and copies from the GPU where needed.
    """
    import numpy as np

    if force:
        self = self.detach().cpu()
    elif self.requires_grad:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    # Of a handle of its own: `self.data = ...` gives `self` other memory.
    return np.asarray(_Bridge(self.detach()))


class _Bridge:
    """Shows a tensor's memory to numpy and keeps the tensor alive."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.__array_interface__ = _core._array_interface(tensor)


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
    import numpy as np

    array = numpy(self)
    if dtype is not None and array.dtype != np.dtype(dtype):
        if copy is False:
            raise ValueError("a change of dtype needs a copy")
        return array.astype(dtype)
    return array.copy() if copy else array


def _caster(name: str, target: dtype) -> Callable[[Tensor], Tensor]:
    def cast(self: Tensor) -> Tensor:
        return self.to(target)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The elements as {target.name}; itself if they are."
    return cast


def cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU; itself if it is there."""
    return self.to("cpu")


def gpu(self: Tensor) -> Tensor:
    """The tensor on the GPU; itself if it is there."""
    return self.to("gpu")


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The elements in the dtype of `other`, on its device."""
    check_tensors("type_as", other)
    return self.to(other)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are."""
    check_tensors("t", input)
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else input.transpose(0, 1)


def copy_(self: Tensor, src: _Operand, non_blocking: bool = False) -> Tensor:
    """Writes the elements of `src`, broadcast and cast, into this tensor."""
    _core.write(self, src)
    return self


def fill_(self: Tensor, value: _Operand) -> Tensor:
    """Writes one value into every element."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill_ takes a number or a 0-d tensor, got shape {value.shape}")
    _core.write(self, value)
    return self


def zero_(self: Tensor) -> Tensor:
    """Writes 0 into every element."""
    _core.write(self, 0)
    return self


def _array_wrap(
    self: Tensor, array: NDArray[Any], context: Any = None, return_scalar: bool = False
) -> Tensor:
    """What numpy's own functions give of a tensor: a tensor again."""
    return _core.as_tensor(array)


def detach_(self: Tensor) -> Tensor:
    """Cuts this tensor off from its history, in place."""
    if self.grad_fn is not None:
        raise NotImplementedError("a tensor with a history is not cut off in place; use detach()")
    return self.requires_grad_(False)


def ndimension(self: Tensor) -> int:
    """The number of dimensions, as `dim()`."""
    return self.ndim


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter([self.select(0, i) for i in range(self.shape[0])])


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """A view with the shape of `other`."""
    check_tensors("view_as", other)
    return self.view(other.shape)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Reshaped to the shape of `other`."""
    check_tensors("reshape_as", other)
    return self.reshape(other.shape)


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded to the shape of `other`."""
    check_tensors("expand_as", other)
    return self.expand(other.shape)


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
    shape = input.shape
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


def _new(name: str) -> Callable[..., Tensor]:
    def new(
        self: Tensor,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **more: Any,
    ) -> Tensor:
        make = getattr(_core, name)
        dtype = self.dtype if dtype is None else dtype
        device = self.device if device is None else device
        return make(*size, dtype=dtype, device=device, requires_grad=requires_grad, **more)

    new.__name__ = new.__qualname__ = f"new_{name}"
    new.__doc__ = f"`rubigo.{name}` with this tensor's dtype and device."
    return new


def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: _DTypeLike | None = None,
    device: _DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rubigo.tensor` with this tensor's dtype and device."""
    return _core.tensor(
        data,
        dtype=self.dtype if dtype is None else dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
    )


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


def _where_method(self: Tensor, condition: Tensor, other: _Operand) -> Tensor:
    """This tensor where `condition` holds, `other` elsewhere."""
    return _core.where(condition, self, other)


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


def multinomial(
    self: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: _core.Generator | None = None,
) -> Tensor:
    """As `rubigo.multinomial`."""
    return _core.multinomial(self, num_samples, replacement, generator=generator)


def bernoulli(
    self: Tensor, p: float | None = None, *, generator: _core.Generator | None = None
) -> Tensor:
    """As `rubigo.bernoulli`."""
    return _core.bernoulli(self, p, generator=generator)


def prelu(self: Tensor, weight: Tensor) -> Tensor:
    """As `rubigo.nn.functional.prelu`."""
    return _core.prelu(self, weight)


def type_(self: Tensor, dtype: _DTypeLike | None = None) -> str | Tensor:
    """The dtype's name, or the elements in another dtype."""
    return f"rubigo.{self.dtype.name}" if dtype is None else self.to(dtype)


def _repr(self: Tensor) -> str:
    from rubigo._printing import tensor_text

    return tensor_text(self)


def _format(self: Tensor, spec: str) -> str:
    if self.ndim == 0:
        return format(self.item(), spec)
    return format(repr(self), spec) if not spec else object.__format__(self, spec)


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


def as_subclass(self: Tensor, cls: type[Tensor]) -> Tensor:
    """The same memory as an instance of a subclass of Tensor."""
    return Tensor.__new__(cls, self)


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


def _copy(self: Tensor) -> Tensor:
    """A leaf over the same memory, of the same type, with the same attributes."""
    out = self.detach()
    if type(self) is not Tensor:
        out = out.as_subclass(type(self))
    out.requires_grad_(self.requires_grad)
    out.__dict__.update(self.__dict__)
    return out


def _copied(t: Tensor, base: Tensor | None, memo: dict[Any, Any]) -> Tensor:
    """A copy that shares its memory with the other copies of this memory that `memo` knows."""
    if not t.numel():
        return t.clone()
    copies = memo.setdefault(("rubigo memory", t._memory_id()), [])
    for start, copy in copies:
        out = t._in_copy(start, copy)
        if out is not None:
            return out
    # Of all that the tensor is a view of: other views may follow.
    start, copy = (t if base is None else base)._copy_memory()
    copies.append((start, copy))
    out = t._in_copy(start, copy)
    return t.clone() if out is None else out


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    found = memo.get(id(self))
    if found is not None:
        return found
    if not self.is_leaf:
        raise RuntimeError(
            "only Tensors created explicitly by the user support the deepcopy protocol; "
            "use .detach() first"
        )
    from copy import deepcopy

    out = _copied(self.detach(), self._base, memo)
    if type(self) is not Tensor:
        out = out.as_subclass(type(self))
    memo[id(self)] = out
    out.requires_grad_(self.requires_grad)
    if self.grad is not None:
        out.grad = deepcopy(self.grad, memo)
    for key, value in self.__dict__.items():
        out.__dict__[key] = deepcopy(value, memo)
    return out


def _dlpack(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    return _core._to_dlpack(
        self, stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
    )


def _dlpack_device(self: Tensor) -> tuple[int, int]:
    return (1, 0)


def _attach() -> None:
    """Adds all this to the native class, once, at import."""
    methods: dict[str, Any] = {
        "max": max, "min": min, "nonzero": nonzero, "aminmax": aminmax, "var": var, "std": std,
        "norm": norm, "index_put": index_put, "index_put_": index_put_, "prelu": prelu,
        "multinomial": multinomial, "bernoulli": bernoulli,
        "allclose": allclose, "isclose": isclose, "equal": equal, "dist": dist, "numpy": numpy,
        "cpu": cpu, "gpu": gpu, "type_as": type_as, "t": t, "copy_": copy_, "fill_": fill_,
        "zero_": zero_, "view_as": view_as, "reshape_as": reshape_as, "expand_as": expand_as,
        "broadcast_to": broadcast_to, "ravel": ravel, "unflatten": unflatten, "narrow": narrow,
        "new_tensor": new_tensor, "where": _where_method, "type": type_, "as_subclass": as_subclass,
        "__array__": _array, "__array_wrap__": _array_wrap, "__array_priority__": 1000,
        "detach_": detach_, "ndimension": ndimension,
        "is_cuda": False, "is_cpu": property(lambda self: self.device.type == "cpu"),
        "__iter__": _iterate, "__repr__": _repr, "__format__": _format,
        "__reduce_ex__": _reduce, "__copy__": _copy, "__deepcopy__": _deepcopy,
        "__dlpack__": _dlpack, "__dlpack_device__": _dlpack_device,
    }  # fmt: skip
    casts = {
        "float": _core.float32, "double": _core.float64, "half": _core.float16,
        "bfloat16": _core.bfloat16, "int": _core.int32, "long": _core.int64, "short": _core.int16,
        "char": _core.int8, "byte": _core.uint8, "bool": _core.bool,
    }  # fmt: skip
    for name, target in casts.items():
        methods[name] = _caster(name, target)
    for name in ("zeros", "ones", "full", "empty"):
        methods[f"new_{name}"] = _new(name)
    for name in ("normal_", "uniform_", "bernoulli_", "exponential_", "random_"):
        methods[name] = _random(name)
    for name, function in methods.items():
        setattr(Tensor, name, function)


def _random(name: str) -> Callable[..., Tensor]:
    native = getattr(_core, "_" + name)

    def fill(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        native(self, *args, **kwargs)
        return self

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"Fills this tensor with random numbers: see `rubigo.{name.rstrip('_')}`."
    return fill


_attach()
