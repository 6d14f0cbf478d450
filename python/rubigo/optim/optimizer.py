"""What all optimizers share: parameter groups, state, and the frame of a step."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import rubigo as rg
from rubigo._arguments import no_tensor
from rubigo._core import Tensor
from rubigo.nn.hooks import RemovableHandle
from rubigo.nn.module import Module
from rubigo.nn.state import zero_grad


def _framed(step: Callable[..., Any]) -> Callable[..., Any]:
    """Puts hooks and the count of steps around a class's `step`; once, if it calls super's."""

    @functools.wraps(step)
    def framed(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._in_step:
            return step(self, *args, **kwargs)
        args = (self, *args)
        for hook in list(self._step_pre_hooks.values()):
            new = hook(self, args, kwargs)
            if new is not None:
                if not isinstance(new, tuple) or len(new) != 2:
                    raise RuntimeError(
                        f"a step pre hook returns None or (new_args, new_kwargs), got {new!r}"
                    )
                args, kwargs = new
        self._in_step = True
        try:
            result = step(*args, **kwargs)
        finally:
            self._in_step = False
        self.steps_taken += 1
        for hook in list(self._step_post_hooks.values()):
            hook(self, args, kwargs)
        return result

    return framed


class Optimizer:
    """Base class of optimizers: a subclass writes `_update`, which steps one group.

    Args:
        params: Parameters, pairs of names and parameters, or dicts with ``"params"`` and the
            settings of a group.
        defaults: Settings of the groups that do not bring their own.
    """

    buffers: tuple[str, ...] = ()
    """The names of its state that are tensors shaped as the parameter."""

    _in_step = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            setattr(cls, "step", _framed(vars(cls)["step"]))  # noqa: B010

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Module):
            name = type(params).__name__
            raise TypeError(
                f"params must be an iterable of tensors or dicts, got a {name}\n"
                f"  hint: pass model.parameters()"
            )
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(
                f"params must be an iterable of tensors or dicts, got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.steps_taken = 0
        self._step_pre_hooks: dict[int, Callable[..., Any]] = {}
        self._step_post_hooks: dict[int, Callable[..., Any]] = {}
        groups = list(params)
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list\n"
                "  hint: layers in a plain list or dict are not seen: use nn.ModuleList"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with settings of their own, as for a layer that is unfrozen later."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, got {type(param_group).__name__}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, set):
            raise TypeError("parameters must be ordered, a set is not; use a list")
        params = [params] if isinstance(params, Tensor) else list(params)
        if params and isinstance(params[0], tuple):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, got {no_tensor(p)}")
            if not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        group["params"] = params
        for key, value in self.defaults.items():
            group.setdefault(key, value)
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        if len({id(p) for p in params}) < len(params):
            warnings.warn(
                "a parameter group contains the same parameter twice: each step updates it twice",
                stacklevel=3,
            )
        if any(id(p) in taken for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.check(group)
        self.param_groups.append(group)

    @staticmethod
    def check(group: dict[str, Any]) -> None:
        """Raises ValueError for settings out of range; subclasses say which."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        for group in self.param_groups:
            zero_grad(group["params"], set_to_none)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Runs ``hook(optimizer, args, kwargs)`` before `step`; it may return both anew.

        As in PyTorch, `args` begin with the optimizer.
        """
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Runs ``hook(optimizer, args, kwargs)`` after `step`.

        Example:
            >>> import rubigo as rg
            >>> p = rg.nn.Parameter(rg.tensor([3.0]))
            >>> optimizer = rg.optim.SGD([p])
            >>> def clamp(optimizer, args, kwargs):
            ...     p.data.clamp_(-1.0, 1.0)
            >>> handle = optimizer.register_step_post_hook(clamp)
            >>> optimizer.step()
            >>> p.tolist()
            [1.0]
        """
        return RemovableHandle(self._step_post_hooks, hook)

    @_framed
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters that have a gradient.

        Args:
            closure: Computes the loss again, with gradients, and returns it.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with rg.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            try:
                self._update(group, params, [p.grad for p in params])
            except RuntimeError as error:
                raise self._explained(params, error) from None
        return loss

    def _explained(self, params: list[Tensor], error: Exception) -> Exception:
        for p in params:
            for name, value in self.state[p].items():
                if isinstance(value, Tensor) and value.device != p.device:
                    return RuntimeError(
                        f"{type(self).__name__}: a parameter is on {p.device}, "
                        f"its {name} on {value.device}\n"
                        "  hint: move the model before the first step, or pass the optimizer's "
                        "state_dict() to its load_state_dict(), which moves it"
                    )
        return error

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no _update()")

    def _buffers(self, params: list[Tensor], name: str) -> list[Tensor]:
        """One state tensor per parameter, zeros at first."""
        buffers = []
        for p in params:
            state = self.state[p]
            buffer = state.get(name)
            if buffer is None:
                buffer = state[name] = rg.zeros_like(p.detach())
            buffers.append(buffer)
        return buffers

    def _count(self, params: list[Tensor]) -> list[int]:
        """Counts this step for each parameter."""
        steps = []
        for p in params:
            state = self.state[p]
            state["step"] = step = int(state.get("step", 0)) + 1
            steps.append(step)
        return steps

    def state_dict(self) -> dict[str, Any]:
        """State and settings, parameters numbered in order, in PyTorch's layout."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned; tensors are copied to the parameters' devices.

        Raises:
            ValueError: it belongs to another optimizer, or is damaged; all stays as it was.
        """
        saved, states = _parts(state_dict)
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"loaded state dict has {len(saved)} parameter groups, "
                f"the optimizer {len(self.param_groups)}"
            )
        owners: dict[Any, Tensor] = {}
        merged = []
        for i, (theirs, ours) in enumerate(zip(saved, self.param_groups, strict=True)):
            numbers = theirs.pop("params")
            if len(numbers) != len(ours["params"]):
                raise ValueError(
                    f"loaded state dict has {len(numbers)} parameters in group {i}, "
                    f"the optimizer {len(ours['params'])}"
                )
            owners.update(zip(numbers, ours["params"], strict=True))
            check_kinds(ours, theirs, f"loaded state dict, group {i}")
            merged.append({**ours, **deepcopy(theirs)})
            self.check(merged[-1])
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, values in states.items():
            # A file may have turned the numbers into text.
            owner = owners.get(key, owners.get(int(key)) if str(key).isdigit() else None)
            if owner is None:
                raise ValueError(f"loaded state dict has state for an unknown parameter {key!r}")
            state[owner] = {name: self._adopted(name, v, owner) for name, v in values.items()}
        self._check_whole(state)
        for ours, new in zip(self.param_groups, merged, strict=True):
            ours.update(new)
        self.state = state

    def _check_whole(self, state: Mapping[Any, Mapping[str, Any]]) -> None:
        """Refuses a state that lacks for one parameter what it has for others of its group."""
        for i, group in enumerate(self.param_groups):
            kept = [state[p] for p in group["params"] if state.get(p)]
            for name in ("step", *self.buffers):
                if 0 < sum(name in values for values in kept) < len(kept):
                    raise ValueError(
                        f"loaded state dict, group {i}: only some parameters have {name!r}"
                    )

    def _adopted(self, name: str, value: Any, owner: Tensor) -> Any:
        """A saved piece of state as this optimizer keeps it."""
        if name == "step":
            step = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
            if type(step) not in (int, float) or not 0 <= step < 2**53:
                raise ValueError(f"loaded state 'step' must be a count, got {value!r}")
            return int(step)
        if not isinstance(value, Tensor):
            if name in self.buffers and value is not None:
                raise ValueError(
                    f"loaded state {name!r} must be a Tensor, got {type(value).__name__}"
                )
            return value
        if name in self.buffers and tuple(value.shape) != tuple(owner.shape):
            raise ValueError(
                f"loaded state {name!r} has shape {tuple(value.shape)}, "
                f"its parameter {tuple(owner.shape)}"
            )
        return value.detach().to(device=owner.device, dtype=owner.dtype).clone()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            hidden = ("params", "param_names")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key not in hidden]
        return "\n".join([*lines, ")"])


def _parts(state_dict: Any) -> tuple[list[dict[str, Any]], Mapping[Any, Any]]:
    """The groups (copied) and the states, once they are known to be such."""
    groups = state_dict.get("param_groups") if isinstance(state_dict, Mapping) else None
    states = state_dict.get("state") if isinstance(state_dict, Mapping) else None
    if not isinstance(groups, (list, tuple)) or not isinstance(states, Mapping):
        raise ValueError("an optimizer's state dict has a list 'param_groups' and a dict 'state'")
    for i, group in enumerate(groups):
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), (list, tuple)):
            raise ValueError(f"loaded state dict: group {i} has no list 'params'")
    for key, values in states.items():
        if not isinstance(values, Mapping):
            raise ValueError(f"loaded state dict: the state of parameter {key!r} is no dict")
    return [dict(group) for group in groups], states


def check_kinds(ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
    """Refuses saved settings that are text where a number stands, and the like."""
    for name, value in theirs.items():
        if name in ours and not _same_kind(ours[name], value):
            raise ValueError(f"{where}: {name!r} is {value!r}, where there is {ours[name]!r} now")


def _same_kind(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(_same_kind, ours, theirs))
    kind = _kind(ours)
    return kind is None or kind == _kind(theirs)


def _kind(value: Any) -> str | None:
    """What a setting is, as far as others may stand in its place; None if anything may."""
    if isinstance(value, bool) or getattr(getattr(value, "dtype", None), "name", "") == "bool":
        return "bool"
    for kind, name in ((str, "text"), (Mapping, "dict"), ((list, tuple), "list")):
        if isinstance(value, kind):
            return name
    # A rate may be a scalar of numpy's, or a tensor.
    is_number = hasattr(value, "__float__") and not getattr(value, "ndim", 0)
    return "number" if is_number else None


def at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Refuses negative settings."""
    for name in names:
        if not group[name] >= 0.0:
            raise ValueError(f"invalid {name}: {group[name]} (must not be negative)")
