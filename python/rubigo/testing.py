"""Checks for one's own ops and layers: closeness and gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from rubigo import _core
from rubigo._core import Tensor


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    msg: str | None = None,
) -> None:
    """Raises unless shapes and dtypes agree and the elements nearly.

        |actual - expected| <= atol + rtol |expected|

    Args:
        actual: what was found, a tensor or what becomes one.
        expected: what it should be, likewise.
        rtol: the relative tolerance; by default 1.3e-6 for float32, 1e-3 and 1.6e-2 for float16
            and bfloat16, 1e-7 for float64, and 0 for whole numbers.
        atol: the absolute tolerance; by default 1e-5, 1e-7 for float64, and 0 for whole numbers.
        equal_nan: whether NaN equals NaN.
        msg: what the error ends with.

    Raises:
        AssertionError: if they differ, saying how many elements do, and by how much.

    >>> import rubigo as rg
    >>> rg.testing.assert_close(rg.tensor([0.1]) + 0.2, rg.tensor([0.3]))
    """
    import rubigo as rg

    if not isinstance(actual, Tensor):
        actual = rg.as_tensor(actual)
    if not isinstance(expected, Tensor):
        expected = rg.as_tensor(expected)
    note = f"\n{msg}" if msg else ""
    if actual.shape != expected.shape:
        raise AssertionError(f"shapes differ: {actual.shape} and {expected.shape}{note}")
    if actual.dtype != expected.dtype:
        raise AssertionError(f"dtypes differ: {actual.dtype} and {expected.dtype}{note}")
    loose = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5)}
    r, a = loose.get(actual.dtype.name, (1e-7, 1e-7) if actual.dtype.is_floating_point else (0, 0))
    r, a = r if rtol is None else rtol, a if atol is None else atol
    x, y = actual.detach().cpu(), expected.detach().cpu()
    close = rg.isclose(x, y, r, a, equal_nan)
    if not bool(close.all()):
        bad = int((~close).sum())
        gap = (x.double() - y.double()).abs().nan_to_num(nan=float("inf")).max().item()
        raise AssertionError(
            f"{bad} of {x.numel()} elements differ, by {gap:.3g} at most "
            f"(allowed: {a} + {r} * |expected|){note}"
        )


def _outputs(func: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    out = func(*inputs)
    return [out] if isinstance(out, Tensor) else [o for o in out if isinstance(o, Tensor)]


class GradcheckError(RuntimeError, AssertionError):
    """A gradient that differs from the differences of its function."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compares the gradients of `func`, for a random vector, with central differences.

        |grad - (f(x + eps) - f(x - eps)) / (2 eps)| <= atol + rtol |difference|

    Args:
        func: takes the inputs, gives a tensor or several.
        inputs: a tensor or a tuple; those that require grad should be float64.
        eps: the step of the differences.
        atol: the absolute tolerance.
        rtol: the relative tolerance.
        raise_exception: raise if the check fails, instead of returning False.
        nondet_tol: how far two runs of the same backward may be apart.
        check_grad_dtypes: also check that the gradients have the dtypes of the inputs.
        check_batched_grad, check_batched_forward_grad, check_forward_ad: only False; there is
            neither `vmap` nor forward mode.
        check_backward_ad: only True.
        check_undefined_grad, fast_mode, masked: change nothing: each output is differentiated
            alone, by one random vector, and no tensor is sparse.

    Raises:
        GradcheckError: if the check fails; a `RuntimeError` and an `AssertionError`.
        ValueError: if no input requires a gradient.
        NotImplementedError: for the options that are not there.

    >>> import rubigo as rg
    >>> x = rg.tensor([0.5, 2.0], dtype=rg.float64, requires_grad=True)
    >>> rg.testing.gradcheck(rg.log, (x,))
    True
    """
    _refuse(
        check_batched_grad=check_batched_grad,
        check_batched_forward_grad=check_batched_forward_grad,
        check_forward_ad=check_forward_ad,
    )
    if not check_backward_ad:
        raise ValueError("check_backward_ad=False leaves nothing to check")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = _differentiated(inputs)
    try:
        outputs = _outputs(func, inputs)
        if not any(out.requires_grad for out in outputs):
            _check_constant(func, inputs, wanted, outputs, eps)
        for k, out in enumerate(outputs):
            if not out.requires_grad:
                continue
            weights = _core.randn_like(out.detach())
            found = _gradients(out, inputs, wanted, weights)
            again = _gradients(out, inputs, wanted, weights)
            zeros = _gradients(out, inputs, wanted, weights * 0)
            for i, g, h, zero in zip(wanted, found, again, zeros, strict=True):
                name = f"gradient of output {k} by input {i}"
                expected = _differences(func, inputs, i, k, weights, eps)
                _compare(name, g, expected, rtol, atol)
                if (apart := _gap(g, h)) > nondet_tol:
                    raise GradcheckError(f"{name} differs by {apart:.3g} between two runs")
                if not bool((zero == 0).all()):
                    raise GradcheckError(f"{name} is not zero for a vector of zeros: {zero}")
                if check_grad_dtypes and g.dtype != inputs[i].dtype:
                    raise GradcheckError(f"{name} is {g.dtype}, the input {inputs[i].dtype}")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _refuse(**options: bool) -> None:
    for name, on in options.items():
        if on:
            raise NotImplementedError(f"{name}=True: there is neither vmap nor forward mode")


def _check_constant(
    func: Callable[..., Any],
    inputs: tuple[Any, ...],
    wanted: list[int],
    outputs: list[Tensor],
    eps: float,
) -> None:
    """Without any gradient, the differences must be zero."""
    for k, out in enumerate(outputs):
        for i in wanted if out.is_floating_point() else []:
            found = _differences(func, inputs, i, k, _core.randn_like(out), eps)
            if not bool((found == 0).all()):
                raise GradcheckError(
                    f"no output requires grad, but output {k} changes with input {i}, by "
                    f"{found}: is there a detach(), a no_grad() or a .data on the way?"
                )


def _differentiated(inputs: tuple[Any, ...]) -> list[int]:
    """The places of the inputs that require a gradient."""
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError("gradcheck needs at least one input that requires grad")
    for i in wanted:
        if inputs[i].dtype != _core.float64:
            warnings.warn(
                f"input {i} is {inputs[i].dtype}: differences need float64, this check will "
                "likely fail",
                stacklevel=3,
            )
    return wanted


def _gradients(
    out: Tensor, inputs: tuple[Any, ...], wanted: list[int], vector: Tensor
) -> list[Tensor]:
    import rubigo as rg

    chosen = [inputs[i] for i in wanted]
    found = rg.autograd.grad(out, chosen, vector, retain_graph=True, materialize_grads=True)
    return [g.detach() for g in found]


def _gap(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item() if a.numel() else 0.0


def _compare(name: str, actual: Tensor, expected: Tensor, rtol: float, atol: float) -> None:
    import rubigo as rg

    if not rg.allclose(actual, expected, rtol, atol, equal_nan=True):
        raise GradcheckError(
            f"{name} is off by {_gap(actual, expected):.3g}:\n"
            f"by rule:        {actual}\nby differences: {expected}"
        )


def _differences(
    func: Callable[..., Any], inputs: tuple[Any, ...], i: int, k: int, weights: Tensor, eps: float
) -> Tensor:
    """The vector-Jacobian product by central differences, one element at a time."""
    import rubigo as rg

    x = inputs[i].detach().clone().contiguous()
    flat = x.view(-1)
    out = rg.zeros_like(flat)

    def value() -> float:
        changed = [x if j == i else a for j, a in enumerate(inputs)]
        with rg.enable_grad():
            changed = [
                a.detach().requires_grad_(a.requires_grad)
                if isinstance(a, Tensor) and j != i
                else a
                for j, a in enumerate(changed)
            ]
            result = _outputs(func, changed)[k]
        return (result.detach() * weights.detach()).sum().item()

    with rg.no_grad():
        for j in range(flat.numel()):
            old = flat[j].item()
            flat[j] = old + eps
            up = value()
            flat[j] = old - eps
            down = value()
            flat[j] = old
            out[j] = (up - down) / (2 * eps)
    return out.view(x.shape)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compares second gradients of `func` with central differences of the first.

    Args:
        func, inputs: as for `gradcheck`.
        grad_outputs: one vector per output for the first gradients; random unless given.
        gen_non_contig_grad_outputs: make the random ones non-contiguous.
        check_fwd_over_rev: only False; there is no forward mode.
        check_rev_over_rev: only True.

    The other arguments as for `gradcheck`.

    >>> import rubigo as rg
    >>> x = rg.tensor([0.5, 2.0], dtype=rg.float64, requires_grad=True)
    >>> rg.testing.gradgradcheck(rg.log, (x,))
    True
    """
    import rubigo as rg

    _refuse(check_batched_grad=check_batched_grad, check_fwd_over_rev=check_fwd_over_rev)
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = _differentiated(inputs)
    if grad_outputs is None:
        outputs = [o.detach() for o in _outputs(func, inputs)]
        if gen_non_contig_grad_outputs:
            outputs = [_core.stack([o, o], -1).select(-1, 0) for o in outputs]
            vectors = tuple(o.copy_(_core.randn_like(o)).requires_grad_() for o in outputs)
        else:
            vectors = tuple(_core.randn_like(o).requires_grad_() for o in outputs)
    else:
        vectors = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)

    def first(*args: Any) -> tuple[Tensor, ...]:
        xs, vs = args[: len(inputs)], args[len(inputs) :]
        outs = _outputs(func, xs)
        pairs = [(o, v) for o, v in zip(outs, vs, strict=True) if o.requires_grad]
        return rg.autograd.grad(
            [o for o, _ in pairs],
            [xs[i] for i in wanted],
            [v for _, v in pairs],
            create_graph=True,
            materialize_grads=True,
        )

    # The moved input must stay a variable while differences are taken.
    def tracked(*args: Any) -> tuple[Tensor, ...]:
        live = [
            a.detach().requires_grad_()
            if i in wanted and isinstance(a, Tensor) and not a.requires_grad
            else a
            for i, a in enumerate(args)
        ]
        return first(*live)

    return gradcheck(
        tracked, (*inputs, *vectors), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked,
    )  # fmt: skip
