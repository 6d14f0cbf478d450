"""What an op's result must be: its dtype, its elements, and whether it may refuse."""

import pathlib

import harness
import numpy as np
import oracles
import pytest
from harness import (
    FLOATS,
    INTS,
    REFUSALS,
    TABLE,
    array,
    arrays_of,
    call,
    difference,
    map_arrays,
    tolerance,
    typed,
)
from samples import FLOATS_ONLY, NO_BOOL, samples

OPS = sorted(TABLE)
ROWS = [n for n in OPS if TABLE[n]["kind"] == "row"]

UNORDERED_TIES = {  # which of equal elements is named is free: bool has too few values to tell
    "sort", "argsort", "msort", "topk", "kthvalue", "order_statistic", "median", "mode", "cummax",
    "cummin", "argmax", "argmin", "max_pool", "max_pool1d", "max_pool2d", "adaptive_max_pool",
    "adaptive_max_pool1d", "adaptive_max_pool2d",
}  # fmt: skip

WRITES = {"batch_norm", "instance_norm"}  # running statistics, which may then not be broadcast

BACKWARDS = {"class_loss_backward", "norm_backward"}


def gaps():
    """The listed gaps: {(op, what): reason}."""
    found = {}
    for line in (pathlib.Path(__file__).parent / "known_gaps.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            op, what, reason = (part.strip() for part in line.split("|", 2))
            assert reason, f"{op} | {what} has no reason"
            found[op, what] = reason
    return found


GAPS = gaps()


def small(name):
    found = samples(name)
    if found is None:
        if (name, "samples") in GAPS:
            pytest.skip(f"no samples: {GAPS[name, 'samples']}")
        pytest.fail(f"no samples for {name}: add some to tests/samples.py", pytrace=False)
    return found


def prepared(name, sample, dtype):
    """The sample with its values as `dtype` holds them, and no operand that integers refuse."""
    args, kwargs = typed(sample, dtype)
    if name == "div" and dtype == "bool":
        args = (args[0], np.ones_like(args[1]))
    if dtype not in FLOATS and TABLE[name]["kind"] == "row":
        args = list(args)
        if name in ("floor_divide", "div_trunc", "remainder", "fmod"):
            args[1] = np.where(args[1] == 0, np.ones_like(args[1]), args[1])
        if name == "power" and dtype != "bool":
            args[1] = (np.abs(args[1]) % 4).astype(dtype)
        if name.endswith("shift") and dtype != "bool":
            args[1] = (np.abs(args[1]) % 5).astype(dtype)
        args = tuple(args)
    return args, kwargs


def row_takes(name, dtype):
    """Whether a row's class takes the dtype."""
    row = TABLE[name]
    if dtype in FLOATS:
        return row["class"] not in ("Bits", "Ints")
    if dtype == "bool" and (row["class"] in ("Number", "Ints")):
        return False
    return row["class"] in ("Float", "Bits", "Ints", "Masked") or row["int_value"] is not None


def takes(name, dtype):
    if TABLE[name]["kind"] == "row":
        return row_takes(name, dtype)
    return dtype in FLOATS or not (name in FLOATS_ONLY or (dtype == "bool" and name in NO_BOOL))


def row_dtype(name, dtype):
    kind = TABLE[name]["class"]
    if kind == "Compare":
        return "bool"
    return "float32" if kind == "Float" and dtype not in FLOATS else dtype


def result_dtype(name, sample, dtype, out):
    """The dtype of a structural op's result, from the dtype of the oracle's."""
    if name == "cast":
        return sample[0][1]
    if name == "bincount" and out.dtype == np.float64:
        return "float32" if dtype == "float32" else "float64"
    if out.dtype == np.float64:
        has_values = any(a.dtype.kind == "f" for a in arrays_of(sample))
        return dtype if dtype in FLOATS and has_values else "float32"
    return out.dtype.name


def expectation(name, sample, dtype):
    """[(array, dtype)] of the prepared sample; None where neither dtype nor oracle is defined."""
    row = TABLE[name]
    if row["kind"] == "row":
        if not row_takes(name, dtype):
            return None
        args, kwargs = sample
        out = oracles.row(name, row["class"], args, kwargs, dtype)
        want = row_dtype(name, dtype)
        return [(out.astype(want) if want in INTS else out, want)]
    outs = oracles.structural(name, sample, dtype)
    return [(o, result_dtype(name, sample, dtype, o)) for o in outs]


def compare(name, out, expected, dtype, exact_dtype=True, factor=1.0):
    """What differs between the results and the expectation, or None."""
    out, expected = out[: oracles.COMPARED.get(name)], expected[: oracles.COMPARED.get(name)]
    if len(out) != len(expected):
        return f"{len(out)} results, expected {len(expected)}"
    for k, (t, (want, want_dtype)) in enumerate(zip(out, expected, strict=True)):
        got = t.dtype.name
        if exact_dtype and got != want_dtype:
            wide = dtype in ("uint16", "uint32", "uint64") and got == dtype
            if not wide:
                return f"result {k} is {got}, expected {want_dtype}"
        rel, absolute = tolerance(name, got, want) if got in FLOATS else (0.0, 0.0)
        if got in ("float16", "bfloat16"):
            want = np.asarray(want).astype(harness.numpy_dtype(got)).astype(np.float64)
        elif got.startswith("uint") and want.dtype == np.int64:
            want = want.astype(got)
        problem = difference(array(t), want, rel * factor, absolute * factor)
        if problem:
            return f"result {k}: {problem}" if len(out) > 1 else problem
    return None


def case(name, sample, dtype, device="cpu", layout="contiguous"):
    """Runs one case and tells what is wrong with it, or None."""
    sample = prepared(name, sample, dtype)
    try:
        expected, oracle_error = expectation(name, sample, dtype), None
    except REFUSALS as e:
        expected, oracle_error = None, e
    declared = takes(name, dtype)
    try:
        out = call(name, sample, dtype, device, layout)
    except REFUSALS as e:
        if not declared or (oracle_error and (dtype not in FLOATS or name == "bitwise_not")):
            return None
        refused = GAPS.get((name, "dtypes"), "").split(":")[0].replace(",", " ").split()
        if dtype in refused or (dtype in INTS and "ints" in refused):
            return None
        return f"raises {type(e).__name__}: {str(e).splitlines()[0]}"
    if expected is None:
        # Nobody asked for this dtype: then it must be refused, or at least be right.
        if oracle_error is None:
            return f"gives a result where {dtype} should be refused"
        lifted = map_arrays(lambda a: a.astype(np.float64) if a.dtype.kind in "biu" else a, sample)
        try:
            expected = expectation(name, lifted, "float64")
        except REFUSALS:
            return f"gives a result where the oracle raises {oracle_error}"
        return compare(name, out, expected, dtype, exact_dtype=False)
    return compare(name, out, expected, dtype)


# Differences of near terms: exact to the size of the argument, not to that of the result.
CANCELLING = {"tanhshrink", "gelu_tanh", "gelu_erf", "lgamma", "digamma", "mish"}
