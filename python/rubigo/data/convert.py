"""Where numbers of other packages become tensors."""

from __future__ import annotations

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
