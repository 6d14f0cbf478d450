"""What a trainer is given: options that it refuses, and samples of several parts."""

import threading

import numpy as np
import pytest
from training import data

import rubigo as rg
from rubigo import nn, optim
from rubigo.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset
from rubigo.train import (
    Callback,
    EarlyStopping,
    LRSchedulerCallback,
    Trainer,
    weights_sha256,
)

schedules = optim.lr_scheduler


def trainer(**options):
    rg.manual_seed(0)
    model = nn.Linear(2, 2)
    return Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), **options)


NUMBERS = {
    "accumulate_steps": (1, lambda n: trainer(accumulate_steps=n)),
    "epochs": (0, lambda n: trainer().fit(data(), epochs=n, verbose=0)),
    "seed": (None, lambda n: trainer().fit(data(), seed=n, verbose=0)),
    "num_workers": (0, lambda n: trainer().fit(data(), num_workers=n, verbose=0)),
    "prefetch_factor": (1, lambda n: DataLoader(range(3), num_workers=1, prefetch_factor=n)),
    "patience": (0, lambda n: EarlyStopping(patience=n)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_counts_are_whole_numbers(name):
    least, give = NUMBERS[name]
    for wrong in (1.5, True, "2", np.float32(2)):
        with pytest.raises(TypeError, match=f"{name} must be a whole number, got"):
            give(wrong)
    give(np.int64(2))
    if least is not None:
        with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {least - 1}"):
            give(least - 1)


@pytest.mark.parametrize("name", ["loss", "lr", "epoch", "seconds", "val_loss"])
def test_a_metric_leaves_the_names_of_the_log_alone(name):
    def metric(preds, target):
        return 0.0

    metric.__name__ = name
    for given in ([metric], {name: "accuracy"}):
        with pytest.raises(ValueError, match=f"a metric cannot be called '{name}'"):
            trainer(metrics=given)


def test_a_schedule_is_an_object_of_the_same_optimizer():
    with pytest.raises(TypeError, match="got the class StepLR"):
        trainer(scheduler=schedules.StepLR)
    other = schedules.StepLR(optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1), 1)
    for given in ({"scheduler": other}, {"callbacks": [LRSchedulerCallback(other)]}):
        with pytest.raises(ValueError, match="StepLR belongs to another optimizer"):
            trainer(**given)


def test_the_order_of_a_loader_depends_on_the_seed_of_the_run():
    rows = TensorDataset(*data())

    def weights(source, seed=0):
        run = trainer()
        rg.manual_seed(seed + 77)  # where no generator is given, the loader asks the default one
        run.fit(source(), 2, batch_size=3, seed=seed, verbose=0)
        return weights_sha256(run.model)

    whole = weights(lambda: rows)
    for source in (
        lambda: DataLoader(rows, 3, shuffle=True),
        lambda: DataLoader(rows, 3, sampler=RandomSampler(rows)),
        lambda: DataLoader(rows, batch_sampler=BatchSampler(RandomSampler(rows), 3, False)),
    ):
        assert weights(source) == whole != weights(source, seed=1)

    def own(seed):
        generator = rg.Generator().manual_seed(seed)
        return weights(lambda: DataLoader(rows, 3, shuffle=True, generator=generator))

    assert own(5) != own(6)


class Pairs(Dataset):
    """Samples (x, (y, 2 y)), as many as each has targets."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        y = rg.tensor([float(index), 1.0, 5.0])
        return rg.tensor([1.0, 2.0]), (y, 2 * y)


def test_a_sample_may_have_several_targets():
    seen = []

    def loss(output, targets):
        seen.append([t.tolist() for t in targets])
        first, second = targets
        return ((output - first) ** 2).mean() + ((output - second) ** 2).mean()

    model = nn.Linear(2, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    run = Trainer(model, optimizer, loss, metrics=["mae"])
    run.fit(Pairs(), shuffle=False, verbose=0)
    first = [[0.0, 1.0, 5.0], [1.0, 1.0, 5.0]]
    assert seen == [[first, [[2 * y for y in row] for row in first]]]
    error = (model(rg.tensor([1.0, 2.0])) - rg.tensor(first)).abs().mean().item()
    assert run.evaluate(Pairs())["mae"] == pytest.approx(error)
    assert tuple(run.predict(Pairs()).shape) == (2, 3)


def test_an_input_of_several_tensors_is_refused():
    class Nested(Pairs):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return (x, x), y[0]

    run = trainer()
    for call in (lambda: run.fit(Nested(), verbose=0), lambda: run.predict(Nested())):
        with pytest.raises(TypeError, match=r"0 is 2 tensors: .* samples of \(x1, x2, target\)"):
            call()


@pytest.mark.parametrize("count", [1, 3, 4])
def test_lists_of_samples_are_stacked(count):
    pairs = [(rg.tensor([1.0, 2.0]) * i, rg.tensor(i % 2)) for i in range(count)]

    def kept(number):  # a model of two features sees as many samples as that
        def check(preds, target):
            assert tuple(preds.shape) == (number, 2) and target.tolist() == [0, 1, 0, 1][:number]
            return 0.0

        return check

    for xs, ys in (
        (rg.stack, list),
        (list, rg.stack),
        (list, list),
        (list, lambda b: [np.asarray(int(y)) for y in b]),
        (list, lambda b: [int(y) for y in b]),
    ):
        loader = DataLoader(
            pairs,
            count,
            collate_fn=lambda b, xs=xs, ys=ys: (xs([x for x, _ in b]), ys([y for _, y in b])),
        )
        run = trainer(metrics={"kept": kept(count)})
        run.fit(loader, verbose=0)
        assert tuple(run.predict(loader).shape) == (count, 2)


@pytest.mark.parametrize(
    ("field", "error", "text"),
    [
        (3, TypeError, "field 0 must be a tensor, an array or a list, got int"),
        (rg.tensor(3.0), ValueError, r"differ in their number of samples: \[0, 2\]"),
    ],
)
def test_a_field_of_one_number_is_named(field, error, text):
    loader = DataLoader([0, 1], 2, collate_fn=lambda b: (field, rg.tensor(b)))
    with pytest.raises(error, match=text):
        trainer().fit(loader, verbose=0)


def test_evaluating_between_batches_leaves_the_metrics_of_the_epoch_alone():
    x, y = data()

    class Evaluates(Callback):
        def on_batch_end(self, trainer, batch, logs):
            self.scores = trainer.evaluate(x, 1 - y)

    asking = Evaluates()
    plain, asked = trainer(metrics=["accuracy"]), trainer(metrics=["accuracy"], callbacks=[asking])
    for run in (plain, asked):
        run.fit(x, y, 2, batch_size=3, verbose=0)
    assert asked.history["accuracy"] == plain.history["accuracy"]
    assert asking.scores == asked.evaluate(x, 1 - y)


class Locked(rg.metrics.Accuracy):
    """What cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class OfItsOwn(rg.metrics.Metric):
    """A metric with a state of its own, emptied in place."""

    name = "seen"
    higher_is_better = True

    def __init__(self):
        self.seen = []

    def reset(self):
        self.seen.clear()

    def update(self, preds, target):
        self.seen += target.tolist()

    def compute(self):
        return len(self.seen)


class Judge:
    """Its method is a metric; a copy of it would be one of all it holds."""

    def share(self, preds, target):
        return (preds.argmax(1) == target).to(rg.float32).mean()

    def __deepcopy__(self, memo):
        raise AssertionError("copied")


@pytest.mark.parametrize("metric", [Locked, Judge().share, OfItsOwn], ids=lambda m: m.__name__)
def test_metrics_are_not_copied(metric):
    class Evaluates(Callback):
        def on_batch_end(self, trainer, batch, logs):
            trainer.evaluate(x[:3], 1 - y[:3])

    x, y = data()
    runs = [trainer(metrics=[metric], callbacks=each) for each in ([], [Evaluates()])]
    for run in runs:
        run.fit(x, y, 2, batch_size=3, verbose=0)
    (name,) = runs[0].metrics
    assert runs[0].history[name] == runs[1].history[name]
    if metric is OfItsOwn:
        assert runs[0].history[name] == [len(y), len(y)]


def test_a_metric_that_can_be_neither_kept_nor_copied_is_named():
    class Both(OfItsOwn):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    class Evaluates(Callback):
        def on_batch_end(self, trainer, batch, logs):
            trainer.evaluate(*data())

    with pytest.raises(TypeError, match=r"'seen' has a reset\(\) .* keep its sums in self._sums"):
        trainer(metrics=[Both], callbacks=[Evaluates()]).fit(*data(), verbose=0)


def test_metrics_that_are_no_number_are_known_after_the_first_batch():
    class Counts(Callback):
        batches = 0

        def on_batch_end(self, trainer, batch, logs):
            self.batches += 1

    def curve(preds, target):
        return preds

    for metric, text in (
        (rg.metrics.ConfusionMatrix(num_classes=2), r"'confusion' gives shape \(2, 2\)"),
        (rg.metrics.F1Score(average=None), r"'confusion' gives shape \(2,\)"),
    ):
        count = Counts()
        with pytest.raises(TypeError, match=text):
            trainer(metrics={"confusion": metric}, callbacks=[count]).fit(*data(), batch_size=3)
        assert count.batches == 0
    # One batch may hold one class only; the epoch has both.
    x, y = data()
    order = y.argsort()
    run = trainer(metrics=["roc_auc"])
    run.fit(x[order], y[order], batch_size=3, shuffle=False, verbose=0)
    assert 0 <= run.history["roc_auc"][0] <= 1


def test_targets_that_are_all_ignored_explain_a_nan():
    x, y = data()
    run = trainer()
    with pytest.raises(FloatingPointError, match="batch 1: all targets are -100, the ignore_index"):
        run.fit(x, rg.full_like(y, -100), verbose=0)
