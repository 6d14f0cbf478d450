"""Accuracy, top-k accuracy and Hamming loss."""

from __future__ import annotations

import rubigo as rg

from .base import Metric
from .inputs import (
    ArrayLike,
    is_multilabel,
    label_sets,
    labels,
    not_empty,
    predicted_labels,
    refuse,
    rows,
    same_length,
)


def _hits(preds: ArrayLike, target: ArrayLike, top_k: int, threshold: float) -> tuple[int, int]:
    """Right answers, and answers."""
    scores, right = rows(preds, target)
    if top_k == 1 and is_multilabel(scores, right):
        predicted, right = label_sets(scores, right, threshold)
        return int((predicted == right).all(1).sum().item()), right.shape[0]
    if top_k == 1:
        predicted, columns = predicted_labels(scores, threshold)
        right = labels(right, "target", columns)
        same_length(predicted, right)
        return int((predicted == right).sum().item()), right.shape[0]
    if scores.ndim != 2 or not 1 <= top_k <= scores.shape[1]:
        raise ValueError(
            f"top_k={top_k} needs scores of shape (N, C) with C >= top_k, got {tuple(scores.shape)}"
        )
    refuse(rg.isnan(scores), scores, "preds", "a score must not be NaN")
    right = labels(right, "target", scores.shape[1])
    same_length(scores, right)
    own = scores.gather(1, right[:, None])
    # Among equal scores the first class ranks first, as in argmax.
    earlier = rg.arange(scores.shape[1])[None, :] < right[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return int((rank < top_k).sum().item()), right.shape[0]


def accuracy(
    preds: ArrayLike, target: ArrayLike, *, top_k: int = 1, threshold: float = 0.5
) -> float:
    """The fraction of right answers.

        (1 / N) sum_n [target_n is among the top_k of preds_n]

    Predictions come first, as in torchmetrics and unlike scikit-learn.

    Args:
        preds: labels (N,), probabilities of class 1 (N,) or (N, 1), or scores (N, C); for
            images (N, C, H, W), of which each pixel counts; or labels or probabilities (N, L)
            of a multilabel problem, where an answer is right when all of its labels are.
        target: labels (N,), (N, H, W) or, 0 or 1 each, (N, L).
        top_k: an answer is right when its score is among the k largest; needs scores.
        threshold: above it, a probability means class 1.

    >>> accuracy([0, 1, 1, 1], [0, 1, 0, 1])
    0.75
    >>> accuracy([[0, 1], [1, 1]], [[0, 1], [0, 1]])
    0.5
    """
    hits, total = _hits(preds, target, top_k, threshold)
    not_empty(total)
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


def top_k_accuracy(preds: ArrayLike, target: ArrayLike, *, k: int = 5) -> float:
    """`accuracy` with `top_k=k`.

    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    return accuracy(preds, target, top_k=k)


class Accuracy(Metric):
    """`accuracy` over batches.

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

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[int, int]:
        return _hits(preds, target, self.top_k, self.threshold)

    def _result(self, hits: int, total: int) -> float:
        not_empty(total)
        return hits / total


class TopKAccuracy(Accuracy):
    """`top_k_accuracy` over batches.

    >>> metric = TopKAccuracy(k=2)
    >>> metric.update([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2])
    >>> metric.compute()
    0.5
    """

    name = "top_k_accuracy"

    def __init__(self, k: int = 5):
        super().__init__(top_k=k)
