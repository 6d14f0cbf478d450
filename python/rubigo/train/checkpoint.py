"""States of Python objects as nests that `rubigo.save` takes, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import rubigo as rg


def plain(value: Any) -> Any:
    """The nest with plain dicts keyed by text, and lists in place of tuples."""
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, rg.Tensor):
        return value.detach()
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()  # a scalar of numpy's
    return value


def nest_copy(value: Any) -> Any:
    """The nest in dicts and lists of its own, which share what they hold.

    >>> nest = {"a": [1]}
    >>> nest_copy(nest)["a"] is nest["a"]
    False
    """
    if not isinstance(value, dict | list):
        return value
    clone = copy(value)
    for key in value if isinstance(value, dict) else range(len(value)):
        clone[key] = nest_copy(value[key])
    return clone


def read_checkpoint(path: Any, kind: str) -> dict[str, Any]:
    """What `Trainer.save` wrote, each part of the type it must have."""
    state = rg.load(path)
    if not isinstance(state, dict) or state.get("format") != kind:
        raise ValueError(f"{path} is not a trainer's checkpoint ({kind})")
    for name, (fits, expected) in _PARTS.items():
        if name not in state:
            raise ValueError(f"{path}: the checkpoint is damaged: it has no {name!r}")
        if not fits(state[name]):
            raise ValueError(f"{path}: the checkpoint is damaged: {name!r} must be {expected}")
    return state


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_history(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(v, list) for v in value.values()):
        return False
    numbers = all(type(n) in (int, float) for column in value.values() for n in column)
    return numbers and len({len(column) for column in value.values()}) <= 1


def _is_optimizer(value: Any) -> bool:
    if not isinstance(value, dict) or not {"state", "param_groups"} <= value.keys():
        return False
    groups, state = value["param_groups"], value["state"]
    return (
        isinstance(groups, list)
        and all(isinstance(group, dict) for group in groups)
        and isinstance(state, dict)
        and all(str(key).isdigit() and isinstance(entry, dict) for key, entry in state.items())
    )


def _is_callbacks(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], dict)
        for entry in value
    )


def _is_weights(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


_PARTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epoch": (_is_count, "a whole number"),
    "seed": (lambda value: value is None or type(value) is int, "a whole number or None"),
    "history": (_is_history, "lists of numbers, all of one length"),
    "model": (_is_weights, "a dict of tensors by name"),
    "optimizer": (_is_optimizer, "an optimizer's state_dict"),
    "callbacks": (_is_callbacks, "pairs of a class and its state"),
}


def restore_optimizer(optimizer: Any, saved: dict[str, Any]) -> None:
    """Loads an optimizer state that went through `plain`: its parameters are numbered."""
    groups = [dict(group) for group in saved["param_groups"]]
    for group, current in zip(groups, optimizer.param_groups, strict=False):
        for name, value in group.items():
            if isinstance(current.get(name), tuple):
                group[name] = tuple(value)
    state = {int(number): entry for number, entry in saved["state"].items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def weights_sha256(model: Any) -> str:
    """A digest of all names, shapes, dtypes and bytes in a model's state dict.

    >>> import rubigo as rg
    >>> weights_sha256(rg.nn.ReLU())[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().to("cpu").contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
