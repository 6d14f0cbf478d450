"""Starting values of tensors without elements, against PyTorch's."""

import warnings

import pytest

import rubigo as rg

torch = pytest.importorskip("torch")

FILLS = {
    "uniform_": {},
    "normal_": {},
    "trunc_normal_": {},
    "constant_": {"val": 2.0},
    "ones_": {},
    "zeros_": {},
    "eye_": {},
    "dirac_": {},
    "xavier_uniform_": {},
    "xavier_normal_": {},
    "kaiming_uniform_": {},
    "kaiming_normal_": {"mode": "fan_out"},
    "sparse_": {"sparsity": 0.5},
    "orthogonal_": {},
}


def filled(lib, name, shape):
    """Whether there was a warning, and the shape or the error."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            found = tuple(getattr(lib.nn.init, name)(lib.zeros(shape), **FILLS[name]).shape)
        except (ValueError, ZeroDivisionError, IndexError) as error:
            found = type(error)
    return [str(w.message) for w in given], found


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("shape", [(4, 0), (0, 4), (0, 0), (0,), (0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_nothing_to_fill(name, shape):
    ours, theirs = filled(rg, name, shape), filled(torch, name, shape)
    if theirs[1] in (ZeroDivisionError, IndexError):  # xavier's and dirac's without a kernel
        assert ours == ([], shape)
    else:
        assert ours == theirs
