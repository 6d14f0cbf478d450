"""Several schedules on one optimizer: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from rubigo.optim.optimizer import Optimizer

from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class _Nested(LRScheduler):
    """The state of a schedule that is made of others."""

    _unsaved = ("optimizer", "_schedulers")
    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """The state of this schedule and of its parts."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned, all or nothing."""
        name = type(self).__name__
        state = dict(state_dict)
        inner = state.pop("_schedulers", None)
        if not isinstance(inner, list) or len(inner) != len(self._schedulers):
            count = len(inner) if isinstance(inner, list) else "no"
            raise ValueError(
                f"{name}: loaded state has {count} schedules, this one {len(self._schedulers)}"
            )
        before = [dict(part.state_dict()) for part in self._schedulers]
        try:
            for part, saved in zip(self._schedulers, inner, strict=True):
                part.load_state_dict(saved)
            super().load_state_dict(state)
        except Exception:
            for part, saved in zip(self._schedulers, before, strict=True):
                part.load_state_dict(saved)
            raise


def _check(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
    for i, schedule in enumerate(schedulers):
        if isinstance(schedule, ReduceLROnPlateau):
            raise ValueError(
                f"{name} does not support ReduceLROnPlateau, whose step() needs a metric, "
                f"but got one at index {i}"
            )
        if schedule.optimizer is not optimizer:
            raise ValueError(
                f"{name} expects all schedules to belong to the same optimizer; "
                f"the {type(schedule).__name__} at index {i} has another"
            )


class SequentialLR(_Nested):
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
        _check("SequentialLR", schedulers, optimizer)
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.optimizer = optimizer
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        # Making the schedules has changed the rates; only the one of epoch 0 counts now.
        self.restart()
        self.last_epoch = last_epoch + 1

    def begin(self) -> None:
        """Goes back to epoch 0, that of the schedule whose turn it then is."""
        self.last_epoch = 0
        self._schedulers[bisect_right(self._milestones, 0)].begin()
        self._last_lr = self._lrs

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


class ChainedScheduler(_Nested):
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
        _check("ChainedScheduler", schedulers, self.optimizer)
        self._schedulers = list(schedulers)
        self.base_lrs = [float(g["initial_lr"]) for g in self.optimizer.param_groups]
        self._last_lr = self._lrs

    def begin(self) -> None:
        """Goes back to epoch 0 of all schedules."""
        for schedule in self._schedulers:
            schedule.begin()
        self._last_lr = self._lrs

    def step(self) -> None:
        """Moves all schedules on by one epoch."""
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self._lrs
