"""What is a method of `Tensor` only: conversions, writing, views, copies, printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rubigo import _core
from rubigo._arguments import check_tensors
from rubigo._core import Tensor, dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rubigo._core import _DeviceLike, _DTypeLike, _Operand


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


def type_(self: Tensor, dtype: _DTypeLike | None = None) -> str | Tensor:
    """The dtype's name, or the elements in another dtype."""
    return f"rubigo.{self.dtype.name}" if dtype is None else self.to(dtype)


def _caster(name: str, target: dtype) -> Callable[[Tensor], Tensor]:
    def cast(self: Tensor) -> Tensor:
        return self.to(target)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The elements as {target.name}; itself if they are."
    return cast


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


def _array_wrap(
    self: Tensor, array: NDArray[Any], context: Any = None, return_scalar: bool = False
) -> Tensor:
    """What numpy's own functions give of a tensor: a tensor again."""
    return _core.as_tensor(array)


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


def _random(name: str) -> Callable[..., Tensor]:
    native = getattr(_core, "_" + name)

    def fill(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        native(self, *args, **kwargs)
        return self

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"Fills this tensor with random numbers: see `rubigo.{name.rstrip('_')}`."
    return fill


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


def _where_method(self: Tensor, condition: Tensor, other: _Operand) -> Tensor:
    """This tensor where `condition` holds, `other` elsewhere."""
    return _core.where(condition, self, other)


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


def as_subclass(self: Tensor, cls: type[Tensor]) -> Tensor:
    """The same memory as an instance of a subclass of Tensor."""
    return Tensor.__new__(cls, self)


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


def _repr(self: Tensor) -> str:
    from rubigo._printing import tensor_text

    return tensor_text(self)


def _format(self: Tensor, spec: str) -> str:
    if self.ndim == 0:
        return format(self.item(), spec)
    return format(repr(self), spec) if not spec else object.__format__(self, spec)


def _is_cpu(self: Tensor) -> bool:
    """Whether the elements are on the CPU."""
    return self.device.type == "cpu"


def methods() -> dict[str, Any]:
    """All these by the names that they get."""
    found: dict[str, Any] = {
        "numpy": numpy, "cpu": cpu, "gpu": gpu, "type_as": type_as, "type": type_, "copy_": copy_,
        "fill_": fill_, "zero_": zero_, "multinomial": multinomial, "bernoulli": bernoulli,
        "prelu": prelu, "where": _where_method, "ndimension": ndimension, "view_as": view_as,
        "reshape_as": reshape_as, "expand_as": expand_as, "new_tensor": new_tensor,
        "as_subclass": as_subclass,
        "is_cuda": False, "is_cpu": property(_is_cpu),
        "__array__": _array, "__array_wrap__": _array_wrap, "__array_priority__": 1000,
        "__dlpack__": _dlpack, "__dlpack_device__": _dlpack_device, "__iter__": _iterate,
        "__copy__": _copy, "__deepcopy__": _deepcopy, "__repr__": _repr, "__format__": _format,
    }  # fmt: skip
    casts = {
        "float": _core.float32, "double": _core.float64, "half": _core.float16,
        "bfloat16": _core.bfloat16, "int": _core.int32, "long": _core.int64, "short": _core.int16,
        "char": _core.int8, "byte": _core.uint8, "bool": _core.bool,
    }  # fmt: skip
    for name, target in casts.items():
        found[name] = _caster(name, target)
    for name in ("zeros", "ones", "full", "empty"):
        found[f"new_{name}"] = _new(name)
    for name in ("normal_", "uniform_", "bernoulli_", "exponential_", "random_"):
        found[name] = _random(name)
    return found
