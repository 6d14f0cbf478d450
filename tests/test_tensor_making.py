"""Tensors from Python's numbers and lists, numpy's arrays and other tensors."""

import warnings

import numpy as np
import pytest
from twins import DTYPES, dtype_name, same, twins

import rubigo as rg

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    "data",
    [
        1,
        -3,
        2.5,
        True,
        [],
        [[]],
        [[], []],
        [1, 2],
        [1, 2.5],
        [True, False],
        [True, 2],
        [True, 2.5],
        [[1, 2], [3, 4]],
        (1, 2),
        [(1, 2), (3, 4)],
        [[[1.0]]],
        [2**62],
        [-(2**63)],
        float("inf"),
        [1e300],
    ],
)
def test_tensor_infers_shape_and_dtype_like_torch(data):
    with np.errstate(all="ignore"):
        same(rg.tensor(data), torch.tensor(data))


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_takes_every_dtype(dtype):
    data = [0, 1, 1, 0] if dtype == "bool" else [0, 1, 2, 100]
    same(*twins(data, dtype))
    assert rg.tensor(data, dtype=dtype).dtype is getattr(rg, dtype)


def test_tensor_from_numpy_keeps_the_dtype_and_copies():
    for dtype in ("bool", "uint8", "int32", "int64", "float16", "float32", "float64", "uint32"):
        a = np.array([[1, 0, 1]], dtype)
        t = rg.tensor(a)
        assert dtype_name(t) == dtype and t.shape == (1, 3)
        a[:] = 0
        assert t.tolist() == np.array([[1, 0, 1]], dtype).tolist()
    assert dtype_name(rg.tensor(np.float64(1.5))) == "float64"
    assert rg.tensor(np.float32(1.5)).shape == ()
    assert rg.tensor([np.float32(1.5), np.int8(2)]).tolist() == [1.5, 2.0]


def test_tensor_takes_tensors_and_lists_of_tensors():
    x = rg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="no gradient reaches"):
        y = rg.tensor(x)
    assert not y.requires_grad and y.data_ptr() != x.data_ptr()
    assert rg.tensor([rg.tensor(1), rg.tensor(2)]).tolist() == [1, 2]
    assert rg.tensor([rg.tensor([1, 2]), [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert rg.tensor([rg.tensor(1.5), 2]).dtype is rg.float32


def test_tensor_takes_a_range():
    assert rg.tensor(range(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "data, place",
    [
        ([[1, 2], [3]], "data[1]"),
        ([[1, 2], 3], "data[1]"),
        ([1, [2]], "data[1]"),
        ([[[1], [2]], [[3], [4, 5]]], "data[1][1]"),
        ([[1, 2], [3, [4]]], "data[1][1]"),
    ],
)
def test_ragged_lists_name_the_place(data, place):
    with pytest.raises(ValueError, match="ragged") as caught:
        rg.tensor(data)
    assert place in str(caught.value)


@pytest.mark.parametrize("data", ["a", ["a"], None, [None], {}, {1}, object(), [[1], [object()]]])
def test_what_is_no_number_is_a_type_error(data):
    with pytest.raises(TypeError, match="cannot make a tensor from"):
        rg.tensor(data)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 2**100, 10**400])
def test_integers_beyond_64_bits_are_refused_not_rounded(value):
    with pytest.raises(OverflowError):
        rg.tensor(value)
    with pytest.raises(OverflowError):
        rg.tensor([1, value])


def test_huge_integers_where_the_dtype_holds_them():
    assert rg.tensor(2**63, dtype=rg.uint64).item() == 2**63
    assert rg.tensor([2**64 - 1], dtype=rg.uint64).tolist() == [2**64 - 1]
    assert rg.tensor(2**70, dtype=rg.float64).item() == 2.0**70
    assert rg.tensor([2**53 + 1]).tolist() == [2**53 + 1]
    for dtype, value in [("uint8", 256), ("uint8", -1), ("int8", 128), ("int32", 2**31)]:
        with pytest.raises(OverflowError, match=dtype):
            rg.tensor([0, value], dtype=dtype)


def test_deeply_nested_lists_are_refused():
    data = 1.0
    for _ in range(100_000):
        data = [data]
    with pytest.raises(ValueError, match="nested"):
        rg.tensor(data)


def test_as_tensor_shares_where_it_can():
    x = rg.tensor([1.0, 2.0])
    assert rg.as_tensor(x) is x
    a = np.zeros(3, np.float32)
    t = rg.as_tensor(a)
    a[1] = 5
    assert t.tolist() == [0, 5, 0]
    assert rg.as_tensor(a, dtype=rg.float64).dtype is rg.float64
    assert rg.as_tensor([1, 2]).tolist() == [1, 2]


def test_constructors_that_follow_another_tensor():
    x = rg.tensor([1.0], dtype=rg.float64)
    for made in (x.new_zeros(2, 3), x.new_ones((2, 3)), x.new_full((2, 3), 7), x.new_empty(2, 3)):
        assert made.shape == (2, 3) and made.dtype is rg.float64
    assert x.new_tensor([1, 2]).dtype is rg.float64
    assert rg.zeros_like(x).tolist() == [0.0] and rg.ones_like(x, dtype=rg.int32).dtype is rg.int32
    assert rg.full((2,), 3).dtype is rg.int64 and rg.full((2,), 3.0).dtype is rg.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(rg.arange(5), torch.arange(5))
        same(rg.arange(1, 2, 0.25), torch.arange(1, 2, 0.25))
        same(rg.eye(2, 3), torch.eye(2, 3))
        same(rg.linspace(0, 1, 5), torch.linspace(0, 1, 5))
    with pytest.raises((ValueError, RuntimeError)):
        rg.arange(0, 1, 0)
    with pytest.raises((ValueError, RuntimeError)):
        rg.zeros(-1)
