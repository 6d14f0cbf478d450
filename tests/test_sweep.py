"""Functions of one number over float32 from end to end; runs with `RUBIGO_TEST_ALL=1`."""

import numpy as np
import oracles
import pytest
from expected import CANCELLING, ROWS
from harness import EPS, FULL, TABLE, array, call, difference

SWEPT = [n for n in ROWS if TABLE[n]["class"] == "Float" and len(TABLE[n]["params"]) == 1]


def float_patterns(step):
    """Every `step`-th float32, in order of the bits, as float64."""
    x = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return x[np.isfinite(x)].astype(np.float64)


def sweep(name, x, device, factor):
    """What differs from the oracle over the arguments `x`."""
    want = oracles.row(name, "Float", (x,), {}, "float32")
    with np.errstate(all="ignore"):
        want = want.astype(np.float32)
    got = array(call(name, ((x,), {}), "float32", device)[0])
    ulp = factor * max(TABLE[name]["ulp"], 4) * EPS["float32"]
    near_zero = np.full(x.shape, 1e-43 if device == "cpu" else 2e-38)
    if name in CANCELLING:
        near_zero += ulp * np.minimum(np.abs(x), 4)
    if name in ("sigmoid", "silu", "mish"):
        near_zero += 2e-36  # exp(-x) overflows where the result is about to
    if name in ("lgamma", "digamma", "trigamma"):
        # Next to the poles at 0, -1, -2, ... the value is that of the rounding.
        want, got, near_zero = want[x > 0], got[x > 0], near_zero[x > 0]
    if device != "cpu":
        # A GPU's division is not exact: next to the largest number it may overflow.
        sure = ~(np.isfinite(want) & (np.abs(want) > 3.3e38))
        want, got, near_zero = want[sure], got[sure], near_zero[sure]
    return difference(got, want, ulp, near_zero)


@pytest.mark.skipif(not FULL, reason="runs with RUBIGO_TEST_ALL=1")
@pytest.mark.parametrize("name", SWEPT)
def test_sweep(name):
    """Float32 from end to end: every 257th bit pattern."""
    problem = sweep(name, float_patterns(257), "cpu", 1)
    assert not problem, problem


@pytest.mark.skipif(not FULL, reason="runs with RUBIGO_TEST_ALL=1")
@pytest.mark.parametrize("name", SWEPT)
def test_gpu_sweep(name, gpu):
    """The same on the GPU, where denormal numbers may be flushed: every 4,099th pattern."""
    x = float_patterns(4099)
    problem = sweep(name, x[(x == 0) | (np.abs(x) > 1.2e-38)], gpu, 4)
    assert not problem, problem
