"""Callbacks around a run that is interrupted, misconfigured or pointed at the wrong file."""

import json

import pytest
from training import data

import rubigo as rg
from rubigo import nn, optim
from rubigo.train import Callback, JSONLogger, LRSchedulerCallback, ModelCheckpoint, Trainer

OneCycleLR = optim.lr_scheduler.OneCycleLR


class Interrupts(Callback):
    """Presses Ctrl-C after the given number of batches, once."""

    def __init__(self, after):
        self.left = after

    def on_batch_end(self, trainer, batch, logs):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def trainer(callbacks=(), *, total_steps=None, interval=None):
    rg.manual_seed(0)
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = None
    if total_steps is not None:
        schedule = LRSchedulerCallback(OneCycleLR(optimizer, 1.0, total_steps), interval)
    return Trainer(model, optimizer, nn.CrossEntropyLoss(), scheduler=schedule, callbacks=callbacks)


def fit(run, epochs):
    return run.fit(data(), epochs, batch_size=3, verbose=0)


def test_an_interrupted_epoch_begins_again_with_its_part_of_a_schedule_that_ends(tmp_path):
    whole = trainer(total_steps=12)
    fit(whole, 3)
    momentum = whole.optimizer.param_groups[0]["momentum"]
    run = trainer([Interrupts(7)], total_steps=12)
    with pytest.raises(KeyboardInterrupt):
        fit(run, 3)
    run.save(tmp_path / "run.safetensors")
    fit(run, 3)
    loaded = trainer([], total_steps=12)
    loaded.load(tmp_path / "run.safetensors")
    fit(loaded, 3)
    for again in (run, loaded):
        assert again.history["lr"] == whole.history["lr"]
        assert again.optimizer.param_groups[0]["momentum"] == momentum


def test_a_schedule_that_is_too_short_is_refused_before_the_first_step():
    for total, interval, left in ((11, "step", 11), (2, "epoch", 2)):
        run = trainer(total_steps=total, interval=interval)
        with pytest.raises(ValueError, match=f"has {left} of its {total} steps left, .*total_st"):
            fit(run, 3)
        fit(run, 2)
    done = trainer(total_steps=4)
    fit(done, 1)
    with pytest.raises(ValueError, match="0 of its 4 steps left, and the epochs to come have 4"):
        fit(done, 2)


def test_checkpoints_are_named_by_what_is_logged(tmp_path):
    path = tmp_path / "{{a}}-{epoch:02d}-{loss:.3f}.safetensors"
    run = trainer([ModelCheckpoint(path)])
    loss = fit(run, 1)["loss"][0]
    assert (tmp_path / f"{{a}}-01-{loss:.3f}.safetensors").exists()
    for wrong, text in (
        ("{val_loss}", "there is no 'val_loss'; there is loss, lr, seconds, epoch"),
        ("{}", "cannot fill in the path"),
        ("{loss:d}", "Unknown format code 'd'"),
        ("{epoch", "expected '}'"),
    ):
        with pytest.raises(ValueError, match=text):
            fit(trainer([ModelCheckpoint(tmp_path / wrong)]), 1)


def test_a_log_of_something_else_is_not_lost(tmp_path):
    path = tmp_path / "notes.txt"
    for text in ("one\n", "one", '{"a": 1}\n', '{"epoch": 1, "loss": 2.0}\nnote', "[1]\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="is no log of epochs"):
            fit(trainer([JSONLogger(path)]), 1)
        assert path.read_text() == text
    for half in ("", "{", '{"epoch": 1, "lo', '{"epoch": 1, "loss": 2.0}\n{"ep'):
        path.write_text(half)
        fit(trainer([JSONLogger(path)]), 1)
        assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1]
    run = trainer([JSONLogger(path)])
    run.epoch = 1
    path.write_text('{"epoch": 1}')  # all but the end of the line
    fit(run, 2)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]
