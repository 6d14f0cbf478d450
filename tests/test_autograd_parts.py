"""Parts of graphs, in both libraries: targets inside, retained gradients, views of what changes."""

import pytest

import rubigo as rg

torch = pytest.importorskip("torch")
BOTH = pytest.mark.parametrize("lib", [rg, torch], ids=["rubigo", "torch"])


@BOTH
def test_what_lies_below_a_target_is_not_run(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    (g,) = lib.autograd.grad(y.sin().sum(), y)
    assert lib.allclose(g, y.detach().cos())
    y.sum().backward()
    assert lib.allclose(x.grad, y.detach())
    ran = []

    class Twice(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            ran.append(1)
            return g * 2

    y = Twice.apply(x)
    lib.autograd.grad((y * y).sum(), y)
    assert ran == []
    (y * y).sum().backward(inputs=[x, y])
    assert ran == [1]


@BOTH
def test_retained_gradients_add_up(lib):
    x = lib.ones(1, requires_grad=True)
    y = x * 2
    y.retain_grad()
    (y * 1).sum().backward(retain_graph=True)
    (y * 1).sum().backward(retain_graph=True)
    assert y.grad.tolist() == [2]
    y.grad = None
    (y * 2).sum().backward(inputs=[y, y], retain_graph=True)
    assert y.grad.tolist() == [2]
    x.grad = None
    (x * 3).sum().backward(inputs=[x, x])
    assert x.grad.tolist() == [3]


@BOTH
def test_retained_gradients_of_views_of_what_is_written(lib):
    for write in (lambda y: y.mul_(3), lambda y: y[2:].mul_(3)):
        x = lib.ones(4, requires_grad=True)
        y = x * 2
        v = y[1:3]
        v.retain_grad()
        write(y)
        assert v.requires_grad and v.retains_grad
        (v * v).sum().backward()
        assert v.grad.tolist() == [2 * e for e in v.tolist()]


@BOTH
def test_views_of_what_becomes_a_leaf(lib):
    x = lib.ones(3)
    v = x[:2]
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="view of a leaf"):
        v.mul_(2)
    assert x.tolist() == [1, 1, 1]


@BOTH
def test_views_of_what_is_cut_off(lib):
    x = lib.ones(4, requires_grad=True)
    y = x * 2
    v = y[1:3]
    y.detach_()
    y.mul_(3)
    if v.requires_grad:
        v.sum().backward()
    assert x.grad is None and v.tolist() == [6, 6]
    leaf = lib.zeros(4)
    part = leaf[1:3].requires_grad_()
    leaf.add_(1)
    (part * 2).sum().backward()
    assert part.grad.tolist() == [2, 2]


@BOTH
def test_a_reshape_that_changes_nothing_is_a_variable_of_its_own(lib):
    for view in (lambda x: x.reshape(-1), lambda x: x.reshape_as(x), lambda x: x.view(3)):
        x = lib.zeros(3)
        y = view(x)
        y.requires_grad_()
        assert not x.requires_grad
        x = lib.zeros(3, requires_grad=True)
        z = x * 1
        y = view(z)
        y.register_hook(lambda g: g * 10)
        (z * 2).sum().backward()
        assert x.grad.tolist() == [2] * 3
    x = lib.tensor([1.0, 2.0])
    x.diff(n=0).add_(1)
    assert x.tolist() == [1, 2]


@BOTH
@pytest.mark.parametrize("name", ["index_fill", "index_fill_"])
def test_slices_named_twice_are_filled_once(lib, name):
    x = lib.zeros(3, 2, requires_grad=True)
    v = lib.tensor(5.0, requires_grad=True)
    y = getattr(x * 1, name)(0, lib.tensor([0, 0, 2]), v)
    assert y.tolist() == [[5, 5], [0, 0], [5, 5]]
    y.sum().backward()
    assert v.grad.item() == 4 and x.grad.tolist() == [[0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("how", ["add", "sum", "prod", "amax", "amin"])
def test_scattering_with_sources_of_other_ranks(how, device):
    """0-d tensors count as those of one element; with an empty index, any source will do."""
    cases = [
        ((2,), (1,), ()), ((2,), (), (1,)), ((2,), (), ()), ((), (1,), (1,)), ((), (), ()),
        ((), (1,), ()), ((2, 3), (0, 3), (1,)), ((2,), (0,), ()), ((2,), (0,), (4,)),
    ]  # fmt: skip

    def run(lib, shapes, device):
        x, s = (
            (lib.ones(shape) * n).to(device).requires_grad_() for shape, n in zip(shapes, (3, 2))
        )
        index = lib.zeros(shapes[2], dtype=lib.int64, device=x.device)
        if how == "add":
            y = x.scatter_add(0, index, s)
        else:
            y = x.scatter_reduce(0, index, s, how)
        y.sum().backward()
        return [t.tolist() for t in (y, x.grad, s.grad)]

    compared = 0
    for x_shape, index_shape, src_shape in cases:
        shapes = (x_shape, src_shape, index_shape)
        got = run(rg, shapes, device)
        try:
            want = run(torch, shapes, "cpu")
        except RuntimeError:
            continue  # PyTorch's own gradient has another shape than the source.
        assert got == want, shapes
        compared += 1
    assert compared >= 5
