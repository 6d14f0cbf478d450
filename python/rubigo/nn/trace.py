"""Errors inside a model name the layer they came from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rubigo._core import ShapeError

from . import state

if TYPE_CHECKING:
    from .module import Module

_NOTE = "in module "
# Exact types: a user's own subclass may read its arguments back.
_KINDS = (
    ShapeError,
    ValueError,
    TypeError,
    RuntimeError,
    IndexError,
    MemoryError,
    NotImplementedError,
)


def annotate(error: Exception, module: Module) -> None:
    """Puts the path of the failing module before the message, or in a note where that would not do.

    Called at each module that the error leaves, innermost first, so the path grows towards the
    module that the user called.
    """
    if "_rubigo_slots" not in vars(module):
        raise state.not_initialised(module) from None
    plain = type(error) in _KINDS and len(error.args) == 1 and isinstance(error.args[0], str)
    message, failed, below, path = getattr(
        error,
        "_rubigo_origin",
        (_message(error, module) if plain else None, type(module).__name__, module, ""),
    )
    if below is not module:
        name = next((n for n, m in module.named_modules() if m is below), None)
        if name is None:  # made on the fly inside forward: no path leads to it from here
            return
        path = f"{name}.{path}" if path else name
    error._rubigo_origin = (message, failed, module, path)  # pyright: ignore
    shown = re.sub(r"(^|\.)(\d+)(?=\.|$)", r"[\2]", path)
    where = f"{shown} ({failed})" if shown else failed
    if message is not None:
        error.args = (f"{where}: {message}",)
        return
    # The arguments of other errors have meanings of their own: a KeyError's is the key.
    notes = [n for n in getattr(error, "__notes__", []) if not n.startswith(_NOTE)]
    error.__notes__ = [*notes, _NOTE + where]


def _message(error: Exception, module: Module) -> str:
    """The message, without the op's name where that is the layer's: `Linear: linear: ...`."""
    message: str = error.args[0]
    op, colon, rest = message.partition(": ")
    layer = type(module)
    own = layer.__module__.startswith("rubigo.nn") and op and colon
    return rest if own and layer.__name__.lower().startswith(op.replace("_", "")) else message


def shape_error(message: str, hint: str | None = None) -> ShapeError:
    """A `ShapeError` that says what to do."""
    return ShapeError(f"{message}\n  hint: {hint}" if hint else message)


def dtype_error(input: Any, weight: Any) -> TypeError | None:
    """What to say if input and weight are of different dtypes."""
    if input.dtype == weight.dtype:
        return None
    cast = "x.float()" if weight.dtype.name == "float32" else f"x.to({weight.dtype})"
    return TypeError(
        f"expected input of the parameters' dtype {weight.dtype}, got {input.dtype}\n"
        f"  hint: cast it with {cast}, or the model with model.to(dtype)"
    )
