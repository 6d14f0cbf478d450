"""`x[key]` and `x[key] = value` against numpy, which PyTorch's indexing follows.

With one exception: an integer (or a 0-d index) beside index arrays is applied first, as a
selection, where numpy counts it among the arrays. `plain` does the same for numpy."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import rubigo as rg

SETTINGS = settings(max_examples=300, deadline=None)


@st.composite
def slices(draw, size):
    bound = st.one_of(st.none(), st.integers(-size - 2, size + 2))
    return slice(draw(bound), draw(bound), draw(st.one_of(st.none(), st.integers(1, 3))))


@st.composite
def index_arrays(draw, size, shape):
    """Integers in range, in the common shape of a key's arrays or one that broadcasts to it."""
    cut = draw(st.integers(0, len(shape)))
    mine = tuple(draw(st.sampled_from([1, n])) if n != 1 else 1 for n in shape[cut:])
    count = int(np.prod(mine))
    values = draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count))
    dtype = draw(st.sampled_from([np.int64, np.int64, np.int32]))
    return np.array(values, dtype).reshape(mine)


@st.composite
def keys(draw, shape, advanced):
    """A key for an array of this shape; with `advanced`, index arrays and masks among the parts."""
    common = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    parts = []
    dim = 0
    has_mask = False
    while dim < len(shape):
        size = shape[dim]
        kinds = ["slice", "none", "stop"]
        if size:
            kinds.append("int")
            if advanced:
                kinds += ["array", "array"]
        if advanced and not has_mask:
            kinds.append("mask")
        kind = draw(st.sampled_from(kinds))
        if kind == "stop":
            break
        if kind == "none":
            if sum(p is None for p in parts) < 2:
                parts.append(None)
            continue
        if kind == "slice":
            parts.append(draw(slices(size)))
        elif kind == "int":
            parts.append(draw(st.integers(-size, size - 1)))
        elif kind == "array":
            parts.append(draw(index_arrays(size, common)))
        else:
            # A mask's hits must broadcast with the other arrays: only a sure case is drawn.
            rank = draw(st.integers(1, len(shape) - dim))
            cells = int(np.prod(shape[dim : dim + rank]))
            bits = draw(st.lists(st.booleans(), min_size=cells, max_size=cells))
            parts.append(np.array(bits, bool).reshape(shape[dim : dim + rank]))
            has_mask = True
            dim += rank - 1
        dim += 1
    if draw(st.booleans()):
        # Parts after the ellipsis count from the end: only trailing full dimensions may follow.
        parts.append(Ellipsis)
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


@st.composite
def cases(draw, advanced):
    shape = tuple(draw(st.lists(st.integers(0 if not advanced else 1, 4), min_size=0, max_size=4)))
    return shape, draw(keys(shape, advanced))


def ours(key):
    """The key with tensors in place of arrays."""
    parts = key if isinstance(key, tuple) else (key,)
    made = tuple(rg.tensor(p) if isinstance(p, np.ndarray) else p for p in parts)
    return made if isinstance(key, tuple) else made[0]


def plain(array, key):
    """The array after the key's integers, and what is left of the key."""
    parts = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(p, np.ndarray) for p in parts):
        return array, key
    first, rest = [], []
    for p in parts:
        if isinstance(p, np.ndarray) and not p.ndim:
            first.append(int(p))
        elif isinstance(p, np.ndarray):
            first += [slice(None)] * (p.ndim if p.dtype == bool else 1)
            rest.append(p)
        elif isinstance(p, int):
            first.append(p)
        else:
            if p is not None:
                first.append(p if p is Ellipsis else slice(None))
            rest.append(p)
    return array[(*first, ...)] if Ellipsis not in first else array[tuple(first)], tuple(rest)


def numbers(shape, dtype=np.float32):
    return np.arange(int(np.prod(shape))).astype(dtype).reshape(shape)


def places(array, key):
    """Which elements the key means, as positions."""
    view, rest = plain(np.arange(array.size).reshape(array.shape), key)
    return view[rest]


def read_both(array, key):
    """Checks that both give the same or both refuse."""
    x = rg.tensor(array)
    view, rest = plain(array, key)
    try:
        want = view[rest]
    except IndexError:
        with pytest.raises((IndexError, rg.ShapeError)):
            x[ours(key)]
        return
    got = x[ours(key)]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.numpy(), want)


@SETTINGS
@given(cases(advanced=False))
def test_basic_reads(case):
    shape, key = case
    read_both(numbers(shape), key)


@SETTINGS
@given(cases(advanced=True), st.sampled_from([np.float32, np.int64, np.bool_, np.uint8]))
def test_advanced_reads(case, dtype):
    shape, key = case
    read_both(numbers(shape, dtype), key)


@SETTINGS
@given(cases(advanced=False))
def test_basic_reads_are_views(case):
    shape, key = case
    array = numbers(shape)
    view, part = rg.from_numpy(array.copy())[key], array[key]
    assert view._shares_memory(view[...])
    if isinstance(part, np.ndarray) and part.size:
        base = rg.from_numpy(array)
        base[key].mul_(0)
        assert not part.any()


@SETTINGS
@given(cases(advanced=True), st.data())
def test_writes(case, data):
    shape, key = case
    array = numbers(shape)
    x = rg.tensor(array)
    view, rest = plain(array, key)
    try:
        part = view[rest]
    except IndexError:
        with pytest.raises((IndexError, rg.ShapeError)):
            x[ours(key)] = 1.0
        return
    # An index that occurs twice keeps one of the values written: the same value is written twice.
    targets = places(array, key)
    kind = data.draw(st.sampled_from(["number", "0-d", "full", "row"]))
    values = -1.0 - targets.astype(np.float32)
    if kind == "number":
        view[rest] = 7.5
        x[ours(key)] = 7.5
    elif kind == "0-d":
        view[rest] = 7.5
        x[ours(key)] = rg.tensor(7.5)
    elif kind == "full":
        view[rest] = values
        x[ours(key)] = rg.tensor(np.asarray(values))
    elif np.unique(targets).size == targets.size and part.ndim and part.size:
        row = values[(0,) * (part.ndim - 1)]
        view[rest] = row
        x[ours(key)] = rg.tensor(np.asarray(row))
    np.testing.assert_array_equal(x.numpy(), array)


@SETTINGS
@given(cases(advanced=True))
def test_gradients_of_reads(case):
    shape, key = case
    array = numbers(shape)
    try:
        targets = places(array, key)
    except IndexError:
        return
    x = rg.tensor(array, requires_grad=True)
    x[ours(key)].sum().backward()
    counts = np.bincount(np.ravel(targets), minlength=array.size).reshape(shape)
    np.testing.assert_array_equal(x.grad.numpy(), counts)


@SETTINGS
@given(cases(advanced=True))
def test_gradients_of_writes(case):
    shape, key = case
    array = numbers(shape)
    try:
        targets = places(array, key)
    except IndexError:
        return
    if np.unique(targets).size != targets.size:
        return
    x = rg.tensor(array, requires_grad=True)
    v = rg.tensor(np.asarray(targets, np.float32), requires_grad=True)
    y = x * 1
    y[ours(key)] = v
    (y * rg.tensor(array)).sum().backward()
    want = array.copy()
    want.ravel()[targets] = 0
    np.testing.assert_array_equal(x.grad.numpy(), want)
    np.testing.assert_array_equal(v.grad.numpy(), array.ravel()[targets])


def test_an_ellipsis_in_every_place():
    array = numbers((2, 3, 4))
    for key in [
        (..., 0),
        (0, ...),
        (0, ..., 1),
        (..., 0, 1),
        (..., None),
        (None, ..., None),
        (0, ..., 1, 2),
        (..., slice(None), slice(1, 3)),
        (0, 1, 2, ...),
        ...,
    ]:
        read_both(array, key)
    with pytest.raises(IndexError, match="ellipsis"):
        rg.tensor(array)[..., 0, ...]


def test_arrays_apart_move_their_dimensions_to_the_front():
    array = numbers((2, 3, 4, 2))
    i, j = np.array([0, 1, 1]), np.array([[2], [0]])
    for key in [
        (i, slice(None), j),
        (slice(None), i, j),
        (i, None, j),
        (0, slice(None), i),
        (slice(None), 0, i),
        (i, ..., j % 2),
        (slice(None), i, slice(None), 0),
        (None, i, j),
        (i, slice(0, 2), slice(None), i % 2),
    ]:
        read_both(array, key)


def test_lists_and_numpy_arrays_and_bools_as_keys():
    array = numbers((3, 4))
    x = rg.tensor(array)
    assert x[[0, 2]].tolist() == array[[0, 2]].tolist()
    assert x[[0, 2], [1, 3]].tolist() == array[[0, 2], [1, 3]].tolist()
    assert x[[True, False, True]].tolist() == array[[True, False, True]].tolist()
    assert x[np.array([1, 1])].tolist() == array[[1, 1]].tolist()
    assert x[rg.tensor(1)].tolist() == array[1].tolist()
    assert x[np.int64(1)].tolist() == array[1].tolist()
    assert x[[]].shape == (0, 4)
    assert x[True].shape == (1, 3, 4) and x[False].shape == (0, 3, 4)
    assert x[x > 5].tolist() == array[array > 5].tolist()
    assert x[rg.tensor(True)].shape == (1, 3, 4)


def test_what_cannot_be_a_key():
    x = rg.tensor(numbers((3, 4)))
    for key in (1.0, "a", {}, object(), (0, "a"), rg.tensor([0.5])):
        with pytest.raises((TypeError, IndexError)):
            x[key]
    for key in (3, -4, (0, 4), (0, 0, 0), [3], rg.tensor([-4]), 2**70):
        with pytest.raises(IndexError):
            x[key]
        with pytest.raises(IndexError):
            x[key] = 0
    with pytest.raises(IndexError, match="mask"):
        x[rg.tensor([True, False])]
    with pytest.raises(IndexError):
        x[rg.tensor([0, 1, 2]), rg.tensor([0, 1])]
    with pytest.raises(IndexError):
        rg.tensor(1.0)[0]
    assert rg.tensor(1.0)[...].item() == 1.0


def test_out_of_range_says_which_index_and_size():
    x = rg.tensor(numbers((3, 4)))
    with pytest.raises(IndexError, match="5") as caught:
        x[0, 5]
    assert "4" in str(caught.value)
    with pytest.raises(IndexError, match="7") as caught:
        x[rg.tensor([0, 7])]
    assert "3" in str(caught.value)


def test_slices_step_forward_only():
    x = rg.tensor(numbers((4,)))
    for step in (-1, 0, -(2**63)):
        with pytest.raises(ValueError, match="step"):
            x[::step]
    assert x[:: 2**62].tolist() == [0.0]
    assert x[-(2**62) : 2**62].tolist() == [0, 1, 2, 3]
    assert x[2**63 - 1 :].shape == (0,)


def test_writes_that_do_not_fit_change_nothing():
    x = rg.tensor(numbers((2, 3)))
    before = x.clone()
    for key, value in [
        (0, rg.ones(2)),
        (slice(None), rg.ones(3, 2)),
        (rg.tensor([0, 1]), rg.ones(2, 2)),
        (x > 2, rg.ones(5)),
        ((0, 0), rg.ones(2)),
    ]:
        with pytest.raises(RuntimeError):
            x[key] = value
    with pytest.raises((IndexError, RuntimeError)):
        x[rg.tensor([0, 9])] = 5.0
    with pytest.raises(TypeError):
        x[0] = "a"
    assert x.equal(before)


def test_writes_cast_to_the_tensors_dtype():
    x = rg.tensor([1, 2, 3])
    x[0] = 7.9
    x[rg.tensor([1, 2])] = rg.tensor([1.5, -1.5])
    assert x.tolist() == [7, 1, -1]
    y = rg.tensor([True, True])
    y[0] = 0
    assert y.tolist() == [False, True]
    z = rg.tensor(numbers((2, 2)))
    z[0] = [5, 6]
    z[:, 1] = np.array([8, 9])
    assert z.tolist() == [[5, 8], [2, 9]]


def test_augmented_assignment_through_a_key():
    x = rg.tensor(numbers((2, 3)))
    x[0] += 10
    x[:, 1] *= 2
    x[x > 11] -= 1
    want = numbers((2, 3))
    want[0] += 10
    want[:, 1] *= 2
    want[want > 11] -= 1
    assert x.tolist() == want.tolist()


def test_a_write_from_the_same_memory():
    x = rg.tensor(numbers((5,)))
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]
    x[rg.tensor([0, 1, 2])] = x[2:]
    assert x.tolist() == [1, 2, 3, 2, 3]


def test_reads_and_writes_on_a_device(device):
    array = numbers((3, 4, 5))
    i, mask = np.array([2, 0, 2]), numbers((3, 4)) % 3 == 0
    for key in [
        1,
        (slice(1, 3), ..., slice(0, 5, 2)),
        i,
        (slice(None), i),
        (i, i),
        mask,
        (0, i, None),
    ]:
        x, want = rg.tensor(array, device=device), array.copy()
        parts = key if isinstance(key, tuple) else (key,)
        made = tuple(rg.tensor(p, device=device) if isinstance(p, np.ndarray) else p for p in parts)
        view, rest = plain(want, key)
        np.testing.assert_array_equal(x[made].cpu().numpy(), view[rest])
        x[made] = 5.0
        view[rest] = 5.0
        np.testing.assert_array_equal(x.cpu().numpy(), want)


def test_index_put_as_in_torch(device):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    base = rng.standard_normal((4, 5, 3)).astype("float32")
    rows, columns = np.array([0, 2, 0, -1]), np.array([1, 1, 1, 4])
    mask = rng.random((4, 5)) < 0.5
    cases = [
        ((rows,), (4, 5, 3)), ((rows,), ()), ((rows, columns), (4, 3)), ((rows, columns), (3,)),
        ((mask,), (int(mask.sum()), 3)), ((rows[:, None], columns), (4, 4, 3)),
    ]  # fmt: skip
    for indices, shape in cases:
        values = rng.standard_normal(shape).astype("float32")
        for accumulate in (False, True):
            if not accumulate and shape:  # of repeated places any may win
                values = np.full(shape, 2.0, "float32")
            found = []
            for lib, where in ((rg, device), (torch, "cpu")):
                x = lib.tensor(base, device=where, requires_grad=True)
                v = lib.tensor(values, device=where, requires_grad=True)
                at = tuple(lib.tensor(i, device=where) for i in indices)
                y = x.index_put(at, v, accumulate)
                (y * y).sum().backward()
                z = x.detach().clone()
                assert z.index_put_(at, v.detach(), accumulate=accumulate) is z
                kept = [y.detach(), x.grad, z, *([v.grad] if accumulate else [])]
                found.append([np.asarray(t.cpu()) for t in kept])
            for ours, theirs in zip(*found, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_index_put_refuses():
    x = rg.zeros(3)
    with pytest.raises(TypeError, match="indices is a tuple of Tensors or None, got Tensor"):
        x.index_put(rg.tensor([0]), rg.tensor(1.0))
    with pytest.raises(RuntimeError, match=r"input is rubigo\.float32 and values rubigo\.int64"):
        x.index_put((rg.tensor([0]),), rg.tensor(1))
    with pytest.raises(IndexError, match="out of bounds"):
        x.index_put_((rg.tensor([5]),), rg.tensor(1.0), accumulate=True)


@pytest.mark.parametrize("dtype", ["int8", "bool", "float16", "int16", "float32"])
def test_writes_of_nothing(dtype, device):
    nothing = rg.zeros(0, dtype=rg.int64, device=device)
    for shape in ((5, 1), (3, 4), (1, 1)):
        x = rg.ones(shape, dtype=getattr(rg, dtype), device=device)
        kept = x.clone()
        x[:, []] = 0
        x[None, nothing] = 0
        x[rg.zeros(shape, dtype=rg.bool, device=device)] = 0
        x.index_fill_(1, nothing, 0)
        x.index_copy_(1, nothing, x[:, :0].clone())
        assert (x == kept).all()


@pytest.mark.parametrize("key", [1.0, "a", object(), {}])
def test_what_is_no_index_raises_as_in_torch(key):
    torch = pytest.importorskip("torch")
    with pytest.raises((TypeError, IndexError)) as caught:
        torch.ones(3)[key]
    for call in (lambda: rg.ones(3)[key], lambda: rg.ones(3).__setitem__(key, 1.0)):
        with pytest.raises(caught.type, match="are valid indices"):
            call()
