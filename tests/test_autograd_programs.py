"""Random programs of views and in-place operations: values and gradients against PyTorch."""

import numpy as np
import pytest

import rubigo as rg

torch = pytest.importorskip("torch")

UNARY = ["neg", "tanh", "sigmoid", "sin", "square"]

IN_PLACE = ["neg_", "tanh_", "sigmoid_", "sin_", "zero_"]

VIEWS = [
    "select",
    "slice",
    "transpose",
    "flatten",
    "unsqueeze",
    "expand",
    "diagonal",
    "squeeze",
    "alias",
]

OTHERS = [
    "add",
    "mul",
    "sub",
    "add_",
    "mul_",
    "sub_",
    "copy_",
    "set",
    "fill_",
    "detach",
    "clone",
    "quiet",
]


def view(t, op, r):
    n = t.ndim
    if op == "unsqueeze":
        return t.unsqueeze(r % (n + 1))
    if op == "expand":
        return t.expand(2, *t.shape)
    if op == "squeeze":
        return t.squeeze()
    if op == "alias":
        return t.view(tuple(t.shape))
    if n == 0:
        return t
    d = r % n
    if op == "select":
        return t.select(d, r % t.shape[d]) if t.shape[d] else t
    if op == "slice":
        return t[(slice(None),) * d + (slice(r % 2, None, 1 + r % 3),)]
    if op == "transpose":
        return t.transpose(d, -1)
    if op == "flatten":
        return t.flatten()
    return t.diagonal(0, d, (d + 1) % n) if n > 1 else t


def overlaps(a, b):
    """Whether both look at one memory in different ways: PyTorch's writes then depend on order."""
    if isinstance(a, rg.Tensor):
        return a._shares_memory(b) and not a.is_set_to(b)
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr() and not a.is_set_to(b)


def step(package, tensors, op, r, careful=False):
    """Runs one instruction; gives its result, or None when it raised.

    A careful run computes in-place operations outside of their target and then copies, as rubigo
    does: PyTorch's own way keeps the result in the target only, where a later write destroys it.
    """
    a, b = tensors[r[0] % len(tensors)], tensors[r[1] % len(tensors)]
    quiet = op == "quiet"
    if quiet:
        op = (IN_PLACE + ["add_", "mul_"])[r[2] % 7]
    _ = a.grad_fn, b.grad_fn  # PyTorch renews the history of a view only when it is asked for
    if overlaps(a, b):
        b = b.clone()
    if op in ("zero_", "fill_", "copy_") and 0 in a.stride() and a.numel() > 1:
        return a  # rubigo never writes into expanded memory: see docs/deviations.md
    try:
        with package.set_grad_enabled(not quiet):
            if op in VIEWS:
                return view(a, op, r[2])
            if careful and op in ("neg_", "tanh_", "sigmoid_", "sin_"):
                return a.copy_(getattr(a.clone(), op[:-1])())
            if careful and op in ("add_", "mul_", "sub_") and a.shape == b.shape:
                return a.copy_(getattr(a.clone(), op[:-1])(b))
            if op in ("neg", "tanh", "sigmoid", "sin", "square", "clone", "detach", *IN_PLACE):
                return getattr(a, op)()
            if op == "fill_":
                return a.fill_(0.5)
            if op == "set":
                if a.ndim:
                    a[r[2] % 2] = b
                return a
            return getattr(a, op)(b)
    except (RuntimeError, IndexError):
        return None


def interpret(package, leaves, program, careful=False):
    """All tensors of the run, and which instructions raised."""
    tensors, raised = list(leaves), []
    for op, r in program:
        out = step(package, tensors, op, r, careful)
        raised.append(out is None)
        if out is not None:
            tensors.append(out)
    return tensors, raised


def total(tensors):
    """A number that depends on everything that has a gradient."""
    loss = None
    for k, t in enumerate(tensors):
        if t.requires_grad:
            part = (t * (1 + 0.1 * k)).sum()
            loss = part if loss is None else loss + part
    return loss


def run_program(seed):
    rng = np.random.default_rng(seed)
    names = UNARY + VIEWS * 2 + IN_PLACE + OTHERS
    program = [
        (names[rng.integers(len(names))], rng.integers(0, 1000, 3).tolist())
        for _ in range(rng.integers(4, 16))
    ]
    shapes = [(2, 3), (3,), (2, 3), ()]
    data = [rng.standard_normal(s) for s in shapes]
    wants = [True, True, False, True]
    ours = [rg.tensor(x, requires_grad=w) for x, w in zip(data, wants, strict=True)]
    theirs = [torch.tensor(x, requires_grad=w) for x, w in zip(data, wants, strict=True)]
    got, ours_raised = interpret(rg, ours, program)
    want, theirs_raised = interpret(torch, theirs, program)
    text = f"seed {seed}: {[(op, r) for op, r in program]}"
    assert ours_raised == theirs_raised, (
        f"{text}\nraised: ours {ours_raised}, torch {theirs_raised}"
    )
    for k, (x, y) in enumerate(zip(got, want, strict=True)):
        where = f"{text}\ntensor {k}"
        assert x.shape == tuple(y.shape), where
        np.testing.assert_allclose(
            x.detach().numpy(), y.detach().numpy(), 1e-9, 1e-12, err_msg=where
        )
        assert x.requires_grad == y.requires_grad, where
        assert x.is_leaf == y.is_leaf, where
    a, b = total(got), total(want)
    try:
        b.backward()
    except RuntimeError:
        theirs = [torch.tensor(x, requires_grad=w) for x, w in zip(data, wants, strict=True)]
        b = total(interpret(torch, theirs, program, careful=True)[0])
        try:
            b.backward()
        except RuntimeError:
            with pytest.raises(RuntimeError, match="inplace"):
                a.backward()
            return "refused"
    a.backward()
    for k, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        if not y.is_leaf:  # copy_ gave it a history
            continue
        where = f"{text}\ngradient of leaf {k}"
        assert (x.grad is None) == (y.grad is None), where
        if x.grad is not None:
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), 1e-9, 1e-12, err_msg=where)
    return "compared"


@pytest.mark.parametrize("block", range(10))
def test_random_programs_agree_with_torch(block):
    outcomes = [run_program(1000 * block + i) for i in range(20)]
    assert outcomes.count("compared") >= 5
