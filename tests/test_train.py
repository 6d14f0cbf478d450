"""The trainer: learning, predicting, schedules, steps and seeds."""

import math
import threading

import pytest
from training import blobs, network, trainer

import rubigo as rg
from rubigo import nn, optim
from rubigo.data import Dataset, TensorDataset
from rubigo.train import LRSchedulerCallback, Trainer, summary, weights_sha256


def test_fit_learns_and_records(device):
    run = trainer(device=device)
    history = run.fit(blobs(), 5, validation=blobs(seed=1), batch_size=10, verbose=0)
    assert history is run.history
    assert set(history) == {
        "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds",
    }  # fmt: skip
    assert all(len(column) == 5 for column in history.values())
    assert history["loss"][-1] < history["loss"][0] / 3
    assert history["val_accuracy"][-1] > 0.95
    assert history["lr"] == pytest.approx([0.05, 0.05, 0.025, 0.025, 0.0125])
    scores = run.evaluate(blobs(seed=1), batch_size=7)
    assert scores["accuracy"] == history["val_accuracy"][-1]
    assert scores["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


def test_predict_joins_batches_and_keeps_the_mode():
    run = trainer()
    x, _ = blobs(25)
    run.model.train()
    whole, parts = run.predict(x, batch_size=100), run.predict(x, batch_size=4)
    assert tuple(parts.shape) == (25, 3) and not parts.requires_grad
    assert (whole - parts).abs().max().item() < 1e-6
    assert run.model.training
    with pytest.raises(ValueError, match="0 samples"):
        run.predict(x[:0])


def test_same_seed_same_bits_and_nothing_else_matters():
    digests = []
    for noise in (0, 5):
        run = trainer()
        rg.rand(noise + 1)
        run.fit(blobs(), 2, seed=3, verbose=0)
        digests.append(weights_sha256(run.model))
    other = trainer()
    other.fit(blobs(), 2, seed=4, verbose=0)
    assert digests[0] == digests[1] != weights_sha256(other.model)


def test_schedules_step_when_they_should():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=12)
    run = Trainer(model, optimizer, nn.CrossEntropyLoss(), scheduler=cycle)
    run.fit(blobs(), 2, batch_size=10, verbose=0)
    assert run.history["lr"][-1] < 1e-3

    optimizer = optim.SGD(model.parameters(), lr=0.1)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9)
    run = Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        scheduler=LRSchedulerCallback(plateau, monitor="loss"),
    )
    run.fit(blobs(), 3, verbose=0)
    assert optimizer.param_groups[0]["lr"] < 0.1


def test_accumulated_batches_are_one_large_batch():
    digests = []
    for batch_size, steps in ((20, 1), (5, 4)):
        model = nn.Linear(2, 3)
        with rg.no_grad():
            model.weight.fill_(0.1)
            model.bias.zero_()
        run = Trainer(
            model,
            optim.SGD(model.parameters(), lr=0.1),
            nn.CrossEntropyLoss(),
            accumulate_steps=steps,
        )
        run.fit(blobs(50), 2, batch_size=batch_size, shuffle=False, verbose=0)
        digests.append(model.weight.detach().tolist())
    for left, right in zip(*digests, strict=True):
        assert left == pytest.approx(right, abs=1e-6)


def test_clip_norm_bounds_the_step():
    model = nn.Linear(2, 3)
    before = model.weight.detach().clone()
    run = Trainer(
        model, optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss(), clip_norm=1e-3
    )
    run.fit(blobs(), 1, batch_size=60, verbose=0)
    assert 0 < (model.weight.detach() - before).square().sum().sqrt().item() <= 1.01e-3


def test_threads_other_than_the_main_one_can_train():
    run = trainer()
    thread = threading.Thread(target=lambda: run.fit(blobs(), 1, verbose=0))
    thread.start()
    thread.join()
    assert run.epoch == 1


def test_evaluate_and_predict_leave_the_random_numbers_alone():
    x, y = blobs()
    run = trainer()
    rg.manual_seed(5)
    expected = rg.rand(1).item()
    rg.manual_seed(5)
    run.evaluate(x, y)
    run.predict(x)
    run.predict(TensorDataset(x, y))
    assert rg.rand(1).item() == expected


def test_random_samples_are_the_same_for_any_number_of_workers():
    x, y = blobs()

    class Augmented(Dataset):
        def __len__(self):
            return 60

        def __getitem__(self, index):
            return x[index] + rg.rand(2), y[index]

    digests = []
    for workers in (0, 1, 3):
        run = trainer()
        run.fit(Augmented(), 2, batch_size=10, num_workers=workers, verbose=0)
        digests.append(weights_sha256(run.model))
    assert len(set(digests)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_steps": 0},
        {"clip_norm": 0.0},
        {"clip_norm": math.nan},
        {"metrics": ["acuracy"]},
    ],
)
def test_trainer_refuses_bad_options(options):
    model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=next(iter(options)).removesuffix("s")):
        Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), **options)


def test_evaluate_keeps_a_frozen_layer_frozen():
    run = trainer()
    run.model.train()
    run.model[2].eval()
    run.evaluate(blobs())
    assert run.model.training and not run.model[2].training


def test_summary_counts_and_leaves_no_trace():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 10)
    )
    model[0].weight.requires_grad_(False)
    before = weights_sha256(model)
    found = summary(model, (2, 1, 8, 8))
    assert [row.output_shape for row in found.rows] == [
        (2, 4, 8, 8), (2, 4, 8, 8), (2, 256), (2, 10),
    ]  # fmt: skip
    assert [row.parameters for row in found.rows] == [40, 8, 0, 2570]
    assert found.parameters == 2618 and found.trainable == 2618 - 36
    assert weights_sha256(model) == before and model.training
    assert "2,618 parameters" in str(found)
