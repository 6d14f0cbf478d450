"""Cosine schedules."""

from __future__ import annotations

import math

from rubigo.optim.optimizer import Optimizer

from .base import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """``eta_min + (initial_lr - eta_min) (1 + cos(pi epoch / T_max)) / 2``.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
        >>> optimizer.step()
        >>> schedule.step()
        >>> round(schedule.get_last_lr()[0], 6)
        4.0

    Reference: Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max < 1:
            raise ValueError(f"T_max must be at least 1, got {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        epoch, low = self.last_epoch, self.eta_min
        if self._is_first:
            return self._lrs
        now = 1 + math.cos(math.pi * epoch / self.T_max)
        before = 1 + math.cos(math.pi * (epoch - 1) / self.T_max)
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # One past the valley, where the rate was eta_min: no factor leads out of it.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(self._lrs, self.base_lrs, strict=True)
            return [lr + (base - low) * rise for lr, base in pairs]
        return [low + (lr - low) * now / before for lr in self._lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts again after ``T_0`` epochs, then ``T_0 T_mult``, and so on.

    `step` also takes an epoch, which may be a fraction.

    Example:
        >>> import rubigo as rg
        >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=8.0)
        >>> schedule = rg.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [8.0]

    Reference: Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(T_0, int) or T_0 < 1:
            raise ValueError(f"T_0 must be a positive integer, got {T_0!r}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"T_mult must be an integer of at least 1, got {T_mult!r}")
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self._place(max(last_epoch, 0))
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Moves on by one epoch, or to ``epoch``."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is not None:
            self._place(epoch)
        else:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self._step_count += 1
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def _place(self, epoch: float) -> None:
        """Sets the length of the cycle that `epoch` is in, and how far into it that is."""
        if not 0 <= epoch < math.inf:
            raise ValueError(f"epoch must be finite and not negative, got {epoch}")
        self.T_cur: float = epoch % self.T_0 if self.T_mult == 1 else epoch
        self.T_i = self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
