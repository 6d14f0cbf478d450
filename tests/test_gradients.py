"""First and second gradients of every differentiable op against differences, in float64.

A gradient is compared along random directions: sum(grad * v) with (f(x + e v) - f(x - e v)) / 2e. A
direction touches every element, so that one wrong element shows.
"""

import numpy as np
import pytest
from expected import GAPS, prepared
from harness import TABLE, Report, array, arrays_of, difference, flat, function, largest, tensor
from oracles import COMPARED
from samples import samples

import rubigo as rg
from rubigo import _core

STEP = 1e-6
# The backward ops read what their forward saved: they run as its gradient.
ELSEWHERE = {"bitwise_not", "class_loss_backward", "norm_backward"}
NAMES = sorted(
    n
    for n in TABLE
    if TABLE[n].get("class") not in ("Bits", "Ints", "Compare") and n not in ELSEWHERE
)


# Arguments that carry no gradient, as in PyTorch: class weights and running statistics.
CONSTANT = {"class_loss": (2,), "batch_norm": (1, 2), "normalize": (1, 2)}


class Program:
    """An op and one of its samples as a function of its float arguments."""

    def __init__(self, name, sample, dtype="float64", device="cpu"):
        if name == "cast":
            sample = (sample[0][0], dtype), {}
        self.name, self.dtype, self.device = name, dtype, device
        self.sample = prepared(name, sample, dtype)
        args = self.sample[0]
        self.constant = {id(args[i]) for i in CONSTANT.get(name, ()) if i < len(args)}
        floats = [a for a in arrays_of(self.sample) if a.dtype == np.float64]
        self.points = [a for a in floats if id(a) not in self.constant]

    def inputs(self, points, requires_grad=True):
        found = [tensor(p, self.dtype, self.device) for p in points]
        return [t.requires_grad_() for t in found] if requires_grad else found

    def run(self, inputs):
        """The float results."""
        left = iter(inputs)

        def place(tree):
            if isinstance(tree, np.ndarray):
                if tree.dtype == np.float64 and id(tree) not in self.constant:
                    return next(left)
                return tensor(tree, self.dtype, self.device)
            if isinstance(tree, (list, tuple)):
                return type(tree)(place(x) for x in tree)
            if isinstance(tree, dict):
                return {k: place(v) for k, v in tree.items()}
            return tree

        args, kwargs = place(self.sample)
        if "device" in kwargs:
            kwargs["device"] = self.device
        out = flat(function(self.name)(*args, **kwargs))[: COMPARED.get(self.name)]
        return [t for t in out if t.dtype.is_floating_point]

    def outputs(self, points):
        return [array(t) for t in self.run(self.inputs(points, False))]

    def gradient(self, inputs, weights, create_graph=False):
        """The vector-Jacobian products, zeros where a result does not depend on an input."""
        outs = self.run(inputs)
        pairs = [(o, w) for o, w in zip(outs, weights, strict=True) if o.requires_grad]
        if not pairs:
            return None
        outs, weights = (list(x) for x in zip(*pairs, strict=True))
        found = gradients(outs, inputs, weights, create_graph)
        return [_zeros(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def gradients(outs, inputs, weights, create_graph=False):
    return rg.autograd.grad(outs, inputs, weights, create_graph=create_graph, allow_unused=True)


def _zeros(x):
    return tensor(np.zeros(x.shape), x.dtype.name, x.device.type)


def _dot(grads, directions):
    return sum(float((array(g) * v).sum()) for g, v in zip(grads, directions, strict=True))


def moved(points, directions, step):
    return [p + step * v for p, v in zip(points, directions, strict=True)]


def directions(rng, points):
    return [np.asarray(rng.standard_normal(p.shape)) for p in points]


def close(found, expected, scale, what, tolerance=2e-6):
    if abs(found - expected) <= tolerance * max(abs(expected), scale, 1e-3):
        return None
    return f"{what}: {found:.10g}, by differences {expected:.10g}"


def differentiable(name):
    row = TABLE[name]
    return not row["no_grad"] and (name, "gradient") not in GAPS


def usable(name):
    """Samples that have something to differentiate, and no kink there."""
    found = samples(name) or []
    floats = [[a for a in arrays_of(s) if a.dtype == np.float64 and a.size] for s in found]
    kinks = name in ("amax", "amin", "mode", "embedding")

    def smooth(arrays):
        return not kinks or all(len(np.unique(a)) == a.size for a in arrays)

    return [
        s for s, f in zip(found, floats, strict=True)
        if f and smooth(f) and not (name == "embedding" and len(s[0]) > 2)
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name):
    report = Report(name)
    rng = np.random.default_rng(1)
    for i, sample in enumerate(usable(name)):
        program = Program(name, sample)
        inputs = program.inputs(program.points)
        outs = program.run(inputs)
        if not outs or all(o.numel() == 0 for o in outs):
            continue
        if not differentiable(name):
            if TABLE[name]["missing_grad"]:
                with pytest.raises(NotImplementedError, match="derivative"):
                    program.gradient(inputs, [tensor(array(o)) for o in outs])
                continue
            tracked = any(o.requires_grad for o in outs)
            problem = "requires grad although the op has none" if tracked else None
            report.check(f"sample {i}", problem)
            continue
        if not any(o.requires_grad for o in outs):
            reads_none = name.endswith("_like") or name == "dropout"
            report.check(f"sample {i}", None if reads_none else "no gradient, and no gap is listed")
            continue
        report.check(f"sample {i}", first_order(program, inputs, outs, rng))
    if report.cases:
        report.finish()


def first_order(program, inputs, outs, rng):
    weights = [np.asarray(rng.standard_normal(o.shape)) for o in outs]
    w = [tensor(x) for x in weights]
    fused = program.gradient(inputs, w)
    for g, x in zip(fused, inputs, strict=True):
        if g.shape != x.shape or g.dtype != x.dtype:
            return f"the gradient of a {x.dtype} of shape {x.shape} is {g.dtype} of shape {g.shape}"
    graph = program.gradient(inputs, w, create_graph=True)
    for g, h in zip(fused, graph, strict=True):
        problem = difference(array(g), array(h), 1e-10, 1e-10 * largest(array(h)) + 1e-12)
        if problem:
            return f"fused and create_graph readings: {problem}"
    scale = max(largest(array(g)) for g in fused)
    for _ in range(2):
        v = directions(rng, program.points)
        up = program.outputs(moved(program.points, v, STEP))
        down = program.outputs(moved(program.points, v, -STEP))
        tracked = [o.requires_grad for o in outs]
        expected = sum(
            float(((a - b) * x).sum()) / (2 * STEP)
            for a, b, x, t in zip(up, down, weights, tracked, strict=True) if t
        )  # fmt: skip
        problem = close(_dot(fused, v), expected, scale, "gradient")
        if problem:
            return problem
    return None


@pytest.mark.parametrize("name", [n for n in NAMES if differentiable(n)])
def test_second_gradient(name):
    report = Report(name)
    rng = np.random.default_rng(2)
    listed = (name, "second") in GAPS
    for i, sample in enumerate(usable(name)[:5]):
        program = Program(name, sample)
        outs = program.run(program.inputs(program.points))
        if not any(o.requires_grad and o.numel() for o in outs):
            continue
        if listed:  # a gap is an error, and never a term that is left out
            with pytest.raises(NotImplementedError, match="derivative"):
                second_order(program, outs, rng)
            continue
        report.check(f"sample {i}", second_order(program, outs, rng))
    if report.cases:
        report.finish()


def second_order(program, outs, rng):
    """Gradients of s = sum(gradient * u) by the inputs and by the incoming gradient."""
    weights = [np.asarray(rng.standard_normal(o.shape)) for o in outs]
    u = directions(rng, program.points)

    def first(points, incoming):
        """The gradient at a point, as numbers."""
        found = program.gradient(program.inputs(points), [tensor(w) for w in incoming])
        return [array(g) for g in found]

    inputs = program.inputs(program.points)
    incoming = [tensor(w).requires_grad_() for w in weights]
    grads = program.gradient(inputs, incoming, create_graph=True)
    live = [(g, tensor(d)) for g, d in zip(grads, u, strict=True) if g.requires_grad]
    if not live:
        return "the gradient carries no history"
    found = gradients([g for g, _ in live], inputs + incoming, [d for _, d in live])
    found = [_zeros(x) if g is None else g for g, x in zip(found, inputs + incoming, strict=True)]
    scale = max(largest(array(g)) for g in found)
    for _ in range(2):
        v, w = directions(rng, program.points), directions(rng, weights)
        up = first(moved(program.points, v, STEP), moved(weights, w, STEP))
        down = first(moved(program.points, v, -STEP), moved(weights, w, -STEP))
        expected = sum(
            float(((a - b) * x).sum()) / (2 * STEP) for a, b, x in zip(up, down, u, strict=True)
        )
        problem = close(_dot(found, v + w), expected, scale, "second gradient", 1e-5)
        if problem:
            return problem
    return None


# What rounding the arguments to float32 does to a gradient, times the largest element.
LOOSE = 2e-4


@pytest.mark.parametrize("name", [n for n in NAMES if differentiable(n)])
def test_gpu_gradient(name, gpu):
    """First and second gradients on the GPU are those of the CPU, in float32."""
    if (name, "gpu") in GAPS:
        pytest.skip(f"no GPU kernel: {GAPS[name, 'gpu']}")
    report = Report(name)
    for i, sample in enumerate(usable(name)[:4]):
        rng = np.random.default_rng(3)
        outs = Program(name, sample, "float32").run(
            Program(name, sample, "float32").inputs(Program(name, sample, "float32").points)
        )
        if not any(o.requires_grad and o.numel() for o in outs):
            continue
        weights = [np.asarray(rng.standard_normal(o.shape)) for o in outs]
        seeds = rng.integers(1 << 30)
        results = [orders(name, sample, weights, seeds, d) for d in ("cpu", gpu)]
        for order, (want, got) in enumerate(zip(*results, strict=True), start=1):
            for k, (a, b) in enumerate(zip(want, got, strict=True)):
                problem = difference(b, a, LOOSE, LOOSE * max(largest(a), 1e-2))
                report.check(f"sample {i}, order {order}, gradient {k}", problem)
    if report.cases:
        report.finish()


def orders(name, sample, weights, seed, device):
    """The fused gradient, the one read as tensor code, and the second one, as arrays."""
    program = Program(name, sample, "float32", device)
    inputs = program.inputs(program.points)
    incoming = [tensor(w, "float32", device) for w in weights]
    fused = program.gradient(inputs, incoming)
    graph = program.gradient(inputs, incoming, create_graph=True)
    out = [[array(g) for g in fused], [array(g) for g in graph]]
    rng = np.random.default_rng(seed)
    u = [tensor(d, "float32", device) for d in directions(rng, program.points)]
    live = [(g, d) for g, d in zip(graph, u, strict=True) if g.requires_grad]
    if live and (name, "second") not in GAPS:
        second = gradients([g for g, _ in live], inputs, [d for _, d in live])
        out.append([array(g) for g in second if g is not None])
    return out


@pytest.mark.parametrize("name", [n for n in NAMES if differentiable(n)])
def test_gradient_of_strided(name):
    """The gradient does not depend on the memory layout of the arguments."""
    report = Report(name)
    for i, sample in enumerate(usable(name)[:2]):
        if name in ("view", "strided"):
            continue
        program = Program(name, sample)
        plain = program.inputs(program.points)
        outs = program.run(plain)
        if not any(o.requires_grad and o.numel() for o in outs):
            continue
        weights = [tensor(np.random.default_rng(4).standard_normal(o.shape)) for o in outs]
        want = program.gradient(plain, weights)
        for layout in ("transposed", "sliced", "stepped"):
            leaves = [tensor(p, None, "cpu", layout).detach() for p in program.points]
            got = program.gradient([t.requires_grad_() for t in leaves], weights)
            for g, h in zip(got, want, strict=True):
                limit = 1e-11 * largest(array(h)) + 1e-13
                report.check(f"sample {i}, {layout}", difference(array(g), array(h), 1e-10, limit))
    if report.cases:
        report.finish()


def _tied_programs():
    """Functions at their kinks, for either library."""
    x = np.array([[-1.0, 0.0, 2.0, 2.0], [0.5, 0.5, 0.5, -3.0]])
    y = np.array([[-1.0, 1.0, 2.0, 0.0], [0.5, -0.5, 3.0, -3.0]])
    i = np.array([[2, 0, 2], [1, 1, 3]])
    return {
        "amax": (lambda m, f, x: m.amax(x, 1), x),
        "amin": (lambda m, f, x: m.amin(x, (0, 1)), x),
        "max": (lambda m, f, x: m.max(x), x),
        "max along": (lambda m, f, x: m.max(x, 1)[0], x),
        "maximum": (lambda m, f, x, y: m.maximum(x, y), x, y),
        "minimum": (lambda m, f, x, y: m.minimum(x, y), x, y),
        "fmax": (lambda m, f, x, y: m.fmax(x, y), x, y),
        "fmin": (lambda m, f, x, y: m.fmin(x, y), x, y),
        "abs": (lambda m, f, x: m.abs(x), x),
        "relu": (lambda m, f, x: f.relu(x), x),
        "relu6": (lambda m, f, x: f.relu6(3 * x), x),
        "sign": (lambda m, f, x: m.sign(x) * x, x),
        "clamp": (lambda m, f, x: m.clamp(x, -1, 2), x),
        "hardtanh": (lambda m, f, x: f.hardtanh(x), x),
        "clamp by tensors": (lambda m, f, x, y: m.clamp(x, y, y + 1), x, y),
        "leaky_relu": (lambda m, f, x: f.leaky_relu(x, 0.1), x),
        "elu": (lambda m, f, x: f.elu(x), x),
        "hardswish": (lambda m, f, x: f.hardswish(x), x),
        "hardsigmoid": (lambda m, f, x: f.hardsigmoid(x), x),
        "softshrink": (lambda m, f, x: f.softshrink(x), x),
        "hardshrink": (lambda m, f, x: f.hardshrink(x), x),
        "threshold": (lambda m, f, x: f.threshold(x, 0.5, 1.0), x),
        "sqrt": (lambda m, f, x: m.sqrt(x * x), x),
        "norm": (lambda m, f, x: m.norm(x * 0), x),
        "prod": (lambda m, f, x: m.prod(x, 1), x),
        "pow": (lambda m, f, x: x**2 + (x * x) ** 0.5, x),
        "pow by tensors": (lambda m, f, x, y: (x * x) ** (y * y), x, y),
        "xlogy": (lambda m, f, x, y: m.xlogy(x * 0, y * y), x, y),
        "cumprod": (lambda m, f, x: m.cumprod(x, 1), x),
        "max_pool2d": (lambda m, f, x: f.max_pool2d(x.reshape(1, 1, 2, 4), 2), x),
        "embedding": (lambda m, f, x, i: f.embedding(i % 2, x, 1), x, i),
        "std": (lambda m, f, x: m.std(x[:, 2:], 1), x),
        "cummax": (lambda m, f, x: m.cummax(x, 1)[0], x),
        "median": (lambda m, f, x: m.median(x, 1)[0], x[:, ::-1].copy()),
        "copysign": (lambda m, f, x, y: m.copysign(x, y), x, y),
        "atan2": (lambda m, f, x, y: m.atan2(x, y), x, y),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(_tied_programs()))
def test_gradient_at_kinks(name):
    """Where the derivative is a choice (ties, edges, 0), it is PyTorch's."""
    torch = pytest.importorskip("torch")
    f, *args = _tied_programs()[name]

    def run(module, functional, make):
        leaves = [make(a) for a in args]
        for t in leaves:
            if t.dtype.is_floating_point:
                t.requires_grad_()
        f(module, functional, *leaves).sum().backward()
        return [t.grad for t in leaves if t.requires_grad]

    want = run(torch, torch.nn.functional, torch.from_numpy)
    got = run(rg, rg.nn.functional, tensor)
    for a, b in zip(got, want, strict=True):
        assert a is not None and not difference(array(a), b.numpy(), 1e-7, 1e-12), (a, b)


def test_half_gradients_are_half():
    """Gradients of half types keep their dtype, and are those of float32 to half's precision."""
    for dtype, eps in (("float16", 2.0**-10), ("bfloat16", 2.0**-7)):
        x = tensor(np.linspace(0.3, 2.0, 40), dtype).requires_grad_()
        _core.sum(_core.mul(_core.exp(x), x)).backward()
        y = array(x).astype(np.float64)
        assert x.grad.dtype.name == dtype
        assert np.allclose(array(x.grad), np.exp(y) * (1 + y), rtol=6 * eps, atol=0)


def test_gradients_accumulate_and_stop():
    x = tensor(np.array([1.0, 2.0])).requires_grad_()
    for _ in range(2):
        _core.sum(_core.square(x)).backward()
    assert x.grad.tolist() == [4.0, 8.0]
    assert not _core.square(x.detach()).requires_grad
    assert isinstance(x.grad, rg.Tensor)
