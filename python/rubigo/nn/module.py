"""`Module`: a container of parameters, buffers and other modules, and a function.

Registered values are plain attributes, so reading one costs what reading any attribute costs;
`_slots` remembers in order which names are registered and as what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import rubigo as rg
from rubigo._core import Tensor

from . import state, trace
from .hooks import Hooks, RemovableHandle
from .parameter import Parameter

_PARAMETER, _BUFFER, _HIDDEN_BUFFER, _MODULE = "parameter", "buffer", "hidden buffer", "module"
_BUFFERS = (_BUFFER, _HIDDEN_BUFFER)


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

    def __init__(self) -> None:
        self.__dict__.update(training=True, _slots={}, _hooks=None)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); write one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooks is None:
                return self.forward(*args, **kwargs)
            return self._hooks.call(self, args, kwargs)
        except Exception as error:
            trace.annotate(error, self)
            raise

    if TYPE_CHECKING:
        # Registered values are not declared as class attributes.
        def __getattr__(self, name: str) -> Any: ...

    # Registration

    def __setattr__(self, name: str, value: Any) -> None:
        slots = self.__dict__.get("_slots")
        if isinstance(value, (Parameter, Module)) and slots is None:
            raise AttributeError(
                f"cannot assign {name!r} before Module.__init__() has run\n"
                f"  hint: call super().__init__() first in {type(self).__name__}.__init__"
            )
        kind = slots.get(name) if slots else None
        if isinstance(value, Parameter):
            self._register(name, value, _PARAMETER)
        elif isinstance(value, Module) and kind != _PARAMETER:
            self._register(name, value, _MODULE)
        elif kind is None:
            object.__setattr__(self, name, value)
        elif value is None or (kind in _BUFFERS and isinstance(value, Tensor)):
            self.__dict__[name] = value
        else:
            wanted = {_PARAMETER: "Parameter", _MODULE: "Module"}.get(kind, "Tensor")
            got = type(value).__name__
            raise TypeError(f"cannot assign {got} to {kind} {name!r}: {wanted} or None expected")

    def __delattr__(self, name: str) -> None:
        self._slots.pop(name, None)
        object.__delattr__(self, name)

    def _register(self, name: str, value: Any, kind: str) -> None:
        if self._slots.get(name) != kind:
            self._slots.pop(name, None)
            self._slots[name] = kind
        self.__dict__[name] = value

    def _check_name(self, name: str, kind: str) -> None:
        if "_slots" not in self.__dict__:
            raise AttributeError(
                f"cannot register {kind} {name!r} before Module.__init__() has run"
            )
        if not isinstance(name, str):
            raise TypeError(f"{kind} name must be a str, got {type(name).__name__}")
        if "." in name or name == "":
            raise KeyError(f"{kind} name must not be empty or contain a dot, got {name!r}")
        if hasattr(self, name) and name not in self._slots:
            raise KeyError(f"attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter; None reserves the name without one."""
        self._check_name(name, _PARAMETER)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{name!r} must be a Parameter or None, got {type(param).__name__}")
        self._register(name, param, _PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that moves and is saved with the module but is not trained.

        Args:
            name: The attribute it becomes.
            tensor: Its value; None reserves the name.
            persistent: Whether it is part of `state_dict`.
        """
        self._check_name(name, _BUFFER)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"{name!r} must be a Tensor or None, got {type(tensor).__name__}")
        self._register(name, tensor, _BUFFER if persistent else _HIDDEN_BUFFER)

    def register_module(self, name: str, module: Module | None) -> None:
        """Adds a child module; same as `add_module`."""
        self._check_name(name, _MODULE)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{name!r} must be a Module or None, got {type(module).__name__}")
        self._register(name, module, _MODULE)

    add_module = register_module

    def _of_kind(self, *kinds: str) -> dict[str, Any]:
        values = self.__dict__
        return {name: values[name] for name, kind in self._slots.items() if kind in kinds}

    # PyTorch's private names, for code that reads them; writing goes through attributes.
    @property
    def _parameters(self) -> Mapping[str, Parameter | None]:
        return MappingProxyType(self._of_kind(_PARAMETER))

    @property
    def _buffers(self) -> Mapping[str, Tensor | None]:
        return MappingProxyType(self._of_kind(*_BUFFERS))

    @property
    def _modules(self) -> Mapping[str, Module | None]:
        return MappingProxyType(self._of_kind(_MODULE))

    # Walking

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children with their names, each once."""
        seen: set[int] = set()
        for name, child in self._of_kind(_MODULE).items():
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
        for name, child in self._of_kind(_MODULE).items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def _named(
        self, kinds: tuple[str, ...], prefix: str, recurse: bool, unique: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=unique)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in module._of_kind(*kinds).items():
                if value is None or id(value) in seen:
                    continue
                if unique:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names; a shared one appears once, unless asked."""
        return self._named((_PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; what an optimizer takes."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names."""
        return self._named(_BUFFERS, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; the empty path is this module."""
        module = self
        for name in target.split(".") if target else ():
            child = module._of_kind(_MODULE).get(name)
            if child is None:
                known = ", ".join(module._of_kind(_MODULE)) or "none"
                raise AttributeError(
                    f"{type(module).__name__} has no child module {name!r} (children: {known})"
                )
            module = child
        return module

    def _get_value(self, target: str, *kinds: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        value = module._of_kind(*kinds).get(name)
        if value is None:
            raise AttributeError(f"{type(module).__name__} has no {kinds[0]} {name!r}")
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._get_value(target, _PARAMETER)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._get_value(target, *_BUFFERS)

    # State

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, sharing storage with the module.

        Args:
            prefix: Put before every name.
            keep_vars: Return the parameters themselves, not detached tensors.
        """
        named = self._named((_PARAMETER, _BUFFER), prefix.rstrip("."), True, False)
        return {name: value if keep_vars else value.detach() for name, value in named}

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> state.LoadResult:
        """Copies values in by name; either all of them or, when something is wrong, none.

        Args:
            state_dict: As `state_dict` returned it.
            strict: Raise if names are missing or unexpected.
            assign: Take the tensors themselves instead of copying their values.

        Returns:
            The missing and the unexpected names.
        """
        return state.load(self, state_dict, strict, assign)

    def train(self, mode: bool = True) -> Self:
        """Sets training mode here and below (dropout drops, batch norm learns its statistics)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
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

    def _apply(self, fn: Callable[[Tensor], Tensor]) -> Self:
        state.convert(self, fn)
        return self

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        """Moves parameters and buffers to a device, casts the floating ones to a dtype, in place.

        Takes ``to(device)``, ``to(dtype)``, ``to(device, dtype)`` or ``to(tensor)``.
        """
        device, dtype = state.parse_to(args, device, dtype)
        return self._apply(lambda t: state.moved(t, device, dtype))

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

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

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
        return RemovableHandle(self._own_hooks().pre, (hook, with_kwargs), prepend)

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
        return RemovableHandle(self._own_hooks().post, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[[Any, Any], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Runs ``hook(module, grad_output)`` before the module's gradient is computed."""
        return RemovableHandle(self._own_hooks().backward_pre, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[[Any, Any, Any], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Runs ``hook(module, grad_input, grad_output)``; its result replaces ``grad_input``."""
        return RemovableHandle(self._own_hooks().backward, hook, prepend)

    # Display

    def extra_repr(self) -> str:
        """The text between the parentheses of this module's line; subclasses write their own."""
        return ""

    def __repr__(self) -> str:
        lines = self._child_lines()
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        body = "\n  ".join([extra, *lines] if extra else lines)
        return f"{type(self).__name__}(\n  {body}\n)"

    def _child_lines(self) -> list[str]:
        children = self._of_kind(_MODULE).items()
        return [f"({name}): {indented(child)}" for name, child in children]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n for n in self._slots if n.isidentifier())})


def indented(child: Any) -> str:
    """What a child shows inside its parent."""
    return repr(child).replace("\n", "\n  ")


class Layer(Module):
    """A module from one tensor to one tensor."""

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Tensor: ...
