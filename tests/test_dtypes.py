"""Promotion, broadcasting and memory layouts of any shape, against numpy and PyTorch."""

import numpy as np
import pytest
from harness import DTYPES, FLOATS, array, difference, numpy_dtype, rounded, tensor
from hypothesis import given, settings, strategies as st

import rubigo as rg
from rubigo import _core

# Derandomized: the same examples in every run.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("suite")

SIZES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def torch_dtype(torch, name):
    return getattr(torch, name)


@pytest.mark.parametrize("op", ["add", "mul", "true_divide", "lt", "maximum", "where"])
def test_promotion_of_tensors(op):
    """Every pair of dtypes, as tensors of a dimension and of none."""
    torch = pytest.importorskip("torch")
    wrong = []
    for a in DTYPES:
        for b in DTYPES:
            for shapes in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
                pairs = list(zip(shapes, (a, b), strict=True))
                mine = [_core.cast(tensor(np.ones(s)), d) for s, d in pairs]
                theirs = [torch.ones(s, dtype=torch_dtype(torch, d)) for s, d in pairs]
                if op == "where":
                    mine.insert(0, _core.from_numpy(np.ones(2, bool)))
                    theirs.insert(0, torch.ones(2).bool())
                try:
                    want = str(getattr(torch, op)(*theirs).dtype).removeprefix("torch.")
                except (RuntimeError, TypeError):
                    continue  # PyTorch lacks many pairs of the wide unsigned types
                found = getattr(_core, op)(*mine).dtype.name
                if found != want:
                    call = f"{op}({a}{shapes[0]}, {b}{shapes[1]})"
                    wrong.append(f"{call} is {found}, PyTorch's {want}")
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("number", [True, 2, 2.5], ids=["bool", "int", "float"])
def test_promotion_with_numbers(number):
    torch = pytest.importorskip("torch")
    wrong = []
    for d in DTYPES:
        for shape in ((2,), ()):
            x = _core.cast(tensor(np.ones(shape)), d)
            y = torch.ones(shape, dtype=torch_dtype(torch, d))
            for name, f in (
                ("x + n", lambda t: t + number), ("n + x", lambda t: number + t),
                ("x * n", lambda t: t * number), ("x / n", lambda t: t / number),
                ("x == n", lambda t: t == number), ("x ** n", lambda t: t**number),
                ("x // n", lambda t: t // number),
            ):  # fmt: skip
                try:
                    want = str(f(y).dtype).removeprefix("torch.")
                except (RuntimeError, TypeError):
                    continue
                found = f(x).dtype.name
                if found != want:
                    wrong.append(f"{name} of {d}{shape} is {found}, PyTorch's {want}")
    assert not wrong, "\n".join(wrong)


def test_promote_types():
    torch = pytest.importorskip("torch")
    wrong = []
    for a in DTYPES:
        for b in DTYPES:
            try:
                want = torch.promote_types(torch_dtype(torch, a), torch_dtype(torch, b))
            except RuntimeError:
                continue
            found = rg.promote_types(getattr(rg, a), getattr(rg, b))
            if found.name != str(want).removeprefix("torch."):
                wrong.append(f"{a} with {b} is {found.name}, PyTorch's {want}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("d", ["int8", "uint8", "int32", "int64", "uint64"])
def test_integers_wrap(d):
    info = np.iinfo(d)
    x = _core.from_numpy(np.array([info.max, info.min], d))
    one = _core.from_numpy(np.array([1, 1], d))
    with np.errstate(over="ignore"):
        assert array(x + one).tolist() == [info.min, info.min + 1]
        assert array(x - one).tolist() == [info.max - 1, info.max]
        assert array(x * x).tolist() == (array(x) * array(x)).tolist()


def test_integer_division():
    x = np.array([7, -7, 7, -7, 0], np.int64)
    y = np.array([2, 2, -2, -2, 5], np.int64)
    a, b = tensor(x), tensor(y)
    assert array(a // b).tolist() == (x // y).tolist()
    assert array(a % b).tolist() == (x % y).tolist()
    assert array(_core.fmod(a, b)).tolist() == np.fmod(x, y).tolist()
    assert array(_core.div(a, b, rounding_mode="trunc")).tolist() == [3, -3, -3, 3, 0]
    assert (a / b).dtype == rg.float32
    for f in (_core.floor_divide, _core.remainder, _core.fmod):
        # PyTorch raises; see docs/deviations.md.
        assert array(f(a, tensor(np.zeros(5, np.int64)))).tolist() == [0] * 5


@st.composite
def broadcastable(draw):
    """Two shapes that broadcast, sizes 0 and 1 included."""
    whole = draw(SIZES)

    def part():
        cut = draw(st.integers(0, len(whole)))
        return tuple(1 if draw(st.booleans()) else n for n in whole[cut:])

    return part(), part()


@st.composite
def strided(draw, a):
    """A tensor of the array's values in some memory layout."""
    order = draw(st.permutations(range(a.ndim)))
    t = tensor(a.transpose(order)).permute(*np.argsort(order).tolist()) if a.ndim else tensor(a)
    for d in range(a.ndim):
        kind = draw(st.sampled_from(("as is", "step", "offset")))
        if kind == "step" and t.shape[d]:
            wide = _core.stack([t, t * 0 - 1.0], d + 1).flatten(d, d + 1)
            t = _core.slice(wide, d, 0, None, 2)
        elif kind == "offset":
            edge = tensor(np.full((*a.shape[:d], 1, *a.shape[d + 1 :]), -1.0))
            t = _core.slice(_core.cat([edge, t, edge], d), d, 1, 1 + a.shape[d])
    assert t.shape == a.shape
    return t


@given(st.data())
def test_broadcasting(data):
    a, b = data.draw(broadcastable())
    rng = np.random.default_rng(0)
    x, y = np.asarray(rng.standard_normal(a)), np.asarray(rng.standard_normal(b))
    t, u = data.draw(strided(x)), data.draw(strided(y))
    for mine, theirs in ((_core.add, np.add), (_core.maximum, np.maximum), (_core.lt, np.less)):
        assert difference(array(mine(t, u)), theirs(x, y), 0, 0) is None
    t, u = t.detach().requires_grad_(), u.detach().requires_grad_()
    (t * u).sum().backward()
    for leaf, other in ((t, y), (u, x)):
        whole = np.broadcast_to(other, np.broadcast_shapes(a, b))
        lead = whole.ndim - len(leaf.shape)
        want = whole.sum(tuple(range(lead)))
        ones = tuple(i for i, n in enumerate(leaf.shape) if n == 1)
        want = want.sum(ones, keepdims=True) if ones else want
        assert difference(array(leaf.grad), want, 1e-12, 1e-12) is None


@given(SIZES, SIZES)
def test_shapes_that_do_not_broadcast(a, b):
    try:
        want = np.broadcast_shapes(a, b)
    except ValueError:
        want = None
    x, y = tensor(np.zeros(a)), tensor(np.zeros(b))
    if want is None:
        with pytest.raises(RuntimeError, match=r"broadcast|size|shape"):
            x + y
    else:
        assert (x + y).shape == want


@given(st.data())
def test_layouts(data):
    """Reductions, copies and scans of any strides are those of the values."""
    shape = data.draw(SIZES)
    x = np.asarray(np.random.default_rng(1).integers(-9, 9, shape)).astype(np.float64)
    t = data.draw(strided(x))
    assert difference(array(t.contiguous()), x, 0, 0) is None
    assert difference(array(t.sum()), x.sum(), 0, 0) is None
    assert array(t.reshape(-1)).tolist() == x.reshape(-1).tolist()
    for d in range(x.ndim):
        assert difference(array(t.sum(d)), x.sum(d), 0, 0) is None
        assert difference(array(_core.cumsum(t, d)), x.cumsum(d), 0, 0) is None
        assert difference(array(_core.flip(t, d)), np.flip(x, d), 0, 0) is None
        if x.shape[d]:
            assert difference(array(_core.amax(t, d)), x.max(d), 0, 0) is None
            assert difference(array(_core.argmin(t, d)), x.argmin(d), 0, 0) is None
    for d in FLOATS:
        assert difference(array(_core.cast(t, d)), rounded(x, d), 0, 0) is None


@given(st.data())
def test_writes_through_views(data):
    """An in-place op on a view changes those elements and no others."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    t = tensor(x)
    view, place = t, x
    for d in range(x.ndim):
        start = data.draw(st.integers(0, shape[d] - 1))
        stop = data.draw(st.integers(start, shape[d]))
        step = data.draw(st.integers(1, 2))
        view = _core.slice(view, d, start, stop, step)
        place = place[(slice(None),) * d + (slice(start, stop, step),)]
    order = data.draw(st.permutations(range(x.ndim)))
    view, place = view.permute(*order), place.transpose(order)
    view.mul_(2.0).add_(1.0)
    place *= 2.0
    place += 1.0
    assert difference(array(t), x, 0, 0) is None


@given(st.floats(width=32), st.sampled_from(("float16", "bfloat16", "float32")))
def test_rounding_to_floats(value, d):
    """A cast rounds to nearest, ties to even, as ml_dtypes and numpy do."""
    with np.errstate(all="ignore"):
        want = np.array([value]).astype(numpy_dtype(d)).astype(np.float64)
    got = array(_core.cast(tensor(np.array([value])), d))
    assert difference(got, want, 0, 0, signs=True) is None
