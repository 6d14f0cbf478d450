"""Where the time goes: per op and per module."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from rubigo import _core

if TYPE_CHECKING:
    from rubigo.nn import Module


class Row:
    """Calls, seconds and bytes (read plus written) of one op in one module."""

    __slots__ = ("bytes", "calls", "module", "op", "seconds")

    def __init__(self, module: str, op: str, calls: int, nanos: int, moved: int) -> None:
        self.module, self.op, self.calls = module, op, calls
        self.seconds, self.bytes = nanos * 1e-9, moved

    def __repr__(self) -> str:
        where = self.module or "(no module)"
        return f"Row({where}, {self.op}, calls={self.calls}, seconds={self.seconds:.6f})"


class profile:
    """Measures every op that runs inside of the block, on any thread.

    On the GPU each op is waited for, so that its time is its own. A block within another counts
    for both.

    Args:
        model: whose modules to tell apart, by path and class as in errors. An op's backward
            counts for the module of its forward; what runs outside of all modules (the loss,
            the optimizer's step) has none.

    >>> import rubigo as rg
    >>> with rg.profile() as p:
    ...     _ = rg.ones(10).exp()
    >>> [r.op for r in p.rows if r.op == "exp"]
    ['exp']
    >>> x, model = rg.ones(1, 2), rg.nn.Sequential(rg.nn.Linear(2, 1))
    >>> with rg.profile(model) as p:
    ...     _ = model(x)
    >>> [(r.op, r.module) for r in p.rows]
    [('linear', '[0] (Linear)')]
    """

    def __init__(self, model: Module | None = None) -> None:
        self.model = model
        self.rows: list[Row] = []
        self._undo: list[Any] = []
        self._totals: dict[tuple[str, str], tuple[int, int, int]] = {}

    def __enter__(self) -> Self:
        if self.model is not None:
            for path, module in self.model.named_modules():
                name = _shown(path, module)
                self._undo.append(module.register_forward_pre_hook(_enter(name)))
                self._undo.append(module.register_forward_hook(_leave, always_call=True))
        _note()  # what ran before belongs to the blocks around this one
        self._totals.clear()
        _open.append(self)
        _core.profile(True)
        return self

    def __exit__(self, *exc: object) -> None:
        _note()
        _open.remove(self)
        _core.profile(bool(_open))
        for handle in self._undo:
            handle.remove()
        self._undo.clear()
        self.rows = [Row(*key, *total) for key, total in self._totals.items()]
        self.rows.sort(key=lambda r: -r.seconds)

    def by(self, key: Literal["op", "module"]) -> list[tuple[str, int, float, int]]:
        """Totals by "op" or by "module", slowest first: (name, calls, seconds, bytes)."""
        if key not in ("op", "module"):
            raise ValueError(f'key must be "op" or "module", got {key!r}')
        totals: dict[str, tuple[int, float, int]] = {}
        for r in self.rows:
            calls, seconds, moved = totals.get(getattr(r, key), (0, 0.0, 0))
            totals[getattr(r, key)] = (calls + r.calls, seconds + r.seconds, moved + r.bytes)
        rows = [(name, *t) for name, t in totals.items()]
        return sorted(rows, key=lambda t: -t[2])

    def table(self, key: Literal["op", "module"] = "op", limit: int = 20) -> str:
        """The totals as text."""
        rows = self.by(key)
        whole = sum(t[2] for t in rows) or 1.0
        width = max([32, *(len(row[0]) for row in rows[:limit])])
        lines = [f"{key:<{width}} {'calls':>8} {'ms':>10} {'%':>6} {'MB':>10}"]
        for name, calls, seconds, moved in rows[:limit]:
            lines.append(
                f"{name or '(no module)':<{width}} {calls:>8} {seconds * 1e3:>10.3f} "
                f"{100 * seconds / whole:>6.1f} {moved / 1e6:>10.2f}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table("op") + "\n\n" + self.table("module")


_open: list[profile] = []
"""The blocks that are being measured; one may stand within another."""


def _note() -> None:
    """Adds to all open records what the core has measured since the last call."""
    for module, op, *new in _core.take_profile():
        for p in _open:
            calls, nanos, moved = p._totals.get((module, op), (0, 0, 0))
            p._totals[module, op] = (calls + new[0], nanos + new[1], moved + new[2])


def _shown(path: str, module: Module) -> str:
    """`layers.3.linear` of a Linear as `layers[3].linear (Linear)`; the model by its class."""
    kind = type(module).__name__
    return re.sub(r"(^|\.)(\d+)(?=\.|$)", r"[\2]", path) + f" ({kind})" if path else kind


def _enter(name: str) -> Callable[[Module, Any], None]:
    def hook(module: Module, args: Any) -> None:
        _core.push_module(name)

    return hook


def _leave(module: Module, args: Any, output: Any) -> None:
    _core.pop_module()
