"""Schedules that only go one way: factors, steps, lines and powers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rubigo.optim.optimizer import Optimizer

from .base import LRScheduler, functions_state, load_functions, per_group


class _Functions(LRScheduler):
    """One function of the epoch for all groups, or one for each."""

    _unsaved = ("optimizer", "lr_lambdas")

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Any] = per_group(lr_lambda, optimizer, "lr_lambda")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer; of the functions the attributes, where they are objects."""
        return {**super().state_dict(), "lr_lambdas": functions_state(self.lr_lambdas)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned."""
        state = dict(state_dict)
        saved = state.pop("lr_lambdas", None)
        if not isinstance(saved, list) or len(saved) != len(self.lr_lambdas):
            raise ValueError(
                f"{type(self).__name__}: a state dict has a list 'lr_lambdas' of "
                f"{len(self.lr_lambdas)}, got {saved!r}"
            )
        super().load_state_dict(state)
        load_functions(self.lr_lambdas, saved)


class LambdaLR(_Functions):
    """``lr = initial_lr * f(epoch)``, with one function or one per group.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        >>> optimizer.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [4.0]
    """

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [lr * f(self.last_epoch) for lr, f in pairs]


class _Factor(LRScheduler):
    """Multiplies all rates by one factor per epoch."""

    def factor(self, epoch: int) -> float:
        """What the rates of the epoch before are multiplied by."""
        raise NotImplementedError(f"{type(self).__name__} has no factor()")

    def get_lr(self) -> list[float]:
        factor = self.factor(self.last_epoch)
        return [lr * factor for lr in self._lrs]


class StepLR(_Factor):
    """Multiplies the rate by ``gamma`` every ``step_size`` epochs.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [4.0]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ValueError(f"step_size must be at least 1, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma if epoch > 0 and epoch % self.step_size == 0 else 1.0


class MultiStepLR(_Factor):
    """Multiplies the rate by ``gamma`` at each of the epochs ``milestones``.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2], gamma=0.5)
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [2.0]
    """

    _free = ("milestones",)

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones: list[int] = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma ** self.milestones.count(epoch)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned; in PyTorch's the milestones are counted."""
        counted = state_dict.get("milestones") if isinstance(state_dict, Mapping) else None
        if isinstance(counted, Counter):
            state_dict = {**state_dict, "milestones": sorted(counted.elements())}
        super().load_state_dict(state_dict)


class ExponentialLR(_Factor):
    """Multiplies the rate by ``gamma`` every epoch.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> optimizer.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [4.0]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return 1.0 if self._is_first else self.gamma


class ConstantLR(_Factor):
    """The rate times ``factor`` for the first ``total_iters`` epochs.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=4)
        >>> schedule.get_last_lr()
        [4.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < factor <= 1.0:
            raise ValueError(f"factor must be in (0, 1], got {factor}")
        self.total_iters = total_iters
        self.start = factor
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        if epoch == 0:
            return self.start
        return 1.0 / self.start if epoch == self.total_iters else 1.0


class LinearLR(_Factor):
    """A line from the rate times ``start_factor`` to the rate times ``end_factor``.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4)
        >>> optimizer.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [5.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise ValueError(f"start_factor must be in (0, 1], got {start_factor}")
        if not 0 <= end_factor <= 1.0:
            raise ValueError(f"end_factor must be in [0, 1], got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        if epoch == 0:
            return self.start_factor
        if self._is_first or epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (epoch - 1) * rise)


class PolynomialLR(_Factor):
    """``lr = initial_lr * (1 - epoch / total_iters)^power``, then 0.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4)
        >>> optimizer.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [6.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        if self._is_first or epoch > self.total_iters:
            return 1.0
        left, before = self.total_iters - epoch, self.total_iters - epoch + 1
        return (left / before) ** self.power


class MultiplicativeLR(_Functions):
    """Multiplies the rate by ``f(epoch)`` every epoch, with one function or one per group.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
        >>> optimizer.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [4.0]
    """

    def get_lr(self) -> list[float]:
        if self._is_first:
            return self._lrs
        return self._times(self.last_epoch)

    def _times(self, epoch: int) -> list[float]:
        return [lr * f(epoch) for lr, f in zip(self._lrs, self.lr_lambdas, strict=True)]

    def restart(self) -> None:
        """Goes back to epoch 0 with the rates as they are, as in PyTorch."""
        self.last_epoch = 0
        self._set(self._times(0))
