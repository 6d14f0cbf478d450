"""The confusion matrix, and the metrics that are functions of it alone."""

from __future__ import annotations

from typing import Any, Literal

import rubigo as rg

from .base import Metric
from .inputs import (
    ArrayLike,
    class_count,
    classified,
    count,
    distinct_labels,
    located,
    predicted_labels,
    rows,
    sample_weights,
)


def confusion_matrix(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    num_classes: int | None = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    normalize: Literal["true", "pred", "all"] | None = None,
    threshold: float = 0.5,
) -> rg.Tensor:
    """How often class j was predicted where class i was right.

        M[i, j] = sum of w_n over the n with target_n = i and preds_n = j

    Args:
        preds: labels (N,), probabilities of class 1 (N,) or (N, 1), or scores (N, C) or, for
            images, (N, C, H, W).
        target: labels (N,) or (N, H, W).
        num_classes: C; by default the columns of `preds`, or else the number of labels that
            occur, whose rows and columns then stand in their order.
        labels: the classes of the rows and columns instead, in this order; samples of others
            are left out.
        sample_weight: w, one number per sample; by default 1.
        normalize: divide by the row sums ("true"), column sums ("pred") or all of M ("all"); an
            empty row or column stays 0.
        threshold: above it, a probability of shape (N,) means class 1.

    Returns:
        (C, C), int64, or float64 when normalized or weighted by floats.

    >>> confusion_matrix([0, 1, 1], [0, 0, 1]).tolist()
    [[1, 1], [0, 1]]
    >>> confusion_matrix([0, 7, 7], [0, 0, 7], labels=[7, 0]).tolist()
    [[1, 0], [1, 1]]
    """
    predicted, right, classes = classified(preds, target, threshold, num_classes)
    weights = sample_weights(sample_weight, right.shape[0])
    size = classes.shape[0]
    if labels is not None:
        place, found = located(classes, labels)
        row = rg.full((size,), -1, dtype=rg.int64)
        row[place[found]] = found.nonzero()[:, 0]
        predicted, right, size = row[predicted], row[right], found.shape[0]
        if not bool((right >= 0).any()):
            raise ValueError("none of labels occurs in target")
        kept = (predicted >= 0) & (right >= 0)
        predicted, right, weights = predicted[kept], right[kept], weights[kept]
    matrix = count(right * size + predicted, size * size, weights).reshape(size, size)
    return matrix if normalize is None else _normalized(matrix, normalize)


def _normalized(matrix: rg.Tensor, normalize: str) -> rg.Tensor:
    if normalize not in ("true", "pred", "all"):
        raise ValueError(f"normalize must be 'true', 'pred', 'all' or None, got {normalize!r}")
    matrix = matrix.to(rg.float64)
    if normalize == "all":
        return ratio(matrix, matrix.sum())
    return ratio(matrix, matrix.sum(1 if normalize == "true" else 0, keepdim=normalize == "true"))


def ratio(numerator: rg.Tensor, denominator: rg.Tensor, otherwise: float = 0.0) -> rg.Tensor:
    """numerator / denominator in float64, and `otherwise` where the denominator is 0."""
    empty = denominator == 0
    safe = rg.where(empty, rg.ones_like(denominator), denominator).to(rg.float64)
    values = numerator.to(rg.float64) / safe
    return rg.where(empty, rg.full_like(values, otherwise), values)


def recall_of_present(matrix: rg.Tensor) -> float:
    """The mean recall of the classes that occur in the target."""
    actual = matrix.sum(1)
    recall = ratio(matrix.diagonal(), actual)
    return float(recall.sum().item()) / int((actual > 0).sum().item())


def balanced_accuracy(
    preds: ArrayLike, target: ArrayLike, *, num_classes: int | None = None, threshold: float = 0.5
) -> float:
    """The mean recall over the classes that occur in the target.

        (1 / |C|) sum_c TP_c / (TP_c + FN_c)

    Arguments as for `confusion_matrix`.

    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 1, 1])
    0.75
    """
    return recall_of_present(
        confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    )


def kappa_of(matrix: rg.Tensor, weights: str | None) -> float:
    size = matrix.shape[0]
    matrix = matrix.to(rg.float64)
    expected = matrix.sum(1, keepdim=True) * matrix.sum(0, keepdim=True) / matrix.sum()
    grid = rg.arange(size, dtype=rg.float64)
    distance = (grid[:, None] - grid[None, :]).abs()
    if weights is None:
        distance = (distance > 0).to(rg.float64)
    elif weights == "quadratic":
        distance = distance * distance
    elif weights != "linear":
        raise ValueError(f"weights must be 'linear', 'quadratic' or None, got {weights!r}")
    chance = float((distance * expected).sum().item())
    # One class only, predicted and true: agreement is complete and chance explains all of it.
    return 1.0 - float((distance * matrix).sum().item()) / chance if chance else float("nan")


def cohen_kappa(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    weights: Literal["linear", "quadratic"] | None = None,
    num_classes: int | None = None,
    threshold: float = 0.5,
) -> float:
    """Agreement beyond chance; NaN where predictions and target are one and the same class.

        1 - sum_ij w_ij M_ij / sum_ij w_ij E_ij,  E = row sums x column sums / N

    Args:
        preds, target, num_classes, threshold: as for `confusion_matrix`.
        weights: w = 1 off the diagonal (None), |i - j| or (i - j)^2.

    Reference: Cohen, "A coefficient of agreement for nominal scales", 1960.

    >>> cohen_kappa([0, 1, 1, 0], [0, 1, 0, 0])
    0.5
    """
    matrix = confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    return kappa_of(matrix, weights)


def matthews_of(matrix: rg.Tensor) -> float:
    matrix = matrix.to(rg.float64)
    actual, predicted, total = matrix.sum(1), matrix.sum(0), matrix.sum()
    covariance = matrix.trace() * total - (actual * predicted).sum()
    spread = (total * total - (predicted * predicted).sum()) * (
        total * total - (actual * actual).sum()
    )
    return float(covariance.item()) / float(spread.item()) ** 0.5 if float(spread.item()) else 0.0


def matthews_corrcoef(
    preds: ArrayLike, target: ArrayLike, *, num_classes: int | None = None, threshold: float = 0.5
) -> float:
    """The correlation of prediction and target; 0 where either is constant.

        (c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))

    with c right answers of s, class k predicted p_k times and true t_k times.

    Arguments as for `confusion_matrix`.

    Reference: Gorodkin, "Comparing two K-category assignments by a K-category correlation
    coefficient", 2004.

    >>> matthews_corrcoef([0, 1, 1, 0], [0, 1, 1, 0])
    1.0
    """
    return matthews_of(
        confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    )


class ConfusionMetric(Metric):
    """A metric whose state is a confusion matrix.

    Args:
        num_classes: C; by default the columns of the first scores (N, C).
        threshold: above it, a probability of shape (N,) means class 1.
    """

    higher_is_better = True

    def __init__(self, *, num_classes: int | None = None, threshold: float = 0.5):
        super().__init__()
        self.num_classes = class_count(num_classes)
        self.threshold = threshold

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[rg.Tensor, ...]:
        size = self._classes(preds, target)
        return (confusion_matrix(preds, target, num_classes=size, threshold=self.threshold),)

    def _classes(self, preds: ArrayLike, target: ArrayLike) -> int:
        size = self.num_classes
        if size is None and self._sums is not None:
            size = self._sums[0].shape[0]
        if size is None:
            size = predicted_labels(rows(preds, target)[0], self.threshold)[1]
        if size is None:
            raise ValueError(
                f"{self.name}: labels do not tell how many classes there are, pass "
                f"{type(self).__name__}(num_classes=...)"
            )
        return size


class ConfusionMatrix(ConfusionMetric):
    """`confusion_matrix` over batches; arguments as for `confusion_matrix`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = ConfusionMatrix(num_classes=2)
    >>> metric.update([0, 1], [0, 0])
    >>> metric.update([1], [1])
    >>> metric.compute().tolist()
    [[1, 1], [0, 1]]
    """

    name = "confusion_matrix"

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        labels: ArrayLike | None = None,
        threshold: float = 0.5,
        normalize: Literal["true", "pred", "all"] | None = None,
    ):
        super().__init__(num_classes=num_classes, threshold=threshold)
        self.labels: list[int] | None = distinct_labels(labels)
        self.normalize = normalize

    def _measure(
        self, preds: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> tuple[rg.Tensor, ...]:
        size = self._classes(preds, target)
        options: dict[str, Any] = {"sample_weight": sample_weight, "threshold": self.threshold}
        return (confusion_matrix(preds, target, num_classes=size, **options),)

    def _result(self, matrix: rg.Tensor) -> rg.Tensor:
        if self.labels is not None:
            place, found = located(rg.arange(matrix.shape[0]), self.labels)
            if not bool((matrix.sum(1)[place] * found).any()):
                raise ValueError("none of labels occurs in target")
            matrix = matrix[place][:, place] * (found[:, None] & found)
        # A copy: what a caller writes into it must not count.
        return matrix.clone() if self.normalize is None else _normalized(matrix, self.normalize)


class BalancedAccuracy(ConfusionMetric):
    """`balanced_accuracy` over batches; arguments as for `balanced_accuracy`.

    >>> metric = BalancedAccuracy(num_classes=2)
    >>> metric.update([0, 0, 0, 1], [0, 0, 1, 1])
    >>> metric.compute()
    0.75
    """

    name = "balanced_accuracy"

    def _result(self, matrix: rg.Tensor) -> float:
        return recall_of_present(matrix)


class CohenKappa(ConfusionMetric):
    """`cohen_kappa` over batches; arguments as for `cohen_kappa`.

    >>> metric = CohenKappa(num_classes=2)
    >>> metric.update([0, 1, 1, 0], [0, 1, 0, 0])
    >>> metric.compute()
    0.5
    """

    name = "cohen_kappa"

    def __init__(
        self,
        *,
        weights: Literal["linear", "quadratic"] | None = None,
        num_classes: int | None = None,
        threshold: float = 0.5,
    ):
        super().__init__(num_classes=num_classes, threshold=threshold)
        self.weights = weights

    def _result(self, matrix: rg.Tensor) -> float:
        return kappa_of(matrix, self.weights)


class MatthewsCorrCoef(ConfusionMetric):
    """`matthews_corrcoef` over batches; arguments as for `matthews_corrcoef`.

    >>> metric = MatthewsCorrCoef(num_classes=2)
    >>> metric.update([0, 1, 1, 0], [0, 1, 1, 0])
    >>> metric.compute()
    1.0
    """

    name = "matthews_corrcoef"

    def _result(self, matrix: rg.Tensor) -> float:
        return matthews_of(matrix)
