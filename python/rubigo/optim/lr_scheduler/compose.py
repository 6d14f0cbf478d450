"""Several schedules on one optimizer: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from rubigo.optim.optimizer import Optimizer

from .base import LRScheduler


def _nested_state(schedule: Any) -> dict[str, Any]:
    state = {k: v for k, v in vars(schedule).items() if k not in ("optimizer", "_schedulers")}
    state["_schedulers"] = [s.state_dict() for s in schedule._schedulers]
    return state


def _load_nested(schedule: Any, state_dict: Mapping[str, Any]) -> None:
    state = dict(state_dict)
    inner = state.pop("_schedulers")
    if len(inner) != len(schedule._schedulers):
        raise ValueError(
            f"loaded state has {len(inner)} schedules, this one {len(schedule._schedulers)}"
        )
    vars(schedule).update(state)
    for part, saved in zip(schedule._schedulers, inner, strict=True):
        part.load_state_dict(saved)


class SequentialLR(LRScheduler):
    """One schedule after the other, changing at the epochs ``milestones``.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> warm = rg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> decay = rg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> both = rg.optim.lr_scheduler.SequentialLR(optimizer, [warm, decay], milestones=[2])
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     both.step()
        >>> both.get_last_lr()
        [4.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError("SequentialLR needs at least one schedule")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR needs one milestone fewer than schedules, got {len(milestones)} "
                f"milestones and {len(schedulers)} schedules"
            )
        if any(s.optimizer is not optimizer for s in schedulers):
            raise ValueError("all schedules must belong to the optimizer given here")
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        # Making the schedules has changed the rates; only the first counts now.
        self._schedulers[0].restart()
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self) -> None:
        """Moves on by one epoch."""
        self.last_epoch += 1
        current = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[current]
        if current > 0 and self._milestones[current - 1] == self.last_epoch:
            schedule.restart()
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """The state of this schedule and of its parts."""
        return _nested_state(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned."""
        _load_nested(self, state_dict)


class ChainedScheduler(LRScheduler):
    """Steps all schedules every epoch, so that their factors multiply.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> parts = [rg.optim.lr_scheduler.ExponentialLR(optimizer, g) for g in (0.5, 0.25)]
        >>> both = rg.optim.lr_scheduler.ChainedScheduler(parts)
        >>> optimizer.step()
        >>> both.step()
        >>> both.get_last_lr()
        [1.0]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler needs at least one schedule")
        self.optimizer = optimizer or schedulers[0].optimizer
        if any(s.optimizer is not self.optimizer for s in schedulers):
            raise ValueError("all schedules must belong to the same optimizer")
        self._schedulers = list(schedulers)
        self._last_lr = self._lrs

    def step(self) -> None:
        """Moves all schedules on by one epoch."""
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self._lrs

    def state_dict(self) -> dict[str, Any]:
        """The state of all parts."""
        return _nested_state(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned."""
        _load_nested(self, state_dict)
