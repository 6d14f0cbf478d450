"""The same tensor here and in PyTorch, and whether two of them are the same."""

import numpy as np
import pytest

import rubigo as rg

torch = pytest.importorskip("torch")

DTYPES = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
]  # fmt: skip


def twins(data, dtype=None):
    """The same values here and in PyTorch."""
    return (
        rg.tensor(data, dtype=dtype and getattr(rg, dtype)),
        torch.tensor(data, dtype=dtype and getattr(torch, dtype)),
    )


def dtype_name(x):
    return str(x.dtype).split(".")[1]


def same(ours, theirs):
    assert dtype_name(ours) == dtype_name(theirs)
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_array_equal(np.array(ours.tolist()), np.array(theirs.tolist()))


def array(t):
    """The elements of a tensor of either as a numpy array."""
    return t.detach().cpu().numpy()


def data(*shape, seed=0):
    """Normal numbers for both."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
