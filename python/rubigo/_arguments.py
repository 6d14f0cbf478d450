"""What functions written in Python check of their arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rubigo import _core
from rubigo._core import Tensor


def check_tensors(name: str, *values: Any, optional: Iterable[Any] = ()) -> None:
    """Refuses what is no tensor: arrays, which no longer know how they came about, too."""
    for value in (*values, *(value for value in optional if value is not None)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {no_tensor(value)}")


def type_name(value: Any) -> str:
    """The name of a value's type, with the package where that is not Python or rubigo.

    >>> import numpy as np
    >>> type_name(1), type_name(np.ones(2))
    ('int', 'numpy.ndarray')
    """
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    ours = package in ("builtins", "__main__", "rubigo")
    return kind.__qualname__ if ours else f"{package}.{kind.__qualname__}"


def given(value: Any) -> str:
    """What stands where an object is expected: its type, or that it is a class itself.

    >>> given(1), given(int)
    ('int', 'the class int')
    """
    return f"the class {value.__name__}" if isinstance(value, type) else type_name(value)


def no_tensor(value: Any) -> str:
    """What was given in the place of a tensor, and how to make one of it."""
    hint = ""
    if hasattr(value, "__array_interface__"):
        hint = "\n  hint: rg.from_numpy(x)"
    elif hasattr(value, "__dlpack__"):
        hint = "\n  hint: rg.from_dlpack(x)"
    return type_name(value) + hint


def adopted(value: Any) -> Tensor | None:
    """A tensor over the memory of another library's tensor or array; None for anything else.

    >>> import numpy as np
    >>> adopted(np.zeros(2)), adopted([0.0, 0.0])
    (tensor([0., 0.], dtype=rubigo.float64), None)
    """
    if hasattr(value, "__array_interface__"):
        return _core.as_tensor(value)
    if hasattr(value, "__dlpack__"):
        return _core.from_dlpack(value)
    if hasattr(value, "__array__"):
        return _core.as_tensor(value.__array__())
    return None
