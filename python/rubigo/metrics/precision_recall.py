"""Precision, recall and their means, F-beta and F1."""

from __future__ import annotations

from typing import Any, Literal

import rubigo as rg

from .confusion import ConfusionMetric, confusion_matrix, ratio
from .inputs import ArrayLike

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

    Args:
        preds: labels (N,), probabilities of class 1 (N,), or scores (N, C).
        target: labels (N,).
        average: "macro" is the plain mean over the classes that occur in preds or target,
            "weighted" their mean by frequency in the target, "micro" counts all classes
            together, "binary" is class 1 of two, and None gives a float64 tensor (C,).
        num_classes: C; by default the columns of `preds`, or else the largest label plus one.
        zero_division: the value of a class with an empty denominator (NaN: left out of means).
        threshold: above it, a probability of shape (N,) means class 1.

    >>> precision([0, 1, 1, 1], [0, 1, 1, 0], average=None).tolist()
    [1.0, 0.6666666666666666]
    """
    matrix = confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    return score_of("precision", matrix, average, zero_division)


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
    matrix = confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    return score_of("recall", matrix, average, zero_division)


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
    matrix = confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    return score_of("fbeta", matrix, average, zero_division, beta)


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
    matrix = confusion_matrix(preds, target, num_classes=num_classes, threshold=threshold)
    return score_of("fbeta", matrix, average, zero_division)


def score_of(
    kind: str, matrix: rg.Tensor, average: Average, zero_division: float, beta: float = 1.0
) -> Any:
    """Precision, recall or F-beta of a confusion matrix."""
    hits, predicted, actual = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    if average == "binary":
        if matrix.shape[0] != 2:
            raise ValueError(
                f"average='binary' needs 2 classes, got {matrix.shape[0]}: choose 'macro', "
                "'micro', 'weighted' or None"
            )
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
    weights = (actual + predicted > 0).to(rg.float64) if average == "macro" else actual
    weights = rg.where(rg.isnan(values), rg.zeros_like(weights), weights)
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
    kinds = {"precision": "precision", "recall": "recall", "f1": "fbeta"}
    per_class = {k: score_of(v, matrix, None, 0.0).tolist() for k, v in kinds.items()}
    support = matrix.sum(1).tolist()
    return {
        "accuracy": int(matrix.trace().item()) / sum(support),
        **{name: score_of(kind, matrix, "macro", 0.0) for name, kind in kinds.items()},
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

    def _result(self, matrix: rg.Tensor) -> Any:
        return score_of(self._kind, matrix, self.average, self.zero_division)


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

    def _result(self, matrix: rg.Tensor) -> Any:
        return score_of("fbeta", matrix, self.average, self.zero_division, self.beta)
