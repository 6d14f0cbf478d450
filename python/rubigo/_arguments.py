"""What functions written in Python check of their arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rubigo._core import Tensor


def check_tensors(name: str, *values: Any, optional: Iterable[Any] = ()) -> None:
    """Refuses what is no tensor: arrays, which no longer know how they came about, too."""
    for value in (*values, *(value for value in optional if value is not None)):
        if not isinstance(value, Tensor):
            hint = "\n  hint: rg.from_numpy(x)" if hasattr(value, "__array_interface__") else ""
            raise TypeError(f"{name}: expected a Tensor, got {type(value).__name__}{hint}")
