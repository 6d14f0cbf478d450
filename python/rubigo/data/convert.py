"""Where what a user passes becomes a tensor or a whole number."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import rubigo as rg
from rubigo._arguments import adopted, type_name


def as_tensor(values: Any, name: str) -> rg.Tensor:
    """A tensor as it is, a copy of another library's array or tensor, or a list's numbers.

    >>> as_tensor([[1, 2]], "x").tolist()
    [[1, 2]]
    """
    if isinstance(values, rg.Tensor):
        return values
    array = adopted(values)
    if array is not None:
        return array.clone()
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return rg.tensor(list(values))
    raise TypeError(f"{name} must be a tensor, an array or a list, got {type_name(values)}")


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
