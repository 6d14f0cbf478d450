"""Precision, recall and their means, F-beta and F1."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple

import rubigo as rg

from .confusion import ConfusionMetric, ratio
from .inputs import (
    ArrayLike,
    classified,
    count,
    distinct_labels,
    is_multilabel,
    label_sets,
    located,
    not_empty,
    rows,
    sample_weights,
)

Average = Literal["micro", "macro", "weighted", "binary", "samples"] | None


def precision(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    average: Average = "macro",
    num_classes: int | None = None,
    labels: ArrayLike | None = None,
    pos_label: int = 1,
    sample_weight: ArrayLike | None = None,
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
            together, "binary" is the class `pos_label` of two, "samples" is the mean over the
            samples of a multilabel problem, and None gives a float64 tensor (C,).
        num_classes: C; by default the columns of `preds`, or else the number of labels that
            occur, which then stand in their order.
        labels: the classes to average or to return instead, in this order; the columns, for a
            multilabel problem.
        pos_label: the class that "binary" is about.
        sample_weight: one number per sample, by which it counts; by default 1.
        zero_division: the value of a class with an empty denominator: 0, 1 or NaN, which is left
            out of means.
        threshold: above it, a probability of shape (N,) means class 1.

    Raises:
        ValueError: for options, shapes and values other than these.

    >>> precision([0, 1, 1, 1], [0, 1, 1, 0], average=None).tolist()
    [1.0, 0.6666666666666666]
    >>> precision([0, 1, 1, 1], [0, 1, 1, 0], average="binary", pos_label=0)
    1.0
    """
    options = _Options("precision", average, zero_division, 1.0, labels, pos_label)
    return _score(preds, target, options, num_classes, sample_weight, threshold)


def recall(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    average: Average = "macro",
    num_classes: int | None = None,
    labels: ArrayLike | None = None,
    pos_label: int = 1,
    sample_weight: ArrayLike | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """How much of class c was called class c.

        TP_c / (TP_c + FN_c)

    Arguments as for `precision`.

    >>> recall([0, 1, 1, 1], [0, 1, 1, 0], average=None).tolist()
    [0.5, 1.0]
    """
    options = _Options("recall", average, zero_division, 1.0, labels, pos_label)
    return _score(preds, target, options, num_classes, sample_weight, threshold)


def fbeta_score(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    beta: float,
    average: Average = "macro",
    num_classes: int | None = None,
    labels: ArrayLike | None = None,
    pos_label: int = 1,
    sample_weight: ArrayLike | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """The harmonic mean of precision and recall, in which recall counts beta times as much.

        (1 + beta^2) TP_c / ((1 + beta^2) TP_c + beta^2 FN_c + FP_c)

    Arguments as for `precision`, and

    Args:
        beta: from 0 (precision) to infinity (recall).

    Reference: van Rijsbergen, "Information Retrieval", 1979.

    >>> fbeta_score([0, 1, 1, 1], [0, 1, 1, 0], beta=2.0, average="binary")
    0.9090909090909091
    """
    options = _Options("fbeta", average, zero_division, beta, labels, pos_label)
    return _score(preds, target, options, num_classes, sample_weight, threshold)


def f1_score(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    average: Average = "macro",
    num_classes: int | None = None,
    labels: ArrayLike | None = None,
    pos_label: int = 1,
    sample_weight: ArrayLike | None = None,
    zero_division: float = 0.0,
    threshold: float = 0.5,
) -> Any:
    """`fbeta_score` with beta = 1.

        2 TP_c / (2 TP_c + FN_c + FP_c)

    Arguments as for `precision`.

    >>> f1_score([0, 1, 1, 1], [0, 1, 1, 0], average="binary")
    0.8
    """
    options = _Options("fbeta", average, zero_division, 1.0, labels, pos_label)
    return _score(preds, target, options, num_classes, sample_weight, threshold)


class _Options(NamedTuple):
    """What is made of the counts."""

    kind: Literal["precision", "recall", "fbeta"]
    average: Average = "macro"
    zero_division: float = 0.0
    beta: float = 1.0
    labels: ArrayLike | None = None
    pos_label: int = 1

    def check(self) -> None:
        averages = ("micro", "macro", "weighted", "binary", "samples", None)
        if self.average not in averages:
            raise ValueError(f"average must be one of {averages}, got {self.average!r}")
        if self.zero_division == self.zero_division and self.zero_division not in (0, 1):
            raise ValueError(f"zero_division must be 0, 1 or NaN, got {self.zero_division}")
        if not self.beta >= 0:
            raise ValueError(f"beta must be 0 or more, got {self.beta}")
        if self.average != "binary" and self.pos_label != 1:
            warnings.warn(
                f"pos_label={self.pos_label} matters for average='binary' only; "
                "labels=[pos_label] is about one class too",
                stacklevel=4,
            )


class Counts(NamedTuple):
    """Per class: right answers, how often predicted, how often true, and how often seen at all.

    The first three are sums of weights, where samples have some. For "samples" each is a sample,
    and the last is its weight.
    """

    hits: rg.Tensor
    predicted: rg.Tensor
    actual: rg.Tensor
    seen: rg.Tensor


def _class_counts(
    predicted: rg.Tensor, right: rg.Tensor, classes: rg.Tensor, weights: rg.Tensor
) -> Counts:
    size = classes.shape[0]
    if size * size <= right.shape[0]:  # one pass over the samples instead of three
        matrix = count(right * size + predicted, size * size, weights).reshape(size, size)
        hits, called, actual = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    else:
        hits = count(right, size, weights * (predicted == right))
        called, actual = count(predicted, size, weights), count(right, size, weights)
    seen = called + actual
    if not bool((weights > 0).all()):  # what has no weight is seen as well
        seen = count(rg.cat([predicted, right]), size)
    return Counts(hits, called, actual, seen)


def _set_counts(predicted: rg.Tensor, right: rg.Tensor, weights: rg.Tensor) -> Counts:
    weights = weights[:, None]
    hits = ((predicted & right) * weights).sum(0)
    return Counts(hits, (predicted * weights).sum(0), (right * weights).sum(0), rg.ones_like(hits))


def _selected(counts: Counts, classes: rg.Tensor, options: _Options) -> Counts:
    """The counts of the classes that are asked for."""
    labels = options.labels
    if options.average == "binary":
        if classes.shape[0] > 2:
            raise ValueError(
                f"average='binary' needs 2 classes, got {classes.shape[0]}: choose 'macro', "
                "'micro', 'weighted' or None"
            )
        present = classes[counts.seen > 0].tolist()
        if len(present) == 2 and options.pos_label not in present:
            raise ValueError(f"pos_label={options.pos_label} is none of the classes {present}")
        labels = [options.pos_label]
    if labels is None:
        return counts
    place, found = located(classes, labels)
    hits, predicted, actual, _ = (values[place] * found for values in counts)
    return Counts(hits, predicted, actual, rg.ones_like(place))


def _score(
    preds: ArrayLike,
    target: ArrayLike,
    options: _Options,
    num_classes: int | None,
    sample_weight: ArrayLike | None,
    threshold: float,
) -> Any:
    options.check()
    scores, right = rows(preds, target)
    if is_multilabel(scores, right):
        not_empty(right.shape[0])
        weights = sample_weights(sample_weight, right.shape[0])
        predicted, right = _label_sets(scores, right, options, threshold)
        if options.average == "samples":
            ones = rg.ones(right.shape[1], dtype=rg.int64)
            counts = _set_counts(predicted.T, right.T, ones)._replace(seen=weights)
        else:
            counts = _set_counts(predicted, right, weights)
        return score_of(counts, options)
    if options.average == "samples":
        raise ValueError("average='samples' needs several labels per sample: preds, target (N, L)")
    predicted, right, classes = classified(scores, right, threshold, num_classes)
    counts = _class_counts(predicted, right, classes, sample_weights(sample_weight, right.shape[0]))
    return score_of(_selected(counts, classes, options), options)


def _label_sets(
    scores: rg.Tensor, right: rg.Tensor, options: _Options, threshold: float
) -> tuple[rg.Tensor, rg.Tensor]:
    """Predicted and right labels of a multilabel problem, those that are asked for."""
    if options.average == "binary":
        raise ValueError(
            "average='binary' is not for several labels per sample: choose 'macro', 'micro', "
            "'weighted', 'samples' or None"
        )
    predicted, right = label_sets(scores, right, threshold)
    place = _label_places(right, options)
    return predicted[:, place], right[:, place]


def _label_places(right: rg.Tensor, options: _Options) -> rg.Tensor:
    columns = rg.arange(right.shape[1])
    if options.labels is None:
        return columns
    place, found = located(columns, options.labels)
    if not bool(found.all()):
        raise ValueError(f"labels go from 0 to {right.shape[1] - 1} here, got {options.labels}")
    return place


def score_of(counts: Counts, options: _Options) -> Any:
    """Precision, recall or F-beta of the counts."""
    hits, predicted, actual, seen = counts
    average = options.average
    if average == "micro":
        hits, predicted, actual = hits.sum()[None], predicted.sum()[None], actual.sum()[None]
    # F-beta's denominator, divided by 1 + beta^2: it stays finite when beta does not.
    share = {"precision": 1.0, "recall": 0.0}.get(
        options.kind, 1 / (1 + options.beta * options.beta)
    )
    called, right = predicted.to(rg.float64), actual.to(rg.float64)
    values = ratio(hits, share * called + (1 - share) * right, options.zero_division)
    if average is None:
        return values
    if average in ("binary", "micro"):
        return float(values.item())
    weights = {"macro": seen > 0, "weighted": actual, "samples": seen}[average]
    present = ((seen > 0) & ~rg.isnan(values)).to(rg.float64)
    weights = present * weights
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

    Returns:
        "accuracy", "precision", "recall", "f1", and "classes": for each class its "label", the
        three, and its "support", how often it is right.

    >>> report = classification_report([0, 1, 1, 1], [0, 1, 1, 0])
    >>> report["accuracy"], report["recall"], report["classes"][1]["support"]
    (0.75, 0.75, 2)
    """
    predicted, right, classes = classified(preds, target, 0.5, None)
    counts = _class_counts(predicted, right, classes, rg.ones_like(right))
    kinds: dict[str, Any] = {"precision": "precision", "recall": "recall", "f1": "fbeta"}
    per_class = {
        "label": classes,
        **{name: score_of(counts, _Options(kind, None)) for name, kind in kinds.items()},
        "support": counts.actual,
    }
    each = zip(*(values.tolist() for values in per_class.values()), strict=True)
    return {
        "accuracy": int(counts.hits.sum().item()) / right.shape[0],
        **{name: score_of(counts, _Options(kind)) for name, kind in kinds.items()},
        "classes": [dict(zip(per_class, values, strict=True)) for values in each],
    }


class Precision(ConfusionMetric):
    """`precision` over batches; arguments as for `precision`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = Precision(num_classes=2, average="binary")
    >>> metric.update([1, 1], [0, 1])
    >>> metric.compute()
    0.5
    """

    name = "precision"
    _kind: Literal["precision", "recall", "fbeta"] = "precision"
    beta = 1.0

    def __init__(
        self,
        *,
        average: Average = "macro",
        num_classes: int | None = None,
        labels: ArrayLike | None = None,
        pos_label: int = 1,
        zero_division: float = 0.0,
        threshold: float = 0.5,
    ):
        super().__init__(num_classes=num_classes, threshold=threshold)
        if average == "samples":
            raise ValueError(
                f"average='samples' is not kept over batches: use the function for {self.name}"
            )
        self.average: Average = average
        self.labels: list[int] | None = distinct_labels(labels)
        self.pos_label = pos_label
        self.zero_division = zero_division
        self._options().check()

    def _options(self) -> _Options:
        return _Options(
            self._kind, self.average, self.zero_division, self.beta, self.labels, self.pos_label
        )

    def _measure(
        self, preds: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> Counts:
        scores, right = rows(preds, target)
        weights = sample_weights(sample_weight, right.shape[0])
        if is_multilabel(scores, right):
            options = self._options()
            _label_places(right, options)
            # Of all labels: compute() takes those that are asked for.
            options = options._replace(labels=None)
            return _set_counts(*_label_sets(scores, right, options, self.threshold), weights)
        size = self._classes(scores, right)
        predicted, right, classes = classified(scores, right, self.threshold, size)
        counts = _class_counts(predicted, right, classes, weights)
        _selected(counts, classes, self._options())  # refuses what compute() could not use
        return counts

    def _result(self, *sums: rg.Tensor) -> Any:
        counts = Counts(*sums)
        classes = rg.arange(counts.hits.shape[0])
        return score_of(_selected(counts, classes, self._options()), self._options())


class Recall(Precision):
    """`recall` over batches; arguments as for `recall`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = Recall(num_classes=2, average="binary")
    >>> metric.update([1, 0], [1, 1])
    >>> metric.compute()
    0.5
    """

    name = "recall"
    _kind = "recall"


class F1Score(Precision):
    """`f1_score` over batches; arguments as for `f1_score`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = F1Score(num_classes=2, average="binary")
    >>> metric.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> metric.compute()
    0.8
    """

    name = "f1"
    _kind = "fbeta"


class FBetaScore(Precision):
    """`fbeta_score` over batches; arguments as for `fbeta_score`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = FBetaScore(beta=2.0, num_classes=2, average="binary")
    >>> metric.update([0, 1, 1, 1], [0, 1, 1, 0])
    >>> metric.compute()
    0.9090909090909091
    """

    name = "fbeta"
    _kind = "fbeta"

    def __init__(
        self,
        *,
        beta: float,
        average: Average = "macro",
        num_classes: int | None = None,
        labels: ArrayLike | None = None,
        pos_label: int = 1,
        zero_division: float = 0.0,
        threshold: float = 0.5,
    ):
        self.beta = beta
        super().__init__(
            average=average,
            num_classes=num_classes,
            labels=labels,
            pos_label=pos_label,
            zero_division=zero_division,
            threshold=threshold,
        )
