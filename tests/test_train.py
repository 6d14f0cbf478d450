"""The trainer: learning, stopping, saving, resuming, and what it says when data is bad."""

import csv
import functools
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import rubigo as rg
from rubigo import nn, optim
from rubigo.data import DataLoader, Dataset, TensorDataset
from rubigo.train import (
    Callback,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LRSchedulerCallback,
    ModelCheckpoint,
    Trainer,
    summary,
    weights_sha256,
)


def blobs(count=60, seed=0):
    """Three well separated classes in the plane."""
    generator = rg.Generator()
    generator.manual_seed(seed)
    y = rg.arange(count) % 3
    centres = rg.tensor([[0.0, 3.0], [3.0, -1.0], [-3.0, -1.0]])
    x = centres.index_select(0, y) + 0.4 * rg.randn(count, 2, generator=generator)
    return x, y


def network():
    rg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def trainer(callbacks=(), *, model=None, schedule=True, **options):
    model = network() if model is None else model
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    if schedule:
        options["scheduler"] = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    return Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        metrics=["accuracy"],
        callbacks=callbacks,
        **options,
    )


class Scripted(Callback):
    """Makes the validation loss what the test wants."""

    def __init__(self, values):
        self.values = iter(values)

    def on_epoch_end(self, trainer, logs):
        logs["val_loss"] = next(self.values)


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


@pytest.mark.parametrize("data", ["tuple", "loader"])
def test_resume_gives_the_bits_of_an_uninterrupted_run(tmp_path, data):
    def source():
        if data == "tuple":
            return blobs()
        generator = rg.Generator()
        generator.manual_seed(9)
        return DataLoader(TensorDataset(*blobs()), 8, shuffle=True, generator=generator)

    def made():
        return trainer(
            [EarlyStopping("val_loss", patience=3, restore_best_weights=True)], clip_norm=1.0
        )

    options = {"validation": blobs(seed=1), "verbose": 0}
    whole = made()
    whole.fit(source(), 6, **options)

    first = made()
    first.fit(source(), 3, **options)
    # Best weights come back at the end of fit; the checkpoint must hold the last ones.
    checkpoint = ModelCheckpoint(tmp_path / "run.safetensors")
    first = trainer(
        [EarlyStopping("val_loss", patience=3, restore_best_weights=True), checkpoint],
        clip_norm=1.0,
    )
    first.fit(source(), 3, **options)
    second = trainer(
        [
            EarlyStopping("val_loss", patience=3, restore_best_weights=True),
            ModelCheckpoint(tmp_path / "run.safetensors"),
        ],
        clip_norm=1.0,
        model=nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)),
    )
    second.load(tmp_path / "run.safetensors")
    assert second.epoch == 3
    second.fit(source(), 6, **options)
    assert weights_sha256(second.model) == weights_sha256(whole.model)
    for name in ("loss", "val_loss", "lr"):
        assert second.history[name] == whole.history[name]


def test_resume_refuses_another_seed_and_another_kind_of_file(tmp_path):
    run = trainer()
    run.fit(blobs(), 1, seed=1, verbose=0)
    run.save(tmp_path / "a.safetensors")
    again = trainer()
    again.load(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="seed=1, got seed=2"):
        again.fit(blobs(), 2, seed=2, verbose=0)
    rg.save({"x": rg.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="not a trainer's checkpoint"):
        again.load(tmp_path / "b.safetensors")


def test_a_checkpoint_is_loaded_with_other_callbacks(tmp_path):
    path = tmp_path / "a.safetensors"
    run = trainer([CSVLogger(tmp_path / "log.csv"), ModelCheckpoint(path), EarlyStopping("loss")])
    run.fit(blobs(), 2, verbose=0)
    run.save(path)
    # Another order, and a logger less: neither has a state to miss.
    again = trainer([EarlyStopping("loss"), ModelCheckpoint(path)])
    again.load(path)
    assert again.callbacks[-1].state_dict() == run.callbacks[-1].state_dict()
    bare = trainer(schedule=False)
    with pytest.warns(UserWarning, match="state of LRSchedulerCallback of StepLR is not used"):
        bare.load(path)
    x, _ = blobs(5)
    assert bare.predict(x).tolist() == run.predict(x).tolist()
    other = nn.Linear(2, 3)
    run = Trainer(other, optim.SGD(other.parameters(), lr=0.1), nn.CrossEntropyLoss())
    run.save(path)
    with pytest.warns(UserWarning, match="EarlyStopping finds no state in it"):
        trainer([EarlyStopping()], model=nn.Linear(2, 3), schedule=False).load(path)


def test_nothing_left_to_do_warns():
    run = trainer()
    run.fit(blobs(), 1, verbose=0)
    with pytest.warns(UserWarning, match="nothing to do"):
        run.fit(blobs(), 1, verbose=0)
    assert run.epoch == 1


def test_early_stopping_restores_the_best_weights():
    class Script(Callback):
        """Makes the monitored value what the test wants."""

        def __init__(self):
            self.values = iter([3.0, 1.0, 2.0, 2.0, 2.0])
            self.weights = []

        def on_epoch_end(self, trainer, logs):
            logs["val_loss"] = next(self.values)
            self.weights.append(weights_sha256(trainer.model))

    script = Script()
    run = trainer([script, EarlyStopping(patience=2, restore_best_weights=True)])
    run.fit(blobs(), 20, verbose=0)
    assert run.epoch == 4
    assert weights_sha256(run.model) == script.weights[1] != script.weights[3]


@pytest.mark.parametrize("patience", [0, 1])
def test_patience_counts_epochs_without_improvement(patience):
    worse = Scripted([1.0, 2.0, 3.0, 4.0])
    run = trainer([worse, EarlyStopping(patience=patience)])
    run.fit(blobs(), 4, verbose=0)
    assert run.epoch == 2
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(patience=-1)


def test_early_stopping_counts_anew_after_it_stopped():
    stop = EarlyStopping(patience=1)
    run = trainer([Scripted([1.0, 2.0, 3.0, 2.0, 4.0]), stop])
    run.fit(blobs(), 20, verbose=0)
    assert run.epoch == 2
    run.fit(blobs(), 20, verbose=0)
    assert run.epoch == 5
    other = trainer([Scripted([9.0, 8.0, 9.0]), stop])
    other.fit(blobs(), 20, verbose=0)
    assert other.epoch == 3


def test_a_stopped_run_that_is_resumed_stays_stopped(tmp_path):
    def made(values):
        return trainer([Scripted(values), EarlyStopping(patience=1)])

    run = made([1.0, 2.0])
    run.fit(blobs(), 20, verbose=0)
    run.save(tmp_path / "run.safetensors")
    again = made([])
    again.load(tmp_path / "run.safetensors")
    with pytest.warns(UserWarning, match="ended this run after epoch 2"):
        again.fit(blobs(), 20, verbose=0)
    assert again.epoch == 2


def test_fitting_in_two_parts_keeps_the_count():
    run = trainer([Scripted([1.0, 2.0, 3.0, 4.0]), EarlyStopping(patience=3)])
    run.fit(blobs(), 2, verbose=0)
    run.fit(blobs(), 20, verbose=0)
    assert run.epoch == 4


def test_monitor_follows_the_metric_and_must_exist():
    run = trainer([EarlyStopping("val_accuracy", patience=50)])
    assert run.higher_is_better("val_accuracy") and not run.higher_is_better("val_loss")
    with pytest.raises(ValueError, match=r"'val_accuracy' \(pass validation"):
        run.fit(blobs(), 1, verbose=0)


def test_checkpoints(tmp_path):
    every = ModelCheckpoint(tmp_path / "all" / "{epoch}.safetensors")
    best = ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True, weights_only=True)
    run = trainer([every, best])
    run.fit(blobs(), 3, validation=blobs(seed=1), verbose=0)
    assert sorted(os.listdir(tmp_path / "all")) == [f"{i}.safetensors" for i in (1, 2, 3)]
    model = network()
    model.load_state_dict(rg.load(tmp_path / "best.safetensors"))
    losses = run.history["val_loss"]
    if losses.index(min(losses)) == 2:
        assert weights_sha256(model) == weights_sha256(run.model)
    assert not [name for name in os.listdir(tmp_path) if "tmp" in name]


def test_loggers(tmp_path):
    run = trainer([CSVLogger(tmp_path / "a" / "log.csv"), JSONLogger(tmp_path / "log.jsonl")])
    run.fit(blobs(), 2, verbose=0)
    with open(tmp_path / "a" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == run.history["loss"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["lr"] for line in lines] == run.history["lr"]
    assert json.loads(run.history.to_json(tmp_path / "h.json"))["loss"] == run.history["loss"]


def test_a_resumed_log_has_each_epoch_once(tmp_path):
    path = tmp_path / "log.jsonl"
    run = trainer([JSONLogger(path)])
    run.fit(blobs(), 2, verbose=0)
    run.save(tmp_path / "run.safetensors")
    run.fit(blobs(), 3, verbose=0)
    with open(path, "a") as file:
        file.write('{"epoch": 4, "lo')  # killed while it wrote
    again = trainer([JSONLogger(path)])
    again.load(tmp_path / "run.safetensors")
    again.fit(blobs(), 4, verbose=0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    trainer([JSONLogger(path)]).fit(blobs(), 1, verbose=0)
    assert len(path.read_text().splitlines()) == 1


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


def test_non_finite_loss_names_epoch_batch_and_cause():
    x, y = blobs()
    x[17, 1] = math.nan
    run = trainer()
    before = weights_sha256(run.model)
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 2: input 0 .* sample 7"):
        run.fit((x, y), 1, batch_size=10, shuffle=False, verbose=0)
    assert weights_sha256(run.model) != before  # batch 0 was trained on
    assert all(bool(rg.isfinite(p).all()) for p in run.model.parameters())

    target = rg.tensor([[0.0], [math.inf]])
    model = nn.Linear(1, 1)
    run = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    with pytest.raises(FloatingPointError, match="target is not finite in sample 1"):
        run.fit((rg.zeros(2, 1), target), 1, shuffle=False, verbose=0)
    with rg.no_grad():
        model.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="parameter bias is no longer finite"):
        run.fit((rg.zeros(2, 1), rg.zeros(2, 1)), 1, verbose=0)


def test_labels_out_of_range_and_empty_data_raise():
    x, y = blobs()
    y[4] = 3
    with pytest.raises((IndexError, ValueError)):
        trainer().fit((x, y), 1, verbose=0)
    with pytest.raises(ValueError, match="0 samples"):
        trainer().fit((x[:0], y[:0]), 1, verbose=0)
    with pytest.raises(ValueError, match="0 samples"):
        trainer().evaluate((x[:0], y[:0]))
    with pytest.raises(ValueError, match=r"\[60, 59\]"):
        trainer().fit((x, y[:59]), 1, verbose=0)

    empty = DataLoader(TensorDataset(x, y), batch_sampler=[[]])
    with pytest.raises(ValueError, match="epoch 1, batch 1 has 0 samples"):
        trainer().fit(empty, 1, verbose=0)
    with pytest.raises(TypeError, match=r"\(inputs..., target\)"):
        trainer().fit(DataLoader(range(3)), 1, verbose=0)


def test_a_loss_per_sample_is_refused():
    model = nn.Linear(2, 3)
    run = Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(reduction="none")
    )
    with pytest.raises(ValueError, match="one number"):
        run.fit(blobs(), 1, verbose=0)


class Interrupts(Dataset):
    """Presses Ctrl-C while sample 40 is loaded, once."""

    def __init__(self):
        self.rows = TensorDataset(*blobs())
        self.asked = 0

    def __len__(self):
        return 60

    def __getitem__(self, index):
        self.asked += 1
        if self.asked == 100:
            signal.raise_signal(signal.SIGINT)
        return self.rows[index]


def test_ctrl_c_keeps_history_and_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    run = trainer([ModelCheckpoint(path)])
    with pytest.raises(KeyboardInterrupt):
        run.fit(Interrupts(), 5, verbose=0)
    assert run.epoch == 1 and len(run.history["loss"]) == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("rubigo-loader")]

    whole = trainer([ModelCheckpoint(tmp_path / "other.safetensors")])
    whole.fit(blobs(), 3, verbose=0)
    resumed = trainer([ModelCheckpoint(path)])
    resumed.load(path)
    resumed.fit(blobs(), 3, verbose=0)
    assert weights_sha256(resumed.model) == weights_sha256(whole.model)


SCRIPT = """
import sys
import rubigo as rg
from rubigo import nn, optim
from rubigo.train import ModelCheckpoint, Trainer, weights_sha256
rg.manual_seed(0)
x = rg.randn(200, 4)
y = (x.sum(1) > 0).to(rg.int64)
model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 2))
run = Trainer(model, optim.AdamW(model.parameters()), nn.CrossEntropyLoss(),
              callbacks=[ModelCheckpoint(sys.argv[1])])
if sys.argv[2] == "resume":
    run.load(sys.argv[1])
run.fit((x, y), 40, batch_size=4, verbose=1)
print(weights_sha256(model))
"""


def test_kill_9_and_resume_end_in_the_same_hash(tmp_path):
    def start(name, mode):
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / name), mode],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    whole, errors = start("whole.safetensors", "new").communicate(timeout=120)
    assert len(whole.strip()) == 64, errors
    with start("run.safetensors", "new") as killed:
        for _ in range(3):
            assert killed.stderr.readline().startswith("epoch")
        killed.kill()
    resumed, errors = start("run.safetensors", "resume").communicate(timeout=120)
    first = errors.splitlines()[0]
    assert first.startswith("epoch") and not first.startswith("epoch 1/")
    assert resumed == whole


def test_ctrl_c_in_a_step_waits_until_weights_and_schedule_agree():
    class Presses(Callback):
        def on_step_end(self, trainer):
            signal.raise_signal(signal.SIGINT)
            self.reached = True

    presses = Presses()
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    run = Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        callbacks=[presses, LRSchedulerCallback(schedule, "step")],
    )
    with pytest.raises(KeyboardInterrupt):
        run.fit(blobs(), 1, verbose=0)
    assert presses.reached and optimizer.param_groups[0]["lr"] == 0.5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_threads_other_than_the_main_one_can_train():
    run = trainer()
    thread = threading.Thread(target=lambda: run.fit(blobs(), 1, verbose=0))
    thread.start()
    thread.join()
    assert run.epoch == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "verbose", "lines"),
    [(io.StringIO, "auto", 0), (io.StringIO, 1, 2), (io.StringIO, 0, 0), (Terminal, 0, 0)],
)
def test_quiet_off_a_terminal(monkeypatch, stream, verbose, lines):
    monkeypatch.setattr(sys, "stderr", stream())
    trainer().fit(blobs(), 2, verbose=verbose)
    text = sys.stderr.getvalue()
    assert len(text.splitlines()) == lines
    assert "\r" not in text


def test_bar_rewrites_one_line_per_epoch(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    trainer().fit(blobs(), 2)
    text = sys.stderr.getvalue()
    assert text.count("\n") == 2 and text.count("\r") > 2
    assert "epoch 2/2" in text and "accuracy" in text


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_no_number_is_cut_however_narrow_the_terminal(monkeypatch, columns):
    from rubigo.train import progress

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", str(columns))
    run = trainer()
    run.fit(blobs(), 2, validation=blobs(seed=1))
    lines = re.split(r"[\r\n]+", sys.stderr.getvalue())
    assert all(len(line) < columns for line in lines)
    for line in lines:
        for word, number in re.findall(r"(lr|ETA|accuracy) ?(\S*)", line):
            assert number, (word, line)
    # At the end of an epoch all is said, in more lines where it must be.
    said = " ".join(sys.stderr.getvalue().split())
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr"):
        assert f"{name} {run.history[name][-1]:.4g}" in said
    if columns >= 80:
        assert re.search(r"ETA \d+ s  loss \S+  accuracy \S+  \[#* *\]", sys.stderr.getvalue())


def test_lines_on_a_terminal_too_if_asked_for(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    trainer().fit(blobs(), 2, verbose=2)
    assert "\r" not in sys.stderr.getvalue() and sys.stderr.getvalue().count("\n") == 2


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


WAYS = [
    lambda run, x, y: run.fit((x, y), 2, verbose=0),
    lambda run, x, y: run.fit([x, y], 2, verbose=0),
    lambda run, x, y: run.fit(x, y, 2, verbose=0),
    lambda run, x, y: run.fit(x, y, epochs=2, verbose=0),
    lambda run, x, y: run.fit((x,), y, epochs=np.int64(2), verbose=0),
    lambda run, x, y: run.fit(x.numpy().astype("float64"), y.numpy(), epochs=2, verbose=0),
    lambda run, x, y: run.fit(x.tolist(), y.tolist(), epochs=2, verbose=0),
    lambda run, x, y: run.fit(TensorDataset(x, y), epochs=2, verbose=0),
    lambda run, x, y: run.fit(list(TensorDataset(x, y)), 2, verbose=0),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_ways_to_pass_the_data(way):
    x, y = blobs()
    whole = trainer()
    whole.fit((x, y), epochs=2, verbose=0)
    run = trainer()
    WAYS[way](run, x, y)
    assert run.epoch == 2 and weights_sha256(run.model) == weights_sha256(whole.model)


def test_one_epoch_by_default_and_only_whole_ones():
    x, y = blobs()
    run = trainer()
    history = run.fit(x, y, validation_data=(x, y), verbose=0)
    assert run.epoch == 1 and history.history is history and len(history["val_loss"]) == 1
    for call in (lambda: run.fit((x, y), 1.5), lambda: run.fit(x, y, epochs="2")):
        with pytest.raises(TypeError, match="epochs must be a whole number"):
            call()
    with pytest.raises(TypeError, match="target is missing"):
        run.fit(x, epochs=2)
    with pytest.raises(TypeError, match="TensorDataset holds the target itself"):
        run.fit(TensorDataset(x, y), y, epochs=2)
    with pytest.raises(ValueError, match="two names"):
        run.fit(x, y, 2, validation=(x, y), validation_data=(x, y))
    with pytest.raises(ValueError, match="verbose"):
        run.fit(x, y, 2, verbose=3)


def test_evaluate_and_predict_take_what_fit_takes():
    x, y = blobs()
    run = trainer()
    scores = run.evaluate((x, y))
    assert scores == run.evaluate(x, y) == run.evaluate(TensorDataset(x, y))
    whole = run.predict(x).tolist()
    data = TensorDataset(x, y)
    for given in (x.numpy(), x.tolist(), (x,), [x], data, DataLoader(data, 7), TensorDataset(x)):
        assert run.predict(given).tolist() == whole
    with pytest.raises(TypeError, match=r"predict takes .*, got int"):
        run.predict(3)


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


class Sums(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, a, b):
        return self.layer(a + b), self.layer(a - b)


def test_several_inputs_and_outputs():
    model = Sums()

    def loss(outputs, target):
        first, second = outputs
        return nn.functional.mse_loss(first, target) + 0 * second.sum()

    run = Trainer(model, optim.SGD(model.parameters(), lr=0.1), loss, metrics=["mae"])
    a, b = rg.arange(8.0).reshape(8, 1) / 8, rg.ones(8, 1)
    run.fit((a, b), a, epochs=2, verbose=0)
    run.fit((a, b, a), epochs=3, verbose=0)
    first, second = run.predict((a, b), batch_size=3)
    assert (first - model.layer(a + b)).abs().max().item() < 1e-6
    assert tuple(second.shape) == (8, 1)
    with rg.no_grad():
        model.layer.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"parameter layer\.bias is no longer finite"):
        run.fit((a, b, a), epochs=4, verbose=0)


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
