"""Schedules that rise and fall, and move the momentum against the rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rubigo.optim.optimizer import Optimizer

from .base import LRScheduler, Momentum, per_group


class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then down far below the start.

    Step it after every batch.

    Args:
        optimizer: Whose rates are set.
        max_lr: The peak; one, or one per group.
        total_steps: Length of the cycle, or give the next two.
        epochs: Number of epochs.
        steps_per_epoch: Batches per epoch.
        pct_start: Share of the cycle that rises.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: Move the momentum (or beta1) the other way.
        base_momentum: Momentum at the peak.
        max_momentum: Momentum at both ends.
        div_factor: The peak over the start.
        final_div_factor: The start over the end.
        three_phase: Come down to the start as symmetrically as it rose, then to the end.
        last_epoch: The step to continue after.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.AdamW([rg.nn.Parameter(rg.zeros(1))])
        >>> schedule = rg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
        >>> round(schedule.get_last_lr()[0], 6)
        0.04

    Reference: Smith and Topin 2017, https://arxiv.org/abs/1708.07120
    """

    _unsaved = ("optimizer", "_momentum")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("define either total_steps or both epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps < 1:
            raise ValueError(f"the number of steps must be a positive integer, got {total_steps!r}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must be between 0 and 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        high = [float(lr) for lr in per_group(max_lr, optimizer, "max_lr")]
        start = [lr / div_factor for lr in high]
        low = [lr / final_div_factor for lr in start]
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, start, strict=True):
                group["initial_lr"] = lr
        fast = [float(m) for m in per_group(max_momentum, optimizer, "max_momentum")]
        slow = [float(m) for m in per_group(base_momentum, optimizer, "base_momentum")]
        # Each phase: its last step, then the rates and the momenta at its two ends.
        peak = pct_start * total_steps - 1
        self.phases: list[list[Any]] = [[peak, start, high, fast, slow]]
        if three_phase:
            self.phases.append([2 * pct_start * total_steps - 2, high, start, slow, fast])
            self.phases.append([total_steps - 1, start, low, fast, fast])
        else:
            self.phases.append([total_steps - 1, high, low, slow, fast])
        self._momentum = Momentum(optimizer) if cycle_momentum else None
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"tried to step {step} times; the schedule has {self.total_steps} steps"
            )
        begin = 0.0
        phase = self.phases[-1]
        for phase in self.phases:
            if step <= phase[0]:
                break
            if phase is not self.phases[-1]:
                begin = phase[0]
        end, lr0, lr1, m0, m1 = phase
        share = (step - begin) / (end - begin) if end != begin else 1.0
        if self._momentum is not None:
            self._momentum.set([self._between(a, b, share) for a, b in zip(m0, m1, strict=True)])
        return [self._between(a, b, share) for a, b in zip(lr0, lr1, strict=True)]

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class CyclicLR(LRScheduler):
    """Back and forth between ``base_lr`` and ``max_lr``; step it after every batch.

    Args:
        optimizer: Whose rates are set.
        base_lr: The lower end; one, or one per group.
        max_lr: The upper end.
        step_size_up: Steps up.
        step_size_down: Steps down; as many as up if None.
        mode: ``"triangular"``, ``"triangular2"`` (half as high each cycle), ``"exp_range"``
            (``gamma^step`` as high).
        gamma: For ``"exp_range"``.
        scale_fn: A height of your own, instead of ``mode``.
        scale_mode: Whether it gets the ``"cycle"`` or the step (``"iterations"``).
        cycle_momentum: Move the momentum (or beta1) the other way.
        base_momentum: Its lower end.
        max_momentum: Its upper end.
        last_epoch: The step to continue after.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], momentum=0.9)
        >>> schedule = rg.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, step_size_up=2)
        >>> optimizer.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]

    Reference: Smith 2015, https://arxiv.org/abs/1506.01186
    """

    _unsaved = ("optimizer", "_momentum", "scale_fn")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode {mode!r} is unknown, and scale_fn is None")
        low = [float(lr) for lr in per_group(base_lr, optimizer, "base_lr")]
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, low, strict=True):
                group["lr"] = lr
        self.max_lrs: list[float] = [float(lr) for lr in per_group(max_lr, optimizer, "max_lr")]
        self.step_size_up = float(step_size_up)
        self.total_size: float = step_size_up + float(
            step_size_up if step_size_down is None else step_size_down
        )
        self.mode = mode
        self.gamma = gamma
        self.scale_fn = scale_fn
        self.by_step: bool = scale_mode == "iterations" if scale_fn else mode == "exp_range"
        self._momentum = Momentum(optimizer) if cycle_momentum else None
        self.base_momentums: list[Any] = per_group(base_momentum, optimizer, "base_momentum")
        self.max_momentums: list[Any] = per_group(max_momentum, optimizer, "max_momentum")
        super().__init__(optimizer, last_epoch)
        # A group whose initial rate another schedule set keeps that, not ours.
        self.base_lrs = low

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        into = 1.0 + self.last_epoch / self.total_size - cycle
        top = self.step_size_up / self.total_size
        height = into / top if into <= top else (into - 1) / (top - 1)
        height *= self._scale(self.last_epoch if self.by_step else cycle)
        if self._momentum is not None:
            ends = zip(self.base_momentums, self.max_momentums, strict=True)
            self._momentum.set([high - (high - low) * height for low, high in ends])
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height for low, high in pairs]

    def _scale(self, at: float) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(at)
        if self.mode == "triangular":
            return 1.0
        return 0.5 ** (at - 1) if self.mode == "triangular2" else self.gamma**at
