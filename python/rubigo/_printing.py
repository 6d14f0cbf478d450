"""Tensors as text, as PyTorch prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

from rubigo._core import Tensor

_options: dict[str, Any] = {
    "precision": 4,
    "threshold": 1000,
    "edgeitems": 3,
    "linewidth": 80,
    "sci_mode": None,
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: Literal["default", "short", "full"] | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed.

    `profile` is "default", "short" (2 digits, 2 edge items) or "full" (never summarized).
    """
    from rubigo.data.convert import whole

    profiles = {
        "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
        "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
        "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
    }
    if profile is not None and profile not in profiles:
        raise ValueError(f"profile must be one of {sorted(profiles)}, got {profile!r}")
    if threshold is not None and not isinstance(threshold, Real):
        raise TypeError(f"threshold must be a number, got {threshold!r}")
    given = {"precision": precision, "edgeitems": edgeitems, "linewidth": linewidth}
    given = {name: whole(value, name, 0) for name, value in given.items() if value is not None}
    if profile is not None:
        _options.update(profiles[profile])
    _options.update(given if threshold is None else {**given, "threshold": threshold})
    _options["sci_mode"] = sci_mode


class _Formatter:
    """One width and one notation for all numbers of a tensor."""

    def __init__(self, values: Sequence[Any], is_float: bool) -> None:
        self.is_float = is_float
        self.sci = False
        self.whole = True
        precision = _options["precision"]
        if not is_float:
            self.width = max((len(str(v)) for v in values), default=1)
            return
        finite = [abs(v) for v in values if math.isfinite(v) and v != 0]
        self.whole = all(v == math.ceil(v) for v in finite)
        if finite:
            low, high = min(finite), max(finite)
            self.sci = high / low > 1000.0 or high > 1.0e8
            if not self.whole:
                self.sci = self.sci or low < 1.0e-4
        if _options["sci_mode"] is not None:
            self.sci = _options["sci_mode"]
        self.precision = precision
        # Zeros and what is not finite are not measured, as in PyTorch.
        shown = (v for v in values if math.isfinite(v) and v != 0)
        self.width = max((len(self._text(v)) for v in shown), default=1)

    def _text(self, v: Any) -> str:
        if not self.is_float:
            return str(v)
        if not math.isfinite(v):
            return str(v)
        if self.sci:
            return f"{v:.{self.precision}e}"
        if self.whole:
            return f"{v:.0f}."
        return f"{v:.{self.precision}f}"

    def __call__(self, v: Any) -> str:
        return self._text(v).rjust(self.width)


def _summarized(x: Tensor) -> list[Tensor]:
    """The edges of a large tensor: the only values that are shown."""
    if x.ndim == 0:
        return [x]
    e = _options["edgeitems"]
    n = x.shape[0]
    rows = range(n) if n <= 2 * e else [*range(e), *range(n - e, n)]
    return [part for i in rows for part in _summarized(x[i])]


def _vector(x: Tensor, indent: int, formatter: _Formatter, summarize: bool) -> str:
    e = _options["edgeitems"]
    n = x.shape[0]
    width = formatter.width + 2
    per_line = max(1, (_options["linewidth"] - indent) // width)
    if summarize and n > 2 * e:
        texts = [formatter(v) for v in x[:e].tolist()]
        texts += [" ..."]
        texts += [formatter(v) for v in x[n - e :].tolist()]
    else:
        texts = [formatter(v) for v in x.tolist()]
    lines = [texts[i : i + per_line] for i in range(0, len(texts), per_line)]
    joined = [", ".join(line) for line in lines]
    return "[" + ("," + "\n" + " " * (indent + 1)).join(joined) + "]"


def _block(x: Tensor, indent: int, formatter: _Formatter, summarize: bool) -> str:
    if x.ndim == 0:
        return formatter(x.item())
    if x.ndim == 1:
        return _vector(x, indent, formatter, summarize)
    e = _options["edgeitems"]
    n = x.shape[0]
    if summarize and n > 2 * e:
        parts = [_block(x[i], indent + 1, formatter, summarize) for i in range(e)]
        parts.append("...")
        parts += [_block(x[i], indent + 1, formatter, summarize) for i in range(n - e, n)]
    else:
        parts = [_block(x[i], indent + 1, formatter, summarize) for i in range(n)]
    gap = "," + "\n" * (x.ndim - 1) + " " * (indent + 1)
    return "[" + gap.join(parts) + "]"


def tensor_text(x: Tensor) -> str:
    """The text of `repr(x)`."""
    import rubigo as rg

    prefix = "tensor("
    suffixes: list[str] = []
    if x.device.type != "cpu":
        suffixes.append(f"device='{x.device}'")
    plain = x.detach().cpu()
    default = plain.dtype in (rg.float32, rg.int64, rg.bool)
    if plain.numel() == 0:
        if plain.ndim != 1:
            suffixes.append(f"size={tuple(plain.shape)}")
        if plain.dtype != rg.float32:
            suffixes.append(f"dtype={plain.dtype}")
        body = "[]"
    else:
        if not default:
            suffixes.append(f"dtype={plain.dtype}")
        summarize = plain.numel() > _options["threshold"]
        shown = [p.item() for p in _summarized(plain)] if summarize else plain.flatten().tolist()
        formatter = _Formatter(shown, plain.dtype.is_floating_point)
        body = _block(plain, len(prefix), formatter, summarize)
    if x.grad_fn is not None:
        suffixes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    text = prefix + body
    # A suffix that does not fit goes to a line of its own.
    last = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if last + len(suffix) + 2 > _options["linewidth"]:
            text += ",\n" + " " * len(prefix) + suffix
            last = len(prefix) + len(suffix)
        else:
            text += ", " + suffix
            last += len(suffix) + 2
    text += ")"
    if type(x) is not rg.Tensor and type(x).__name__ == "Parameter":
        return "Parameter containing:\n" + text
    return text
