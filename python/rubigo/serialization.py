"""`save` and `load`: nests of dicts, lists, tuples, strings, numbers and tensors, as safetensors.

The tensors are plain safetensors entries named by their path; the structure around them is JSON in
the file's metadata. A state dict is therefore readable by every tool that reads safetensors.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rubigo import _core
from rubigo._core import Tensor

if TYPE_CHECKING:
    from os import PathLike

    from rubigo._core import _DeviceLike

_KEY = "rubigo"
_VERSION = 1


def save(obj: Any, f: str | PathLike[str]) -> None:
    """Writes `obj` to the file `f`; the old file stays unless all went well.

    Args:
        obj: a nest of dict (with str or int keys), list, tuple, str, bool, int, float, None and
            Tensor. Tensors that share memory and layout are stored once.
        f: the path.

    Raises:
        TypeError: something else is inside; the message names its place.
        OSError: the file cannot be written, as on a full disk.

    >>> import rubigo as rg, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.safetensors")
    >>> rg.save({"w": rg.ones(2), "epoch": 3}, path)
    >>> rg.load(path)
    {'w': tensor([1., 1.]), 'epoch': 3}
    """
    tensors: dict[str, Tensor] = {}
    seen: dict[Any, str] = {}
    try:
        tree = _pack(obj, "", tensors, seen)
    except RecursionError:
        raise ValueError("cannot save: the structure is too deep, or contains itself") from None
    meta = {"format": "pt", _KEY: json.dumps({"version": _VERSION, "tree": tree})}
    _core.save_tensors(_path(f), list(tensors.items()), meta)


def load(
    f: str | PathLike[str],
    map_location: _DeviceLike | None = None,
    weights_only: bool = True,
) -> Any:
    """Reads what `save` wrote; any other safetensors file gives a dict of its tensors.

    Args:
        f: the path.
        map_location: the device of the tensors, "cpu" or "gpu"; as saved (CPU) by default.
        weights_only: accepted for PyTorch's sake; nothing is ever executed.

    Raises:
        ValueError: the file is damaged or no safetensors file; the message tells where.
    """
    pairs, meta = _core.load_tensors(_path(f))
    tensors = dict(pairs)
    if map_location is not None:
        tensors = {name: t.to(map_location) for name, t in tensors.items()}
    if _KEY not in meta:
        return tensors
    try:
        note = json.loads(meta[_KEY])
        if not isinstance(note, dict) or note.get("version") != _VERSION:
            raise ValueError("unknown version")
        return _unpack(note["tree"], tensors, {})
    except (ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{f}: its rubigo structure is damaged: {error}") from None


def _path(f: str | PathLike[str]) -> str:
    import os

    if hasattr(f, "read") or hasattr(f, "write"):
        raise TypeError("save and load take a path, not an open file")
    return os.fspath(f)


def _pack(obj: Any, path: str, tensors: dict[str, Tensor], seen: dict[Any, str]) -> Any:
    """The JSON form: scalars as they are, everything else as [kind, ...]."""
    where = path or "the top level"
    if obj is None or isinstance(obj, bool | str):
        return obj
    if isinstance(obj, Tensor):
        return _pack_tensor(obj, path, tensors, seen)
    if isinstance(obj, int):
        return obj
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else ["float", repr(float(obj))]
    if isinstance(obj, dict):
        items: list[list[Any]] = []
        for key, value in obj.items():
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise TypeError(f"{where}: dict keys must be str or int, got {key!r}")
            items.append([key, _pack(value, f"{path}.{key}" if path else str(key), tensors, seen)])
        return ["dict", items]
    if isinstance(obj, list | tuple):
        kind = "list" if isinstance(obj, list) else "tuple"
        return [
            kind,
            [_pack(v, f"{path}.{i}" if path else str(i), tensors, seen) for i, v in enumerate(obj)],
        ]
    raise TypeError(
        f"{where}: cannot save a {type(obj).__name__}; a file holds dicts, lists, tuples, strings, "
        "numbers, None and tensors"
    )


def _pack_tensor(
    t: Tensor, path: str, tensors: dict[str, Tensor], seen: dict[Any, str]
) -> list[Any]:
    place = None
    if t.device.type == "cpu" and t.numel():
        place = (t.data_ptr(), t.shape, t.stride(), t.dtype)
        if place in seen:
            return ["tensor", seen[place], bool(t.requires_grad)]
    name = path or "tensor"
    while name in tensors or name == "__metadata__":
        name += "_"
    tensors[name] = t
    if place is not None:
        seen[place] = name
    return ["tensor", name, bool(t.requires_grad)]


def _unpack(node: Any, tensors: dict[str, Tensor], made: dict[str, Tensor]) -> Any:
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if not isinstance(node, list) or len(node) < 2:
        raise ValueError(f"not a node: {node!r:.60}")
    kind, body = node[0], node[1]
    if kind == "tensor":
        if body not in tensors:
            raise ValueError(f"tensor {body!r} is missing")
        if node[2:] != [True]:
            return tensors[body]
        if body not in made:
            made[body] = tensors[body].detach().requires_grad_()
        return made[body]
    if kind == "float":
        return float(body)
    if kind == "dict":
        return {key: _unpack(value, tensors, made) for key, value in body}
    if kind == "list":
        return [_unpack(value, tensors, made) for value in body]
    if kind == "tuple":
        return tuple(_unpack(value, tensors, made) for value in body)
    raise ValueError(f"unknown kind {kind!r}")
