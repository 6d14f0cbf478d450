"""Gradients where values are special: at kinks, infinities and NaN, and below infinite ones."""

import itertools

import numpy as np
import pytest

import rubigo as rg

torch = pytest.importorskip("torch")
INF, NAN = float("inf"), float("nan")

PIECEWISE = [
    "relu",
    "relu6",
    "hardtanh",
    "leaky_relu",
    "hardswish",
    "softshrink",
    "hardshrink",
    "elu",
    "selu",
    "celu",
    "abs",
]


@pytest.mark.parametrize("name", PIECEWISE)
def test_gradients_of_piecewise_functions_go_on(name, device):
    """Their second derivative is 0 (or a formula), and not an error."""
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        space = lib if name == "abs" else lib.nn.functional
        x = lib.tensor([-3.5, -0.3, 0.2, 2.0, 7.0], device=where, requires_grad=True)
        (g,) = lib.autograd.grad(getattr(space, name)(x).sum(), x, create_graph=True)
        assert g.requires_grad
        (h,) = lib.autograd.grad(g.sum(), x)
        found.append((g.tolist(), (x.detach() + h).tolist()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-7)


NAN_GRADIENTS = ["relu", "relu6", "hardtanh", "leaky_relu", "softshrink", "elu", "selu", "celu"]


@pytest.mark.parametrize("name", NAN_GRADIENTS)
def test_gradients_of_activations_at_special_values(name, device):
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        values = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 6.0, 0.5, -0.5, 1.0, -1.0]
        x = lib.tensor(values, device=where, requires_grad=True)
        getattr(lib.nn.functional, name)(x).sum().backward()
        found.append(x.grad.tolist())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-7)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.5, 3.0, -3.0, 6.0, 1e-30, 1e30, INF, -INF]
INCOMING = [1.0, 0.0, INF, -INF, NAN]
# What flows is chosen, not multiplied by 0: an infinite gradient stays out of where nothing flows.
CHOOSING = {
    "relu": lambda lib, x: lib.relu(x),
    "relu6": lambda lib, x: lib.nn.functional.relu6(x),
    "hardtanh": lambda lib, x: lib.nn.functional.hardtanh(x),
    "hardsigmoid": lambda lib, x: lib.nn.functional.hardsigmoid(x),
    "hardshrink": lambda lib, x: lib.nn.functional.hardshrink(x),
    "softshrink": lambda lib, x: lib.nn.functional.softshrink(x),
    "threshold": lambda lib, x: lib.nn.functional.threshold(x, 0.7, -1.0),
    "leaky_relu": lambda lib, x: lib.nn.functional.leaky_relu(x, 0.0),
    "clamp": lambda lib, x: x.clamp(-0.5, 2.5),
    "where": lambda lib, x: lib.where(x > 0, x, lib.zeros_like(x)),
    "masked_fill": lambda lib, x: x.masked_fill(x > 0, 2.0),
    "tril": lambda lib, x: lib.tril(x.reshape(2, 7, 5)).reshape(70),
    "pow": lambda lib, x: x**0,
    "round": lambda lib, x: x.round(),
    "floor": lambda lib, x: x.floor(),
    "sign": lambda lib, x: x.sign(),
    "guarded sqrt": lambda lib, x: lib.where(x > 0, x, lib.zeros_like(x)).sqrt(),
    "sqrt of relu": lambda lib, x: lib.relu(x).sqrt(),
    "sqrt of steps": lambda lib, x: (0 * x.floor()).sqrt(),
    "maximum": lambda lib, x, y: lib.maximum(x, y),
    "minimum": lambda lib, x, y: lib.minimum(x, y),
    "fmax": lambda lib, x, y: lib.fmax(x, y),
    "fmin": lambda lib, x, y: lib.fmin(x, y),
    "xlogy": lambda lib, x, y: lib.xlogy(x, y),
    "copysign": lambda lib, x, y: lib.copysign(x, y),
    "floor division": lambda lib, x, y: lib.div(x, y, rounding_mode="floor"),
    "logaddexp": lambda lib, x, y: lib.logaddexp(x, y),
    "remainder": lambda lib, x, y: lib.remainder(x, y),
    "fmod": lambda lib, x, y: lib.fmod(x, y),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", CHOOSING)
def test_gradients_that_choose(name, create_graph, device):
    f = CHOOSING[name]
    operands = f.__code__.co_argcount - 1
    rows = np.array(list(itertools.product(*[SPECIAL] * operands, INCOMING)))
    if name == "xlogy":  # x / y of 1e30 and 1e-30 leaves float32 before or after g comes to it
        rows = rows[~np.isin(np.abs(rows), [1e30, 1e-30]).any(1)]
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        *xs, g = (lib.tensor(v, dtype=lib.float32, device=where) for v in rows.T)
        leaves = [x.requires_grad_() for x in xs]
        kept = lib.autograd.grad(f(lib, *leaves), leaves, g, create_graph=create_graph)
        found.append([k.tolist() for k in kept])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=0)


@pytest.mark.parametrize("p", [-INF, -2, -1, 0, 0.5, 1, 1.5, 2, 3, INF])
@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, 2.0], [-1.0, 2.0]])
def test_gradients_of_norms(p, values, device):
    """At the zero vector, too, where the root has an infinite slope."""
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        x = lib.tensor(values, device=where, requires_grad=True)
        y = lib.linalg.vector_norm(x, p) if lib is torch else lib.norm(x, p)
        assert y.requires_grad
        y.backward()
        found.append([0.0, 0.0] if x.grad is None else x.grad.tolist())
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_gradient_of_the_largest_of_nan(device):
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        x = lib.tensor([1.0, NAN, 2.0], device=where, requires_grad=True)
        x.max().backward()
        found.append(x.grad.tolist())
    assert found[0] == found[1] == [0.0, 1.0, 0.0]


def test_a_derivative_that_is_missing_raises():
    """Zero in its place, or a term left out, would be a wrong result that nobody sees."""
    for order, f in ((2, rg.digamma), (3, rg.lgamma)):
        x = rg.tensor([0.7, 2.0], dtype=rg.float64, requires_grad=True)
        y = x * f(x)
        for _ in range(order - 1):
            (y,) = rg.autograd.grad(y.sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match="third derivative of lgamma"):
            rg.autograd.grad(y.sum(), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["elu", "selu", "celu", "silu", "softplus", "logsigmoid", "mish", "bce"]
)
def test_second_gradients_where_exp_overflows(name, dtype, device):
    if device == "gpu" and dtype == "float64":
        pytest.skip("a GPU has no float64")
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        space = lib.nn.functional
        values = [-800.0, -100.0, -30.0, -1.0, 0.5, 30.0, 100.0, 800.0]
        if name == "mish" and lib is torch:  # which is NaN for large x; the curve is straight there
            values = [v if v < 80 else 60.0 for v in values]
        x = lib.tensor(values, dtype=getattr(lib, dtype), device=where, requires_grad=True)
        if name == "bce":
            y = space.binary_cross_entropy_with_logits(x, lib.ones_like(x) * 0.25)
        else:
            y = getattr(space, name)(x)
        (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        (h,) = lib.autograd.grad(g.sum(), x)
        found.append([g.tolist(), h.tolist()])
    np.testing.assert_allclose(found[0], found[1], rtol=2e-5, atol=1e-7)


MIXED = {
    "divided by half": (lambda lib, x: x / lib.tensor([1e-5]).half(), "float32"),
    "divided by a third of half": (lambda lib, x: x / lib.tensor([3.0]).half(), "float32"),
    "divided by float32": (lambda lib, x: x / lib.tensor([0.1]), "float64"),
    "divided by integers": (lambda lib, x: x / lib.tensor([7]), "float64"),
    "power of a number": (lambda lib, x: 3**x, "float64"),
    "power of an integer": (lambda lib, x: lib.tensor([3]) ** x, "float64"),
    "power of half": (lambda lib, x: lib.tensor([3.0]).half() ** x, "float32"),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", MIXED)
def test_gradients_beside_narrower_operands(name, create_graph):
    """The formula is computed in the result's dtype, as a loop and as ops."""
    f, dtype = MIXED[name]
    found = []
    for lib in (rg, torch):
        x = lib.tensor([1.3], dtype=getattr(lib, dtype), requires_grad=True)
        (g,) = lib.autograd.grad(f(lib, x).sum(), x, create_graph=create_graph)
        found.append(g.item())
    assert found[0] == pytest.approx(found[1], rel=1e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("op", ["max", "min"])
def test_an_infinite_gradient_reaches_the_extreme_alone(op, device):
    sign = 1.0 if op == "max" else -1.0
    x = rg.tensor([0.0, -2.0 * sign, -1.0 * sign], device=device, requires_grad=True)
    (sign * getattr(x, op)()).sqrt().backward()
    assert x.grad.abs().tolist() == [INF, 0.0, 0.0]


def test_logit_outside_of_its_domain(device):
    found = []
    for lib, where in ((rg, device), (torch, "cpu")):
        x = lib.tensor([2.0, -1.0, 0.25], device=where, requires_grad=True)
        x.logit().sum().backward()
        found.append(x.grad.tolist())
    np.testing.assert_allclose(*found, rtol=1e-6)


def both(device, f):
    """What f(library, device) gives in rubigo and in torch."""
    return f(rg, device), f(torch, "cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["huber_loss", "smooth_l1_loss"])
def test_small_residuals_keep_their_gradient(name, dtype, device):
    def run(lib, where):
        values = [1e-3, -1e-3, 0.0, 0.5, 3.0, -3.0, INF, -INF, NAN]
        x = lib.tensor(values, dtype=getattr(lib, dtype), device=where, requires_grad=True)
        loss = getattr(lib.nn.functional, name)(x, lib.zeros_like(x.detach()), reduction="none")
        (g,) = lib.autograd.grad(loss.sum(), x, create_graph=True)
        (h,) = lib.autograd.grad(g.sum(), x)
        return loss.tolist(), g.tolist(), h.tolist()

    np.testing.assert_allclose(*both(device, run), rtol=1e-6)


@pytest.mark.parametrize("width", [0.1, 2.0])
@pytest.mark.parametrize("name", ["delta", "beta"])
def test_robust_losses_of_other_widths(name, width, device):
    def run(lib, where):
        space = lib.nn.functional
        loss = space.huber_loss if name == "delta" else space.smooth_l1_loss
        x = lib.tensor([1e-4, -0.05, 0.5, -1.5, 30.0], device=where, requires_grad=True)
        y = loss(x, lib.zeros_like(x), reduction="none", **{name: width})
        (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        (h,) = lib.autograd.grad(g.sum(), x)
        return y.tolist(), g.tolist(), h.tolist()

    np.testing.assert_allclose(*both(device, run), rtol=2e-6)


NORMS = {
    "layer": lambda s, x: s.layer_norm(x, (4,)),
    "rms": lambda s, x: s.rms_norm(x, (4,), eps=1e-5),
    "group": lambda s, x: s.group_norm(x.reshape(1, 2, 2), 1).reshape(1, 4),
    "instance": lambda s, x: s.instance_norm(x.reshape(1, 1, 4)).reshape(1, 4),
    "batch": lambda s, x: s.batch_norm(x.reshape(4, 1), None, None, training=True).reshape(1, 4),
}


@pytest.mark.parametrize("values", [[0.0] * 4, [300.0, -100.0, 50.0, 20.0]])
@pytest.mark.parametrize("name", NORMS)
def test_norms_of_half_numbers_with_a_graph(name, values, device):
    """Their plain form is computed in float32, too."""
    x = rg.tensor([values], dtype=rg.float16, device=device, requires_grad=True)
    g0 = rg.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=rg.float16, device=device)
    found = []
    for create_graph in (False, True):
        y = NORMS[name](rg.nn.functional, x)
        (g,) = rg.autograd.grad(y, x, g0, create_graph=create_graph)
        assert y.dtype == g.dtype == rg.float16
        found.append(g.tolist())
    np.testing.assert_allclose(*found, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize(("dtype", "value"), [("float16", 300.0), ("bfloat16", -3.0)])
def test_formulas_of_half_numbers_with_a_graph(dtype, value, device):
    def run(lib, where):
        x = lib.tensor([value], dtype=getattr(lib, dtype), device=where, requires_grad=True)
        y = lib.nn.functional.gelu(x, approximate="tanh")
        (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        assert g.dtype == x.dtype
        return g.tolist()

    np.testing.assert_allclose(*both(device, run), rtol=4e-3)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_a_product_in_a_wider_dtype(create_graph, device):
    x = rg.tensor([300.0, 300.0], dtype=rg.float16, device=device, requires_grad=True)
    (g,) = rg.autograd.grad(x.prod(dtype=rg.float32), x, create_graph=create_graph)
    assert g.dtype == rg.float16 and g.tolist() == [300.0, 300.0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_the_weight_of_prelu(create_graph, device):
    def run(lib, where):
        x = lib.tensor([INF, 1.0, -2.0], device=where, requires_grad=True)
        w = lib.tensor([0.25], device=where, requires_grad=True)
        y = lib.nn.functional.prelu(x, w).sum()
        return [g.tolist() for g in lib.autograd.grad(y, [x, w], create_graph=create_graph)]

    found, expected = both(device, run)
    assert found == expected == [[1.0, 1.0, 0.25], [-2.0]]


CUT = {
    "relu": lambda s, x: s.relu(x),
    "relu6": lambda s, x: s.relu6(x),
    "leaky_relu": lambda s, x: s.leaky_relu(x),
    "hardtanh": lambda s, x: s.hardtanh(x),
    "softshrink": lambda s, x: s.softshrink(x),
    "hardshrink": lambda s, x: s.hardshrink(x),
    "threshold": lambda s, x: s.threshold(x, 0.5, 2.0),
    "prelu": lambda s, x: s.prelu(x, x.detach()[:1] * 0.25),
}


@pytest.mark.parametrize("name", CUT)
def test_the_second_gradient_is_zero_beside_another(name, device):
    """It is not absent because the incoming gradient has one."""

    def run(lib, where):
        x = lib.tensor([1.0, -2.0], device=where, requires_grad=True)
        w = lib.tensor([3.0, 4.0], device=where, requires_grad=True)
        y = (CUT[name](lib.nn.functional, x) * w).sum()
        (g,) = lib.autograd.grad(y, x, create_graph=True)
        return [h.tolist() for h in lib.autograd.grad(g.sum(), [x, w])]

    np.testing.assert_allclose(*both(device, run), rtol=1e-6)


KINKS = {
    "pow": lambda lib, x: x**0 + x * x,
    "elu": lambda lib, x: lib.nn.functional.elu(x),
    "selu": lambda lib, x: lib.nn.functional.selu(x),
    "celu": lambda lib, x: lib.nn.functional.celu(x),
}


@pytest.mark.parametrize("name", KINKS)
def test_second_gradients_at_kinks(name, device):
    def run(lib, where):
        x = lib.tensor([0.0, -0.0, 1.0, 2.0, -1.0, 0.3], device=where, requires_grad=True)
        (g,) = lib.autograd.grad(KINKS[name](lib, x).sum(), x, create_graph=True)
        return g.tolist(), lib.autograd.grad(g.sum(), x)[0].tolist()

    np.testing.assert_allclose(*both(device, run), rtol=1e-5)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("op", ["var", "std"])
def test_gradient_of_the_variance_beside_an_infinity(op, create_graph, device):
    def run(lib, where):
        x = lib.tensor([INF, 1.0, 2.0], device=where, requires_grad=True)
        return lib.autograd.grad(getattr(x, op)(), x, create_graph=create_graph)[0].tolist()

    np.testing.assert_allclose(*both(device, run))


def test_gradient_of_a_variance_without_degrees_of_freedom(device):
    """PyTorch gives inf for both."""
    x = rg.tensor([1.0, 2.0], device=device, requires_grad=True)
    x.var(correction=2).backward()
    assert x.grad.tolist() == [-INF, INF]


@pytest.mark.parametrize("how", ["amax", "amin"])
@pytest.mark.parametrize(
    "values", [[NAN, 1.0, 2.0, 3.0], [1.0, 1.0, NAN, 3.0], [NAN, 3.0, NAN, 3.0]]
)
def test_gradient_of_scattered_extremes_of_nan(values, how, device):
    def run(lib, where):
        x = lib.tensor(values[:2], device=where, requires_grad=True)
        src = lib.tensor(values[2:], device=where, requires_grad=True)
        x.scatter_reduce(0, lib.tensor([0, 1], device=where), src, how).sum().backward()
        return x.grad.tolist(), src.grad.tolist()

    np.testing.assert_allclose(*both(device, run))


def test_gradients_of_many_equal_half_numbers(device):
    """More than float16 can count."""
    n = 70000
    x = rg.zeros(n, dtype=rg.float16, device=device, requires_grad=True)
    eight = rg.tensor(8.0, dtype=rg.float16, device=device)
    x.amax().backward(eight)
    assert x.grad.dtype == rg.float16 and x.grad[0].item() == pytest.approx(8 / n, rel=1e-3)
    x.grad = None
    one = rg.zeros(1, dtype=rg.float16, device=device, requires_grad=True)
    index = rg.zeros(n, dtype=rg.int64, device=device)
    one.scatter_reduce(0, index, x, "amax").backward(eight.reshape(1))
    for t in (one, x):
        assert t.grad.dtype == rg.float16 and t.grad[0].item() == pytest.approx(8 / n, rel=1e-3)
