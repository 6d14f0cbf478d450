"""Precision, recall and their means, F-beta and F1."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import rubigo as rg

from .confusion import ConfusionMetric, confusion_matrix, ratio
from .inputs import ArrayLike, is_multilabel, label_sets, not_empty, rows

Average = Literal["micro", "macro", "weighted", "binary"] | None


def precision(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    average: Average = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """How much of what was called class c is class c.

        TP_c / (TP_c + FP_c)

    Predictions come first and the classes are averaged by default; in scikit-learn the target
    comes first, and `average="binary"` is the default.

    Args:
        preds: labels (N,), probabilities of class 1 (N,) or (N, 1), scores (N, C) or (N, C, H, W);
            or labels or probabilities (N, L) of a multilabel problem.
        target: labels (N,), (N, H, W) or, 0 or 1 each, (N, L).
        average: "macro" is the plain mean over the classes that occur in preds or target,
            "weighted" their mean by frequency in the target, "micro" counts all classes
            together, "binary" is class 1 of two, and None gives a float64 tensor (C,).
        num_classes: C; by default the columns of `preds`, or else the largest label plus one.
        zero_division: the value of a class with an empty denominator (NaN: left out of means).
        threshold: above it, a probability of shape (N,) means class 1.

    >>> precision([0, 1, 1, 1], [0, 1, 1, 0], average=None).tolist()
    [1.0, 0.6666666666666666]
    """
    counts = _counts(preds, target, average, num_classes, threshold)
    return score_of("precision", counts, average, zero_division)


def recall(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    average: Average = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """How much of class c was called class c.

        TP_c / (TP_c + FN_c)

    Arguments as for `precision`.

    >>> recall([0, 1, 1, 1], [0, 1, 1, 0], average=None).tolist()
    [0.5, 1.0]
    """
    counts = _counts(preds, target, average, num_classes, threshold)
    return score_of("recall", counts, average, zero_division)


def fbeta_score(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    beta: float,
    average: Average = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """The harmonic mean of precision and recall, in which recall counts beta times as much.

        (1 + beta^2) TP_c / ((1 + beta^2) TP_c + beta^2 FN_c + FP_c)

    Arguments as for `precision`, and `beta`.

    Reference: van Rijsbergen, "Information Retrieval", 1979.

    >>> fbeta_score([0, 1, 1, 1], [0, 1, 1, 0], beta=2.0, average="binary")
    0.9090909090909091
    """
    counts = _counts(preds, target, average, num_classes, threshold)
    return score_of("fbeta", counts, average, zero_division, beta)


def f1_score(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    average: Average = "macro",
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """`fbeta_score` with beta = 1.

        2 TP_c / (2 TP_c + FN_c + FP_c)

    Arguments as for `precision`.

    >>> f1_score([0, 1, 1, 1], [0, 1, 1, 0], average="binary")
    0.8
    """
    counts = _counts(preds, target, average, num_classes, threshold)
    return score_of("fbeta", counts, average, zero_division)


class Counts(NamedTuple):
    """Per class: right answers, how often predicted, how often true, whether it counts at all.

    The last is 0 for classes that neither occur nor are predicted; all of them are int64 (C,).
    """

    hits: rg.Tensor
    predicted: rg.Tensor
    actual: rg.Tensor
    seen: rg.Tensor


def _counts_of_matrix(matrix: rg.Tensor, average: Average) -> Counts:
    if average == "binary" and matrix.shape[0] == 1:
        matrix = rg.functional.pad(matrix, (0, 1, 0, 1))  # class 1 did not occur
    if average == "binary" and matrix.shape[0] != 2:
        raise ValueError(
            f"average='binary' needs 2 classes, got {matrix.shape[0]}: choose 'macro', "
            "'micro', 'weighted' or None"
        )
    predicted, actual = matrix.sum(0), matrix.sum(1)
    return Counts(matrix.diagonal(), predicted, actual, predicted + actual)


def _counts_of_sets(
    preds: rg.Tensor, target: rg.Tensor, average: Average, threshold: float
) -> Counts:
    if average == "binary":
        raise ValueError(
            "average='binary' is not for several labels per sample: choose 'macro', 'micro', "
            "'weighted' or None"
        )
    predicted, right = label_sets(preds, target, threshold)
    hits = (predicted & right).sum(0)
    return Counts(hits, predicted.sum(0), right.sum(0), rg.ones_like(hits))


def _counts(
    preds: ArrayLike,
    target: ArrayLike,
    average: Average,
    num_classes: int | None,
    threshold: float,
) -> Counts:
    scores, right = rows(preds, target)
    if is_multilabel(scores, right):
        not_empty(right.shape[0])
        return _counts_of_sets(scores, right, average, threshold)
    matrix = confusion_matrix(scores, right, num_classes=num_classes, threshold=threshold)
    return _counts_of_matrix(matrix, average)


def score_of(
    kind: str, counts: Counts, average: Average, zero_division: float, beta: float = 1.0
) -> Any:
    """Precision, recall or F-beta of the counts."""
    hits, predicted, actual, seen = counts
    if average == "binary":
        hits, predicted, actual = hits[1:], predicted[1:], actual[1:]
    elif average == "micro":
        hits, predicted, actual = hits.sum()[None], predicted.sum()[None], actual.sum()[None]
    elif average not in ("macro", "weighted", None):
        raise ValueError(
            f"average must be 'micro', 'macro', 'weighted', 'binary' or None, got {average!r}"
        )
    if kind == "precision":
        values = ratio(hits, predicted, zero_division)
    elif kind == "recall":
        values = ratio(hits, actual, zero_division)
    else:
        square = beta * beta
        values = ratio((1 + square) * hits, square * actual + predicted, zero_division)
    if average is None:
        return values
    if average in ("binary", "micro"):
        return float(values.item())
    present = ((seen > 0) & ~rg.isnan(values)).to(rg.float64)
    weights = present * actual if average == "weighted" else present
    if float(weights.sum().item()) == 0:
        # What has a value does not occur in the target: scikit-learn gives the plain mean.
        weights = present
    total = float(weights.sum().item())
    if total == 0:
        return float("nan")
    return float((rg.nan_to_num(values, nan=0.0) * weights).sum().item()) / total


def classification_report(preds: ArrayLike, target: ArrayLike) -> dict[str, Any]:
    """Accuracy, and precision, recall and F1 per class and as their plain means.

    Args:
        preds: labels (N,), probabilities of class 1 (N,), or scores (N, C).
        target: labels (N,).

    >>> report = classification_report([0, 1, 1, 1], [0, 1, 1, 0])
    >>> report["accuracy"], report["recall"], report["classes"][1]["support"]
    (0.75, 0.75, 2)
    """
    matrix = confusion_matrix(preds, target)
    counts = _counts_of_matrix(matrix, None)
    kinds = {"precision": "precision", "recall": "recall", "f1": "fbeta"}
    per_class = {k: score_of(v, counts, None, 0.0).tolist() for k, v in kinds.items()}
    support = matrix.sum(1).tolist()
    return {
        "accuracy": int(matrix.trace().item()) / sum(support),
        **{name: score_of(kind, counts, "macro", 0.0) for name, kind in kinds.items()},
        "classes": [
            {**{name: per_class[name][label] for name in kinds}, "support": support[label]}
            for label in range(len(support))
        ],
    }


class Precision(ConfusionMetric):
    """`precision` over batches; arguments as there.

    >>> metric = Precision(num_classes=2, average="binary")
    >>> metric.update([1, 1], [0, 1])
    >>> metric.compute()
    0.5
    """

    name = "precision"
    _kind = "precision"

    def __init__(
        self,
        *,
        average: Average = "macro",
        num_classes: int | None = None,
        zero_division: float = 0.0,
        threshold: float = 0.5,
    ):
        super().__init__(num_classes=num_classes, threshold=threshold)
        self.average: Average = average
        self.zero_division = zero_division

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[rg.Tensor, ...]:
        scores, right = rows(preds, target)
        if is_multilabel(scores, right):
            return _counts_of_sets(scores, right, self.average, self.threshold)
        return _counts_of_matrix(self._matrix(scores, right), self.average)

    def _result(self, *sums: rg.Tensor) -> Any:
        return score_of(self._kind, Counts(*sums), self.average, self.zero_division)


class Recall(Precision):
    """`recall` over batches; arguments as there.

    >>> metric = Recall(num_classes=2, average="binary")
    >>> metric.update([1, 0], [1, 1])
    >>> metric.compute()
    0.5
    """

    name = "recall"
    _kind = "recall"


class F1Score(Precision):
    """`f1_score` over batches; arguments as there.

    >>> metric = F1Score(num_classes=2, average="binary")
    >>> metric.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> metric.compute()
    0.8
    """

    name = "f1"
    _kind = "fbeta"


class FBetaScore(Precision):
    """`fbeta_score` over batches; arguments as there.

    >>> metric = FBetaScore(beta=2.0, num_classes=2, average="binary")
    >>> metric.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> metric.compute()
    0.9090909090909091
    """

    name = "fbeta"

    def __init__(
        self,
        *,
        beta: float,
        average: Average = "macro",
        num_classes: int | None = None,
        zero_division: float = 0.0,
        threshold: float = 0.5,
    ):
        super().__init__(
            average=average,
            num_classes=num_classes,
            zero_division=zero_division,
            threshold=threshold,
        )
        self.beta = beta

    def _result(self, *sums: rg.Tensor) -> Any:
        return score_of("fbeta", Counts(*sums), self.average, self.zero_division, self.beta)
