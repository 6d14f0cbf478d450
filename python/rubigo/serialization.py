"""`save` and `load`: nests of dicts, lists, tuples, strings, numbers and tensors, as safetensors.

The tensors are plain safetensors entries named by their path; the structure around them is JSON in
the file's metadata. A state dict is therefore readable by every tool that reads safetensors.
"""

from __future__ import annotations

import errno
import json
import math
import os
from typing import TYPE_CHECKING, Any

from rubigo import _core
from rubigo._arguments import type_name
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
            Tensor; numpy's scalars become Python's. Tensors that share memory and layout are
            stored once.
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
    pickle_module: None = None,
    *,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """Reads what `save` wrote; any other safetensors file gives a dict of its tensors.

    Args:
        f: the path.
        map_location: the device of the tensors, "cpu" or "gpu"; as saved (CPU) by default.
        weights_only, mmap: accepted for PyTorch's sake; nothing is ever executed, and the file is
            read whole.
        pickle_module: only None.

    Raises:
        ValueError: the file is damaged or no safetensors file; the message tells where.
        IsADirectoryError: it is a folder.
    """
    if pickle_module is not None:
        raise TypeError("load reads safetensors, which hold no pickles: leave out pickle_module")
    path = _path(f)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    place = None if map_location is None else _core.device(map_location)
    pairs, meta = _core.load_tensors(path)
    tensors = dict(pairs)
    if place is not None:
        tensors = {name: t.to(place) for name, t in tensors.items()}
    if _KEY not in meta:
        return tensors
    try:
        return _read(meta[_KEY], tensors)
    except RecursionError:
        raise ValueError(f"{f}: its rubigo structure is damaged: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{f}: its rubigo structure is damaged: {error}") from None


def _read(text: str, tensors: dict[str, Tensor]) -> Any:
    note = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(note, dict) or set(note) != {"version", "tree"}:
        raise ValueError(f"expected a version and a tree, got {note!r:.60}")
    if type(note["version"]) is not int or note["version"] != _VERSION:
        raise ValueError(f"unknown version {note['version']!r:.60}; this rubigo reads {_VERSION}")
    return _unpack(note["tree"], tensors, {})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError(f"a key stands twice in {[key for key, _ in pairs]!r:.60}")
    return out


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _path(f: str | PathLike[str]) -> str:
    if hasattr(f, "read") or hasattr(f, "write"):
        raise TypeError("save and load take a path, not an open file")
    return os.fspath(f)


def _pack(obj: Any, path: str, tensors: dict[str, Tensor], seen: dict[Any, str]) -> Any:
    """The JSON form: scalars as they are, everything else as [kind, ...]."""
    where = path or "the top level"
    obj = _unwrapped(obj)
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
            key = _unwrapped(key)
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
    hint = "\n  hint: save its state_dict()" if hasattr(obj, "state_dict") else ""
    raise TypeError(
        f"{where}: cannot save a {type_name(obj)}; a file holds dicts, lists, tuples, strings, "
        f"numbers, None and tensors{hint}"
    )


def _unwrapped(value: Any) -> Any:
    """A scalar of numpy's as Python's own; a `longdouble` has none, and an array is no scalar."""
    is_array = hasattr(value, "__setitem__")
    if type(value).__module__ != "numpy" or is_array or not hasattr(value, "item"):
        return value
    return value.item()


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
    if isinstance(node, float) and not math.isfinite(node):
        raise ValueError("a number is too large for a float")
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if not isinstance(node, list) or not node or not isinstance(node[0], str):
        raise ValueError(f"not a node: {node!r:.60}")
    kind, *body = node
    if kind == "tensor":
        return _unpack_tensor(node, tensors, made)
    if len(body) != 1:
        raise ValueError(f"a node {kind!r:.20} of {len(body)} parts, expected 1")
    if kind == "float":
        # What `save` writes: the floats that JSON lacks.
        if body[0] not in ("inf", "-inf", "nan"):
            raise ValueError(f"no float: {body[0]!r:.60}")
        return float(body[0])
    if kind not in ("dict", "list", "tuple"):
        raise ValueError(f"unknown kind {kind!r:.60}")
    if not isinstance(body[0], list):
        raise ValueError(f"the items of a {kind} are no list: {body[0]!r:.60}")
    if kind == "dict":
        return _unpack_dict(body[0], tensors, made)
    items = [_unpack(value, tensors, made) for value in body[0]]
    return items if kind == "list" else tuple(items)


def _unpack_dict(
    items: list[Any], tensors: dict[str, Tensor], made: dict[str, Tensor]
) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for item in items:
        if not isinstance(item, list) or len(item) != 2:
            raise ValueError(f"no pair of a key and a value: {item!r:.60}")
        key, value = item
        if type(key) not in (str, int):
            raise ValueError(f"a dict key that is no str or int: {key!r:.60}")
        if key in out:
            raise ValueError(f"the dict key {key!r:.60} stands twice")
        out[key] = _unpack(value, tensors, made)
    return out


def _unpack_tensor(node: list[Any], tensors: dict[str, Tensor], made: dict[str, Tensor]) -> Tensor:
    name, *flag = node[1:] or [None]
    if not isinstance(name, str) or len(flag) > 1 or not all(isinstance(on, bool) for on in flag):
        raise ValueError(f"no tensor: {node!r:.60}")
    if name not in tensors:
        raise ValueError(f"tensor {name!r:.60} is missing")
    if flag != [True]:
        return tensors[name]
    if name not in made:
        if not tensors[name].dtype.is_floating_point:
            raise ValueError(f"tensor {name!r:.60} cannot require gradients: it is no float")
        made[name] = tensors[name].detach().requires_grad_()
    return made[name]
