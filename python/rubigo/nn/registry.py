"""What is registered in a module: names, in order, and as what; found, added and walked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import state

if TYPE_CHECKING:
    from .module import Module

PARAMETER, BUFFER, HIDDEN_BUFFER, MODULE = "parameter", "buffer", "hidden buffer", "module"
BUFFERS = (BUFFER, HIDDEN_BUFFER)


def slots_of(module: Module) -> dict[str, str]:
    """What is registered in a module, in order, and as what."""
    slots = module.__dict__.get("_rubigo_slots")
    if slots is None:
        raise state.not_initialised(module)
    return slots


def register(module: Module, name: str, value: Any, kind: str) -> None:
    """Makes a value an attribute that counts; a name keeps its place if its kind stays."""
    slots = slots_of(module)
    if slots.get(name) != kind:
        slots.pop(name, None)
        slots[name] = kind
    module.__dict__[name] = value


def check_name(module: Module, name: str, kind: str) -> None:
    """Refuses names that are no names, or taken by something of another kind."""
    slots = slots_of(module)
    if not isinstance(name, str):
        raise TypeError(f"{kind} name must be a str, got {type(name).__name__}")
    if "." in name or name == "":
        raise KeyError(f"{kind} name must not be empty or contain a dot, got {name!r}")
    kinds = BUFFERS if kind in BUFFERS else (kind,)
    if hasattr(module, name) and slots.get(name) not in kinds:
        raise KeyError(f"attribute {name!r} already exists")


def of_kind(module: Module, *kinds: str) -> dict[str, Any]:
    """What is registered in a module as one of these kinds."""
    values = module.__dict__
    return {name: values[name] for name, kind in slots_of(module).items() if kind in kinds}


def named(
    module: Module, kinds: tuple[str, ...], prefix: str, recurse: bool, unique: bool
) -> Iterator[tuple[str, Any]]:
    """Values of these kinds with their dotted names."""
    seen: set[int] = set()
    modules = (
        module.named_modules(prefix=prefix, remove_duplicate=unique)
        if recurse
        else [(prefix, module)]
    )
    for path, part in modules:
        for name, value in of_kind(part, *kinds).items():
            if value is None or id(value) in seen:
                continue
            if unique:
                seen.add(id(value))
            yield (f"{path}.{name}" if path else name), value


def get_value(module: Module, target: str, *kinds: str) -> Any:
    """The value at a dotted path, which must be one of these kinds."""
    path, _, name = target.rpartition(".")
    owner = module.get_submodule(path)
    value = of_kind(owner, *kinds).get(name)
    if value is None:
        raise AttributeError(f"{type(owner).__name__} has no {kinds[0]} {name!r}")
    return value
