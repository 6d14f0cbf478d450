"""`Module`: a container of parameters, buffers and other modules, and a function.

Registered values are plain attributes, so reading one costs what reading any attribute costs;
`_rubigo_slots` remembers in order which names are registered and as what. What works on it are
functions of this file and of `registry.py`, not methods: every other name belongs to those who
write a Module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import rubigo as rg
from rubigo._arguments import given, no_tensor
from rubigo._core import Tensor

from . import state, trace
from .hooks import NO_HOOKS, Hooks, RemovableHandle
from .parameter import Buffer, Parameter
from .registry import (
    BUFFER,
    BUFFERS,
    HIDDEN_BUFFER,
    MODULE,
    PARAMETER,
    check_name,
    get_value,
    named,
    of_kind,
    register,
    slots_of,
)


class Module:
    """Base class of all layers and models, with PyTorch's interface.

    Assign parameters, buffers and modules as attributes in ``__init__`` (after
    ``super().__init__()``) and write `forward`. An error inside `forward` names the layer that
    failed by its path from the module that was called: ``encoder.layers[3].linear1 (Linear)``.

    Example:
        >>> import rubigo as rg
        >>> class Scale(rg.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = rg.nn.Parameter(rg.tensor(2.0))
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> scale = Scale()
        >>> scale(rg.tensor([1.0, 3.0])).tolist()
        [2.0, 6.0]
        >>> [name for name, _ in scale.named_parameters()]
        ['factor']
    """

    training: bool
    _version: int = 1
    _rubigo_slots: dict[str, str]
    _rubigo_hooks: Hooks | None

    def __init__(self) -> None:
        self.__dict__.update(training=True, _rubigo_slots={}, _rubigo_hooks=None)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; every subclass writes its own."""
        raise NotImplementedError(f"it has no forward(); write one in {type(self).__name__}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._rubigo_hooks is None:
                return self.forward(*args, **kwargs)
            return self._rubigo_hooks.call(self, args, kwargs)
        except Exception as error:
            trace.annotate(error, self)
            raise

    if TYPE_CHECKING:
        # Registered values are not declared as class attributes.
        def __getattr__(self, name: str) -> Any: ...

    # Registration

    def __setattr__(self, name: str, value: Any) -> None:
        slots = self.__dict__.get("_rubigo_slots")
        if isinstance(value, (Parameter, Buffer, Module)) and slots is None:
            raise state.not_initialised(self)
        kind = slots.get(name) if slots else None
        if isinstance(value, Parameter):
            register(self, name, value, PARAMETER)
        elif isinstance(value, Module) and kind != PARAMETER:
            register(self, name, value, MODULE)
        elif isinstance(value, Buffer) and kind != PARAMETER:
            register(self, name, value, BUFFER if value.persistent else HIDDEN_BUFFER)
        elif kind is None:
            object.__setattr__(self, name, value)
        elif value is None or (kind in BUFFERS and isinstance(value, Tensor)):
            self.__dict__[name] = value
        else:
            wanted = {PARAMETER: "Parameter", MODULE: "Module"}.get(kind, "Tensor")
            got = type(value).__name__
            raise TypeError(f"cannot assign {got} to {kind} {name!r}: {wanted} or None expected")

    def __delattr__(self, name: str) -> None:
        slots_of(self).pop(name, None)
        object.__delattr__(self, name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter; None reserves the name without one."""
        check_name(self, name, PARAMETER)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{name!r} must be a Parameter or None, got {type(param).__name__}")
        register(self, name, param, PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that moves and is saved with the module but is not trained.

        Args:
            name: The attribute it becomes.
            tensor: Its value; None reserves the name.
            persistent: Whether it is part of `state_dict`.
        """
        check_name(self, name, BUFFER)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"{name!r} must be a Tensor or None, got {no_tensor(tensor)}")
        register(self, name, tensor, BUFFER if persistent else HIDDEN_BUFFER)

    def register_module(self, name: str, module: Module | None) -> None:
        """Adds a child module; same as `add_module`."""
        check_name(self, name, MODULE)
        if module is not None and not isinstance(module, Module):
            hint = ""
            if isinstance(module, type):
                hint = f"\n  hint: make one with {module.__name__}()"
            elif isinstance(module, list):
                hint = "\n  hint: unpack the list: Sequential(*layers)"
            elif callable(module):
                hint = "\n  hint: use a layer that calls it, as nn.ReLU() calls F.relu"
            raise TypeError(f"{name!r} must be a Module or None, got {given(module)}{hint}")
        register(self, name, module, MODULE)

    add_module = register_module

    # PyTorch's private names, for code that reads them; writing goes through attributes.
    @property
    def _parameters(self) -> Mapping[str, Parameter | None]:
        return MappingProxyType(of_kind(self, PARAMETER))

    @property
    def _buffers(self) -> Mapping[str, Tensor | None]:
        return MappingProxyType(of_kind(self, *BUFFERS))

    @property
    def _modules(self) -> Mapping[str, Module | None]:
        return MappingProxyType(of_kind(self, MODULE))

    # Walking

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children with their names, each once."""
        seen: set[int] = set()
        for name, child in of_kind(self, MODULE).items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, depth first, with their dotted paths."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in of_kind(self, MODULE).items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it; a shared one appears once, unless asked."""
        found = self.named_modules(remove_duplicate=remove_duplicate)
        return (module for _, module in found)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names; a shared one appears once, unless asked."""
        return named(self, (PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; what an optimizer takes."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names."""
        return named(self, BUFFERS, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; the empty path is this module."""
        module = self
        for name in target.split(".") if target else ():
            child = of_kind(module, MODULE).get(name)
            if child is None:
                known = ", ".join(of_kind(module, MODULE)) or "none"
                raise AttributeError(
                    f"{type(module).__name__} has no child module {name!r} (children: {known})"
                )
            module = child
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a dotted path, whose parent exists.

        Args:
            target: The path.
            module: What goes there.
            strict: Replace only; refuse a name that is not there.
        """
        if not target:
            raise ValueError("set_submodule needs the path of a submodule, got ''")
        if not isinstance(module, Module):
            raise ValueError(f"expected a Module, got {type(module).__name__}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        known = of_kind(parent, MODULE)
        if name not in known and (strict or hasattr(parent, name)):
            raise AttributeError(f"{type(parent).__name__} has no child module {name!r}")
        register(parent, name, module, MODULE)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return get_value(self, target, PARAMETER)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return get_value(self, target, *BUFFERS)

    # State

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, sharing storage with the module.

        Args:
            destination: The dict to fill; a new one if None.
            prefix: Put before every name as it is: end it with a dot yourself.
            keep_vars: Return the parameters themselves, not detached tensors.
        """
        found: dict[str, Any] = {} if destination is None else destination
        hooks = seen_hooks(self)
        for hook in list(hooks.save_pre.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(found, prefix, keep_vars)
        for name, child in of_kind(self, MODULE).items():
            if child is not None:
                child.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook, may_replace in list(hooks.save_post.values()):
            new = hook(self, found, prefix, {"version": self._version})
            if new is not None and not may_replace:
                raise RuntimeError("a state_dict post-hook must change the dict, and return None")
            found = found if new is None else new
        return found

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """Adds what this module holds itself; PyTorch's name, to be overridden."""
        for kind in (PARAMETER, BUFFER):
            for name, value in of_kind(self, kind).items():
                if value is not None:
                    destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + state.EXTRA] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What else `state_dict` holds; a subclass that writes this writes `set_extra_state` too.

        Example:
            >>> import rubigo as rg
            >>> class Counter(rg.nn.Module):
            ...     count = 3
            ...     def get_extra_state(self):
            ...         return self.count
            ...     def set_extra_state(self, state):
            ...         self.count = state
            >>> Counter().state_dict()
            {'_extra_state': 3}
        """
        raise RuntimeError(f"{type(self).__name__} has no get_extra_state(); write one")

    def set_extra_state(self, state: Any) -> None:
        """Takes over what `get_extra_state` returned."""
        raise RuntimeError(f"{type(self).__name__} has no set_extra_state(); write one")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.LoadResult:
        """Copies values in by name; when something is wrong, all stays as it was.

        Args:
            state_dict: As `state_dict` returned it.
            strict: Raise if names are missing or unexpected.
            assign: Take the tensors themselves instead of copying their values; parameters stay
                frozen, or not, as they were.

        Returns:
            The missing and the unexpected names.
        """
        return state.load(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Takes what belongs to this module itself; PyTorch's name, to be overridden."""
        args = state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        for hook, with_module in list(seen_hooks(self).load_pre.values()):
            hook(*((self, *args) if with_module else args))
        own = {**of_kind(self, PARAMETER), **of_kind(self, BUFFER)}
        own = {name: value for name, value in own.items() if value is not None}
        missing, unexpected = state.load_own(
            self, own, state_dict, prefix, local_metadata, error_msgs
        )
        if strict:
            missing_keys += missing
            unexpected_keys += unexpected

    def train(self, mode: bool = True) -> Self:
        """Sets training mode here and below (dropout drops, batch norm learns its statistics)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)  # which may be overridden, to keep a part frozen
        return self

    def eval(self) -> Self:
        """Sets evaluation mode here and below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets whether the parameters are trained."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def freeze(self) -> Self:
        """Stops training the parameters: `requires_grad_(False)`."""
        return self.requires_grad_(False)

    def unfreeze(self) -> Self:
        """Trains the parameters again: `requires_grad_(True)`."""
        return self.requires_grad_(True)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        state.zero_grad(self.parameters(), set_to_none)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls ``fn`` on every module below, then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replaces all tensors by what ``fn`` makes of them; PyTorch's name, to be overridden."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        state.convert(of_kind(self, PARAMETER), of_kind(self, *BUFFERS), self, fn)
        return self

    def to(
        self, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False
    ) -> Self:
        """Moves parameters and buffers to a device, casts the floating ones to a dtype, in place.

        Takes ``to(device)``, ``to(dtype)``, ``to(device, dtype)`` or ``to(tensor)``, and then
        ``non_blocking``, which changes nothing. If one fails, all stay as they were.
        """
        device, dtype = state.parse_to(args, device, dtype)
        return state.converted(self, lambda t: state.moved(t, device, dtype))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Moves to a device without the values, which are then anything."""
        return self._apply(lambda t: rg.empty_like(t, device=device), recurse)

    def type(self, dst_type: Any) -> Self:
        """Casts all parameters and buffers, whole numbers too."""
        return state.converted(self, lambda t: t.to(dtype=dst_type))

    def share_memory(self) -> Self:
        """Not supported: tensors are not shared between processes."""
        raise NotImplementedError(
            "share_memory: tensors are not shared between processes\n"
            "  hint: threads share them as they are"
        )

    def cpu(self) -> Self:
        """Moves everything to the CPU."""
        return self.to("cpu")

    def gpu(self) -> Self:
        """Moves everything to the GPU."""
        return self.to("gpu")

    def float(self) -> Self:
        """Casts floating parameters and buffers to float32."""
        return self.to(dtype=rg.float32)

    def double(self) -> Self:
        """Casts floating parameters and buffers to float64."""
        return self.to(dtype=rg.float64)

    def half(self) -> Self:
        """Casts floating parameters and buffers to float16."""
        return self.to(dtype=rg.float16)

    def bfloat16(self) -> Self:
        """Casts floating parameters and buffers to bfloat16."""
        return self.to(dtype=rg.bfloat16)

    # Hooks

    @overload
    def register_forward_pre_hook(
        self,
        hook: Callable[[Any, Any], Any],
        *,
        prepend: bool = ...,
        with_kwargs: Literal[False] = ...,
    ) -> RemovableHandle: ...
    @overload
    def register_forward_pre_hook(
        self,
        hook: Callable[[Any, Any, dict[str, Any]], Any],
        *,
        prepend: bool = ...,
        with_kwargs: Literal[True],
    ) -> RemovableHandle: ...
    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Runs ``hook(module, args)`` before `forward`; what it returns replaces the inputs."""
        return RemovableHandle(hooks_of(self).pre, (hook, with_kwargs), prepend)

    @overload
    def register_forward_hook(
        self,
        hook: Callable[[Any, Any, Any], Any],
        *,
        prepend: bool = ...,
        with_kwargs: Literal[False] = ...,
        always_call: bool = ...,
    ) -> RemovableHandle: ...
    @overload
    def register_forward_hook(
        self,
        hook: Callable[[Any, Any, dict[str, Any], Any], Any],
        *,
        prepend: bool = ...,
        with_kwargs: Literal[True],
        always_call: bool = ...,
    ) -> RemovableHandle: ...
    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Runs ``hook(module, args, output)`` after `forward`; its result replaces the output."""
        return RemovableHandle(hooks_of(self).post, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[[Any, Any], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Runs ``hook(module, grad_output)`` before the module's gradient is computed."""
        return RemovableHandle(hooks_of(self).backward_pre, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[[Any, Any, Any], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Runs ``hook(module, grad_input, grad_output)``; its result replaces ``grad_input``."""
        return RemovableHandle(hooks_of(self).backward, hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Runs ``hook(module, prefix, keep_vars)`` before `state_dict`."""
        return RemovableHandle(hooks_of(self).save_pre, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Runs ``hook(module, state_dict, prefix, metadata)``, which may change the dict."""
        return RemovableHandle(hooks_of(self).save_post, (hook, False))

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The post-hook under PyTorch's older name: at the root it may return another dict."""
        return RemovableHandle(hooks_of(self).save_post, (hook, True))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Runs ``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)``.

        Before this module's values are loaded; it may change the dict, as to rename keys.
        """
        return self._register_load_state_dict_pre_hook(hook, True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """The pre-hook under PyTorch's older name, which is not given the module unless asked."""
        return RemovableHandle(hooks_of(self).load_pre, (hook, with_module))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Runs ``hook(module, result)`` after loading; it may change the lists of ``result``."""
        return RemovableHandle(hooks_of(self).load_post, hook)

    # Display

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The text between the parentheses of this module's line; subclasses write their own."""
        return ""

    def __repr__(self) -> str:
        children = of_kind(self, MODULE).items()
        return shown(self, [f"({name}): {indented(child)}" for name, child in children])

    def __dir__(self) -> list[str]:
        names = self.__dict__.get("_rubigo_slots", ())
        return sorted({*super().__dir__(), *(n for n in names if n.isidentifier())})


def hooks_of(module: Module) -> Hooks:
    """The hooks of a module, which gets a place for them with its first."""
    if module._rubigo_hooks is None:
        module._rubigo_hooks = Hooks()
    return module._rubigo_hooks


def seen_hooks(module: Module) -> Hooks:
    """The hooks of a module, for reading only."""
    slots_of(module)  # raises if there cannot be any
    return module._rubigo_hooks or NO_HOOKS


def shown(module: Module, children: list[str]) -> str:
    """A module's text around the lines of its children."""
    extra = [line for line in module.extra_repr().split("\n") if line]
    name = module._get_name()
    if not children and len(extra) < 2:
        return f"{name}({''.join(extra)})"
    return "\n  ".join([f"{name}(", *extra, *children]) + "\n)"


def indented(child: Any) -> str:
    """What a child shows inside its parent."""
    return repr(child).replace("\n", "\n  ")


class Layer(Module):
    """A module from one tensor to one tensor."""

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...
