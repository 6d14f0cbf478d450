"""Checks for one's own ops and layers: closeness and gradients."""

from __future__ import annotations

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
    """Raises AssertionError unless shapes and dtypes agree and |x - y| <= atol + rtol * |y|."""
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


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compares the gradients of `func` with central differences.

    Args:
        func: takes the inputs, gives a tensor or several.
        inputs: a tensor or a tuple; those that require grad must be float64.
        eps: the step of the differences.

    >>> import rubigo as rg
    >>> x = rg.tensor([0.5, 2.0], dtype=rg.float64, requires_grad=True)
    >>> rg.testing.gradcheck(rg.log, (x,))
    True
    """
    import rubigo as rg

    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError("gradcheck needs at least one input that requires grad")
    for i in wanted:
        if inputs[i].dtype != rg.float64:
            raise ValueError(f"input {i} is {inputs[i].dtype}: differences need float64")
    outputs = _outputs(func, inputs)
    for k, out in enumerate(outputs):
        if not out.requires_grad:
            continue
        weights = _core.randn(out.shape, dtype=out.dtype)
        chosen = [inputs[i] for i in wanted]
        found = rg.autograd.grad(out, chosen, weights, retain_graph=True, allow_unused=True)
        for i, g in zip(wanted, found, strict=True):
            expected = _differences(func, inputs, i, k, weights, eps)
            actual = rg.zeros_like(expected) if g is None else g.detach()
            if not rg.allclose(actual, expected, rtol, atol, equal_nan=True):
                if raise_exception:
                    gap = (actual - expected).abs().max().item()
                    raise AssertionError(
                        f"gradient of output {k} by input {i} is off by {gap:.3g}:\n"
                        f"by rule:        {actual}\nby differences: {expected}"
                    )
                return False
    return True


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
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compares second gradients with central differences of the first."""
    import rubigo as rg

    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    outputs = _outputs(func, inputs)
    vectors = [_core.randn(o.shape, dtype=o.dtype).requires_grad_() for o in outputs]

    def first(*args: Any) -> tuple[Tensor, ...]:
        xs, vs = args[: len(inputs)], args[len(inputs) :]
        outs = _outputs(func, xs)
        pairs = [(o, v) for o, v in zip(outs, vs, strict=True) if o.requires_grad]
        found = rg.autograd.grad(
            [o for o, _ in pairs],
            [xs[i] for i in wanted],
            [v for _, v in pairs],
            create_graph=True,
            allow_unused=True,
        )
        return tuple(
            rg.zeros_like(xs[i]) if g is None else g for i, g in zip(wanted, found, strict=True)
        )

    # The moved input must stay a variable while differences are taken.
    def tracked(*args: Any) -> tuple[Tensor, ...]:
        live = [
            a.detach().requires_grad_()
            if isinstance(a, Tensor) and not a.requires_grad and a.dtype == rg.float64
            else a
            for a in args
        ]
        return first(*live)

    return gradcheck(
        tracked, (*inputs, *vectors), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception,
    )  # fmt: skip
