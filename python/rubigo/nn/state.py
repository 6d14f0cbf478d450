"""Loading, moving and clearing what a module holds."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import rubigo as rg
from rubigo._arguments import adopted, type_name
from rubigo._core import Tensor

from .hooks import NO_HOOKS
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


EXTRA = "_extra_state"  # the name of what `get_extra_state` returns


def not_initialised(module: Module) -> AttributeError:
    """The error of a module that is used before it is one."""
    name = type(module).__name__
    return AttributeError(
        f"{name} is used before Module.__init__() has run\n"
        f"  hint: call super().__init__() first in {name}.__init__"
    )


class LoadResult(NamedTuple):
    """What `Module.load_state_dict` did not find a partner for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"LoadResult(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"
        )


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> LoadResult:
    """Loads module by module, as each says itself, and takes all back if anything is wrong."""
    if not isinstance(state_dict, Mapping):
        hint = "\n  hint: read the file first, with rg.load(path)"
        is_path = isinstance(state_dict, (str, os.PathLike))
        raise TypeError(
            f"expected state_dict to be a dict, got {type(state_dict).__name__}"
            f"{hint if is_path else ''}"
        )
    result = LoadResult([], [])
    errors: list[str] = []
    undo: list[Callable[[], Any]] = []

    def visit(part: Module, given: dict[str, Any], prefix: str) -> None:
        about = {"assign_to_params_buffers": assign, "rubigo_undo": undo}
        part._load_from_state_dict(given, prefix, about, True, *result, errors)
        for name, child in part._modules.items():
            if child is not None:
                path = f"{prefix}{name}."
                visit(child, {k: v for k, v in given.items() if k.startswith(path)}, path)
        for hook in list((part._rubigo_hooks or NO_HOOKS).load_post.values()):
            if hook(part, result) is not None:
                raise RuntimeError(
                    "a load_state_dict post-hook must change the lists of result, and return None"
                )

    try:
        visit(module, dict(state_dict), "")
        problems = []
        if strict and result.missing_keys:
            problems.append("missing: " + ", ".join(result.missing_keys))
        if strict and result.unexpected_keys:
            problems.append("unexpected: " + ", ".join(result.unexpected_keys))
        problems += errors
        if problems:
            report = "\n  ".join(problems)
            raise RuntimeError(f"cannot load state_dict into {type(module).__name__}:\n  {report}")
    except BaseException:
        with rg.no_grad():
            for action in reversed(undo):
                action()
        raise
    return result


def load_own(
    module: Module,
    own: dict[str, Tensor],
    state_dict: dict[str, Any],
    prefix: str,
    about: dict[str, Any],
    errors: list[str],
) -> tuple[list[str], list[str]]:
    """Loads what one module holds itself; the names that are missing, and those unexpected."""
    undo = about.get("rubigo_undo", [])
    missing = []
    for name, value in own.items():
        key = prefix + name
        if key not in state_dict:
            missing.append(key)
            continue
        new = state_dict[key]
        if not isinstance(new, Tensor):
            try:
                given, new = new, adopted(new)
            except (BufferError, RuntimeError, TypeError) as error:
                errors.append(f"{key}: {error}")
                continue
            if new is None:
                errors.append(f"{key}: expected a Tensor, got {type_name(given)}")
                continue
        if value.dim() == 0 and tuple(new.shape) == (1,):
            new = new[0]  # PyTorch's oldest files know no 0-d tensors
        if tuple(new.shape) != tuple(value.shape):
            errors.append(
                f"{key}: the model has shape {tuple(value.shape)}, "
                f"the state_dict has {tuple(new.shape)}"
            )
        elif about.get("assign_to_params_buffers"):
            try:
                _assign(module, name, value, new, undo)
            except RuntimeError as error:
                errors.append(f"{key}: {error}")
        else:
            undo.append(functools.partial(value.copy_, value.detach().clone()))
            with rg.no_grad():
                value.copy_(new)
    extra = prefix + EXTRA
    takes_extra = type(module).set_extra_state is not rg.nn.Module.set_extra_state
    if takes_extra and extra in state_dict:
        undo.append(functools.partial(module.set_extra_state, module.get_extra_state()))
        module.set_extra_state(state_dict[extra])
    elif takes_extra:
        missing.append(extra)
    known = {*own, *module._modules, *([EXTRA] if takes_extra else ())}
    unexpected = []
    for key in state_dict:
        if key.startswith(prefix):
            first, dot, _ = key[len(prefix) :].partition(".")
            # What goes on after a dot must lead into a child, which sees to it itself.
            if first not in known or bool(dot) != (first in module._modules):
                unexpected.append(key)
    return missing, unexpected


def _assign(
    module: Module, name: str, value: Tensor, new: Tensor, undo: list[Callable[[], Any]]
) -> None:
    """Puts a tensor in the place of another; a parameter is trained if the one before was."""
    slots = dict(module._rubigo_slots)

    def back() -> None:
        module._rubigo_slots.clear()
        module._rubigo_slots.update(slots)
        module.__dict__[name] = value

    undo.append(back)
    if isinstance(value, Parameter):
        if isinstance(new, Parameter):
            undo.append(functools.partial(new.requires_grad_, new.requires_grad))
            new.requires_grad_(value.requires_grad)
        else:
            new = Parameter(new, value.requires_grad)
    setattr(module, name, new)


def parse_to(args: tuple[Any, ...], device: Any, dtype: Any) -> tuple[Any, Any]:
    """Sorts the positional arguments of `Module.to` into a device and a dtype."""
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, type(rg.float32)):
            dtype = arg
        elif arg is not None and not isinstance(arg, bool):  # a bool is `non_blocking`
            device = arg
    if dtype is not None and not dtype.is_floating_point and not dtype.is_complex:
        raise TypeError(f"to() takes a floating or complex dtype, got {dtype}")
    return device, dtype


def moved(tensor: Tensor, device: Any, dtype: Any) -> Tensor:
    """The tensor on that device, cast if both it and the dtype are floating or complex."""
    if dtype is not None and (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.to(dtype=dtype)
    return tensor if device is None else tensor.to(device=device)


def convert(
    parameters: dict[str, Any], buffers: dict[str, Any], module: Module, fn: Callable[..., Tensor]
) -> None:
    """Applies ``fn`` to parameters, their gradients and buffers; parameters stay themselves."""
    for p in parameters.values():
        if p is not None:
            grad, p.grad = p.grad, None  # it would not fit in between
            p.data = fn(p.data)
            if grad is not None:
                p.grad = fn(grad)
    for name, buffer in buffers.items():
        if buffer is not None:
            setattr(module, name, fn(buffer))


M = TypeVar("M", bound="Module")


def converted(module: M, fn: Callable[[Tensor], Tensor]) -> M:
    """`Module._apply`, taken back in all modules if it fails in one."""
    parameters = [(p, p.data, p.grad) for p in module.parameters()]
    buffers = [(part, name, b) for part in module.modules() for name, b in part._buffers.items()]
    try:
        return module._apply(fn)
    except BaseException:
        for p, data, grad in parameters:
            p.grad = None
            p.data = data
            p.grad = grad
        for part, name, buffer in buffers:
            setattr(part, name, buffer)
        raise


def zero_grad(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Drops the gradients, or fills them with zeros."""
    for p in parameters:
        if p.grad is None:
            continue
        if set_to_none:
            p.grad = None
        else:
            p.grad = p.grad.detach().zero_()
