"""Metrics of how well scores rank: ROC AUC, average precision; and the logarithmic loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import rubigo as rg

from .base import Metric
from .inputs import (
    ArrayLike,
    class_labels,
    count,
    is_multilabel,
    not_empty,
    probability,
    refuse,
    rows,
    same_length,
)

Average = Literal["macro", "weighted"] | None


def _auc(positive: rg.Tensor, negative: rg.Tensor) -> float:
    """ROC AUC of the counts at each distinct score, highest first.

    A positive wins against every negative below it and half against those of its own score.
    """
    above = positive.cumsum(0) - positive
    wins = (negative * (above + 0.5 * positive)).sum()
    return float((wins / (positive.sum() * negative.sum())).item())


def _average_precision(positive: rg.Tensor, negative: rg.Tensor) -> float:
    found = positive.cumsum(0)
    called = found + negative.cumsum(0)
    return float(((positive / positive.sum()) * (found / called)).sum().item())


def _distinct(scores: rg.Tensor, hit: rg.Tensor) -> tuple[rg.Tensor, rg.Tensor]:
    """How many positives and negatives have each distinct score, highest first."""
    return _grouped(scores, hit)[:2]


def _grouped(scores: rg.Tensor, hit: rg.Tensor) -> tuple[rg.Tensor, rg.Tensor, rg.Tensor]:
    """As `_distinct`, and the scores themselves."""
    ordered, order = scores.sort(descending=True)
    changes = (ordered[1:] != ordered[:-1]).to(rg.int64)
    group = rg.cat([rg.zeros(1, dtype=rg.int64), changes.cumsum(0)])
    groups = int(group[-1].item()) + 1
    positive = rg.zeros(groups, dtype=rg.float64).scatter_add(0, group, hit[order].to(rg.float64))
    first = rg.cat([rg.ones(1, dtype=rg.int64), changes]) == 1
    return positive, count(group, groups).to(rg.float64) - positive, ordered[first]


def _over_classes(
    name: str,
    curve: Callable[[rg.Tensor, rg.Tensor], float],
    histograms: list[tuple[rg.Tensor, rg.Tensor]],
    average: Average,
) -> Any:
    """The curve's value per class, averaged; undefined ones are scikit-learn's, with a warning."""
    _check_average(average)
    values, weights = [], []
    for position, (positive, negative) in enumerate(histograms):
        # One histogram is that of class 1 of two; several are one class against the rest.
        label = 1 if len(histograms) == 1 else position
        hits, misses = float(positive.sum().item()), float(negative.sum().item())
        weights.append(hits)
        if hits and (misses or curve is not _auc):
            values.append(curve(positive, negative))
            continue
        values.append(math.nan if curve is _auc else 0.0)
        found = f"all samples are of class {label}" if hits else f"no sample is of class {label}"
        warnings.warn(f"{name} is undefined, {values[-1]} is given: {found}", stacklevel=3)
    if len(values) == 1:
        return values[0]
    if average is None:
        return rg.tensor(values, dtype=rg.float64)
    if average == "macro":
        weights = [1.0] * len(values)
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if w]
    return sum(v * w for v, w in pairs) / sum(weights) if pairs else 0.0


def _check_average(average: Any) -> None:
    if average not in ("macro", "weighted", None):
        raise ValueError(f"average must be 'macro', 'weighted' or None, got {average!r}")


def _columns(preds: ArrayLike, target: ArrayLike) -> list[tuple[rg.Tensor, rg.Tensor]]:
    """Scores and hits (N,) for class 1 of two, for each class against the rest, or each label."""
    scores, right = rows(preds, target)
    if scores.ndim not in (1, 2):
        raise ValueError(
            f"preds must be scores of shape (N,) or (N, C), C >= 2, got {tuple(scores.shape)}"
        )
    refuse(rg.isnan(scores), scores, "preds", "a score must not be NaN")
    if is_multilabel(scores, right):
        not_empty(right.shape[0])
        hits = right == 1
        refuse(~hits & (right != 0), right, "target", "each label is 0 or 1")
        scores = scores.to(rg.float64)
        return [(scores[:, label], hits[:, label]) for label in range(scores.shape[1])]
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    right = class_labels(right, "target", classes)
    same_length(scores, right)
    not_empty(right.shape[0])
    scores = scores.to(rg.float64)
    if scores.ndim == 1:
        return [(scores, right == 1)]
    if classes == 2:
        return [(scores[:, 1] - scores[:, 0], right == 1)]
    return [(scores[:, label], right == label) for label in range(classes)]


def roc_auc(preds: ArrayLike, target: ArrayLike, *, average: Average = "macro") -> Any:
    """The chance that a sample of the class scores above one that is not, ties counting half.

        P(s+ > s-) + P(s+ = s-) / 2

    With samples of one class only it is NaN, with a warning.

    Args:
        preds: scores of class 1 (N,) or (N, 1), scores (N, C) for one class against the rest,
            or (N, L) for each label of a multilabel problem; any increasing scale will do.
        target: labels (N,) or, 0 or 1 each, (N, L).
        average: over classes: "macro", "weighted" by frequency, or None for a tensor (C,).

    Reference: Hanley and McNeil, "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve", 1982.

    >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return _over_classes(
        "roc_auc", _auc, [_distinct(s, hit) for s, hit in _columns(preds, target)], average
    )


def average_precision(preds: ArrayLike, target: ArrayLike, *, average: Average = "macro") -> Any:
    """The mean precision over the recall steps, without interpolation.

        sum_t (R_t - R_{t-1}) P_t  over the distinct scores t, highest first

    Without a sample of the class it is 0, with a warning.

    Arguments as for `roc_auc`.

    >>> average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8333333333333333
    """
    histograms = [_distinct(s, hit) for s, hit in _columns(preds, target)]
    return _over_classes("average_precision", _average_precision, histograms, average)


def roc_curve(preds: ArrayLike, target: ArrayLike) -> tuple[rg.Tensor, rg.Tensor, rg.Tensor]:
    """The share of negatives and of positives called positive, as the threshold falls.

    Args:
        preds: scores of class 1 (N,) or (N, 1).
        target: labels 0 or 1, both of which occur.

    Returns:
        false positive rates, true positive rates and thresholds, float64 (T,); the first
        threshold is infinite, the others are the distinct scores.

    >>> [values.tolist() for values in roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])]
    [[0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0], [inf, 0.8, 0.4, 0.35, 0.1]]
    """
    positive, negative, scores = _of_one_class("roc_curve", preds, target)
    if not float(negative.sum().item()):
        raise ValueError("roc_curve needs samples of both classes, there is none of class 0")
    start = rg.zeros(1, dtype=rg.float64)
    rates = [rg.cat([start, n.cumsum(0) / n.sum()]) for n in (negative, positive)]
    return rates[0], rates[1], rg.cat([start + math.inf, scores])


def precision_recall_curve(
    preds: ArrayLike, target: ArrayLike
) -> tuple[rg.Tensor, rg.Tensor, rg.Tensor]:
    """Precision and recall of class 1, as the threshold rises.

    Args:
        preds: scores of class 1 (N,) or (N, 1).
        target: labels 0 or 1, and at least one 1.

    Returns:
        precision (T + 1,) and recall (T + 1,), which end in 1 and 0, and the T distinct scores
        as thresholds; float64.

    >>> found = precision_recall_curve([0.1, 0.4, 0.8], [0, 1, 1])
    >>> [values.tolist() for values in found[1:]]
    [[1.0, 1.0, 0.5, 0.0], [0.1, 0.4, 0.8]]
    """
    positive, negative, scores = _of_one_class("precision_recall_curve", preds, target)
    found = positive.cumsum(0)
    end = rg.zeros(1, dtype=rg.float64)
    precision = rg.cat([end + 1, found / (found + negative.cumsum(0))])
    recall = rg.cat([end, found / positive.sum()])
    return precision.flip(0), recall.flip(0), scores.flip(0)


def _of_one_class(
    name: str, preds: ArrayLike, target: ArrayLike
) -> tuple[rg.Tensor, rg.Tensor, rg.Tensor]:
    columns = _columns(preds, target)
    if len(columns) > 1:
        raise ValueError(f"{name} is of one class: pass its scores, of shape (N,)")
    found = _grouped(*columns[0])
    if not float(found[0].sum().item()):
        raise ValueError(f"{name} needs samples of class 1, there is none")
    return found


class ROCAUC(Metric):
    """`roc_auc` over batches, whose scores and targets are all kept: the result is exact.

    Args:
        average: over classes: "macro", "weighted" by frequency, or None for a tensor (C,).

    >>> metric = ROCAUC()
    >>> metric.update([0.1, 0.4], [0, 0])
    >>> metric.update([0.35, 0.8], [1, 1])
    >>> metric.compute()
    0.75
    """

    higher_is_better = True
    name = "roc_auc"
    _function = staticmethod(roc_auc)

    def __init__(self, *, average: Average = "macro"):
        super().__init__()
        _check_average(average)
        self.average: Average = average

    def _measure(
        self, preds: ArrayLike, target: ArrayLike
    ) -> tuple[list[rg.Tensor], list[rg.Tensor]]:
        scores, right = rows(preds, target)
        _columns(scores, right)  # refuses what cannot be ranked
        return [scores.clone()], [right.clone()]  # the caller may write into its own

    def _add(self, sums: tuple[list[rg.Tensor], list[rg.Tensor]]) -> None:
        if self._sums is not None:
            before, now = ([part[0].shape[1:] for part in lists] for lists in (self._sums, sums))
            if before != now:
                raise ValueError(
                    "batches differ in the shapes of a sample's scores and target: "
                    f"{before[0]} and {before[1]}, then {now[0]} and {now[1]}"
                )
        super()._add(sums)

    def _result(self, scores: list[rg.Tensor], right: list[rg.Tensor]) -> Any:
        return self._function(rg.cat(scores), rg.cat(right), average=self.average)


class AveragePrecision(ROCAUC):
    """`average_precision` over batches, which are all kept; arguments as for `ROCAUC`.

    >>> metric = AveragePrecision()
    >>> metric.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> metric.compute()
    0.8333333333333333
    """

    name = "average_precision"
    _function = staticmethod(average_precision)


def _log_loss_sums(preds: ArrayLike, target: ArrayLike, logits: bool) -> tuple[float, int]:
    scores, right = rows(preds, target)
    if scores.ndim not in (1, 2) or not scores.is_floating_point():
        raise ValueError(
            "preds must be probabilities (or logits) of shape (N,) or (N, C), got "
            f"{tuple(scores.shape)} of {scores.dtype}"
        )
    refuse(rg.isnan(scores), scores, "preds", "a score must not be NaN")
    tiny = rg.finfo(scores.dtype).eps
    scores = scores.to(rg.float64)
    if scores.ndim == 1:
        other = rg.zeros_like(scores) if logits else 1 - probability(scores)
        scores = rg.stack([other, scores], 1)
    right = class_labels(right, "target", scores.shape[1])
    same_length(scores, right)
    if logits:
        logs = scores.log_softmax(1)
    else:
        total = probability(scores).sum(1)
        refuse((total - 1).abs() > 1e-3, total, "the sum of preds", "probabilities sum to 1")
        logs = scores.clamp(tiny, 1 - tiny).log()
    return -float(logs.gather(1, right[:, None]).sum().item()), right.shape[0]


def log_loss(preds: ArrayLike, target: ArrayLike, *, logits: bool = False) -> float:
    """The mean negative logarithm of the probability given to the right class.

        -(1 / N) sum_n log p_n[target_n]

    Args:
        preds: probabilities of class 1 (N,), or of every class (N, C); they are kept away from
            0 and 1 by the machine epsilon of their dtype.
        target: labels (N,).
        logits: `preds` are scores before the sigmoid (N,) or the softmax (N, C).

    >>> round(log_loss([[0.9, 0.1], [0.2, 0.8]], [0, 1]), 4)
    0.1643
    """
    loss, total = _log_loss_sums(preds, target, logits)
    not_empty(total)
    return loss / total


class LogLoss(Metric):
    """`log_loss` over batches; arguments as for `log_loss`.

    >>> metric = LogLoss()
    >>> metric.update([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    >>> round(metric.compute(), 4)
    0.1643
    """

    higher_is_better = False
    name = "log_loss"

    def __init__(self, *, logits: bool = False):
        super().__init__()
        self.logits = logits

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[float, int]:
        return _log_loss_sums(preds, target, self.logits)

    def _result(self, loss: float, total: int) -> float:
        not_empty(total)
        return loss / total
