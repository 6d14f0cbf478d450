"""`autograd.Function`: contexts, saved tensors, second derivatives, and mistakes in one."""

import gc

import numpy as np
import pytest
from harness import Odd, leaf

import rubigo as rg

Function = rg.autograd.Function


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


def test_functions_differentiate_twice():
    x = rg.tensor(2.0, requires_grad=True)
    y = Cube.apply(x)
    assert y.item() == 8 and y.requires_grad and "Cube" in y.grad_fn.name()
    (g,) = rg.autograd.grad(y, x, create_graph=True)
    (h,) = rg.autograd.grad(g, x)
    assert g.item() == 12 and h.item() == 12
    assert not Cube.apply(rg.tensor(2.0)).requires_grad
    with rg.no_grad():
        assert not Cube.apply(x).requires_grad


def test_function_saved_tensors_are_guarded():
    x = leaf(2.0)
    y = x * 1
    z = Cube.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        z.sum().backward()
    z = Cube.apply(x)
    z.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.sum().backward()


def test_function_contexts():
    class Two(Function):
        @staticmethod
        def forward(ctx, x, y, scale):
            ctx.scale = scale
            ctx.set_materialize_grads(False)
            index = (x > 0).long()
            ctx.mark_non_differentiable(index)
            return x * scale, y * scale, index

        @staticmethod
        def backward(ctx, gx, gy, gi):
            seen.append((ctx.needs_input_grad, gy is None, gi is None))
            return gx * ctx.scale, None, None

    seen = []
    x, y = leaf(1.0, -1.0), rg.ones(2)
    a, b, i = Two.apply(x, y, 5.0)
    assert a.requires_grad and not i.requires_grad and i.tolist() == [1, 0]
    assert b.tolist() == [5, 5]
    a.sum().backward()
    assert seen == [((True, False, False), True, True)] and x.grad.tolist() == [5, 5]


def test_function_missing_gradients_come_as_zeros():
    class Pair(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3

    x = leaf(1.0)
    first, _ = Pair.apply(x)
    first.sum().backward()
    assert x.grad.tolist() == [2]


def test_function_setup_context_form():
    class Square(Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(3.0)
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [6]


def test_function_that_writes_its_input():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(1.0, 2.0)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_function_that_returns_its_input():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 7

    x = leaf(1.0)
    y = Same.apply(x)
    assert y is not x and x.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [7]


def test_function_mistakes():
    class Short(Cube):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    class Wrong(Cube):
        @staticmethod
        def backward(ctx, g):
            return "text"

    class Raises(Cube):
        @staticmethod
        def backward(ctx, g):
            raise Odd("in backward")

    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match="expected 2"):
        Short.apply(x, y).sum().backward()
    with pytest.raises(TypeError, match="Wrong"):
        Wrong.apply(x).sum().backward()
    with pytest.raises(Odd):
        Raises.apply(x).sum().backward()
    with pytest.raises(NotImplementedError):
        type("Empty", (Function,), {}).apply(x)


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


def test_function_that_saves_its_output_differentiates_twice():
    x = rg.tensor(1.0, requires_grad=True)
    y = Exp.apply(x)
    (g,) = rg.autograd.grad(y, x, create_graph=True)
    (h,) = rg.autograd.grad(g, x, create_graph=True)
    assert g.item() == h.item() == pytest.approx(np.e)
    # Without the output at hand: right, or refused, but never silently wrong.
    z = Exp.apply(x) * 1
    try:
        (g,) = rg.autograd.grad(z, x, create_graph=True)
        (h,) = rg.autograd.grad(g, x)
    except RuntimeError as error:
        assert "saved output" in str(error)
    else:
        assert h.item() == pytest.approx(np.e)


def test_function_saves_its_output_without_keeping_itself_alive():
    x = leaf(0.0)
    y = Exp.apply(x)
    y.sum().backward()
    assert x.grad.tolist() == [1]
    big = rg.zeros(1000, requires_grad=True)
    gc.collect()
    before = rg.cpu.memory_stats()["allocated_bytes"]
    for _ in range(50):
        Exp.apply(big)
    gc.collect()
    assert rg.cpu.memory_stats()["allocated_bytes"] <= before + 8192


def test_gradients_never_land_in_lent_memory():
    buffer = np.ones(3, np.float32)

    class Lend(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return rg.from_numpy(buffer)

    x = rg.ones(3, requires_grad=True)
    for _ in range(2):
        (Lend.apply(x) + Lend.apply(x)).sum().backward()
    assert x.grad.tolist() == [4.0] * 3 and buffer.tolist() == [1.0] * 3
