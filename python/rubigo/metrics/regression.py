"""Errors of predicted numbers."""

from __future__ import annotations

import math
import warnings

import rubigo as rg

from .base import Metric
from .inputs import ArrayLike, as_tensor, finite, not_empty


def _pair(preds: ArrayLike, target: ArrayLike) -> tuple[rg.Tensor, rg.Tensor]:
    left, right = as_tensor(preds, "preds"), as_tensor(target, "target")
    if tuple(left.shape) != tuple(right.shape) or left.ndim == 0:
        raise ValueError(
            f"preds and target must have the same shape (N, ...), got {tuple(left.shape)} and "
            f"{tuple(right.shape)}"
        )
    left, right = left.to(rg.float64), right.to(rg.float64)
    return finite(left, "preds"), finite(right, "target")


def mse(preds: ArrayLike, target: ArrayLike) -> float:
    """The mean squared error over all elements.

        mean (preds - target)^2

    Args:
        preds, target: numbers of one shape (N, ...).

    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    metric = MeanSquaredError()
    metric.update(preds, target)
    return metric.compute()


def mae(preds: ArrayLike, target: ArrayLike) -> float:
    """The mean absolute error over all elements.

        mean |preds - target|

    Args:
        preds, target: numbers of one shape (N, ...).

    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    metric = MeanAbsoluteError()
    metric.update(preds, target)
    return metric.compute()


def r2_score(preds: ArrayLike, target: ArrayLike) -> float:
    """The explained share of the target's variance, averaged over outputs.

        1 - sum (target - preds)^2 / sum (target - mean(target))^2

    A constant target gives 1 when it is met exactly and 0 otherwise; one sample gives NaN, with a
    warning.

    Args:
        preds, target: numbers of one shape (N, ...).

    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.7857142857142857
    """
    metric = R2Score()
    metric.update(preds, target)
    return metric.compute()


class MeanSquaredError(Metric):
    """`mse` over batches.

    >>> metric = MeanSquaredError()
    >>> metric.update([1.0, 2.0], [1.0, 4.0])
    >>> metric.compute()
    2.0
    """

    higher_is_better = False
    name = "mse"

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[float, int]:
        left, right = _pair(preds, target)
        return float((left - right).square().sum().item()), left.numel()

    def _result(self, total: float, number: int) -> float:
        not_empty(number)
        return total / number


class MeanAbsoluteError(MeanSquaredError):
    """`mae` over batches.

    >>> metric = MeanAbsoluteError()
    >>> metric.update([1.0, 2.0], [1.0, 4.0])
    >>> metric.compute()
    1.0
    """

    name = "mae"

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[float, int]:
        left, right = _pair(preds, target)
        return float((left - right).abs().sum().item()), left.numel()


class R2Score(Metric):
    """`r2_score` over batches.

    The state is count, mean and squared deviation of the target, joined by the rule of Chan,
    Golub and LeVeque (1979), which does not cancel as sums of squares would.

    >>> metric = R2Score()
    >>> metric.update([1.0, 2.0], [1.0, 2.0])
    >>> metric.update([3.0], [4.0])
    >>> round(metric.compute(), 6)
    0.785714
    """

    higher_is_better = True
    name = "r2"

    def _measure(
        self, preds: ArrayLike, target: ArrayLike
    ) -> tuple[int, rg.Tensor, rg.Tensor, rg.Tensor]:
        left, right = _pair(preds, target)
        not_empty(left.shape[0])
        left, right = left.reshape(left.shape[0], -1), right.reshape(right.shape[0], -1)
        mean = right.mean(0)
        deviation = (right - mean).square().sum(0)
        return left.shape[0], mean, deviation, (left - right).square().sum(0)

    def _add(self, sums: tuple[int, rg.Tensor, rg.Tensor, rg.Tensor]) -> None:
        if self._sums is None:
            self._sums = sums
            return
        n, mean, deviation, residual = self._sums
        m, other_mean, other_deviation, other_residual = sums
        if tuple(mean.shape) != tuple(other_mean.shape):
            raise ValueError(
                f"batches differ in their outputs: {mean.shape[0]} and {other_mean.shape[0]}"
            )
        delta = other_mean - mean
        self._sums = (
            n + m,
            mean + delta * (m / (n + m)),
            deviation + other_deviation + delta.square() * (n * m / (n + m)),
            residual + other_residual,
        )

    def _result(
        self, number: int, mean: rg.Tensor, deviation: rg.Tensor, residual: rg.Tensor
    ) -> float:
        if number < 2:
            warnings.warn("r2 is undefined for fewer than 2 samples, nan is given", stacklevel=3)
            return math.nan
        constant = deviation == 0
        share = residual / rg.where(constant, rg.ones_like(deviation), deviation)
        share = rg.where(constant, (residual > 0).to(rg.float64), share)
        return 1.0 - float(share.mean().item())
