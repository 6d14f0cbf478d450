"""Metric objects: what they keep, and whose it is."""

import numpy as np
import pytest

import rubigo as rg
from rubigo import metrics as m

sk = pytest.importorskip("sklearn.metrics")

rng = np.random.default_rng(0)
TARGET = rng.integers(0, 2, 300)


@pytest.mark.parametrize(
    ("make", "theirs"),
    [(m.ROCAUC, sk.roc_auc_score), (m.AveragePrecision, sk.average_precision_score)],
)
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_ranks_are_exact_on_any_scale(make, theirs, scale):
    scores = (rng.normal(size=300) + TARGET) * scale
    metric = make()
    for part in (slice(0, 100), slice(100, 300)):
        metric.update(scores[part], TARGET[part])
    assert metric.compute() == pytest.approx(theirs(TARGET, scores), rel=1e-12)


def test_batches_of_other_classes_are_refused():
    metric = m.ROCAUC()
    metric.update([0.1, 0.9], [0, 1])
    other = m.ROCAUC()
    other.update(np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match=r"\(\) and \(\), then \(3,\) and \(\)"):
        metric.merge(other)
    assert metric.compute() == 1.0


OBJECTS = [
    lambda: m.ConfusionMatrix(num_classes=2),
    lambda: m.Precision(num_classes=2, average=None),
    m.ROCAUC,
    m.AveragePrecision,
    m.MeanSquaredError,
    m.R2Score,
]


@pytest.mark.parametrize("make", OBJECTS)
def test_a_metric_keeps_its_state_to_itself(make):
    metric, preds, target = make(), rg.tensor([0.0, 1.0, 1.0]), rg.tensor([0, 1, 0])
    metric.update(preds, target)
    first = rg.as_tensor(metric.compute()).tolist()
    preds.fill_(0), target.fill_(1)
    given = metric.compute()
    if isinstance(given, rg.Tensor):
        given.zero_()
    assert rg.as_tensor(metric.compute()).tolist() == first


def test_a_batch_costs_what_is_in_it_and_not_what_was_before():
    metric = m.ROCAUC()
    metric.update([0.1, 0.4], [0, 0])
    scores = metric._sums[0]
    metric.update([0.35, 0.8], [1, 1])
    assert metric._sums[0] is scores and len(scores) == 2


def test_merging_leaves_the_other_alone():
    first, second = m.ROCAUC(), m.ROCAUC()
    second.update([0.1, 0.9], [0, 1])
    first.merge(second)
    first.update([0.8, 0.2], [0, 1])
    first.merge(first)
    assert second.compute() == 1.0 and len(second._sums[0]) == 1 and len(first._sums[0]) == 4
