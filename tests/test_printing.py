"""`repr` of tensors is PyTorch's, with the package's name in it."""

import numpy as np
import pytest
from twins import twins

import rubigo as rg

torch = pytest.importorskip("torch")

INF, NAN = float("inf"), float("nan")
RNG = np.random.default_rng(0)

VALUES = {
    "scalar": 1.5,
    "integer scalar": 7,
    "bool scalar": True,
    "negative": -2.25,
    "whole": [1.0, 2.0, 3.0],
    "fractions": [1.0, 2.5, -3.125],
    "rounded": [1 / 3, 2 / 3, 1.0],
    "small": [1e-5, 1.0],
    "tiny": [1e-30, 1e-38],
    "large": [1e9, 1.0],
    "exactly a million": [1e6, 1.0],
    "whole and large": [123456789.0, 1.0],
    "wide range": [1.0, 1001.5],
    "just in range": [1.0, 999.5],
    "signed zeros": [0.0, -0.0],
    "zeros": [0.0, 0.0],
    "infinite": [INF, -INF, NAN],
    "infinite and finite": [INF, 1.5, -2.0],
    "nan and whole": [NAN, 1.0, -20.0],
    "nan and one": [NAN, 1.0],
    "minus infinity and whole": [-INF, 0.0, 5.0],
    "minus zero and fraction": [-0.0, 0.5],
    "nan": NAN,
    "minus infinity": -INF,
    "denormal": [1e-45],
    "long fraction": [0.123456789, 12.5],
    "integers": [1, -20, 300],
    "big integers": [2**62, -(2**63)],
    "bools": [True, False],
    "matrix": [[1.0, 2.0], [3.0, 4.5]],
    "integer matrix": [[1, 2, 3], [-4, 5, 60]],
    "bool matrix": [[True, False], [False, True]],
    "column": [[1.0], [20.0]],
    "cube": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]],
    "four dimensions": [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]],
    "one element": [[[[3.5]]]],
    "long row": list(range(100)),
    "long float row": [i / 7 for i in range(60)],
    "line's end": [10000.5] * 8,
    "empty": [],
    "empty matrix": [[]],
    "empty rows": [[], []],
    "normal": RNG.standard_normal((5, 7)).tolist(),
    "wide normal": RNG.standard_normal((2, 30)).tolist(),
    "threshold": list(range(1000)),
    "over the threshold": list(range(1001)),
    "summarized floats": RNG.standard_normal(2000).tolist(),
    "summarized matrix": RNG.standard_normal((40, 50)).tolist(),
    "summarized tall": RNG.standard_normal((2000, 2)).tolist(),
    "summarized cube": RNG.standard_normal((12, 11, 13)).tolist(),
    "summarized integers": [[i * j for j in range(60)] for i in range(60)],
    "summarized bools": [[(i * j) % 3 == 0 for j in range(60)] for i in range(60)],
}


def text(t):
    return repr(t).replace("torch.", "rubigo.")


@pytest.mark.parametrize("name", VALUES)
def test_repr_is_torchs(name):
    ours, theirs = twins(VALUES[name])
    assert repr(ours) == text(theirs)
    assert str(ours) == repr(ours)


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float64", "int8", "int16", "int32", "uint8"]
)
def test_repr_of_other_dtypes(dtype):
    for data in (1, [1, 2, 100], [[1, 2], [3, 4]], [], [[]], list(range(40))):
        ours, theirs = twins(data, dtype)
        assert repr(ours) == text(theirs)
    if "float" in dtype:
        ours, theirs = twins([0.1, 0.25, 1.0], dtype)
        assert repr(ours) == text(theirs)


def test_repr_of_views_and_gradients():
    ours, theirs = twins([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for view in (lambda t: t.T, lambda t: t[:, ::2], lambda t: t[1], lambda t: t.expand(2, 2, 3)):
        assert repr(view(ours)) == text(view(theirs))
    ours.requires_grad_(), theirs.requires_grad_()
    assert repr(ours) == text(theirs)
    assert repr(ours[0, 0].detach()) == text(theirs[0, 0].detach())
    assert "grad_fn=<MulBackward>" in repr(ours * 2)
    p, q = rg.nn.Parameter(ours.detach()), torch.nn.Parameter(theirs.detach())
    assert repr(p) == text(q)
    long = rg.tensor([0.5] * 9, requires_grad=True)
    assert repr(long) == text(torch.tensor([0.5] * 9, requires_grad=True))


def test_print_options():
    ours, theirs = twins([1 / 3, 1000.0, 1e-7])
    big, large = twins(list(range(50)))
    try:
        for options in (
            {"precision": 2}, {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"},
            {"profile": "full"}, {"profile": "default"}, {"threshold": 20, "edgeitems": 2},
            {"linewidth": 40},
        ):  # fmt: skip
            rg.set_printoptions(**options)
            torch.set_printoptions(**options)
            assert repr(ours) == text(theirs), options
            assert repr(big) == text(large), options
        with pytest.raises(ValueError, match="profile"):
            rg.set_printoptions(profile="loud")
        for option in ("precision", "threshold", "edgeitems", "linewidth"):
            with pytest.raises(TypeError, match=option):
                rg.set_printoptions(profile="short", **{option: "x"})
        assert repr(ours) == text(theirs)
    finally:
        rg.set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


def test_large_tensors_print_without_reading_all():
    x = rg.zeros(1).expand(10**9)
    assert repr(x) == text(torch.zeros(1).expand(10**9))


def test_repr_of_a_device(device):
    x = rg.tensor([1.0, 2.5], device=device)
    where = "" if device == "cpu" else ", device='gpu'"
    assert repr(x) == f"tensor([1.0000, 2.5000]{where})"
    assert repr(rg.device(device)) == f"device(type='{device}')"


def test_pairs_print_as_in_torch():
    ours, theirs = twins([[1.0, 5.0], [4.0, 2.0]])
    for call in (lambda x: x.max(dim=1), lambda x: x.sort(), lambda x: x.aminmax()):
        assert repr(call(ours)) == repr(call(theirs)).removeprefix("torch.return_types.")
