"""States of Python objects as nests that `rubigo.save` takes, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
    return value


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
