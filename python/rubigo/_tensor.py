"""What `Tensor` has beyond the op table: conversions, printing, copies, names of several forms."""

from collections import namedtuple as _namedtuple

from rubigo import _core
from rubigo._core import Tensor, dtype

max_result = _namedtuple("max", ("values", "indices"))
min_result = _namedtuple("min", ("values", "indices"))
aminmax_result = _namedtuple("aminmax", ("min", "max"))


def _best(name, result):
    """`max` and `min` in PyTorch's three forms."""
    full = getattr(_core, "a" + name)
    index = getattr(_core, "arg" + name)
    pairwise = getattr(_core, name + "imum")

    def best(input, dim=None, keepdim=False, *, other=None):
        if isinstance(dim, Tensor):
            other = dim
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


max = _best("max", max_result)
min = _best("min", min_result)


def aminmax(input, *, dim=None, keepdim=False):
    """The smallest and the largest, over all elements or along `dim`."""
    return aminmax_result(_core.amin(input, dim, keepdim), _core.amax(input, dim, keepdim))


def _moments(name):
    op = getattr(_core, name)

    def moment(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
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


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The pair (var, mean)."""
    return (
        var(input, dim, unbiased, keepdim, correction=correction),
        _core.mean(input, dim, keepdim),
    )


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The pair (std, mean)."""
    return (
        std(input, dim, unbiased, keepdim, correction=correction),
        _core.mean(input, dim, keepdim),
    )


def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """The p-norm over `dim` (all by default); 'fro' and None are the 2-norm."""
    x = input if dtype is None else input.to(dtype)
    order = 2 if p in (None, "fro") else p
    return _core.vector_norm(x, order, dim, keepdim)


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |x - y| <= atol + rtol * |y| for every element."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Elementwise |x - y| <= atol + rtol * |y|; equal infinities are close."""
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"rtol and atol must not be negative, got {rtol} and {atol}")
    close = input == other
    if equal_nan and input.dtype.is_floating_point:
        close = close | (input.isnan() & other.isnan())
    if not input.dtype.is_floating_point:
        input, other = input.double(), other.double()
    gap = (input - other).abs()
    return close | (gap.isfinite() & (gap <= atol + rtol * other.abs()))


def equal(input, other):
    """Whether both have the same shape and the same elements."""
    return input.shape == other.shape and bool((input == other).all())


def dist(input, other, p=2):
    """The p-norm of x - y."""
    return norm(input - other, p)


def numpy(self, *, force=False):
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
    return np.asarray(_Bridge(self))


class _Bridge:
    """Shows a tensor's memory to numpy and keeps the tensor alive."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.__array_interface__ = _core._array_interface(tensor)


def _array(self, dtype=None, copy=None):
    import numpy as np

    array = numpy(self)
    if dtype is not None and array.dtype != np.dtype(dtype):
        if copy is False:
            raise ValueError("a change of dtype needs a copy")
        return array.astype(dtype)
    return array.copy() if copy else array


def _caster(name, target):
    def cast(self):
        return self.to(target)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The elements as {target.name}; itself if they are."
    return cast


def cpu(self):
    """The tensor on the CPU; itself if it is there."""
    return self.to("cpu")


def gpu(self):
    """The tensor on the GPU; itself if it is there."""
    return self.to("gpu")


def type_as(self, other):
    """The elements in the dtype of `other`, on its device."""
    return self.to(other)


def t(input):
    """The transpose of a matrix; vectors and scalars as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input if input.ndim < 2 else input.transpose(0, 1)


def copy_(self, src, non_blocking=False):
    """Writes the elements of `src`, broadcast and cast, into this tensor."""
    _core.write(self, src)
    return self


def fill_(self, value):
    """Writes one value into every element."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill_ takes a number or a 0-d tensor, got shape {value.shape}")
    _core.write(self, value)
    return self


def zero_(self):
    """Writes 0 into every element."""
    _core.write(self, 0)
    return self


def _iterate(self):
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter([self.select(0, i) for i in range(self.shape[0])])


def view_as(self, other):
    """A view with the shape of `other`."""
    return self.view(other.shape)


def reshape_as(self, other):
    """Reshaped to the shape of `other`."""
    return self.reshape(other.shape)


def expand_as(self, other):
    """Expanded to the shape of `other`."""
    return self.expand(other.shape)


def broadcast_to(input, size):
    """Expanded to `size`."""
    return input.expand(size)


def ravel(input):
    """All elements in one dimension."""
    return input.reshape(-1)


def unflatten(input, dim, sizes):
    """One dimension split into several of the given sizes, one of which may be -1."""
    d = dim if dim >= 0 else dim + input.ndim
    if not 0 <= d < input.ndim:
        raise IndexError(f"dimension {dim} is out of range for a {input.ndim}-d tensor")
    shape = input.shape
    return input.reshape([*shape[:d], *sizes, *shape[d + 1 :]])


def narrow(input, dim, start, length):
    """`length` elements of one dimension from `start`, as a view."""
    n = input.size(dim)
    start = int(start)
    first = start + n if start < 0 else start
    if length < 0 or first < 0 or first + length > n:
        raise RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({n}) of dim {dim}"
        )
    return _core.slice(input, dim, first, first + length)


def _new(name):
    def new(self, *size, dtype=None, device=None, requires_grad=False, **more):
        make = getattr(_core, name)
        dtype = self.dtype if dtype is None else dtype
        device = self.device if device is None else device
        return make(*size, dtype=dtype, device=device, requires_grad=requires_grad, **more)

    new.__name__ = new.__qualname__ = f"new_{name}"
    new.__doc__ = f"`rubigo.{name}` with this tensor's dtype and device."
    return new


def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
    """`rubigo.tensor` with this tensor's dtype and device."""
    return _core.tensor(
        data,
        dtype=self.dtype if dtype is None else dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
    )


def nonzero(input, *, as_tuple=False):
    """The indices of the elements that are not zero: a row for each, or a tuple of one per dim."""
    found = _core.nonzero(input)
    return tuple(found.unbind(1)) if as_tuple else found


def where(condition, input=None, other=None):
    """`input` where `condition` holds, `other` elsewhere; alone, the indices where it holds."""
    if input is None and other is None:
        return tuple(_core.nonzero(condition).unbind(1))
    return _core.where(condition, input, other)


def _where_method(self, condition, other):
    """This tensor where `condition` holds, `other` elsewhere."""
    return _core.where(condition, self, other)


def type_(self, dtype=None):
    """The dtype's name, or the elements in another dtype."""
    return f"rubigo.{self.dtype.name}" if dtype is None else self.to(dtype)


def _repr(self):
    from rubigo._printing import tensor_text

    return tensor_text(self)


def _format(self, spec):
    if self.ndim == 0:
        return format(self.item(), spec)
    return format(repr(self), spec) if not spec else object.__format__(self, spec)


def _rebuild(cls, storage_bytes, dtype_name, shape, device, requires_grad, state):
    data = _core._from_bytes(storage_bytes, dtype(dtype_name), shape)
    out = data.to(device) if device != "cpu" else data
    out = out.as_subclass(cls) if cls is not Tensor else out
    if requires_grad:
        out.requires_grad_(True)
    if state:
        out.__dict__.update(state)
    return out


def as_subclass(self, cls):
    """The same memory as an instance of a subclass of Tensor."""
    return Tensor.__new__(cls, self)


def _reduce(self, protocol):
    if not self.is_leaf:
        raise RuntimeError("only leaf tensors can be pickled; use .detach() first")
    buffer = _core._to_bytes(self.detach())
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


def _copy(self):
    """A leaf over the same memory, of the same type, with the same attributes."""
    out = self.detach()
    if type(self) is not Tensor:
        out = out.as_subclass(type(self))
    out.requires_grad_(self.requires_grad)
    out.__dict__.update(self.__dict__)
    return out


def _deepcopy(self, memo):
    found = memo.get(id(self))
    if found is not None:
        return found
    if not self.is_leaf:
        raise RuntimeError(
            "only Tensors created explicitly by the user support the deepcopy protocol; "
            "use .detach() first"
        )
    from copy import deepcopy

    out = self.detach().clone()
    if type(self) is not Tensor:
        out = out.as_subclass(type(self))
    memo[id(self)] = out
    out.requires_grad_(self.requires_grad)
    if self.grad is not None:
        out.grad = deepcopy(self.grad, memo)
    for key, value in self.__dict__.items():
        out.__dict__[key] = deepcopy(value, memo)
    return out


def _dlpack(self, *, stream=None, max_version=None, dl_device=None, copy=None):
    return _core._to_dlpack(
        self, stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
    )


def _dlpack_device(self):
    return (1, 0)


def _retains_grad(self):
    return self.grad_fn is not None and self.grad is not None


def _attach():
    """Adds all this to the native class, once, at import."""
    methods = {
        "max": max, "min": min, "nonzero": nonzero, "aminmax": aminmax, "var": var, "std": std,
        "norm": norm,
        "allclose": allclose, "isclose": isclose, "equal": equal, "dist": dist, "numpy": numpy,
        "cpu": cpu, "gpu": gpu, "type_as": type_as, "t": t, "copy_": copy_, "fill_": fill_,
        "zero_": zero_, "view_as": view_as, "reshape_as": reshape_as, "expand_as": expand_as,
        "broadcast_to": broadcast_to, "ravel": ravel, "unflatten": unflatten, "narrow": narrow,
        "new_tensor": new_tensor, "where": _where_method, "type": type_, "as_subclass": as_subclass,
        "__array__": _array, "__iter__": _iterate, "__repr__": _repr, "__format__": _format,
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
    Tensor.retains_grad = property(_retains_grad, doc="Whether a non-leaf keeps its gradient.")


def _random(name):
    native = getattr(_core, "_" + name, None)

    def fill(self, *args, **kwargs):
        native(self, *args, **kwargs)
        return self

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"Fills this tensor with random numbers: see `rubigo.{name.rstrip('_')}`."
    return fill


_attach()
