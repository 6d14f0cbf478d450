"""What every op should give: numpy and scipy for rows and reductions, PyTorch for the rest.

A row's oracle takes numpy arrays (floats in float64, integers in their own dtype). Every other
oracle takes torch tensors (floats in float64). An op without an entry is the torch function of its
name.
"""

import math

import numpy as np
import pytest
from scipy import special

try:
    import torch
    from torch.nn import functional as F
except ImportError:  # those oracles are then skipped
    torch = F = None

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _sigmoid(x):
    return special.expit(x)


def _clip(x, low, high):
    return np.minimum(np.maximum(x, low), high)


def _gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _softshrink(x, lambd=0.5):
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0 * x))


def _trigamma(x):
    """For positive numbers; scipy is slow for large ones (three terms do) and negative ones."""
    far = 1 / x + 0.5 / x**2 + 1 / (6 * x**3)
    near = special.zeta(2.0, np.where((x > 0) & (x < 1e4), x, 1.0))
    return np.where(x > 1e4, far, np.where(x > 0, near, np.where(x == 0, np.inf, np.nan)))


def _power(x, y):
    return np.power(x, y)


ROWS = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "logaddexp": np.logaddexp, "xlogy": special.xlogy,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x, "power": _power, "hypot": np.hypot,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "deg2rad": np.deg2rad, "rad2deg": np.rad2deg,
    "erf": special.erf, "erfc": special.erfc, "erfinv": special.erfinv,
    "lgamma": special.gammaln, "digamma": special.digamma,
    "trigamma": _trigamma, "sigmoid": _sigmoid,
    "add": lambda x, y, alpha=1: x + x.dtype.type(alpha) * y,
    "sub": lambda x, y, alpha=1: x - x.dtype.type(alpha) * y,
    "mul": np.multiply, "true_divide": np.true_divide, "floor_divide": np.floor_divide,
    "div_trunc": lambda x, y: (
        np.trunc(x / y) if x.dtype.kind == "f" else (np.sign(x) * np.sign(y)) * (abs(x) // abs(y))
    ),
    "remainder": np.remainder, "fmod": np.fmod, "neg": np.negative, "abs": np.abs,
    "sign": np.sign, "copysign": np.copysign, "maximum": np.maximum, "minimum": np.minimum,
    "fmax": np.fmax, "fmin": np.fmin, "lerp": lambda x, y, w: x + w * (y - x),
    "addcmul": lambda x, a, b, value=1: x + x.dtype.type(value) * a * b,
    "addcdiv": lambda x, a, b, value=1: x + value * a / b,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round_even": np.rint,
    "frac": lambda x: x - np.trunc(x),
    "clamp_numbers": lambda x, min=-math.inf, max=math.inf: _clip(x, min, max),
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "logit_of": lambda x: np.log(x / (1 - x)),
    "eq_or_nan": lambda x, y: (x == y) | (x != x),
    "isposinf": lambda x: np.isinf(x) & (x > 0), "isneginf": lambda x: np.isinf(x) & (x < 0),
    "signbit": lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
    "logical_not": np.logical_not, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_xor": np.logical_xor, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor, "bitwise_not_int": np.invert,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift,
    "where": np.where,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)), "relu6": lambda x: _clip(x, 0.0, 6.0),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    "prelu": lambda x, w: np.where(x > 0, x, x * w),
    "prelu_of": lambda x, w: np.where(x > 0, x, x * w),
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    "celu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
    "gelu_erf": lambda x: 0.5 * x * special.erfc(-x / math.sqrt(2)),
    "gelu_tanh": _gelu_tanh, "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)), "softplus": _softplus,
    "logsigmoid": lambda x: -np.logaddexp(0, -x), "softsign": lambda x: x / (1 + abs(x)),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0: _clip(x, min_val, max_val),
    "hardsigmoid": lambda x: _clip(x + 3, 0.0, 6.0) / 6,
    "hardswish": lambda x: x * _clip(x + 3, 0.0, 6.0) / 6,
    "tanhshrink": lambda x: x - np.tanh(x), "softshrink": _softshrink,
    "hardshrink": lambda x, lambd=0.5: np.where((x >= -lambd) & (x <= lambd), 0.0, x),
    "threshold": lambda x, threshold, value: np.where(x <= threshold, value, x),
}  # fmt: skip

# Where PyTorch knows a row under another name; None where it does not, or is inexact (trigamma).
TORCH_ROWS = {
    "power": "pow", "div_trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "trigamma": None, "round_even": "round",
    "clamp_numbers": lambda x: torch.clamp(x, -math.inf, math.inf), "bitwise_not_int": None,
    "gelu_erf": lambda x: F.gelu(x), "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "where": None, "threshold": lambda x, t, v: F.threshold(x, t, v), "lerp": None,
}  # fmt: skip


def torch_row(name):
    """PyTorch's function for a row, or None."""
    if torch is None:
        return None
    known = TORCH_ROWS.get(name, name)
    if not isinstance(known, str):
        return known
    return getattr(torch, known, None) or getattr(F, known, None)


def row(name, class_, args, kwargs, dtype):
    """A row's result in numpy, with integers and bools promoted as the row's class says."""
    f = ROWS.get(name)
    assert f is not None, f"tests/oracles.py has no oracle for {name}: add one to ROWS"
    skip = 1 if class_ == "Masked" else 0
    values = list(args[skip:])
    if class_ == "Float" or (class_ == "Arith" and name in ("frac",)):
        values = [v.astype(np.float64) for v in values]
    as_bool = dtype == "bool" and class_ in ("Arith", "Masked", "Compare", "Bits")
    if as_bool and class_ != "Bits":
        values = [v.astype(np.int64) for v in values]
    with np.errstate(all="ignore"):
        out = np.asarray(f(*args[:skip], *values, **kwargs))
    if class_ == "Compare" or (as_bool and class_ in ("Arith", "Masked")):
        return out != 0
    return out


# ---- PyTorch --------------------------------------------------------------------------------


def _view(x, *shape):
    return x.reshape(*shape)


def _slice(x, dim=0, start=None, end=None, step=1):
    key = [slice(None)] * x.ndim
    key[dim] = slice(start, end, step)
    return x[tuple(key)]


def _strided(x, shape, strides, offset):
    return torch.as_strided(x.contiguous(), shape, strides, offset)


def _embed(x, size, strides, offset):
    out = torch.zeros(size, dtype=x.dtype)
    torch.as_strided(out, x.shape, strides, offset).copy_(x)
    return out


def _reduce(name):
    def run(x, dim=None, keepdim=False, **more):
        f = getattr(torch, name)
        if dim is None:
            dim = tuple(range(x.ndim))
        return f(x, dim=dim, keepdim=keepdim, **more)

    return run


def _prod(x, dim=None, keepdim=False, **more):
    """`torch.prod` knows one dimension at a time."""
    if dim is None or x.ndim == 0:
        return torch.prod(x, **more)
    for d in sorted((d % x.ndim for d in ([dim] if isinstance(dim, int) else dim)), reverse=True):
        x = torch.prod(x, d, keepdim=keepdim, **more)
    return x


def _truth(name):
    """Any and all; PyTorch gives uint8 for uint8, an old habit."""

    def run(x, dim=None, keepdim=False):
        f = getattr(torch, name)
        return f(x.bool()) if dim is None else f(x.bool(), dim, keepdim)

    return run


def _index(tensors, dims, **_):
    x, *indices = tensors
    key = [slice(None)] * x.ndim
    for d, i in zip(dims, indices, strict=True):
        key[d] = i
    return x[tuple(key)]


def _index_write(tensors, dims, reduce="set", **_):
    x, value, *indices = tensors
    x = x.clone()
    key = [slice(None)] * x.ndim
    for d, i in zip(dims, indices, strict=True):
        key[d] = i
    if reduce == "set":
        x[tuple(key)] = value
    else:
        grid = torch.arange(x.numel()).reshape(x.shape)[tuple(key)].reshape(-1)
        flat = x.reshape(-1)
        flat.index_add_(0, grid, value.expand(x[tuple(key)].shape).reshape(-1))
        x = flat.reshape(x.shape)
    return x


def _index_spread(tensors, size, dims, **_):
    g, *indices = tensors
    return _index_write([torch.zeros(size, dtype=g.dtype), g, *indices], dims, "sum")


def _index_put(tensors, accumulate=False):
    x, value, *indices = tensors
    return x.index_put(tuple(indices), value, accumulate=accumulate)


def _scatter(x, dim, index, src=None, *, value=None):
    return x.scatter(dim, index, value if src is None else src)


def _scatter_mode(x, dim, index, src, reduce):
    if reduce == "set":
        return x.scatter(dim, index, src)
    return x.scatter_reduce(dim, index, src, reduce)


def _conv(n):
    def run(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
        f = F.conv1d if n == 1 else F.conv2d
        return f(x, w, b, stride, padding, dilation, groups)

    return run


def _conv_grad(which):
    def run(a, b, size, stride, padding, dilation, groups):
        grad = torch.nn.grad
        n = len(stride)
        if which == "input":
            size = (*a.shape[: a.ndim - n - 1], b.shape[1] * groups, *size)
        else:
            size = (b.shape[b.ndim - n - 1], a.shape[a.ndim - n - 1] // groups, *size)
        if which == "input":
            f = grad.conv1d_input if n == 1 else grad.conv2d_input
            return f(size, b, a, stride, padding, dilation, groups)
        f = grad.conv1d_weight if n == 1 else grad.conv2d_weight
        return f(a, size, b, stride, padding, dilation, groups)

    return run


def _max_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    f = F.max_pool1d if len(kernel_size) == 1 else F.max_pool2d
    return f(x, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)


def _adaptive_max_pool(x, output_size):
    f = F.adaptive_max_pool1d if len(output_size) == 1 else F.adaptive_max_pool2d
    return f(x, output_size, return_indices=True)


def _pool_gradient(f, grad, size, *args):
    x = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    y = f(x, *args)
    return torch.autograd.grad(y, x, grad.double())[0].to(grad.dtype)


def _avg_pool_backward(grad, size, kernel_size, stride=None, padding=0, *rest):
    size = (*grad.shape[: grad.ndim - len(size)], *size)
    if len(kernel_size) == 1:
        rest = rest[:2]
        f = F.avg_pool1d
    else:
        f = F.avg_pool2d
    return _pool_gradient(f, grad, size, kernel_size, stride, padding, *rest)


def _adaptive_avg_pool_backward(grad, size):
    n = len(size)
    size = (*grad.shape[: grad.ndim - n], *size)
    f = F.adaptive_avg_pool1d if n == 1 else F.adaptive_avg_pool2d
    return _pool_gradient(f, grad, size, tuple(grad.shape[-n:]))


def _planes(x, size):
    n = len(size)
    return x.reshape(*x.shape[: x.ndim - n], -1), n


def _max_scatter(grad, indices, size, kernel_size, *_):
    n = len(kernel_size)
    flat = torch.zeros(*grad.shape[:-n], math.prod(size[-n:]), dtype=grad.dtype)
    g, _ = _planes(grad, kernel_size)
    i, _ = _planes(indices, kernel_size)
    flat.scatter_add_(-1, i, g)
    return flat.reshape(*grad.shape[:-n], *size[-n:])


def _max_gather(x, indices, size, kernel_size, *_):
    i, _ = _planes(indices, kernel_size)
    flat, _ = _planes(x, kernel_size)
    return flat.gather(-1, i).reshape(indices.shape)


def _softmax_backward(g, y, dim):
    return (g - (g * y).sum(dim, keepdim=True)) * y


def _log_softmax_backward(g, y, dim):
    return g - y.exp() * g.sum(dim, keepdim=True)


def _cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", smoothing=0.0):
    return F.cross_entropy(
        x, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=smoothing
    )


def _nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    return F.nll_loss(x, target, weight, ignore_index=ignore_index, reduction=reduction)


def _rms_norm(x, shape, weight=None, eps=None):
    return F.rms_norm(x, shape, weight, eps)


def _logspace(start, end, steps, base=10.0, *, dtype=None, device=None):
    return torch.logspace(start, end, steps, base, dtype=torch.float64)


def _creating(name):
    """Creation in float64, or in the integer dtype that was asked for."""

    def run(*args, dtype=None, device=None, **more):
        args = [a.clone() if isinstance(a, torch.Tensor) else a for a in args]
        if dtype is not None:
            more["dtype"] = getattr(torch, dtype)
        return getattr(torch, name)(*args, **more)

    return run


def _unfold(x, dimension, size, step):
    return x.unfold(dimension, size, step)


def _median(x, dim=None, keepdim=False):
    return torch.median(x) if dim is None else tuple(torch.median(x, dim, keepdim))


def _order_statistic(x, k, dim=-1, nan=False):
    return tuple(torch.kthvalue(x, k, dim))


def _search(sequence, x, right=False):
    return torch.searchsorted(sequence, x, right=right)


def _repeat_interleave(x, repeats, dim=None, *, output_size=None):
    return torch.repeat_interleave(x, repeats, dim)


def _cumsum_reverse(x, dim):
    return x.flip(dim).cumsum(dim).flip(dim).to(x.dtype)


def _pad(x, pad, mode="constant", value=None):
    return F.pad(x, pad, mode, value)


def _pad_value(x, pad, value=0):
    """Sizes from the first dimension on; PyTorch has them from the last."""
    pairs = [pad[i : i + 2] for i in range(0, len(pad), 2)][::-1]
    return F.pad(x, [n for pair in pairs for n in pair], "constant", value)


def _class_loss(x, target, weight, ignore_index, reduction, smoothing, logits):
    if logits:
        return _cross_entropy(x, target, weight, ignore_index, reduction, smoothing)
    return _nll_loss(x, target, weight, ignore_index, reduction)


def _masked_scatter(x, mask, source):
    return x.masked_scatter(mask, source)


def _rsub(x, other, *, alpha=1):
    return torch.rsub(torch.as_tensor(x), other, alpha=alpha)


def _repeat(x, *sizes):
    return x.repeat(*sizes)


def _vector_norm(x, ord=2, dim=None, keepdim=False):
    return torch.linalg.vector_norm(x, ord, dim, keepdim)


def _count_nonzero(x, dim=None):
    return torch.count_nonzero(x, dim)


def _split(x, sizes, dim=0):
    return torch.split(x, sizes if isinstance(sizes, int) else list(sizes), dim)


def _tensor_split(x, sections, dim=0):
    return torch.tensor_split(x, sections, dim)


def _embedding(indices, weight, padding_idx=None):
    return F.embedding(indices, weight, padding_idx)


def _glue(name):
    return lambda tensors, *a, **k: getattr(torch, name)(tuple(tensors), *a, **k)


# ---- random numbers -------------------------------------------------------------------------


def _wide(words):
    """Pairs of words as 64-bit numbers, the lower word first."""
    return words[::2].astype(np.uint64) | words[1::2].astype(np.uint64) << np.uint64(32)


def philox(seed, offset, n):
    """The first n words of the stream at a place: Philox4x32-10 as its paper has it."""
    blocks = (np.arange((n + 3) // 4, dtype=np.uint64) + np.uint64(offset)).astype(np.uint64)
    c = [blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32), 0 * blocks, 0 * blocks]
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            p1 & low,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            p0 & low,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1).reshape(-1)[:n].astype(np.uint32)


def _unit(n, seed, offset, wide):
    """Uniforms in [0, 1): 24 bits of one word, or 53 bits of two."""
    if not wide:
        return (philox(seed, offset, n) >> np.uint32(8)) * 2.0**-24
    words = philox(seed, offset, 2 * n).astype(np.uint64)
    return ((words[1::2] >> np.uint64(5)) * 2.0**26 + (words[::2] >> np.uint64(6))) * 2.0**-53


def _random_bits(size, seed, offset, *, device=None):
    return philox(seed, offset, math.prod(size)).reshape(size)


def _random_uniform(size, low, high, seed, offset, dtype="float32", device=None):
    u = _unit(math.prod(size), seed, offset, dtype == "float64")
    return (low + (high - low) * u).reshape(size)


def _random_normal(size, mean, std, seed, offset, dtype="float32", device=None):
    n = math.prod(size)
    if dtype == "float64":
        u = _unit(2 * ((n + 1) // 2), seed, offset, True)
        radius, angle = np.sqrt(-2 * np.log(u[::2] + 2.0**-54)), u[1::2]
    else:
        w = philox(seed, offset, 2 * ((n + 1) // 2))
        radius = np.sqrt(-2 * np.log((w[::2] + 0.5) * 2.0**-32))
        angle = (w[1::2] >> np.uint32(8)) * 2.0**-24
    pair = [radius * np.cos(2 * np.pi * angle), radius * np.sin(2 * np.pi * angle)]
    return (mean + std * np.stack(pair, 1).reshape(-1)[:n]).reshape(size)


def _random_int(size, low, last, seed, offset, dtype="int64", device=None):
    n, count = math.prod(size), last - low + 1
    if count <= 2**32:
        out = [low + (int(v) * count >> 64) for v in _wide(philox(seed, offset, 2 * n))]
    else:
        halves = _wide(philox(seed, offset, 4 * n))
        words = [int(a) | int(b) << 64 for a, b in zip(halves[::2], halves[1::2], strict=True)]
        out = [low + (v * count >> 128) for v in words]
    return np.array(out, dtype=dtype).reshape(size)


def _dropout_seeded(x, p, seed, offset):
    keep = _unit(x.size, seed, offset, False).reshape(x.shape) >= p
    return np.where(keep, x / (1 - p), 0.0)


def _random_bernoulli(x, p, seed, offset, dtype="float32"):
    u = _unit(x.size, seed, offset, dtype == "float64").reshape(x.shape)
    return (u < (x if p is None else p)).astype(x.dtype)


def _random_exponential(size, lambd, seed, offset, dtype="float32", device=None):
    u = _unit(math.prod(size), seed, offset, dtype == "float64").reshape(size)
    return np.maximum(-np.log1p(-u), 2.0**-25) / lambd


# Oracles that take numpy arrays although the op is no row.
# How many of an op's results are compared; the others are for its own gradient.
COMPARED = {
    "class_loss": 1, "fused_layer_norm": 1, "fused_rms_norm": 1, "fused_group_norm": 1,
    "batch_norm_train": 1,
}  # fmt: skip

NUMPY = {
    "random_bits": _random_bits, "random_uniform": _random_uniform,
    "random_normal": _random_normal, "random_int": _random_int,
    "dropout_seeded": _dropout_seeded,
    "random_exponential": _random_exponential,
}  # fmt: skip

TORCH = {
    "div": lambda x, y, *, rounding_mode=None: torch.div(x, y, rounding_mode=rounding_mode),
    "gelu": lambda x, approximate="none": F.gelu(x, approximate=approximate),
    "alias": lambda x: x, "clone": lambda x: x, "cast": lambda x, dtype: x,
    "to_device": lambda x, device: x, "rsub": _rsub,
    "view": _view, "reshape": _view, "expand": lambda x, *s: x.expand(*s), "slice": _slice,
    "permute": lambda x, *d: x.permute(*d), "strided": _strided, "embed": _embed,
    "squeeze": lambda x, dim=None: x.squeeze() if dim is None else x.squeeze(dim),
    "unfold": _unfold, "amax": _reduce("amax"), "amin": _reduce("amin"), "sum": _reduce("sum"),
    "mean": _reduce("mean"), "prod": _prod, "any": _truth("any"),
    "all": _truth("all"), "vector_norm": _vector_norm, "count_nonzero": _count_nonzero,
    "linear": lambda x, w, b=None: F.linear(x, w, b),
    "outer": lambda x, y: torch.outer(x, y),
    "flip": lambda x, *d: x.flip(*d), "repeat": _repeat, "tile": lambda x, *d: x.tile(*d),
    "repeat_interleave": _repeat_interleave, "index": _index, "index_spread": _index_spread,
    "index_write": _index_write, "index_put": _index_put,
    "nonzero_flat": lambda x: x.reshape(-1).nonzero().reshape(-1),
    "nonzero": lambda x, as_tuple=False: x.nonzero(as_tuple=as_tuple),
    "masked_fill": lambda x, m, v: x.masked_fill(m, v),
    "masked_scatter": _masked_scatter, "index_fill": lambda x, d, i, v: x.index_fill(d, i, v),
    "embedding": _embedding, "one_hot": lambda x, n=-1: F.one_hot(x, n),
    "scatter": _scatter, "scatter_mode": _scatter_mode, "scatter_plain": _scatter_mode, "pad": _pad,
    "pad_value": _pad_value, "class_loss": _class_loss,
    "cumsum_reverse": _cumsum_reverse, "order_statistic": _order_statistic, "median": _median,
    "search": _search, "split": _split, "split_with_sizes": torch and torch.split_with_sizes,
    "tensor_split": _tensor_split, "meshgrid": lambda ts, indexing="ij": torch.meshgrid(
        *ts, indexing=indexing
    ),
    "conv1d": _conv(1), "conv2d": _conv(2), "conv_grad_input": _conv_grad("input"),
    "conv_grad_weight": _conv_grad("weight"), "max_pool": _max_pool,
    "adaptive_max_pool": _adaptive_max_pool, "max_scatter": _max_scatter,
    "adaptive_max_pool1d": lambda x, size, indices=False: F.adaptive_max_pool1d(x, size),
    "adaptive_max_pool2d": lambda x, size, indices=False: F.adaptive_max_pool2d(x, size),
    "max_gather": _max_gather, "avg_pool_backward": _avg_pool_backward,
    "adaptive_avg_pool_backward": _adaptive_avg_pool_backward,
    "softmax": lambda x, dim, dtype=None: torch.softmax(x, dim),
    "log_softmax": lambda x, dim, dtype=None: torch.log_softmax(x, dim),
    "softmax_backward": _softmax_backward, "log_softmax_backward": _log_softmax_backward,
    "cross_entropy": _cross_entropy, "nll_loss": _nll_loss, "rms_norm": _rms_norm,
    "layer_norm": lambda x, shape, w=None, b=None, eps=1e-5: F.layer_norm(x, shape, w, b, eps),
    "group_norm": lambda x, n, w=None, b=None, eps=1e-5: F.group_norm(x, n, w, b, eps),
    "fused_layer_norm": lambda x, shape, w, b, eps: F.layer_norm(x, shape, w, b, eps),
    "fused_rms_norm": lambda x, shape, w, b, eps: F.rms_norm(x, shape, w, eps),
    "fused_group_norm": lambda x, n, w, b, eps: F.group_norm(x, n[0], w, b, eps),
    "batch_norm_train": lambda x, _, w, b, eps: F.batch_norm(x, None, None, w, b, True, 0.1, eps),
    "normalize": lambda x, m, v, w, b, eps: F.batch_norm(x, m, v, w, b, False, 0.1, eps),
    "batch_norm": lambda *args: F.batch_norm(*args),
    "instance_norm": lambda *args: F.instance_norm(*args),
    "zeros": _creating("zeros"), "ones": _creating("ones"), "full": _creating("full"),
    "zeros_like": _creating("zeros_like"), "ones_like": _creating("ones_like"),
    "full_like": _creating("full_like"), "eye": _creating("eye"), "arange": _creating("arange"),
    "linspace": _creating("linspace"), "logspace": _creating("logspace"),
    "dropout": lambda x, p=0.5, training=True: x if not training or p == 0 else x * 0.0,
}  # fmt: skip
for _name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"):
    TORCH[_name] = _glue(_name)


def structural(name, sample, dtype):
    """The expected results of an op that is no row, as numpy arrays."""
    args, kwargs = sample
    if name == "random_bernoulli":
        return [_random_bernoulli(*args, dtype)]
    if name in NUMPY:
        return [np.asarray(NUMPY[name](*args, **kwargs))]
    if torch is None:
        pytest.skip("the oracle of this op is PyTorch, which is not installed")
    f = TORCH.get(name)
    for place in (torch, torch.Tensor, F, torch.linalg, torch.special):
        f = f or getattr(place, name, None)
    if f is None:
        raise LookupError(f"no oracle for {name}: add one to tests/oracles.py")
    from harness import flat, map_arrays

    out = f(*map_arrays(_to_torch, args), **map_arrays(_to_torch, kwargs))
    return [t.detach().numpy() if isinstance(t, torch.Tensor) else np.asarray(t) for t in flat(out)]


_NARROW = (np.dtype("uint16"), np.dtype("uint32"), np.dtype("uint64"))


def _to_torch(a):
    # PyTorch implements few ops for the wide unsigned types.
    return torch.from_numpy(np.array(a.astype(np.int64) if a.dtype in _NARROW else a, order="C"))
