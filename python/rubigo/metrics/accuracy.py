"""Accuracy, top-k accuracy and Hamming loss."""

from __future__ import annotations

import warnings

import rubigo as rg

from .base import Metric
from .inputs import (
    ArrayLike,
    class_labels,
    is_multilabel,
    label_sets,
    not_empty,
    predicted_labels,
    refuse,
    rows,
    same_length,
    sample_weights,
)


def _hits(preds: ArrayLike, target: ArrayLike, top_k: int, threshold: float) -> rg.Tensor:
    """Which answers are right, bool (N,)."""
    scores, right = rows(preds, target)
    if top_k == 1 and is_multilabel(scores, right):
        predicted, right = label_sets(scores, right, threshold)
        return (predicted == right).all(1)
    if top_k == 1:
        predicted, columns = predicted_labels(scores, threshold)
        right = class_labels(right, "target", columns)
        same_length(predicted, right)
        return predicted == right
    if scores.ndim != 2 or top_k < 1:
        raise ValueError(
            f"top_k={top_k} needs to be 1 or more, and scores of shape (N, C), got "
            f"{tuple(scores.shape)}"
        )
    refuse(rg.isnan(scores), scores, "preds", "a score must not be NaN")
    right = class_labels(right, "target", scores.shape[1])
    same_length(scores, right)
    if top_k >= scores.shape[1]:
        warnings.warn(
            f"top_k={top_k} of {scores.shape[1]} classes holds every answer for right",
            stacklevel=3,
        )
    own = scores.gather(1, right[:, None])
    # Among equal scores the first class ranks first, as in argmax.
    earlier = rg.arange(scores.shape[1])[None, :] < right[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return rank < top_k


def accuracy(
    preds: ArrayLike,
    target: ArrayLike,
    *,
    top_k: int = 1,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> float:
    """The fraction of right answers.

        sum_n w_n [target_n is among the top_k of preds_n] / sum_n w_n

    Predictions come first, as in torchmetrics and unlike scikit-learn.

    Args:
        preds: labels (N,), probabilities of class 1 (N,) or (N, 1), or scores (N, C); for
            images (N, C, H, W), of which each pixel counts; or labels or probabilities (N, L)
            of a multilabel problem, where an answer is right when all of its labels are.
        target: labels (N,), (N, H, W) or, 0 or 1 each, (N, L).
        top_k: an answer is right when its score is among the k largest, of equal ones the first;
            needs scores. All answers are right, with a warning, where C <= k > 1.
        threshold: above it, a probability means class 1.
        sample_weight: w, one number per sample; by default 1.

    >>> accuracy([0, 1, 1, 1], [0, 1, 0, 1])
    0.75
    >>> accuracy([[0, 1], [1, 1]], [[0, 1], [0, 1]])
    0.5
    >>> accuracy([0, 1], [0, 0], sample_weight=[3, 1])
    0.75
    """
    hits = _hits(preds, target, top_k, threshold)
    not_empty(hits.shape[0])
    return _mean(*_weighed(hits, sample_weight))


def _weighed(hits: rg.Tensor, sample_weight: ArrayLike | None) -> tuple[float, float]:
    weights = sample_weights(sample_weight, hits.shape[0])
    return weights[hits].sum().item(), weights.sum().item()


def _mean(hits: float, total: float) -> float:
    if total == 0:
        raise ValueError("sample_weight sums to 0, so there is no mean")
    return hits / total


def hamming_loss(preds: ArrayLike, target: ArrayLike, *, threshold: float = 0.5) -> float:
    """The fraction of wrong labels; each of the L labels of a multilabel sample counts.

    Arguments as for `accuracy`.

    >>> hamming_loss([[0, 1], [1, 1]], [[0, 1], [0, 1]])
    0.25
    """
    scores, right = rows(preds, target)
    if not is_multilabel(scores, right):
        return 1.0 - accuracy(scores, right, threshold=threshold)
    not_empty(right.shape[0])
    predicted, right = label_sets(scores, right, threshold)
    return float((predicted != right).to(rg.float64).mean().item())


def top_k_accuracy(
    preds: ArrayLike, target: ArrayLike, *, k: int = 5, sample_weight: ArrayLike | None = None
) -> float:
    """`accuracy` with `top_k=k`; the other arguments as for `accuracy`.

    Args:
        k: how many classes an answer may name.

    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    return accuracy(preds, target, top_k=k, sample_weight=sample_weight)


class Accuracy(Metric):
    """`accuracy` over batches; arguments as for `accuracy`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = Accuracy()
    >>> metric.update([0, 1], [0, 1])
    >>> metric.update([1, 1], [0, 1])
    >>> metric.compute()
    0.75
    """

    higher_is_better = True
    name = "accuracy"

    def __init__(self, *, top_k: int = 1, threshold: float = 0.5):
        super().__init__()
        self.top_k = top_k
        self.threshold = threshold

    def _measure(
        self, preds: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> tuple[int, float, float]:
        hits = _hits(preds, target, self.top_k, self.threshold)
        return hits.shape[0], *_weighed(hits, sample_weight)

    def _result(self, samples: int, hits: float, total: float) -> float:
        not_empty(samples)
        return _mean(hits, total)


class TopKAccuracy(Accuracy):
    """`top_k_accuracy` over batches; arguments as for `top_k_accuracy`.

    `update` takes the `sample_weight` of its batch.

    >>> metric = TopKAccuracy(k=2)
    >>> metric.update([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2])
    >>> metric.compute()
    0.5
    """

    name = "top_k_accuracy"

    def __init__(self, k: int = 5):
        super().__init__(top_k=k)
