"""Where what a user passes becomes a tensor or a whole number."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import rubigo as rg


def as_tensor(values: Any, name: str) -> rg.Tensor:
    """A tensor as it is, a copy of a numpy array, or the numbers of a (nested) list.

    >>> as_tensor([[1, 2]], "x").tolist()
    [[1, 2]]
    """
    if isinstance(values, rg.Tensor):
        return values
    if type(values).__module__ == "numpy":
        # A copy, since numpy's views may have negative strides or be read-only.
        return rg.from_numpy(values.copy())
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return rg.tensor(list(values))
    raise TypeError(f"{name} must be a tensor, an array or a list, got {type(values).__name__}")


def whole(value: Any, name: str, least: int | None = None) -> int:
    """A whole number of any package as an int; a truth value is none.

    >>> whole(3, "epochs", 1)
    3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number
