"""Half precision and zeros: norms and clipping neither overflow nor give NaN."""

import numpy as np
import pytest
from twins import array

import rubigo as rg
from rubigo import nn

torch = pytest.importorskip("torch")

HALF = [300.0, 400.0, -500.0, 10.0]


def test_half_precision_does_not_overflow(device):
    for make in (
        lambda lib, x, y: lib.nn.functional.normalize(x),
        lambda lib, x, y: lib.nn.functional.normalize(x, p=3.0),
        lambda lib, x, y: lib.nn.functional.cosine_similarity(x, y),
        lambda lib, x, y: lib.nn.functional.pairwise_distance(x, y),
        lambda lib, x, y: lib.nn.functional.pairwise_distance(x, y, p=1.5),
        lambda lib, x, y: lib.nn.functional.rms_norm(x, (4,)),
    ):
        results = []
        for lib in (rg, torch):
            where = {"device": device} if lib is rg else {}
            x = lib.tensor([HALF], dtype=lib.float16, **where).requires_grad_()
            y = lib.tensor([HALF[::-1]], dtype=lib.float16, **where)
            out = make(lib, x, y)
            assert out.dtype is lib.float16
            out.sum().backward()
            results.append((array(out), array(x.grad)))
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=2e-3)
        fine = np.isfinite(results[1][1])  # torch's own gradient overflows in places
        ours, theirs = results[0][1], results[1][1]
        np.testing.assert_allclose(ours[fine], theirs[fine], rtol=0.05, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
def test_rms_norm_of_half_stays_half():
    shown = []
    for lib in (rg, torch):
        out = lib.nn.RMSNorm(4)(lib.tensor(HALF, dtype=lib.float16))
        assert out.dtype is lib.float16
        shown.append(out.tolist())
    np.testing.assert_allclose(*shown, rtol=2e-3)


def test_norms_have_no_nan_gradient_at_zero(device):
    for p in (0.5, 1.0, 2.0, 3.0, -1.0):
        grads = []
        for lib in (rg, torch):
            where = {"device": device} if lib is rg else {}
            x = lib.tensor([[0.0, -2, 3], [0, 0, 0]], **where).requires_grad_()
            lib.nn.functional.pairwise_distance(x, x.detach() * 0, p=p, eps=0.0).sum().backward()
            grads.append(array(x.grad))
        np.testing.assert_allclose(*grads, rtol=1e-5)
    with pytest.raises(TypeError, match=r"normalize[^\x00]*x\.float\(\)"):
        nn.functional.normalize(rg.tensor([[3, 4]]))


def test_clipping_half_precision_equals_torch(device):
    results = []
    for lib in (rg, torch):
        where = {"device": device} if lib is rg else {}
        p = lib.nn.Parameter(lib.zeros(4, dtype=lib.float16, **where))
        p.grad = lib.tensor(HALF, dtype=lib.float16, **where)
        norm = lib.nn.utils.clip_grad_norm_([p], 1.0, foreach=False)
        assert norm.dtype is lib.float16
        lib.nn.utils.clip_grads_with_norm_([p], 1.0, lib.tensor(4.0))
        results.append([norm.item(), *p.grad.tolist()])
    np.testing.assert_allclose(*results, rtol=2e-3)
