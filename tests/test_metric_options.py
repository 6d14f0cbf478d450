"""The options of classification metrics against scikit-learn's."""

import itertools

import numpy as np
import pytest
from harness import close

import rubigo as rg
from rubigo import metrics as m

sk = pytest.importorskip("sklearn.metrics")

rng = np.random.default_rng(1)
LABELS = rng.choice([1, 3, 4, 9], 120)
GUESS = np.where(rng.random(120) < 0.6, LABELS, rng.choice([1, 4, 7], 120))
SETS = rng.integers(0, 2, (40, 4))
SETS[:2] = 0  # samples without a label
CALLED = np.where(rng.random((40, 4)) < 0.7, SETS, 1 - SETS)
CALLED[1:3] = 0
WEIGHTS = [None, rng.random(120), rng.integers(0, 4, 120)]
AVERAGES = ["micro", "macro", "weighted", None]

PRF = [
    (m.precision, sk.precision_score, {}),
    (m.recall, sk.recall_score, {}),
    (m.f1_score, sk.f1_score, {}),
    *[(m.fbeta_score, sk.fbeta_score, {"beta": b}) for b in (0.0, 0.5, 3.0, float("inf"))],
]


@pytest.mark.parametrize(("ours", "theirs", "options"), PRF)
@pytest.mark.parametrize("average", AVERAGES)
def test_labels_and_weights(ours, theirs, options, average):
    every = itertools.product((None, [4, 1], [9, 2, 7]), WEIGHTS, (0.0, 1.0, float("nan")))
    for labels, weights, zero in every:
        more = {"average": average, "labels": labels, "sample_weight": weights, **options}
        more["zero_division"] = zero
        close(ours(GUESS, LABELS, **more), theirs(LABELS, GUESS, **more))


@pytest.mark.parametrize(("ours", "theirs", "options"), PRF)
@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (3, 8)])
def test_the_positive_label(ours, theirs, options, pair):
    target, preds = rng.choice(pair, 50), rng.choice(pair, 50)
    for positive, weights in itertools.product(pair, (None, rng.random(50))):
        more = {"average": "binary", "pos_label": positive, "sample_weight": weights, **options}
        close(ours(preds, target, **more), theirs(target, preds, **more))
    with pytest.raises(ValueError, match="pos_label=5"):
        ours(preds, target, average="binary", pos_label=5, **options)
    with pytest.warns(UserWarning, match="pos_label=3"):
        ours(preds, target, pos_label=3, **options)


@pytest.mark.parametrize(("ours", "theirs", "options"), PRF)
@pytest.mark.parametrize("average", ["samples", *AVERAGES])
def test_several_labels(ours, theirs, options, average):
    every = itertools.product((None, [2, 0]), (None, rng.random(40)), (0.0, 1.0, float("nan")))
    for labels, weights, zero in every:
        more = {"average": average, "labels": labels, "sample_weight": weights, **options}
        more["zero_division"] = zero
        close(ours(CALLED, SETS, **more), theirs(SETS, CALLED, **more))


def test_confusion_matrix():
    every = itertools.product((None, [9, 1], [4, 2]), WEIGHTS, (None, "true", "pred", "all"))
    for labels, weights, normalize in every:
        more = {"labels": labels, "sample_weight": weights, "normalize": normalize}
        ours, theirs = m.confusion_matrix(GUESS, LABELS, **more), sk.confusion_matrix(
            LABELS, GUESS, **more
        )  # fmt: skip
        close(ours, theirs)
        assert ours.dtype.name == str(theirs.dtype)


def test_weighted_accuracy():
    for weights in WEIGHTS:
        close(
            m.accuracy(GUESS, LABELS, sample_weight=weights),
            sk.accuracy_score(LABELS, GUESS, sample_weight=weights),
        )
    scores, target = rng.random((120, 4)), rng.integers(0, 4, 120)
    close(
        m.top_k_accuracy(scores, target, k=2, sample_weight=WEIGHTS[1]),
        sk.top_k_accuracy_score(target, scores, k=2, sample_weight=WEIGHTS[1]),
    )


def test_labels_that_do_not_occur_take_no_room():
    preds, target = [0, 10**6, 10**12], [0, 1, 10**12]
    close(m.f1_score(preds, target), sk.f1_score(target, preds, average="macro"))
    assert m.confusion_matrix(preds, target).shape == (4, 4)
    for weights in (None, "linear", "quadratic"):
        close(
            m.cohen_kappa(GUESS, LABELS, weights=weights),
            sk.cohen_kappa_score(LABELS, GUESS, weights=weights),
        )
    close(m.matthews_corrcoef(GUESS, LABELS), sk.matthews_corrcoef(LABELS, GUESS))


@pytest.mark.parametrize("classes", [[0, 1, 2], [1, 2, 3], [10**9, 10**9 + 1], [2, 5, 9]])
@pytest.mark.parametrize("late", [None, 7])  # a class that the first samples do not show
@pytest.mark.parametrize("weighted", [False, True])
def test_labels_close_to_each_other_are_not_sorted(classes, late, weighted, monkeypatch):
    preds, target = rng.choice(classes, (2, 2000))
    if late:
        preds[-1] = classes[0] + late
    weights = rng.integers(0, 2, 2000) if weighted else None
    options = {"average": None, "sample_weight": weights, "zero_division": 0}
    theirs = sk.f1_score(target, preds, **options)
    matrix = sk.confusion_matrix(target, preds, sample_weight=weights)
    monkeypatch.setattr(rg, "unique", None)
    close(m.f1_score(preds, target, **options), theirs)
    close(m.confusion_matrix(preds, target, sample_weight=weights), matrix)


def test_a_report_names_its_labels():
    report = m.classification_report(GUESS, LABELS)
    theirs = sk.classification_report(LABELS, GUESS, output_dict=True, zero_division=0)
    for row in report["classes"]:
        wanted = theirs[str(row["label"])]
        assert [row[k] for k in ("precision", "recall", "f1", "support")] == pytest.approx(
            [wanted[k] for k in ("precision", "recall", "f1-score", "support")]
        )
    assert [row["label"] for row in report["classes"]] == [1, 3, 4, 7, 9]


WEIGHED = [
    (m.accuracy, sk.accuracy_score, {}),
    (m.precision, sk.precision_score, {"average": "macro"}),
    (m.recall, sk.recall_score, {"average": "macro"}),
    (m.f1_score, sk.f1_score, {"average": "macro"}),
    (m.confusion_matrix, sk.confusion_matrix, {}),
]


@pytest.mark.parametrize(("ours", "theirs", "options"), WEIGHED)
def test_weights_that_are_all_zero_are_refused(ours, theirs, options):
    with pytest.raises(ValueError, match="sample_weight sums to 0, as each is 0"):
        ours([1, 0], [1, 0], sample_weight=[0.0, 0.0], **options)
    with pytest.raises(ValueError, match="non-zero"):
        theirs([1, 0], [1, 0], sample_weight=[0.0, 0.0], **options)


def test_weights_that_are_all_zero_are_refused_for_several_labels():
    for average in ("samples", "macro"):
        with pytest.raises(ValueError, match="sample_weight sums to 0"):
            m.f1_score(CALLED, SETS, average=average, sample_weight=np.zeros(40))


def over_batches(metric, preds, target, weights):
    for part in (slice(0, 15), slice(15, None)):
        own = {} if weights is None else {"sample_weight": weights[part]}
        metric.update(preds[part], target[part], **own)
    return metric.compute()


OBJECTS = [
    (m.Precision, m.precision, {}),
    (m.Recall, m.recall, {}),
    (m.F1Score, m.f1_score, {}),
    (m.FBetaScore, m.fbeta_score, {"beta": 2.0}),
]


@pytest.mark.parametrize(("kind", "function", "options"), OBJECTS)
@pytest.mark.parametrize("average", AVERAGES)
def test_objects_take_labels_and_weights(kind, function, options, average):
    some = {"average": average, **options}
    for labels, weights in itertools.product((None, [4, 1], np.array([9, 2, 7])), WEIGHTS):
        metric = kind(num_classes=10, labels=labels, **some)
        found = over_batches(metric, GUESS, LABELS, weights)
        more = {"labels": labels, "sample_weight": weights, **some}
        close(found, function(GUESS, LABELS, num_classes=10, **more))
        metric.merge(kind(num_classes=10, labels=labels, **some))
    for labels, weights in itertools.product((None, [2, 0]), (None, WEIGHTS[1][:40])):
        found = over_batches(kind(labels=labels, **some), CALLED, SETS, weights)
        more = {"labels": labels, "sample_weight": weights, **some}
        close(found, function(CALLED, SETS, **more))
    with pytest.raises(ValueError, match="labels go from 0 to 3"):
        kind(labels=[4], **some).update(CALLED, SETS)
    with pytest.raises(ValueError, match="labels must be distinct"):
        kind(labels=[1, 1], **some)


@pytest.mark.parametrize(("kind", "function", "options"), OBJECTS)
@pytest.mark.parametrize("pos_label", [0, 1])
def test_objects_take_the_positive_label(kind, function, options, pos_label):
    target, preds = rng.integers(0, 2, (2, 40))
    some = {"average": "binary", "pos_label": pos_label, "num_classes": 2, **options}
    close(over_batches(kind(**some), preds, target, None), function(preds, target, **some))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_other_objects_take_weights(weights):
    found = over_batches(m.Accuracy(), GUESS, LABELS, weights)
    close(found, m.accuracy(GUESS, LABELS, sample_weight=weights))
    scores = rng.random((120, 10))
    found = over_batches(m.TopKAccuracy(3), scores, LABELS, weights)
    close(found, m.top_k_accuracy(scores, LABELS, k=3, sample_weight=weights))
    for labels, normalize in itertools.product((None, [9, 2, 4]), (None, "true", "all")):
        options = {"num_classes": 10, "labels": labels, "normalize": normalize}
        found = over_batches(m.ConfusionMatrix(**options), GUESS, LABELS, weights)
        close(found, m.confusion_matrix(GUESS, LABELS, sample_weight=weights, **options))
    absent = m.ConfusionMatrix(num_classes=10, labels=[2])
    absent.update(GUESS, LABELS)
    with pytest.raises(ValueError, match="none of labels occurs in target"):
        absent.compute()


@pytest.mark.parametrize("kind", [m.ROCAUC, m.AveragePrecision])
def test_an_unknown_average_is_refused_at_once(kind):
    with pytest.raises(ValueError, match="average must be 'macro', 'weighted' or None, got 'foo'"):
        kind(average="foo")


@pytest.mark.parametrize("given", [0, -1, 2.0, True])
def test_the_number_of_classes_is_a_whole_number(given):
    for call in (m.confusion_matrix, m.f1_score, m.cohen_kappa):
        with pytest.raises((TypeError, ValueError), match="num_classes must be"):
            call([0, 1], [0, 1], num_classes=given)
    for kind in (m.ConfusionMatrix, m.F1Score, m.BalancedAccuracy):
        with pytest.raises((TypeError, ValueError), match="num_classes must be"):
            kind(num_classes=given)
