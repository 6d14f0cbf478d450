"""Gradients: what `backward` and `grad` take and give, and the gradients that tensors keep."""

import numpy as np
import pytest
from harness import leaf

import rubigo as rg

torch = pytest.importorskip("torch")


def test_gradients_never_share_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    assert x.grad.data_ptr() != y.grad.data_ptr()
    before = x.grad
    (x * 2).sum().backward()
    assert x.grad._shares_memory(before) and x.grad.tolist() == [3, 3] and y.grad.tolist() == [1, 1]
    g = rg.ones(2)
    x.grad = None
    (x * 1).backward(g)
    x.grad.zero_()
    assert g.tolist() == [1, 1]


def test_backward_arguments():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        rg.tensor(1.0).backward()
    with pytest.raises(RuntimeError, match="shape"):
        (x * 2).backward(rg.ones(3))
    (x * 2).backward(rg.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 20]
    y = leaf(1.0, 1.0)
    (x * y).sum().backward(inputs=[y])
    assert y.grad.tolist() == [1, 2] and x.grad.tolist() == [2, 20]
    rg.autograd.backward([(x * 1).sum(), (x * 2).sum()])
    assert x.grad.tolist() == [5, 23]


def test_grad_gives_what_is_asked_and_leaves_the_rest():
    x, y, z = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(0.0, 0.0)
    out = (x * y).sum()
    gx, gy = rg.autograd.grad(out, (x, y), retain_graph=True)
    assert gx.tolist() == [3, 4] and gy.tolist() == [1, 2] and x.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        rg.autograd.grad(out, z, retain_graph=True)
    assert rg.autograd.grad(out, (z, x), allow_unused=True, retain_graph=True)[0] is None
    zero = rg.autograd.grad(out, z, materialize_grads=True, retain_graph=True)[0]
    assert zero.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="require"):
        rg.autograd.grad(out, rg.ones(2), retain_graph=True)
    middle = x * 2
    assert rg.autograd.grad((middle * y).sum(), middle)[0].tolist() == [3, 4]
    assert rg.autograd.grad([x * 1, y * 1], [x, y], [rg.ones(2), rg.ones(2) * 3])[1].tolist() == [
        3,
        3,
    ]


def test_higher_derivatives():
    x = rg.tensor(2.0, dtype=rg.float64, requires_grad=True)
    y, want = x**5, 32.0
    for k in range(5):
        (y,) = rg.autograd.grad(y, x, create_graph=True)
        want = [80.0, 160.0, 240.0, 240.0, 120.0][k]
        assert y.item() == pytest.approx(want)
    a = leaf(1.0, 2.0)
    (g,) = rg.autograd.grad((a**3).sum(), a, create_graph=True)
    (g * g).sum().backward()
    assert a.grad.tolist() == pytest.approx([36.0, 288.0])


def test_retain_grad_and_the_gradients_of_results():
    x = leaf(1.0, 2.0)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [4, 8] and y.retains_grad and x.grad.tolist() == [8, 16]
    with pytest.raises(RuntimeError):
        rg.ones(2).retain_grad()


def test_requires_grad_flags():
    x = leaf(1.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad_(False)
    assert y.requires_grad_() is y
    for dtype in (rg.int64, rg.bool):
        with pytest.raises(RuntimeError, match="floating point"):
            rg.tensor([1], dtype=dtype).requires_grad_()
    x.requires_grad_(False)
    assert not (x * 2).requires_grad and x.is_leaf
    assert not (leaf(1.0) > 0).requires_grad and not leaf(1.0).argmax().requires_grad


def test_an_assigned_gradient_must_fit():
    x = leaf(1.0, 2.0)
    x.grad = rg.ones(2)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="shape"):
        x.grad = rg.ones(3)
    with pytest.raises(TypeError):
        x.grad = rg.ones(2, dtype=rg.float64)
    with pytest.raises(TypeError):
        x.grad = 1.0


def test_gradients_on_a_device(device):
    x = rg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device, requires_grad=True)
    y = x * 2
    y[0] = y[1] * 3
    y.T[1].mul_(0.5)
    (y.sigmoid() * y).sum().backward()
    p = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    q = p * 2
    q[0] = q[1] * 3
    q.T[1].mul_(0.5)
    (q.sigmoid() * q).sum().backward()
    assert x.grad.device == device
    np.testing.assert_allclose(x.grad.cpu().numpy(), p.grad.numpy(), 1e-5)
    z = rg.tensor([1.0, 2.0], requires_grad=True)
    (z.to(device) * 3).sum().backward()
    assert z.grad.device == "cpu" and z.grad.tolist() == [3, 3]


def test_a_gradient_that_no_longer_fits_is_dropped():
    p = rg.ones(4, 4).requires_grad_()
    p.grad = rg.ones(4, 4).T
    p.data = rg.zeros(3, 4, 4)
    assert p.grad is None
    (p * 2).sum().backward()
    assert p.grad.shape == (3, 4, 4) and p.grad.unique().tolist() == [2.0]
    p.data = p.data.double()
    assert p.grad is None
    (p * 2).sum().backward()
    assert p.grad.dtype == rg.float64


def test_accumulation_into_an_expanded_gradient():
    p = rg.zeros(5, requires_grad=True)
    p.grad = rg.ones(1).expand(5)
    (p * rg.arange(5)).sum().backward()
    assert p.grad.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
