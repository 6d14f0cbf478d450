"""Metrics against scikit-learn, over batches, and on bad input."""

import numpy as np
import pytest
from harness import close
from hypothesis import given, settings, strategies as st

import rubigo as rg
from rubigo import metrics as m

sk = pytest.importorskip("sklearn.metrics")

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 4, 200)
GUESS = np.where(rng.random(200) < 0.6, LABELS, rng.integers(0, 4, 200))
SCORES = rng.random((200, 4)) + np.eye(4)[GUESS] * 0.5
SCORES /= SCORES.sum(1, keepdims=True)
BINARY = rng.integers(0, 2, 200)
# Rounded, so that there are ties.
CHANCE = np.clip(np.round(BINARY * 0.3 + rng.random(200) * 0.7, 2), 0, 1)
NUMBERS = rng.normal(size=(50, 3))
GUESSED = NUMBERS + rng.normal(size=(50, 3)) * 0.3


def test_label_metrics():
    close(m.accuracy(GUESS, LABELS), sk.accuracy_score(LABELS, GUESS))
    close(m.balanced_accuracy(GUESS, LABELS), sk.balanced_accuracy_score(LABELS, GUESS))
    close(m.matthews_corrcoef(GUESS, LABELS), sk.matthews_corrcoef(LABELS, GUESS))
    for weights in (None, "linear", "quadratic"):
        close(
            m.cohen_kappa(GUESS, LABELS, weights=weights),
            sk.cohen_kappa_score(LABELS, GUESS, weights=weights),
        )
    for normalize in (None, "true", "pred", "all"):
        close(
            m.confusion_matrix(GUESS, LABELS, normalize=normalize),
            sk.confusion_matrix(LABELS, GUESS, normalize=normalize),
        )


PRF = [
    (m.precision, sk.precision_score, {}),
    (m.recall, sk.recall_score, {}),
    (m.f1_score, sk.f1_score, {}),
    (m.fbeta_score, sk.fbeta_score, {"beta": 2.0}),
    (m.fbeta_score, sk.fbeta_score, {"beta": 0.5}),
]
LACKING = ([0, 0, 2, 2, 5], [0, 2, 2, 0, 0])


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
@pytest.mark.parametrize(("ours", "theirs", "options"), PRF)
def test_precision_recall_f(ours, theirs, options, average):
    close(
        ours(GUESS, LABELS, average=average, **options),
        theirs(LABELS, GUESS, average=average, **options),
    )
    preds, target = LACKING
    for zero in (0.0, 1.0, float("nan")):
        labels = {"labels": range(6)} if average is None else {}
        close(
            ours(preds, target, average=average, zero_division=zero, **options, **labels),
            theirs(target, preds, average=average, zero_division=zero, **options, **labels),
        )


@pytest.mark.parametrize(("ours", "theirs", "options"), PRF)
def test_binary_average_and_threshold(ours, theirs, options):
    close(
        ours(CHANCE, BINARY, average="binary", threshold=0.4, **options),
        theirs(BINARY, CHANCE > 0.4, **options),
    )
    with pytest.raises(ValueError, match="needs 2 classes, got 4"):
        ours(GUESS, LABELS, average="binary", **options)


def test_report_is_that_of_the_parts():
    report = m.classification_report(GUESS, LABELS)
    theirs = sk.classification_report(LABELS, GUESS, output_dict=True)
    close(report["accuracy"], theirs["accuracy"])
    close(report["f1"], theirs["macro avg"]["f1-score"])
    for label in range(4):
        close(report["classes"][label]["recall"], theirs[str(label)]["recall"])
        assert report["classes"][label]["support"] == theirs[str(label)]["support"]


def test_ranking_metrics():
    close(m.roc_auc(CHANCE, BINARY), sk.roc_auc_score(BINARY, CHANCE))
    close(m.average_precision(CHANCE, BINARY), sk.average_precision_score(BINARY, CHANCE))
    one_hot = np.eye(4)[LABELS]
    for average in ("macro", "weighted", None):
        close(
            m.roc_auc(SCORES, LABELS, average=average),
            sk.roc_auc_score(one_hot, SCORES, average=average),
        )
        close(
            m.average_precision(SCORES, LABELS, average=average),
            sk.average_precision_score(one_hot, SCORES, average=average),
        )
    pair = np.stack([1 - CHANCE, CHANCE], 1)
    close(m.roc_auc(pair, BINARY), sk.roc_auc_score(BINARY, pair[:, 1] - pair[:, 0]))


def test_curves():
    ours, theirs = (
        m.roc_curve(CHANCE, BINARY),
        sk.roc_curve(BINARY, CHANCE, drop_intermediate=False),
    )
    for left, right in zip(ours, theirs, strict=True):
        close(left, right)
    ours, theirs = (
        m.precision_recall_curve(CHANCE, BINARY),
        sk.precision_recall_curve(BINARY, CHANCE),
    )
    for left, right in zip(ours, theirs, strict=True):
        close(left, right)
    for curve in (m.roc_curve, m.precision_recall_curve):
        with pytest.raises(ValueError, match="class 1, there is none"):
            curve([0.1, 0.2], [0, 0])
        with pytest.raises(ValueError, match="of one class"):
            curve(SCORES, LABELS)
    with pytest.raises(ValueError, match="class 0"):
        m.roc_curve([0.1, 0.2], [1, 1])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30))
def test_roc_auc_with_many_ties(pairs):
    target, scores = [p[0] for p in pairs], [p[1] / 4 for p in pairs]
    if len(set(target)) < 2:
        with pytest.warns(UserWarning, match="undefined"):
            assert np.isnan(m.roc_auc(scores, target))
        return
    close(m.roc_auc(scores, target), sk.roc_auc_score(target, scores))
    close(m.average_precision(scores, target), sk.average_precision_score(target, scores))


def test_log_loss():
    close(m.log_loss(SCORES, LABELS), sk.log_loss(LABELS, SCORES))
    close(m.log_loss(CHANCE, BINARY), sk.log_loss(BINARY, CHANCE))
    logits = np.log(SCORES) + 3.0
    close(m.log_loss(logits, LABELS, logits=True), sk.log_loss(LABELS, SCORES))
    odds = np.log((CHANCE + 0.01) / (1.01 - CHANCE))
    close(
        m.log_loss(odds, BINARY, logits=True),
        sk.log_loss(BINARY, (CHANCE + 0.01) / 1.02),
    )
    assert m.log_loss([0.0, 1.0], [1, 1]) < 40


def test_top_k():
    for k in (1, 2, 3):
        close(m.top_k_accuracy(SCORES, LABELS, k=k), sk.top_k_accuracy_score(LABELS, SCORES, k=k))
    # Equal scores: the first class ranks first, as argmax has it.
    tied = [[0.5, 0.5], [0.5, 0.5]]
    assert m.top_k_accuracy(tied, [0, 1], k=1) == m.accuracy(tied, [0, 1]) == 0.5
    for k in (4, 5):
        with pytest.warns(UserWarning, match=f"top_k={k}"):
            ours = m.top_k_accuracy(SCORES, LABELS, k=k)
        with pytest.warns(UserWarning, match="k"):
            close(ours, sk.top_k_accuracy_score(LABELS, SCORES, k=k))
    for k, scores in ((0, SCORES), (2, CHANCE)):
        with pytest.raises(ValueError, match=f"top_k={k}"):
            m.top_k_accuracy(scores, LABELS, k=k)


def test_regression():
    close(m.mse(GUESSED, NUMBERS), sk.mean_squared_error(NUMBERS, GUESSED))
    close(m.mae(GUESSED, NUMBERS), sk.mean_absolute_error(NUMBERS, GUESSED))
    close(m.r2_score(GUESSED, NUMBERS), sk.r2_score(NUMBERS, GUESSED))
    close(m.r2_score(GUESSED[:, 0] + 1e6, NUMBERS[:, 0] + 1e6),
          sk.r2_score(NUMBERS[:, 0] + 1e6, GUESSED[:, 0] + 1e6))  # fmt: skip
    assert m.r2_score([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert m.r2_score([1.0, 2.0], [1.0, 1.0]) == 0.0


def test_logits_and_probabilities_give_the_same_labels():
    logits = np.log(SCORES)
    assert m.accuracy(logits, LABELS) == m.accuracy(SCORES, LABELS)
    assert m.accuracy(SCORES.argmax(1), LABELS) == m.accuracy(SCORES, LABELS)


@pytest.mark.parametrize(
    "kind", [np.asarray, lambda a: a.tolist(), lambda a: rg.from_numpy(a.copy())]
)
def test_input_kinds(kind):
    close(m.accuracy(kind(SCORES), kind(LABELS)), sk.accuracy_score(LABELS, SCORES.argmax(1)))
    close(m.roc_auc(kind(CHANCE), kind(BINARY)), sk.roc_auc_score(BINARY, CHANCE))
    close(m.mse(kind(GUESSED), kind(NUMBERS)), sk.mean_squared_error(NUMBERS, GUESSED))


def test_reversed_and_read_only_arrays():
    labels = LABELS[::-1]
    labels.flags.writeable = False
    close(m.accuracy(GUESS[::-1], labels), m.accuracy(GUESS, LABELS))


OBJECTS = [
    (m.Accuracy(), m.accuracy, SCORES, LABELS),
    (m.TopKAccuracy(2), lambda p, t: m.top_k_accuracy(p, t, k=2), SCORES, LABELS),
    (m.Precision(), m.precision, SCORES, LABELS),
    (m.Recall(num_classes=4), m.recall, GUESS, LABELS),
    (m.F1Score(average="micro"), lambda p, t: m.f1_score(p, t, average="micro"), SCORES, LABELS),
    (m.FBetaScore(beta=2.0), lambda p, t: m.fbeta_score(p, t, beta=2.0), SCORES, LABELS),
    (m.ConfusionMatrix(), m.confusion_matrix, SCORES, LABELS),
    (m.BalancedAccuracy(), m.balanced_accuracy, SCORES, LABELS),
    (m.CohenKappa(), m.cohen_kappa, SCORES, LABELS),
    (m.MatthewsCorrCoef(), m.matthews_corrcoef, SCORES, LABELS),
    (m.LogLoss(), m.log_loss, SCORES, LABELS),
    (m.ROCAUC(), m.roc_auc, CHANCE, BINARY),
    (m.AveragePrecision(), m.average_precision, CHANCE, BINARY),
    (m.MeanSquaredError(), m.mse, GUESSED, NUMBERS),
    (m.MeanAbsoluteError(), m.mae, GUESSED, NUMBERS),
    (m.R2Score(), m.r2_score, GUESSED, NUMBERS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "function", "preds", "target"), OBJECTS, ids=[o[0].name for o in OBJECTS]
)
def test_objects(metric, function, preds, target):
    import copy

    whole = function(preds, target)

    def same(value):
        ours = value.tolist() if hasattr(value, "tolist") else value
        theirs = whole.tolist() if hasattr(whole, "tolist") else whole
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    metric.reset()
    with pytest.raises(ValueError, match="no samples yet"):
        metric.compute()
    other = copy.deepcopy(metric)
    for start in range(0, 30, 10):
        metric.update(preds[start : start + 10], target[start : start + 10])
    other.update(preds[30:], target[30:])
    metric.merge(other)
    same(metric.compute())
    same(metric.compute())
    metric.reset()
    metric.merge(other)
    metric.update(preds[:30], target[:30])
    same(metric.compute())
    assert isinstance(metric.higher_is_better, bool)
    assert m.BY_NAME.get(metric.name, type(metric)) is type(metric)
    with pytest.raises((TypeError, ValueError)):
        metric.merge(m.Accuracy(top_k=3) if metric.name != "mse" else m.R2Score())


def test_a_failed_update_leaves_the_state():
    metric = m.Accuracy()
    metric.update([1, 1], [1, 0])
    with pytest.raises(ValueError, match="sample 1"):
        metric.update([1.0, float("nan")], [1, 0])
    assert metric.compute() == 0.5


NAN = float("nan")
BAD = [
    (lambda: m.accuracy([[0.1, 0.9], [NAN, 1.0]], [1, 0]), "preds of sample 1"),
    (lambda: m.roc_auc([0.5, NAN, 0.1], [1, 0, 1]), "preds of sample 1"),
    (lambda: m.top_k_accuracy([[0.1, 0.9], [NAN, 1.0]], [1, 0], k=2), "preds of sample 1"),
    (lambda: m.fbeta_score([0, 1], [0, 1], beta=-1.0), "beta must be 0 or more, got -1"),
    (lambda: m.FBetaScore(beta=NAN), "beta must be 0 or more, got nan"),
    (lambda: m.f1_score([0, 1], [0, 1], zero_division=2), "zero_division must be 0, 1 or NaN"),
    (lambda: m.f1_score([0, 1], [0, 1], average="samples"), r"several labels .* \(N, L\)"),
    (lambda: m.F1Score(average="samples"), "over batches"),
    (lambda: m.f1_score([0, 2], [0, 2], average="binary"), r"pos_label=1 is none .* \[0, 2\]"),
    (lambda: m.f1_score([0, 2], [0, 2], labels=[0, 0]), "labels must be distinct"),
    (lambda: m.f1_score([[0, 1]], [[0, 1]], labels=[2]), "labels go from 0 to 1"),
    (lambda: m.confusion_matrix([0], [0], labels=[1]), "none of labels occurs"),
    (lambda: m.accuracy([0, 1], [0, 1], sample_weight=[1, 2, 3]), "3 weights for 2 samples"),
    (lambda: m.accuracy([0, 1], [0, 1], sample_weight=[1, NAN]), "sample_weight of sample 1"),
    (lambda: m.accuracy([0, 1], [0, 1], sample_weight=[0, 0]), "sums to 0"),
    (lambda: m.log_loss([0.1, 0.2, 1.5], [1, 0, 1]), r"preds of sample 2 is 1\.5"),
    (lambda: m.log_loss([[0.1, 0.2]], [1]), "sum of preds of sample 0"),
    (lambda: m.accuracy([0.2, 3.5], [0, 1]), r"sample 1 is 3\.5.*sigmoid"),
    (lambda: m.accuracy([[0.1, 0.9], [0.5, 0.5]], [1, 2]), "target of sample 1 is 2.*0 to 1"),
    (lambda: m.accuracy([0, 1], [0, -1]), "target of sample 1 is -1"),
    (lambda: m.precision([0, 7], [0, 1], num_classes=3), "preds of sample 1 is 7"),
    (lambda: m.accuracy([0, 1], [0.0, 0.5]), r"target of sample 1 is 0\.5.*whole"),
    (lambda: m.accuracy([0, 1], [0.0, NAN]), "target of sample 1 is nan"),
    (lambda: m.accuracy([0, 1, 1], [0, 1]), "preds has 3 samples, target 2"),
    (lambda: m.accuracy([], []), "0 samples"),
    (lambda: m.accuracy([[[1.0]]], [0]), r"\(1, 1, 1\)"),
    (lambda: m.accuracy([[0, 1], [2, 1]], [[0, 1], [0, 1]]), "preds of sample 1.*0 or 1"),
    (lambda: m.roc_auc([[0.1, 0.2]], [[0, 3]]), "target of sample 0.*0 or 1"),
    (lambda: m.f1_score([[0, 1]], [[0, 1]], average="binary"), "several labels"),
    (
        lambda: m.confusion_matrix([[0.1, 0.9]], [[0, 1]]),
        r"target must be .* \(1, 2\)",
    ),
    (lambda: m.hamming_loss([], []), "0 samples"),
    (lambda: m.mse([1.0, NAN], [1.0, 1.0]), "preds of sample 1"),
    (lambda: m.mse([1.0], [1.0, 1.0]), "same shape"),
    (lambda: m.mse([[1.0], [2.0]], [1.0, 1.0]), "same shape"),
    (lambda: m.f1_score([0, 1], [0, 1], average="mean"), "average must be"),
    (lambda: m.confusion_matrix([0], [0], normalize="rows"), "normalize must be"),
    (lambda: m.F1Score().update([0, 1], [0, 1]), "num_classes"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


UNDEFINED = [
    (m.roc_auc, sk.roc_auc_score, [0.1, 0.2], [1, 1]),
    (m.roc_auc, sk.roc_auc_score, [0.1, 0.2], [0, 0]),
    (m.average_precision, sk.average_precision_score, [0.1, 0.2], [0, 0]),
    (m.r2_score, sk.r2_score, [1.0], [2.0]),
]


@pytest.mark.parametrize(("ours", "theirs", "preds", "target"), UNDEFINED)
def test_undefined_values_are_scikit_learns_with_a_warning(ours, theirs, preds, target):
    with pytest.warns(UserWarning):
        expected = theirs(target, preds)
    with pytest.warns(UserWarning, match="undefined"):
        np.testing.assert_equal(ours(preds, target), expected)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_a_class_without_samples_among_several(average):
    target = np.minimum(LABELS, 2)
    one_hot = np.eye(4)[target]
    for ours, theirs in (
        (m.roc_auc, sk.roc_auc_score),
        (m.average_precision, sk.average_precision_score),
    ):
        with pytest.warns(UserWarning):
            expected = theirs(one_hot, SCORES, average=average)
        with pytest.warns(UserWarning, match="no sample is of class 3"):
            close(ours(SCORES, target, average=average), expected)


@pytest.mark.parametrize(("ours", "theirs", "options"), PRF)
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_values_of_classes_that_are_never_right(ours, theirs, options, average):
    target, preds = [1, 1, 1], [0, 0, 2]
    for zero in (0.0, 1.0, float("nan")):
        close(
            ours(preds, target, average=average, zero_division=zero, **options),
            theirs(target, preds, average=average, zero_division=zero, **options),
        )


SETS = rng.integers(0, 2, (60, 3))
SETS[:, 1] = 0  # a label that no sample has
SET_CHANCE = np.clip(SETS * 0.3 + rng.random((60, 3)) * 0.7, 0, 1)


def test_several_labels_per_sample():
    called = SET_CHANCE > 0.5
    for preds in (SET_CHANCE, called, called.astype(int)):
        close(m.accuracy(preds, SETS), sk.accuracy_score(SETS, called))
        close(m.hamming_loss(preds, SETS), sk.hamming_loss(SETS, called))
        for average in ("micro", "macro", "weighted", None):
            for ours, theirs, options in PRF:
                for zero in (0.0, 1.0, float("nan")):
                    more = {"average": average, "zero_division": zero, **options}
                    close(ours(preds, SETS, **more), theirs(SETS, called, **more))
    metric = m.F1Score()
    metric.update(SET_CHANCE[:20], SETS[:20])
    metric.update(SET_CHANCE[20:], SETS[20:])
    close(metric.compute(), sk.f1_score(SETS, called, average="macro", zero_division=0))
    two = [0, 2]
    close(
        m.roc_auc(SET_CHANCE[:, two], SETS[:, two]),
        sk.roc_auc_score(SETS[:, two], SET_CHANCE[:, two]),
    )
    metric = m.ROCAUC()
    metric.update(SET_CHANCE[:, two], SETS[:, two])
    assert metric.compute() == m.roc_auc(SET_CHANCE[:, two], SETS[:, two])
    close(m.hamming_loss(GUESS, LABELS), sk.hamming_loss(LABELS, GUESS))


def test_a_column_is_a_vector():
    column, target = CHANCE[:, None], BINARY[:, None]
    for function in (m.accuracy, m.f1_score, m.roc_auc, m.log_loss, m.confusion_matrix):
        whole = function(CHANCE, BINARY)
        for preds, right in ((column, BINARY), (column, target), (CHANCE, target)):
            ours = function(preds, right)
            close(ours, whole.tolist() if hasattr(whole, "tolist") else whole)


def test_each_pixel_is_a_sample():
    scores, target = SCORES.reshape(2, 10, 10, 4).transpose(0, 3, 1, 2), LABELS.reshape(2, 10, 10)
    for function in (m.accuracy, m.f1_score, m.log_loss, m.balanced_accuracy):
        close(function(scores, target), function(SCORES, LABELS))
    close(m.accuracy(scores.argmax(1), target), m.accuracy(SCORES, LABELS))
    chance, truth = CHANCE.reshape(2, 1, 10, 10), BINARY.reshape(2, 1, 10, 10)
    close(m.accuracy(chance, truth), m.accuracy(CHANCE, BINARY))
    close(m.accuracy(chance, truth[:, 0]), m.accuracy(CHANCE, BINARY))
    with pytest.raises(ValueError, match=r"\(2, 4, 10, 10\) do not fit .* \(2, 5, 10\)"):
        m.accuracy(scores, target[:, :5])


def test_a_string_is_no_array():
    with pytest.raises(TypeError, match="preds must be a tensor"):
        m.accuracy("0101", [0, 1, 0, 1])


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_binary_averages_where_class_1_never_occurs(name):
    from sklearn import metrics as theirs

    ours = getattr(m, {"f1": "f1_score"}.get(name, name))
    score = getattr(theirs, f"{name}_score")
    for preds, target in [([0] * 5, [0] * 5), ([0, 1], [0, 0]), ([0, 0], [0, 1])]:
        for zero in (0.0, 1.0):
            want = score(target, preds, zero_division=zero)
            assert ours(preds, target, average="binary", zero_division=zero) == want
