"""Every op of the table against its oracle: dtypes, layouts, special values, large sizes, devices.

One item per op; a failure lists the cases that fail. `RUBIGO_TEST_ALL=1` runs the full product.
"""

import math

import harness
import numpy as np
import oracles
import pytest
from expected import (
    BACKWARDS,
    CANCELLING,
    GAPS,
    OPS,
    ROWS,
    UNORDERED_TIES,
    WRITES,
    case,
    compare,
    prepared,
    row_takes,
    small,
)
from harness import (
    DTYPES,
    EPS,
    FLOATS,
    FULL,
    LAYOUTS,
    REFUSALS,
    TABLE,
    Report,
    array,
    arrays_of,
    bits,
    call,
    constant_along_first,
    difference,
    flat,
    function,
    is_value,
    largest,
    map_arrays,
    map_tensors,
    placed,
    plain_dtype,
    rounded,
    tensor,
    typed,
)
from samples import PROPERTIES, REQUIRED, big_samples, row_samples, samples

import rubigo as rg
from rubigo import _core

# ---- the CPU --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPS)
def test_values(name):
    """Each dtype, contiguous, against the oracle."""
    report = Report(name)
    if name in PROPERTIES:
        return check_properties(name, "cpu")
    for i, sample in enumerate(small(name)):
        has_values = any(is_value(a) for a in arrays_of(sample))
        for dtype in DTYPES if has_values else ("float32",):
            if dtype == "bool" and name in UNORDERED_TIES:
                continue
            report.check(f"sample {i}, {dtype}", case(name, sample, dtype))
    report.finish()


def layout_dtypes(name):
    row = TABLE[name]
    if FULL:
        return DTYPES
    if row["kind"] == "row":
        wanted = ("float32", "bfloat16", "int64", "uint8", "bool")
        return [d for d in wanted if row_takes(name, d)]
    return ["float32", "int32"]


@pytest.mark.parametrize("name", OPS)
def test_layouts(name):
    """Each memory layout, in one dtype per class."""
    if name in PROPERTIES:
        pytest.skip("the result is no function of the arguments' values alone")
    if name in ("view", "strided"):
        pytest.skip("what it gives depends on the strides: tests/test_tensor.py")
    report = Report(name)
    for dtype in layout_dtypes(name):
        if dtype == "bool" and name in UNORDERED_TIES:
            continue
        for i, sample in enumerate(small(name)):
            for layout in LAYOUTS[1:]:
                given = sample
                if layout == "broadcast":
                    if name in UNORDERED_TIES or name in WRITES:
                        continue
                    given = map_arrays(constant_along_first, sample)
                problem = case(name, given, dtype, layout=layout)
                report.check(f"sample {i}, {dtype}, {layout}", problem)
    if arrays_of(small(name)):
        report.finish()


SPECIAL = np.array(
    [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, -1e-40, 1.2e-38, 200.0, -200.0, 1e30, -1e30,
     1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 88.0, -104.0, 3.4e38, 16777217.0, 1e-5, -1e-5, 6.0, -3.0, 3.0]
)  # fmt: skip

# Where the value at a special argument is not PyTorch's, on purpose: docs/deviations.md.
OWN_VALUE = {"sign"}

OWN_ZERO_SIGN = {
    "maximum", "minimum", "fmax", "fmin", "remainder", "relu", "clamp_numbers", "relu6", "hardtanh",
    "hardswish", "softshrink", "hardshrink", "frac", "div_trunc", "floor_divide", "fmod",
    "hardsigmoid", "threshold", "sign",
}  # fmt: skip


def special_samples(name):
    """The special values as an argument, or each with each as two."""
    tensors = sum(p["kind"] == "Tensor" for p in TABLE[name]["params"])
    if tensors == 1:
        # Next to its poles at 0, -1, -2, ... the value of trigamma is that of the rounding.
        return [(SPECIAL[~(SPECIAL < 0)],)] if name == "trigamma" else [(SPECIAL,)]
    x, y = (a.reshape(-1) for a in np.meshgrid(SPECIAL, SPECIAL, indexing="ij"))
    return [(x, y)] if tensors == 2 else []


@pytest.mark.parametrize(
    "name", [n for n in ROWS if TABLE[n]["class"] not in ("Bits", "Ints", "Masked")]
)
def test_special_values(name):
    """NaN, infinities, signed zeros, denormal and huge numbers, against PyTorch (or numpy)."""
    report = Report(name)
    for args in special_samples(name):
        for dtype in ("float32", "float64"):
            kind = np.dtype(dtype)
            exact = tuple(np.asarray(a.astype(kind), np.float64) for a in args)
            more = tuple(REQUIRED.get(name, {}).values())
            want, native = special_values(name, exact, more, kind)
            got = array(call(name, ((*exact, *more), {}), dtype)[0])
            rel = max(TABLE[name]["ulp"], 8) * EPS[dtype]
            tiny = 1e-43 if dtype == "float32" else 1e-320
            if name in CANCELLING:
                with np.errstate(all="ignore"):
                    tiny = tiny + rel * np.minimum(np.abs(np.nan_to_num(exact[0])), 4)
            signs = name not in OWN_ZERO_SIGN
            report.check(dtype, difference(got, want, rel, tiny, signs, native))
    if special_samples(name):
        report.finish()


def special_values(name, exact, more, kind):
    """The definition in float64, rounded to `kind`; and what PyTorch makes of it in `kind`."""
    known = oracles.torch_row(name)
    with np.errstate(all="ignore"):
        if known is None or name in OWN_VALUE:
            want = oracles.row(name, TABLE[name]["class"], (*exact, *more), {}, kind.name)
            return (want.astype(kind) if want.dtype == np.float64 else want), None
        from_numpy = oracles.torch.from_numpy
        want = known(*map(from_numpy, exact), *more).numpy()
        native = known(*(from_numpy(a.astype(kind)) for a in exact), *more).numpy()
        return (want.astype(kind) if want.dtype == np.float64 else want), native


@pytest.mark.parametrize("name", ROWS)
def test_large(name):
    """A size that runs on several threads and ends in the middle of a vector."""
    report = Report(name)
    for n in (100_003,) if not FULL else (4097, 100_003, 1_000_003):
        for sample in row_samples(name, (((n,),) * 3, ((3, n // 3),) * 3))[:2]:
            for dtype in ("float32", "int64"):
                if row_takes(name, dtype):
                    report.check(f"{n} elements, {dtype}", case(name, sample, dtype))
    report.finish()


@pytest.mark.parametrize("name", [n for n in OPS if TABLE[n]["inplace"]])
def test_in_place(name):
    """`x.op_()` gives what `op(x)` gives, counts as a write, and is refused for a leaf."""
    report = Report(name)
    method = getattr(rg.Tensor, name + "_")
    dtype = plain_dtype(name)
    for i, sample in enumerate(small(name)):
        sample = prepared(name, sample, dtype)
        args, kwargs = placed(sample, dtype)
        want = flat(function(name)(*args, **kwargs))[0]
        x, rest = args[0], args[1:]
        if not isinstance(x, rg.Tensor) or want.shape != x.shape or want.dtype != x.dtype:
            with pytest.raises(REFUSALS):
                method(x, *rest, **kwargs)
            continue
        base = tensor(np.zeros((2, *x.shape)), dtype)
        for where, target in (("contiguous", _core.clone(x)), ("a view", base.select(0, 1))):
            if where == "a view":
                target.copy_(x)
            before = target._version
            result = method(target, *rest, **kwargs)
            same = bits(result) == bits(want) and bits(target) == bits(want)
            counted = target._version > before
            report.check(f"sample {i}, {where}", None if same else "differs from the op")
            report.check(f"sample {i}, {where}", None if counted else "no write counted")
        clean = not array(base.select(0, 0)).any()
        report.check(f"sample {i}", None if clean else "wrote beside the view")
        if dtype == "float32":
            leaf = _core.clone(x).detach().requires_grad_()
            try:
                method(leaf, *rest, **kwargs)
                report.check(f"sample {i}", "a leaf that requires grad was overwritten")
            except RuntimeError:
                report.check(f"sample {i}", None)
    report.finish()


@pytest.mark.parametrize("name", [n for n in OPS if TABLE[n]["method"] and TABLE[n]["function"]])
def test_method_is_function(name):
    """`x.op(..)` is `rubigo.op(x, ..)`."""
    if name in PROPERTIES or not isinstance(small(name)[0][0][0], np.ndarray):
        pytest.skip("not called on a tensor alone")
    dtype = plain_dtype(name)
    args, kwargs = placed(prepared(name, small(name)[0], dtype), dtype)
    as_function = flat(getattr(_core, name)(*args, **kwargs))
    as_method = flat(getattr(args[0], name)(*args[1:], **kwargs))
    assert [bits(t) for t in as_function] == [bits(t) for t in as_method]


def check_properties(name, device):
    """Ops whose results an oracle cannot give."""
    if name == "class_loss_backward":
        return check_class_loss_backward(device)
    if name == "norm_backward":
        return check_norm_backward(device)
    for sample in small(name):
        args, kwargs = placed(sample, "float32", device)
        out = function(name)(*args, **kwargs)
        values = array(out)
        assert bits(out) == bits(function(name)(*args, **kwargs)) or name.startswith("empty")
        if name == "random_permutation":
            assert sorted(values.tolist()) == list(range(args[0])) and out.dtype == rg.int64
        elif name == "random_multinomial":
            weights = sample[0][0]
            assert out.shape == (*weights.shape[:-1], args[1]) and out.dtype == rg.int64
            assert ((values >= 0) & (values < weights.shape[-1])).all()
            rows = values.reshape(-1, args[1])
            assert args[2] or all(len(set(r)) == args[1] for r in rows.tolist())
        else:
            shape = sample[0][0] if name == "empty" else sample[0][0].shape
            assert out.shape == tuple(shape) and out.dtype == rg.float32
    if name == "random_multinomial":
        weights = np.array([1.0, 0.0, 3.0, 4.0])
        drawn = array(function(name)(tensor(weights, "float32", device), 40_000, True, 3, 1))
        shares = np.bincount(drawn, minlength=4) / 40_000
        assert np.abs(shares - weights / 8).max() < 0.015


def check_class_loss_backward(device):
    """With what class_loss left for it, it gives PyTorch's gradient in every float dtype."""
    torch = pytest.importorskip("torch")
    report = Report("class_loss_backward")
    for i, sample in enumerate(small("class_loss_backward")):
        for dtype in FLOATS:
            if device == "gpu" and dtype == "float64":
                continue
            exact = typed(sample, dtype)
            (x, target, weight, *rest), _ = placed(exact, dtype, device)
            loss, total, stats = _core.class_loss(x, target, weight, *rest)
            incoming = np.linspace(0.5, 1.5, loss.numel()).reshape(loss.shape)
            incoming = typed(np.asarray(incoming), dtype)
            args = x, target, weight, total, stats, *rest
            got = array(_core.class_loss_backward(tensor(incoming, dtype, device), *args))
            point = torch.tensor(exact[0][0], requires_grad=True)
            as_torch = [None if a is None else torch.from_numpy(a) for a in exact[0][1:3]]
            oracles.TORCH["class_loss"](point, *as_torch, *rest).backward(torch.tensor(incoming))
            want = point.grad.numpy()
            limit = 8 * EPS[dtype] * largest(want) + EPS["float32"] * (dtype != "float64")
            report.check(f"sample {i}, {dtype}", difference(got, want, 8 * EPS[dtype], limit))
    report.finish()


def check_norm_backward(device):
    """With the statistics of each fused norm, PyTorch's gradients in every float dtype."""
    torch = pytest.importorskip("torch")
    report = Report("norm_backward")
    for sample in small("norm_backward"):
        for dtype in FLOATS:
            if device == "gpu" and dtype == "float64":
                continue
            (norm, arg, x, weight, bias), _ = typed(sample, dtype)
            here = [None if a is None else tensor(a, dtype, device) for a in (x, weight, bias)]
            y, var, mean = function(norm)(here[0], arg, here[1], here[2], 1e-5)
            incoming = rounded(np.linspace(0.5, 1.5, x.size).reshape(x.shape), dtype)
            g = tensor(incoming, dtype, device)
            got = _core.norm_backward(g, here[0], here[1], var, mean, norm, arg, 1e-5, True)
            leaves = [
                None if a is None else torch.tensor(a, requires_grad=True)
                for a in (x, weight, bias)
            ]
            result = oracles.TORCH[norm](leaves[0], arg, leaves[1], leaves[2], 1e-5)
            result.backward(torch.tensor(incoming))
            wanted = [t.grad.numpy() for t in leaves if t is not None]
            for k, want in enumerate(wanted):
                limit = 16 * EPS[dtype] * largest(want)
                problem = difference(array(flat(got)[k]), want, 16 * EPS[dtype], limit)
                report.check(f"{norm}, {dtype}, gradient {k}", problem)
            assert y.shape == x.shape
    report.finish()


# ---- the GPU --------------------------------------------------------------------------------


def gpu_dtypes(name):
    row = TABLE[name]
    if row["kind"] == "row":
        wanted = ("float32", "float16", "bfloat16", "int32", "int64", "uint8", "bool")
        return [d for d in wanted if row_takes(name, d)]
    return ["float32", "float16", "int64"]


def gpu_case(name, sample, dtype, layout="contiguous"):
    """Compares the GPU with the CPU."""
    sample = prepared(name, sample, dtype)
    try:
        want = call(name, sample, dtype, "cpu", layout)
    except REFUSALS as cpu_error:
        try:
            call(name, sample, dtype, "gpu", layout)
        except REFUSALS as e:
            if type(e) is type(cpu_error):
                return None
            return f"raises {type(e).__name__}, the CPU {type(cpu_error).__name__}"
        return f"gives a result, the CPU raises {type(cpu_error).__name__}: {cpu_error}"
    try:
        out = call(name, sample, dtype, "gpu", layout)
        _core.gpu_synchronize()
    except REFUSALS as e:
        return f"raises {type(e).__name__}: {str(e).splitlines()[0]}"
    wrong = [t.device for t in out if str(t.device).split(":")[0] != "gpu"]
    if wrong and name != "to_device":
        return f"the result is on {wrong[0]}"
    # A GPU has no float64: where the CPU chooses it unasked (bincount's weights), it is float32.
    expected = [(array(t), t.dtype.name.replace("float64", "float32")) for t in want]
    return compare(name, out, expected, dtype, factor=4.0 if dtype == "float32" else 2.0)


@pytest.mark.parametrize("name", OPS)
def test_gpu(name, gpu):
    """The GPU gives what the CPU gives: dtypes contiguous, layouts in float32."""
    if (name, "gpu") in GAPS:
        with pytest.raises(NotImplementedError):
            for sample in small(name):
                call(name, prepared(name, sample, "float32"), "float32", gpu)
        return
    if name in PROPERTIES:
        return check_properties(name, gpu)
    report = Report(name)
    for i, sample in enumerate(small(name)):
        if name == "cast":
            sample = (sample[0][0], "float32"), sample[1]
        if not arrays_of(sample) and "device" not in sample[1]:
            continue  # made on the CPU
        has_values = any(is_value(a) for a in arrays_of(sample))
        for dtype in gpu_dtypes(name) if has_values else ("float32",):
            report.check(f"sample {i}, {dtype}", gpu_case(name, sample, dtype))
        first = gpu_dtypes(name)[0]
        if not has_values or name in ("view", "strided"):
            continue
        for layout in LAYOUTS[1:] if FULL or i < 2 else ():
            given = sample
            if layout == "broadcast":
                if name in UNORDERED_TIES or name in WRITES:
                    continue
                given = map_arrays(constant_along_first, sample)
            report.check(f"sample {i}, {layout}", gpu_case(name, given, first, layout))
    if TABLE[name]["kind"] == "row" and TABLE[name]["class"] not in ("Bits", "Ints", "Masked"):
        for args in special_samples(name):
            # Denormal numbers may be flushed: they are left out.
            keep = np.all([(a == 0) | ~(np.abs(a) < 1e-37) for a in args], 0)
            report.check("special values", gpu_special(name, tuple(a[keep] for a in args)))
    report.finish()


def gpu_special(name, args):
    sample = args, REQUIRED.get(name, {})
    want = array(call(name, sample, "float32")[0])
    got = array(call(name, sample, "float32", "gpu")[0])
    scale = 4 * TABLE[name]["ulp"] * EPS["float32"]
    return difference(got, want, scale, 2e-38)


def test_float64_is_refused_on_the_gpu(gpu):
    with pytest.raises(TypeError, match="float32"):
        _core.from_numpy(np.ones(3)).to(gpu)


# ---- the table itself -----------------------------------------------------------------------


def lacks(name):
    """What an op lacks, found by looking."""
    row, found = TABLE[name], set()
    if not row["gpu"]:
        found.add("gpu")
    if samples(name) is None:
        found.add("samples")
    elif row["missing_grad"] or (row["no_grad"] and name in BACKWARDS):
        found.add("gradient")
    elif row["no_grad"] and name not in PROPERTIES and not name.endswith("_like"):
        dtype = plain_dtype(name)
        out = call(name, prepared(name, samples(name)[0], dtype), dtype)
        reads_floats = any(is_value(a) for a in arrays_of(samples(name)[0]))
        if reads_floats and any(t.dtype.is_floating_point for t in out):
            found.add("gradient")
    return found


@pytest.mark.parametrize("name", OPS)
def test_gaps_are_listed(name):
    listed = {what for op, what in GAPS if op == name and what in ("gpu", "samples", "gradient")}
    found = lacks(name)
    composed = TABLE[name]["kind"] == "composition"
    missing = found - listed
    filled = listed - found - ({"gpu", "gradient"} if composed else set())
    assert not missing, f"{name} lacks {missing}: list it in tests/known_gaps.txt with the reason"
    assert not filled, f"{name} no longer lacks {filled}: take it out of tests/known_gaps.txt"
    assert TABLE[name]["doc"]


def test_gaps_name_ops():
    unknown = {op for op, _ in GAPS} - set(OPS)
    assert not unknown, f"known_gaps.txt lists ops that do not exist: {sorted(unknown)}"


def test_casts():
    """Every dtype to every other, as numpy casts (floats towards zero, ints wrap)."""
    report = Report("cast")
    values = np.array([0.0, 1.0, 2.5, -1.5, 100.0, -7.0, 3.75, 64.0])
    for source in DTYPES:
        for target in DTYPES:
            x = typed(values, source)
            if target.startswith("u") and x.dtype.kind == "f":
                x = np.abs(x)  # a negative float as unsigned is undefined
            t = tensor(x, source)
            want = x.astype(bool) if target == "bool" else x.astype(harness.numpy_dtype(target))
            got = _core.cast(t, target)
            problem = difference(array(got), want.astype(np.float64), 0, 0)
            report.check(f"{source} to {target}", problem)
            same = got.dtype.name == target
            report.check(f"{source} to {target}", None if same else f"is {got.dtype}")
    report.finish()


# ---- the package computes by itself ---------------------------------------------------------


def test_without_numpy(monkeypatch):
    """Every op forward and backward while numpy's own functions raise."""
    ready = []
    for name in OPS:
        if samples(name) is None or name in BACKWARDS:
            continue
        dtype = plain_dtype(name)
        for sample in small(name)[:2]:
            args, kwargs = placed(prepared(name, sample, dtype), dtype)
            if not TABLE[name]["no_grad"] and name != "class_loss":
                map_tensors(lambda t: t.dtype.is_floating_point and t.requires_grad_(), args)
            ready.append((name, args, kwargs))

    def refuse(*args, **kwargs):
        raise AssertionError("the package called numpy to compute")

    for module in (np, np.linalg, np.fft, np.random):
        for key, value in list(vars(module).items()):
            if callable(value) and not isinstance(value, type) and not key.startswith("_"):
                monkeypatch.setattr(module, key, refuse)
    failures = []
    for name, args, kwargs in ready:
        try:
            tracked = [t for t in flat(function(name)(*args, **kwargs)) if t.requires_grad]
            if tracked:
                rg.autograd.backward([_core.sum(t) for t in tracked])
        except AssertionError as e:
            failures.append(f"{name}: {e}")
    monkeypatch.undo()
    assert not failures, failures


def test_scale_of_empty_is_zero():
    assert largest(np.zeros(0)) == 0.0
    assert big_samples("add")[0][0][0].size > 100_000
