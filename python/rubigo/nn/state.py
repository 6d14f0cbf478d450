"""Loading, moving and clearing what a module holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import rubigo as rg
from rubigo._core import Tensor

from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


class LoadResult(NamedTuple):
    """What `Module.load_state_dict` did not find a partner for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(
    module: Module, state_dict: Mapping[str, Tensor], strict: bool, assign: bool
) -> LoadResult:
    """Checks every name and shape first, then writes."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"expected state_dict to be a dict, got {type(state_dict).__name__}")
    own = module.state_dict(keep_vars=True)
    missing = [name for name in own if name not in state_dict]
    unexpected = [name for name in state_dict if name not in own]
    problems = []
    if strict and missing:
        problems.append("missing: " + ", ".join(missing))
    if strict and unexpected:
        problems.append("unexpected: " + ", ".join(map(str, unexpected)))
    for name, value in own.items():
        if name not in state_dict:
            continue
        new = state_dict[name]
        if not isinstance(new, Tensor):
            problems.append(f"{name}: expected a Tensor, got {type(new).__name__}")
        elif tuple(new.shape) != tuple(value.shape):
            problems.append(
                f"{name}: the model has shape {tuple(value.shape)}, "
                f"the state_dict has {tuple(new.shape)}"
            )
    if problems:
        report = "\n  ".join(problems)
        raise RuntimeError(f"cannot load state_dict into {type(module).__name__}:\n  {report}")
    with rg.no_grad():
        for name, value in own.items():
            if name in state_dict and assign:
                _assign(module, name, value, state_dict[name])
            elif name in state_dict:
                value.copy_(state_dict[name])
    return LoadResult(missing, unexpected)


def _assign(module: Module, name: str, old: Tensor, new: Tensor) -> None:
    path, _, attribute = name.rpartition(".")
    if isinstance(old, Parameter) and not isinstance(new, Parameter):
        new = Parameter(new, old.requires_grad)
    setattr(module.get_submodule(path), attribute, new)


def parse_to(args: tuple[Any, ...], device: Any, dtype: Any) -> tuple[Any, Any]:
    """Sorts the positional arguments of `Module.to` into a device and a dtype."""
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, type(rg.float32)):
            dtype = arg
        else:
            device = arg
    if dtype is not None and not dtype.is_floating_point and not dtype.is_complex:
        raise TypeError(f"to() takes a floating or complex dtype, got {dtype}")
    return device, dtype


def moved(tensor: Tensor, device: Any, dtype: Any) -> Tensor:
    """The tensor on that device, cast if both it and the dtype are floating or complex."""
    if dtype is not None and (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.to(dtype=dtype)
    return tensor if device is None else tensor.to(device=device)


def convert(module: Module, fn: Callable[[Tensor], Tensor]) -> None:
    """Applies ``fn`` to all parameters, their gradients and buffers; parameters stay themselves."""
    done: set[int] = set()
    for part in module.modules():
        for p in part._parameters.values():
            if p is None or id(p) in done:
                continue
            done.add(id(p))
            grad, p.grad = p.grad, None
            p.data = fn(p.data)
            if grad is not None:
                p.grad = fn(grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                setattr(part, name, fn(buffer))


def zero_grad(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Drops the gradients, or fills them with zeros."""
    for p in parameters:
        if p.grad is None:
            continue
        if set_to_none:
            p.grad = None
        else:
            p.grad = p.grad.detach().zero_()
