"""Hooks of modules: what runs before and after `forward` and around its gradient."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import rubigo as rg
from rubigo._core import Tensor

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns; `remove()`, or leaving a ``with`` block, takes it off."""

    def __init__(self, table: dict[int, Any], hook: Any, first: bool = False) -> None:
        self._table = table
        self.id = next(_ids)
        table[self.id] = hook
        if first:
            for key in [k for k in table if k != self.id]:
                table[key] = table.pop(key)

    def remove(self) -> None:
        """Takes the hook off; a second call does nothing."""
        self._table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks:
    """The hooks of one module. A module without any has none of this, and calls `forward` alone."""

    def __init__(self) -> None:
        self.pre: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.post: dict[int, tuple[Callable[..., Any], bool, bool]] = {}
        self.backward_pre: dict[int, Callable[..., Any]] = {}
        self.backward: dict[int, Callable[..., Any]] = {}
        self.save_pre: dict[int, Callable[..., Any]] = {}
        self.save_post: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.load_pre: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.load_post: dict[int, Callable[..., Any]] = {}

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs `module.forward` inside its hooks."""
        always = {key for key, (_, _, always) in self.post.items() if always}
        try:
            for hook, with_kwargs in list(self.pre.values()):
                args, kwargs = _run_pre(hook, with_kwargs, module, args, kwargs)
            boundary = _Boundary(self, module) if self.backward or self.backward_pre else None
            if boundary is not None:
                args = boundary.enter(args)
            result = module.forward(*args, **kwargs)
            for key, (hook, with_kwargs, _) in list(self.post.items()):
                always.discard(key)
                result = _run_post(hook, with_kwargs, module, args, kwargs, result)
        except Exception:
            # torch's `always_call`: those that had no turn still get one, and see None.
            for key in sorted(always):
                hook, with_kwargs, _ = self.post[key]
                _run_post(hook, with_kwargs, module, args, kwargs, None)
            raise
        return result if boundary is None else boundary.leave(result)


NO_HOOKS = Hooks()  # for reading only


def _run_pre(
    hook: Callable[..., Any], with_kwargs: bool, module: Any, args: Any, kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not with_kwargs:
        new = hook(module, args)
        if new is None:
            return args, kwargs
        return (new if isinstance(new, tuple) else (new,)), kwargs
    new = hook(module, args, kwargs)
    if new is None:
        return args, kwargs
    if not (isinstance(new, tuple) and len(new) == 2):
        raise RuntimeError(
            f"forward pre-hook with_kwargs must return None or (args, kwargs), got {new!r}"
        )
    return new


def _run_post(
    hook: Callable[..., Any], with_kwargs: bool, module: Any, args: Any, kwargs: Any, result: Any
) -> Any:
    new = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
    return result if new is None else new


class _Boundary:
    """Watches the gradient cross a module: in at its outputs, out at its inputs."""

    def __init__(self, hooks: Hooks, module: Any) -> None:
        self.hooks = hooks
        self.module = module
        self.grad_output: tuple[Any, ...] | None = None
        self.input_count = 0
        self.positions: list[int] = []

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Puts an identity behind the positional inputs that need a gradient."""
        self.input_count = len(args)
        self.positions = [
            i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad
        ]
        if not self.positions or not rg.is_grad_enabled():
            self.positions = []
            return args
        seen = _watch().apply(self.at_inputs, *[args[i] for i in self.positions])
        new = list(args)
        for i, tensor in zip(self.positions, _as_tuple(seen), strict=True):
            new[i] = tensor
        return tuple(new)

    def leave(self, result: Any) -> Any:
        """Puts an identity behind the outputs: a tensor, or a tuple or list of them."""
        single = isinstance(result, Tensor)
        outputs: list[Any] = [result] if single else list(_as_tuple(result))
        where = [i for i, t in enumerate(outputs) if isinstance(t, Tensor) and t.requires_grad]
        if not where:  # also what is no tensor, tuple or list comes back as it was
            return result
        seen = _watch().apply(self.at_outputs, *[outputs[i] for i in where])
        for i, tensor in zip(where, _as_tuple(seen), strict=True):
            outputs[i] = tensor
        if single:
            return outputs[0]
        if hasattr(result, "_fields"):  # a named tuple takes its items one by one
            return type(result)(*outputs)
        return type(result)(outputs)

    def at_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self.hooks.backward_pre.values()):
            new = hook(self.module, grads)
            if new is not None:
                grads = _as_tuple(new)
        self.grad_output = grads
        if not self.positions:  # nothing before this module wants a gradient
            self.run((None,) * self.input_count)
        return grads

    def at_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        full: list[Any] = [None] * self.input_count
        for i, grad in zip(self.positions, grads, strict=True):
            full[i] = grad
        out = self.run(tuple(full))
        return tuple(out[i] for i in self.positions)

    def run(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self.hooks.backward.values()):
            new = hook(self.module, grad_input, self.grad_output)
            if new is not None:
                grad_input = _as_tuple(new)
        if len(grad_input) != self.input_count:
            raise RuntimeError(
                f"full backward hook returned {len(grad_input)} gradients, "
                f"but the module got {self.input_count} inputs"
            )
        return grad_input


@functools.cache
def _watch() -> Any:
    """The identity; its backward shows the gradients to a function that may replace them."""

    class Watch(rg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, see: Callable[..., Any], *tensors: Tensor) -> Any:
            ctx.see = see
            out = [t.view_as(t) for t in tensors]
            return out[0] if len(out) == 1 else tuple(out)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return (None, *ctx.see(grads))

    return Watch


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
