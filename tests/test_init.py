"""Starting values: bounds and distributions, and tensors without elements, as in PyTorch."""

import warnings

import numpy as np
import pytest
from twins import array

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")


def test_init_bounds():
    rg.manual_seed(0)
    w = rg.empty(64, 128)
    a = nn.init.xavier_uniform_(w, gain=2.0).abs().max().item()
    assert 0.98 < a / (2 * (6 / 192) ** 0.5) <= 1
    a = nn.init.kaiming_uniform_(w, nonlinearity="relu").abs().max().item()
    assert 0.98 < a / (6 / 128) ** 0.5 <= 1
    assert abs(nn.init.xavier_normal_(w).std().item() / (2 / 192) ** 0.5 - 1) < 0.05
    assert abs(nn.init.kaiming_normal_(w, mode="fan_out").std().item() / (2 / 64) ** 0.5 - 1) < 0.05
    t = array(nn.init.trunc_normal_(rg.empty(10000), std=2.0, a=-1.0, b=3.0))
    assert t.min() >= -1 and t.max() <= 3 and 0.6 < t.mean() < 0.9
    assert (array(nn.init.sparse_(w, 0.25)) == 0).sum(0).tolist() == [16] * 128
    assert array(nn.init.eye_(rg.empty(2, 3))).tolist() == [[1, 0, 0], [0, 1, 0]]
    for shape, groups in (((4, 2, 3), 2), ((3, 3, 3, 3), 1)):
        ours = nn.init.dirac_(rg.empty(*shape), groups)
        theirs = torch.nn.init.dirac_(torch.empty(*shape), groups)
        assert array(ours).tolist() == theirs.tolist()
    for shape in ((4, 6), (6, 4), (3, 2, 2), (8, 3, 3), (1, 5)):
        q = nn.init.orthogonal_(rg.empty(*shape), gain=2.0).reshape(shape[0], -1)
        q = q if q.shape[0] <= q.shape[1] else q.T
        np.testing.assert_allclose(array(q @ q.T), 4 * np.eye(q.shape[0]), atol=1e-5)
    # Uniform over all rotations: no entry has a preferred sign.
    entries = [array(nn.init.orthogonal_(rg.empty(3, 3)))[0, 0] for _ in range(200)]
    assert abs(np.mean(entries)) < 0.15 and abs(np.var(entries) - 1 / 3) < 0.1
    with pytest.raises(ValueError, match="2 or more"):
        nn.init.orthogonal_(rg.empty(3))
    for name in ("relu", "tanh", "selu", "sigmoid", "leaky_relu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    layer = nn.Linear(100, 50)
    for p in layer.parameters():
        assert 0.08 < p.abs().max().item() <= 0.1
    with pytest.raises(ValueError, match="2 or more dimensions"):
        nn.init.xavier_uniform_(rg.empty(3))


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("mean, std, a, b", [
    (5.0, 0.5, -1.0, 1.0), (-5.0, 0.5, -1.0, 1.0), (3.0, 1.0, -1.0, 1.0), (20.0, 1.0, -1.0, 1.0),
    (0.0, 1.0, 2.5, 2.6), (1.0, 1.0, -2.0, 2.0), (0.0, 2.0, -0.1, 7.0),
])  # fmt: skip
def test_truncated_normal_equals_torch_in_distribution(mean, std, a, b, device):
    rg.manual_seed(0)
    torch.manual_seed(0)
    for dtype, tol in (("float32", 0.02), ("float16", 0.02)):
        ours = rg.empty(20000, dtype=getattr(rg, dtype), device=device)
        x = array(nn.init.trunc_normal_(ours, mean, std, a, b)).astype(np.float64)
        y = array(torch.nn.init.trunc_normal_(torch.empty(20000), mean, std, a, b))
        assert x.min() >= a - 2e-3 and x.max() <= b + 2e-3
        for q in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert abs(np.quantile(x, q) - np.quantile(y, q)) < tol * (y.max() - y.min())


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
