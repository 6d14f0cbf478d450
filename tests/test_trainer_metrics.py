"""Metrics of a run: what of the model's output and the target each of them sees."""

import functools

import pytest
from training import blobs, trainer

import rubigo as rg
from rubigo import nn, optim
from rubigo.train import EarlyStopping, Trainer


class Binary:
    """Two blobs, one to each side of 0, and a model that starts out right."""

    x = rg.tensor([[-2.0], [-1.0], [1.0], [2.0]])
    y = rg.tensor([0, 0, 1, 1])

    @staticmethod
    def model(outputs=1):
        model = nn.Linear(1, outputs)
        with rg.no_grad():
            model.weight.copy_(rg.tensor([[1.0]] if outputs == 1 else [[-0.5], [0.5]]))
            model.bias.zero_()
        return model


def frozen(model, loss, metrics):
    """A trainer whose steps change nothing."""
    return Trainer(model, optim.SGD(model.parameters(), lr=0.0), loss, metrics=metrics)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    "loss", [nn.BCEWithLogitsLoss(), nn.functional.binary_cross_entropy_with_logits, nn.BCELoss()]
)
def test_metrics_of_a_binary_model_see_probabilities(loss, flat):
    layers = [Binary.model()]
    if isinstance(loss, nn.BCELoss):
        layers.append(nn.Sigmoid())
    if flat:
        layers.append(nn.Flatten(0))
    y = Binary.y.to(rg.float32)
    run = frozen(nn.Sequential(*layers), loss, ["accuracy", "roc_auc", "log_loss", "f1"])
    data = (Binary.x, y if flat else y[:, None])
    history = run.fit(data, 1, validation=data, batch_size=3, verbose=0)
    assert history["accuracy"] == history["roc_auc"] == history["f1"] == [1.0]
    assert history["log_loss"] == pytest.approx(history["loss"], rel=1e-6)
    assert history["val_log_loss"] == pytest.approx(history["val_loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        (nn.CrossEntropyLoss(), nn.Identity()),
        (functools.partial(nn.functional.cross_entropy, reduction="sum"), nn.Identity()),
        (nn.NLLLoss(), nn.LogSoftmax(1)),
    ],
)
def test_metrics_of_several_classes_see_probabilities(loss, last):
    run = frozen(
        nn.Sequential(Binary.model(2), last),
        loss,
        ["accuracy", "roc_auc", "log_loss"],
    )
    scores = run.evaluate(Binary.x, Binary.y)
    assert scores["accuracy"] == scores["roc_auc"] == 1.0
    assert scores["log_loss"] == pytest.approx(scores["loss"], rel=1e-6)


def test_a_metric_of_logits_and_a_loss_of_ones_own_see_the_output():
    from rubigo.metrics import LogLoss

    run = frozen(Binary.model(2), nn.CrossEntropyLoss(), [LogLoss(logits=True)])
    scores = run.evaluate(Binary.x, Binary.y)
    assert scores["log_loss"] == pytest.approx(scores["loss"], rel=1e-6)

    def largest(preds, target):
        return preds.max()

    run = frozen(Binary.model(2), lambda out, y: nn.functional.cross_entropy(out, y), largest)
    assert run.evaluate(Binary.x, Binary.y)["largest"] == 1.0


def test_targets_of_probabilities_and_ignored_ones_are_labels_to_metrics():
    one_hot = rg.tensor([[0.9, 0.1], [1.0, 0.0], [0.2, 0.8], [0.6, 0.4]])
    run = frozen(Binary.model(2), nn.CrossEntropyLoss(), ["accuracy"])
    assert run.evaluate(Binary.x, one_hot)["accuracy"] == 0.75
    y = rg.tensor([0, -100, 1, 0])
    assert run.evaluate(Binary.x, y)["accuracy"] == pytest.approx(2 / 3)
    run = frozen(Binary.model(2), nn.CrossEntropyLoss(ignore_index=0), ["accuracy"])
    assert run.evaluate(Binary.x, Binary.y)["accuracy"] == 1.0


def test_segmentation_counts_pixels():
    model = nn.Conv2d(1, 3, 1)
    x, y = rg.randn(4, 1, 5, 6), rg.arange(120).reshape(4, 5, 6) % 3
    y[0, 0, 0] = -100
    run = frozen(model, nn.CrossEntropyLoss(), ["accuracy", "f1"])
    history = run.fit(x, y, validation=(x, y), batch_size=3, verbose=0)
    right = (run.predict(x).argmax(1) == y).sum().item()
    assert history["accuracy"] == history["val_accuracy"] == [pytest.approx(right / 119)]


def test_several_labels_per_sample():
    model = nn.Linear(1, 3)
    with rg.no_grad():
        model.weight.copy_(rg.tensor([[1.0], [-1.0], [1.0]]))
        model.bias.zero_()
    y = rg.tensor([[0.0, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 1]])
    for loss in (nn.BCEWithLogitsLoss(), nn.MultiLabelSoftMarginLoss()):
        run = frozen(model, loss, ["accuracy", "recall", "roc_auc"])
        scores = run.evaluate(Binary.x, y)
        assert scores["accuracy"] == 0.75
        assert scores["recall"] == pytest.approx((1 + 1 + 2 / 3) / 3)


def test_without_metrics_an_output_may_be_anything():
    class Answers(nn.Linear):
        def forward(self, input):
            return {"scores": super().forward(input)}

    def loss(output, target):
        return nn.functional.cross_entropy(output["scores"], target)

    run = frozen(Answers(2, 3), loss, ())
    run.fit(*blobs(), verbose=0)
    with pytest.raises(TypeError, match="tensor or a tuple of them, got dict"):
        run.predict(blobs()[0])


def test_a_summed_loss_is_logged_per_sample():
    y = Binary.y.to(rg.float32)[:, None]
    mean = frozen(Binary.model(), nn.MSELoss(), ()).evaluate(Binary.x, y)["loss"]
    for loss in (nn.MSELoss(reduction="sum"),
                 functools.partial(nn.functional.mse_loss, reduction="sum")):  # fmt: skip
        run = frozen(Binary.model(), loss, ())
        assert run.evaluate(Binary.x, y, batch_size=3)["loss"] == pytest.approx(mean)
        assert run.fit(Binary.x, y, batch_size=3)["loss"] == [pytest.approx(mean)]


def test_metrics_by_function_and_alias():
    from rubigo.metrics import F1Score, accuracy

    def error(preds, target):
        return (preds.argmax(1) != target).to(rg.float32).mean()

    x, y = blobs(25)
    run = trainer()
    run = frozen(run.model, nn.CrossEntropyLoss(), ["acc", error, F1Score])
    scores = run.evaluate(x, y, batch_size=10)
    assert scores["error"] == pytest.approx(1 - scores["acc"]) and "f1" in scores
    run = frozen(run.model, nn.CrossEntropyLoss(), {"right": accuracy, "same": "accuracy"})
    scores = run.evaluate(x, y, batch_size=10)
    assert scores["right"] == pytest.approx(scores["same"])
    run.callbacks.append(EarlyStopping("right"))
    with pytest.raises(ValueError, match=r"'right' better small or large"):
        run.fit(x, y, verbose=0)
    for bad, message in (
        ([lambda p, t: 0], "lambda has no name"),
        (["acc", "acc"], "two are called 'acc'"),
    ):
        with pytest.raises(ValueError, match=message):
            frozen(run.model, nn.CrossEntropyLoss(), bad)
    with pytest.raises(TypeError, match="a metric is a name"):
        frozen(run.model, nn.CrossEntropyLoss(), [3])
