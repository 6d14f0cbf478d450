"""In-place operations under autograd: histories, versions, leaves, and writes through views."""

import time

import pytest
from harness import leaf

import rubigo as rg

torch = pytest.importorskip("torch")


def test_a_write_into_a_view_reaches_the_base_and_its_other_views():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 1
    first, rest = y[0], y[1:]
    first.mul_(10)
    assert rest.grad_fn is not None
    rest.mul_(y[:2].detach().clone())
    y.sum().backward()
    assert x.grad.tolist() == [10, 10, 2]


def test_writing_what_backward_needs_is_an_error_that_names_the_op():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="inplace operation") as caught:
        z.sum().backward()
    assert "mul" in str(caught.value)
    w = rg.tensor([3.0, 4.0])
    z = x * w
    w.zero_()
    with pytest.raises(RuntimeError, match="inplace operation"):
        z.sum().backward()


def test_an_operand_over_the_same_memory_keeps_its_own_history():
    x = leaf(1.0, 2.0)
    y = x * 1
    d = y.detach()
    d.add_(y)
    assert d.requires_grad and d.tolist() == [2, 4]
    d.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_overwritten_tensors_keep_a_history():
    x, w = leaf(1.0, 2.0), leaf(5.0, 6.0)
    for write in (lambda y: y.zero_(), lambda y: y.fill_(3), lambda y: y.copy_(rg.ones(2))):
        y = write(x * 2)
        assert y.requires_grad and not y.is_leaf
        x.grad = None
        y.sum().backward()
        assert x.grad.tolist() == [0, 0]
    c = rg.zeros(2)
    c.copy_(w)
    assert c.requires_grad and not c.is_leaf
    c.mul_(3)
    c.sum().backward()
    assert w.grad.tolist() == [3, 3] and w.tolist() == [5, 6]


def test_leaves_that_require_grad_are_not_written():
    x = leaf(1.0, 2.0)
    for write in (
        lambda: x.add_(1),
        lambda: x[0].mul_(2),
        lambda: x.zero_(),
        lambda: x.copy_(x * 2),
    ):
        with pytest.raises(RuntimeError, match="leaf"):
            write()
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0
    with rg.no_grad():
        x.add_(1)
        x[0] = 9.0
    assert x.tolist() == [9, 3] and x.is_leaf


def test_accumulation_counts_as_a_write():
    p = rg.ones(2, requires_grad=True)
    w = rg.ones(2, requires_grad=True)
    (p * 2).sum().backward()
    y = (p.grad * w).sum()
    (p * 3).sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("kind", ["view", "slice", "mixed"])
def test_writes_into_deep_chains_of_views(kind, device):
    """A write does not go through the whole chain: 2,000 writes would take many seconds."""

    def run(t, depth, **on):
        x = t.ones(4096, **on).requires_grad_()
        y = x * 1
        v = y
        for i in range(depth):
            if kind == "slice" or (kind == "mixed" and i % 3 == 0):
                v = v[1:] if v.ndim == 1 else v.t()
            elif v.ndim == 1 and v.numel() % 2 == 0:
                v = v.view(2, -1)
            else:
                v = v.reshape(-1) if kind == "view" else v[0] if v.ndim == 2 else v[1:]
            v.mul_(1.01)
        y.square().sum().backward()
        return x.grad

    want = run(torch, 20)
    got = run(rg, 20, device=device)
    assert rg.allclose(got.cpu(), rg.from_numpy(want.numpy()), rtol=1e-5)
    if device == "cpu":
        start = time.perf_counter()
        run(rg, 500)
        short = time.perf_counter() - start
        start = time.perf_counter()
        run(rg, 2000)
        # Four times the writes: 16 times the time where each goes through the whole chain.
        assert time.perf_counter() - start < 9 * short + 0.2


def test_second_gradients_through_a_deep_view():
    found = []
    for lib in (rg, torch):
        x = lib.ones(64, requires_grad=True, dtype=lib.float64)
        y = x * x
        v = y
        for _ in range(20):
            v = v[1:]
        v.mul_(x[:44])
        (g,) = lib.autograd.grad(y.square().sum(), x, create_graph=True)
        (h,) = lib.autograd.grad(g.sum(), x)
        found.append([g.tolist(), h.tolist()])
    assert found[0] == found[1]


def test_a_view_copied_into_its_own_base(device):
    """The source's history is the base's new one from then on."""

    def start(values):
        x = rg.tensor(values, device=device, requires_grad=True)
        return x, x.clone()

    x, y = start([1.0, 2.0, 3.0])
    w = y[1:]
    y[:2] = w
    (w * rg.tensor([1.0, 10.0], device=device)).sum().backward()
    assert w.tolist() == [3, 3] and x.grad.tolist() == [0, 0, 11]
    x, y = start([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    w = y[:, 1:]
    y[:, :2].copy_(w)
    w.sum().backward()
    assert x.grad.tolist() == [[0, 0, 2], [0, 0, 2]]
    x, y = start([[1.0, 2.0], [3.0, 4.0]])
    z = y.t()
    y.copy_(z)
    (z * rg.tensor([[1.0, 10.0], [100.0, 1000.0]], device=device)).sum().backward()
    assert x.grad.tolist() == [[1, 10], [100, 1000]]
    x, y = start([1.0, 2.0])
    z = y.view(2)
    y.copy_(z)
    gy, gz = rg.autograd.grad(y.sum() * 3 + z.sum() * 5, [y, z])
    assert gy.tolist() == [8, 8] and gz.tolist() == [5, 5]
    x, y = start([1.0, 2.0, 3.0])
    w = y[1:]
    y[:2] = w
    for _ in range(3):
        w.mul_(2.0)
    w.sum().backward()
    assert x.grad.tolist() == [0, 0, 16]
