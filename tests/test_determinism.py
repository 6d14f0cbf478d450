"""The same bits for any number of threads, forward and backward, at sizes that run on several."""

import numpy as np
import pytest
from expected import BACKWARDS, prepared
from harness import TABLE, bits, flat, function, map_tensors, placed, plain_dtype
from samples import PROPERTIES, big_samples
from test_gradients import CONSTANT

import rubigo as rg
from rubigo import _core

THREADS = (1, 2, 4, 8)
# These run as the gradient of their forward op.
NAMES = sorted(n for n in TABLE if not n.startswith("empty") and n not in BACKWARDS)


@pytest.fixture(autouse=True)
def _threads():
    before = _core.get_num_threads()
    yield
    _core.set_num_threads(before)


def run(name, sample, dtype):
    """The bits of the results and of the gradients."""
    args, kwargs = placed(sample, dtype)
    leaves = []
    fixed = [args[i] for i in CONSTANT.get(name, ()) if i < len(args)]

    def track(t):
        if t.dtype.is_floating_point and not any(t is f for f in fixed):
            leaves.append(t.requires_grad_())

    map_tensors(track, args)
    outs = flat(function(name)(*args, **kwargs))
    found = [bits(t) for t in outs]
    tracked = [t for t in outs if t.requires_grad]
    if tracked and not TABLE[name]["missing_grad"]:
        # An uneven incoming gradient, the same in every run.
        rng = np.random.default_rng(5)
        weights = [_core.from_numpy(rng.random(t.shape, np.float32)) for t in tracked]
        grads = rg.autograd.grad(tracked, leaves, weights, allow_unused=True)
        found += [bits(g) for g in grads if g is not None]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_threads(name):
    found = big_samples(name)
    if found is None:
        pytest.skip("no samples")
    dtype = plain_dtype(name)
    for i, sample in enumerate(found[:3]):
        if name not in PROPERTIES:
            sample = prepared(name, sample, dtype)
        seen = []
        for n in THREADS:
            _core.set_num_threads(n)
            seen.append(run(name, sample, dtype))
        for n, result in zip(THREADS[1:], seen[1:], strict=True):
            assert result == seen[0], f"{name}, sample {i}: {n} threads differ from one"


def test_the_thread_count_is_used():
    for n in THREADS:
        _core.set_num_threads(n)
        assert _core.get_num_threads() == n
    assert isinstance(rg.Tensor, type)
