"""What all schedules share.

A schedule changes each group's learning rate from its value now, not from the start, wherever its
formula allows. So several schedules on one optimizer multiply.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Mapping
from typing import Any

from rubigo.optim.optimizer import Optimizer, check_kinds

# The attributes that this class itself sets.
_OF_ALL = ("base_lrs", "last_epoch", "_last_lr", "_step_count")


class LRScheduler:
    """Base class: a subclass writes `get_lr`, the new rates of all groups.

    Args:
        optimizer: Whose learning rates are set.
        last_epoch: The epoch to continue after; -1 starts anew.
    """

    _unsaved: tuple[str, ...] = ("optimizer",)
    _free: tuple[str, ...] = ()
    """Lists of numbers whose saved value may have another length."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"group {i} has no 'initial_lr', so last_epoch cannot be resumed")
        self.base_lrs: list[float] = [
            float(group["initial_lr"]) for group in optimizer.param_groups
        ]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The rates for epoch `last_epoch`, one per group."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return list(self._last_lr)

    @property
    def _lrs(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _set(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr = self._lrs

    def step(self) -> None:
        """Moves on by one epoch; call it after the optimizer's `step`."""
        if self._step_count == 1 and self.optimizer.steps_taken == 0:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(), "
                "so the first learning rate was skipped",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    @property
    def _is_first(self) -> bool:
        """Whether this is the step of the constructor, which finds the rates as they should be."""
        return self._step_count == 1

    def begin(self) -> None:
        """Goes back to epoch 0, from the rates as they are."""
        self._step_count = 0
        self.last_epoch = -1
        self.step()

    def restart(self) -> None:
        """Goes back to epoch 0 and the initial rates."""
        self._set(self.base_lrs)
        self.begin()

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer and functions."""
        return {key: value for key, value in vars(self).items() if key not in self._unsaved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned.

        Raises:
            ValueError: it belongs to another schedule, or is damaged; all stays as it was.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping):
            raise ValueError(f"{name}: a state dict is a dict, got {type(state_dict).__name__}")
        known = {key: value for key, value in vars(self).items() if key in _OF_ALL}
        new = {key: value for key, value in state_dict.items() if key not in self._unsaved}
        if type(self).__module__.startswith("rubigo."):
            # Here all attributes are known. PyTorch's states have more, which nothing here reads.
            new = {key: value for key, value in new.items() if key in vars(self)}
            lists = [key for key in self._free if isinstance(new.get(key), list)]
            known = {**vars(self), **{key: [0] * len(new[key]) for key in lists}}
        check_kinds(known, new, f"{name}: loaded state dict")
        for key in new:
            if callable(getattr(type(self), str(key), None)):
                raise ValueError(f"{name}: loaded state dict would replace its method {key!r}")
        vars(self).update(new)


def functions_state(functions: list[Any]) -> list[dict[str, Any] | None]:
    """The attributes of callable objects; a function has no state, and gives None."""
    plain = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
    return [None if isinstance(f, plain) else dict(vars(f)) for f in functions]


def load_functions(functions: list[Any], saved: list[dict[str, Any] | None]) -> None:
    """Takes over what `functions_state` returned."""
    for function, state in zip(functions, saved, strict=True):
        if state is not None:
            vars(function).update(state)


def per_group(value: Any, optimizer: Optimizer, name: str) -> list[Any]:
    """One value for every group, or a list with one for each."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"expected {count} values for {name}, one per group, got {len(value)}")
    return list(value)


class Momentum:
    """The momentum of a group, under the name its optimizer has for it."""

    def __init__(self, optimizer: Optimizer) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                "optimizer must support momentum or beta1 with cycle_momentum=True\n"
                "  hint: pass cycle_momentum=False"
            )
        self.optimizer = optimizer

    def set(self, values: list[float]) -> None:
        """Sets one value per group."""
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value
