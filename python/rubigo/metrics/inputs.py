"""What the metrics accept, and how they refuse what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rubigo as rg

from ..data.convert import as_tensor as convert, whole

ArrayLike = Any
"""A tensor, a numpy array, or a (nested) list of numbers."""


def as_tensor(values: ArrayLike, name: str) -> rg.Tensor:
    """The values as a CPU tensor without a gradient."""
    tensor = convert(values, name)
    if tensor.is_floating_point() and isinstance(values, Sequence):
        # Python's floats have 53 bits; the default dtype has rounded them.
        tensor = rg.tensor(list(values), dtype=rg.float64)
    return tensor.detach().to("cpu")


def first_true(flags: rg.Tensor) -> int | None:
    """The first row in which any flag is set."""
    if not bool(flags.any()):
        return None
    return flags.reshape(flags.shape[0], -1).any(1).tolist().index(True)


def refuse(flags: rg.Tensor, values: rg.Tensor, name: str, rule: str) -> None:
    """Raises a `ValueError` that names the first sample of which a flag is set."""
    row = first_true(flags)
    if row is not None:
        raise ValueError(f"{name} of sample {row} is {values[row].tolist()}: {rule}")


def finite(values: rg.Tensor, name: str) -> rg.Tensor:
    refuse(~rg.isfinite(values), values, name, "it must be finite")
    return values


def class_labels(values: ArrayLike, name: str, num_classes: int | None = None) -> rg.Tensor:
    """Class labels of shape (N,) as int64, checked to lie in 0..num_classes-1."""
    tensor = as_tensor(values, name)
    if tensor.ndim != 1:
        raise ValueError(f"{name} must be class labels of shape (N,), got {tuple(tensor.shape)}")
    if tensor.is_floating_point():
        finite(tensor, name)
        refuse(tensor != tensor.floor(), tensor, name, "a label is a whole number")
    tensor = tensor.to(rg.int64)
    refuse(tensor < 0, tensor, name, "a label is 0 or more")
    if num_classes is not None:
        refuse(tensor >= num_classes, tensor, name, f"labels go from 0 to {num_classes - 1} here")
    return tensor


def rows(preds: ArrayLike, target: ArrayLike) -> tuple[rg.Tensor, rg.Tensor]:
    """Predictions and target with one sample per row.

    A single column (N, 1) counts as (N,). Each pixel is a sample: scores (N, C, H, W) against
    labels (N, H, W) become (N H W, C) and (N H W,), and arrays of one shape with more than two
    dimensions become (N ...,).
    """
    left, right = as_tensor(preds, "preds"), as_tensor(target, "target")
    shape, wanted = tuple(left.shape), tuple(right.shape)
    if len(wanted) >= 2 and shape[:1] + shape[2:] == wanted:
        left, right = left.movedim(1, -1).reshape(-1, shape[1]), right.reshape(-1)
    elif len(wanted) > 2 and shape == wanted:
        left, right = left.reshape(-1), right.reshape(-1)
    elif max(len(shape), len(wanted)) > 2:
        raise ValueError(
            f"preds of shape {shape} do not fit a target of shape {wanted}: they are labels or "
            "probabilities of one shape, or scores (N, C, ...) against labels (N, ...)"
        )
    return _without_column(left), _without_column(right)


def _without_column(values: rg.Tensor) -> rg.Tensor:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def is_multilabel(preds: rg.Tensor, target: rg.Tensor) -> bool:
    """Whether each sample has several labels, each 0 or 1: both have one shape (N, L)."""
    return target.ndim == 2 and tuple(preds.shape) == tuple(target.shape)


def label_sets(
    preds: rg.Tensor, target: rg.Tensor, threshold: float
) -> tuple[rg.Tensor, rg.Tensor]:
    """Predicted and right labels of a multilabel problem, bool (N, L)."""
    if preds.is_floating_point():
        predicted = probability(preds) > threshold
    else:
        predicted = _zero_or_one(preds, "preds")
    return predicted, _zero_or_one(target, "target")


def _zero_or_one(values: rg.Tensor, name: str) -> rg.Tensor:
    refuse(~((values == 0) | (values == 1)), values, name, "each label is 0 or 1")
    return values == 1


def same_length(preds: rg.Tensor, target: rg.Tensor) -> None:
    if preds.shape[0] != target.shape[0]:
        raise ValueError(
            f"preds has {preds.shape[0]} samples, target {target.shape[0]} "
            f"(shapes {tuple(preds.shape)} and {tuple(target.shape)})"
        )


def not_empty(count: int) -> None:
    if count == 0:
        raise ValueError("a metric of 0 samples is undefined")


def predicted_labels(
    preds: ArrayLike, threshold: float = 0.5, num_classes: int | None = None
) -> tuple[rg.Tensor, int | None]:
    """Labels of predictions, and the number of classes where the predictions tell it.

    Shape (N,) of integers or bools is taken as labels; (N,) of floats as probabilities of class
    1, compared with `threshold`; (N, C) as one score per class (probabilities or logits, it
    makes no difference), of which the first largest wins.
    """
    tensor = as_tensor(preds, "preds")
    if tensor.ndim == 2:
        refuse(rg.isnan(tensor), tensor, "preds", "a score must not be NaN")
        return tensor.argmax(1), tensor.shape[1]
    if tensor.ndim == 1 and tensor.is_floating_point():
        probability(tensor)
        return (tensor > threshold).to(rg.int64), 2
    if tensor.ndim != 1:
        raise ValueError(
            f"preds must be labels (N,), probabilities (N,) or scores (N, C), got shape "
            f"{tuple(tensor.shape)}"
        )
    return class_labels(tensor, "preds", num_classes), None


def class_count(num_classes: int | None) -> int | None:
    return None if num_classes is None else whole(num_classes, "num_classes", 1)


def classified(
    preds: ArrayLike, target: ArrayLike, threshold: float, num_classes: int | None
) -> tuple[rg.Tensor, rg.Tensor, rg.Tensor]:
    """Predicted and right classes as places in the third tensor, the classes in order.

    These are all 0..C-1 where C is known, and else the labels that occur.
    """
    scores, right = rows(preds, target)
    num_classes = class_count(num_classes)
    predicted, columns = predicted_labels(scores, threshold, num_classes)
    if columns is not None and num_classes is not None and columns > num_classes:
        raise ValueError(f"preds has scores of {columns} classes, num_classes is {num_classes}")
    size = num_classes or columns
    right = class_labels(right, "target", size)
    same_length(predicted, right)
    not_empty(right.shape[0])
    if size is not None:
        return predicted, right, rg.arange(size)
    classes, place = _ranked(rg.cat([predicted, right]))
    return place[: right.shape[0]], place[right.shape[0] :], classes


def _ranked(labels: rg.Tensor) -> tuple[rg.Tensor, rg.Tensor]:
    """The labels that occur, in order, and the place of each label among them."""
    low, high = int(labels.min().item()), int(labels.max().item())
    size = high - low + 1
    if size > labels.shape[0]:  # a count of each would take more room than the labels
        classes, place = rg.unique(labels, return_inverse=True)
        return classes, place
    labels = labels - low if low else labels
    # Mostly a few samples show that there are no gaps.
    for part in (labels[: 64 * size], labels):
        present = part.bincount(minlength=size) > 0
        if bool(present.all()):
            return rg.arange(low, high + 1), labels
    return present.nonzero()[:, 0] + low, (present.cumsum(0) - 1)[labels]


def distinct_labels(labels: ArrayLike | None) -> list[int] | None:
    """The labels that a metric is about, checked."""
    if labels is None:
        return None
    wanted = class_labels(labels, "labels").tolist()
    if not 0 < len(wanted) == len(set(wanted)):
        raise ValueError(f"labels must be distinct, and at least one, got {wanted}")
    return wanted


def located(classes: rg.Tensor, labels: ArrayLike) -> tuple[rg.Tensor, rg.Tensor]:
    """Where in the ordered classes each of the labels is, and whether it is there at all."""
    wanted = rg.tensor(distinct_labels(labels), dtype=rg.int64)
    place = rg.searchsorted(classes, wanted).clamp(max=classes.shape[0] - 1)
    return place, classes[place] == wanted


def sample_weights(values: ArrayLike | None, samples: int) -> rg.Tensor:
    """One weight per sample, int64 or float64; ones where there are none."""
    if values is None:
        return rg.ones(samples, dtype=rg.int64)
    weights = finite(as_tensor(values, "sample_weight").reshape(-1), "sample_weight")
    if weights.shape[0] != samples:
        raise ValueError(f"sample_weight has {weights.shape[0]} weights for {samples} samples")
    if not bool((weights != 0).any()):
        raise ValueError("sample_weight sums to 0, as each is 0: give one sample a weight")
    return weights.to(rg.float64 if weights.is_floating_point() else rg.int64)


def probability(values: rg.Tensor) -> rg.Tensor:
    wrong = ~((values >= 0) & (values <= 1))
    advice = "turn logits into probabilities by sigmoid or softmax"
    if bool(wrong.any()) and bool((values == values.floor()).all()):
        advice = "give labels as integers: preds.long()"
    refuse(wrong, values, "preds", f"a probability lies in [0, 1]; {advice}")
    return values


def count(indices: rg.Tensor, size: int, weights: rg.Tensor | None = None) -> rg.Tensor:
    """How often each of 0..size-1 occurs, or the sum of its weights."""
    weights = rg.ones_like(indices) if weights is None else weights
    return rg.zeros(size, dtype=weights.dtype).scatter_add(0, indices, weights)
