"""From one sample of an op to its calls: dtypes, layouts, devices; and the comparison of results.

At the end, what the other test files share.

A sample is (arguments, keyword arguments) whose arrays are numpy's. Arrays of float64 are values
and take the dtype under test, int64 arrays are indices and bool arrays are masks: both stay.
"""

import os
import subprocess
import sys
import textwrap

import ml_dtypes
import numpy as np
import pytest

import rubigo as rg
from rubigo import _core

TABLE = {row["name"]: row for row in _core.op_table()}
FULL = os.environ.get("RUBIGO_TEST_ALL") == "1"

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATS, *INTS, "bool")
LAYOUTS = ("contiguous", "transposed", "sliced", "stepped", "broadcast")
REFUSALS = (TypeError, RuntimeError, NotImplementedError, ValueError, IndexError)

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def plain_dtype(name):
    """A dtype that the op takes."""
    integers = TABLE[name].get("class") in ("Bits", "Ints") or name == "bitwise_not"
    return "int64" if integers else "float32"


def numpy_dtype(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def map_arrays(f, tree):
    """The same lists and tuples with `f` of each array."""
    if isinstance(tree, np.ndarray):
        return f(tree)
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_arrays(f, x) for x in tree)
    if isinstance(tree, dict):
        return {k: map_arrays(f, v) for k, v in tree.items()}
    return tree


def map_tensors(f, tree):
    for item in tree:
        if isinstance(item, (list, tuple)):
            map_tensors(f, item)
        elif isinstance(item, rg.Tensor):
            f(item)


def arrays_of(tree):
    found = []
    map_arrays(found.append, tree)
    return found


def is_value(a):
    return a.dtype == np.float64


def rounded(a, dtype):
    """What a tensor of `dtype` holds for the values `a`; floats come back as float64."""
    if not is_value(a):
        return a
    if dtype in FLOATS:
        return np.asarray(a.astype(numpy_dtype(dtype)).astype(np.float64))
    whole = np.asarray(np.rint(np.nan_to_num(a, posinf=9, neginf=-9) * 4)).astype(np.int64)
    if dtype == "bool":
        return np.asarray(whole % 2 == 1)
    return np.asarray(np.abs(whole) if dtype.startswith("u") else whole).astype(dtype)


def tensor(a, dtype=None, device="cpu", layout="contiguous"):
    """A tensor of the array's values in the given memory layout; `dtype` is for float64 arrays."""
    if layout == "broadcast" and a.ndim and a.size:
        return tensor(a[:1], dtype, device).expand(a.shape)
    if layout == "transposed" and a.ndim > 1:
        return tensor(a.T, dtype, device).permute(*reversed(range(a.ndim)))
    if layout == "sliced" and a.ndim:
        t = tensor(np.pad(a, 1, constant_values=a.dtype.type(3)), dtype, device)
        for d in range(a.ndim):
            t = _core.slice(t, d, 1, 1 + a.shape[d])
        return t
    if layout == "stepped" and a.ndim:
        big = np.full((*a.shape[:-1], 2 * a.shape[-1]), 3, a.dtype)
        big[..., ::2] = a
        return _core.slice(tensor(big, dtype, device), a.ndim - 1, 0, None, 2)
    own = np.array(a, order="C", copy=True)
    if own.dtype != np.float64 or dtype in (None, "float64"):
        t = _core.from_numpy(own)
    elif dtype == "bfloat16":
        t = _core.cast(_core.from_numpy(own.astype(np.float32)), rg.bfloat16)
    else:
        t = _core.from_numpy(own.astype(dtype))
    return t if device == "cpu" else t.to(device)


def constant_along_first(a):
    """The values that the layout "broadcast" can hold."""
    return np.broadcast_to(a[:1], a.shape).copy() if a.ndim and a.size else a


def array(t):
    """The tensor's elements as a numpy array; bfloat16 as float32."""
    t = t.detach().to("cpu")
    if t.dtype == rg.bfloat16:
        t = _core.cast(t, rg.float32)
    return np.array(t.contiguous().numpy())


def bits(t):
    """The bytes of a result, to compare exactly."""
    a = array(t)
    return a.shape, a.dtype.str, a.tobytes()


def function(name):
    """The op as it is called: a function of the native module, or the method."""
    row = TABLE[name]
    places = (_core, rg) if row["function"] or not row["method"] else (rg.Tensor,)
    return next(getattr(p, name) for p in places if hasattr(p, name))


def flat(out):
    """All tensors (or arrays) of a result, in order."""
    if isinstance(out, (list, tuple)):
        return [t for o in out for t in flat(o)]
    return [] if out is None else [out]


def call(name, sample, dtype=None, device="cpu", layout="contiguous"):
    """Runs the op on a sample whose values were rounded to `dtype`."""
    args, kwargs = placed(sample, dtype, device, layout)
    return flat(function(name)(*args, **kwargs))


def placed(sample, dtype=None, device="cpu", layout="contiguous"):
    """The sample with tensors in place of its arrays (and, for ops that create, on that device)."""
    args, kwargs = sample
    kwargs = {k: (device if k == "device" else v) for k, v in kwargs.items()}

    def place(a):
        return tensor(a, dtype, device, layout)

    return map_arrays(place, args), map_arrays(place, kwargs)


def typed(sample, dtype):
    """The sample with its values as a tensor of `dtype` holds them (for floats: in float64)."""
    return map_arrays(lambda a: rounded(a, dtype), sample)


def unequal(actual, expected, rel, absolute, signs=False):
    """The mask of elements that are not within rel * |expected| + absolute."""
    x, y = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.dtype.kind in "iu" and expected.dtype.kind in "iu":
        return actual != expected
    with np.errstate(all="ignore"):
        near = np.abs(x - y) <= rel * np.abs(y) + absolute
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    wrong = ~(same | (near & np.isfinite(x) & np.isfinite(y)))
    if signs:
        wrong |= (x == 0) & (y == 0) & (np.signbit(x) != np.signbit(y))
    return wrong


def difference(actual, expected, rel, absolute, signs=False, or_else=None):
    """None when equal to the expected elements (or those of `or_else`), otherwise what differs."""
    expected = np.asarray(expected)
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    wrong = unequal(actual, expected, rel, absolute, signs)
    if or_else is not None:
        wrong = wrong & unequal(actual, or_else, rel, absolute, signs)
    if not wrong.any():
        return None
    i = tuple(int(v) for v in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} elements differ, first at {i}: "
        f"{actual[i]!r}, expected {expected[i]!r}"
    )


def largest(a):
    """The largest finite size in an array."""
    a = np.abs(np.asarray(a, np.float64))
    a = a[np.isfinite(a)]
    return float(a.max()) if a.size else 0.0


# Differences of the input's own size: where those cancel to nothing, rounding is what is left.
MOMENTS = {"var", "std", "batch_norm", "batch_norm_train", "instance_norm", "layer_norm"}


def tolerance(name, dtype, expected):
    """Relative and absolute tolerance of an op's result in a float dtype."""
    row = TABLE[name]
    eps = EPS.get(dtype, EPS["float32"])
    half = dtype in ("float16", "bfloat16")
    if row["kind"] == "row":
        # Half types are computed in float32 and rounded once.
        rel = eps if half else row["ulp"] * eps
        tensors = sum(p["kind"] == "Tensor" for p in row["params"])
        # A sum of terms of both signs is exact to their size, not to its own.
        return rel, (rel * 0.5 * largest(expected) if tensors > 1 else rel * 2.0**-5)
    size = max(largest(expected), 1e-2)
    factor = 6 if half else max(64.0, row["ulp"])
    least = 1e-10 if dtype == "float64" and name in MOMENTS else 0.0
    if name in MOMENTS and largest(expected) == 0:
        # Equal elements: what is left is the rounding of their mean, divided by sqrt(eps).
        least = max(least, 1e3 * eps)
    return factor * eps, max(factor * eps * size, least)


class Report:
    """Collects the failures of many cases into one message."""

    def __init__(self, name):
        self.name = name
        self.cases = 0
        self.failures = []

    def check(self, case, problem):
        self.cases += 1
        if problem:
            self.failures.append(f"{case}: {problem}")

    def finish(self):
        if self.failures:
            shown = "\n  ".join(self.failures[:12])
            rest = len(self.failures) - 12
            more = f"\n  and {rest} more" if rest > 0 else ""
            message = f"{len(self.failures)} of {self.cases} cases of {self.name} fail:\n  "
            raise AssertionError(message + shown + more)
        assert self.cases, f"no case of {self.name} ran"


def leaf(*values):
    """A tensor of these numbers that requires grad."""
    return rg.tensor(list(values), requires_grad=True)


def close(ours, theirs):
    """Equal to twelve digits."""
    ours = ours.tolist() if hasattr(ours, "tolist") else ours
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


class Odd(Exception):
    """An exception type that the package cannot know."""


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's limits")


def subprocess_run(code, **kwargs):
    """Runs Python code in another process, and gives what it printed and returned."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        **kwargs,
    )
