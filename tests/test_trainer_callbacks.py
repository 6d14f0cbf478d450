"""Callbacks around a run that is interrupted, misconfigured or pointed at the wrong file."""

import json
from functools import partial

import pytest
from training import data

import rubigo as rg
from rubigo import nn, optim
from rubigo.train import (
    Callback,
    EarlyStopping,
    JSONLogger,
    LRSchedulerCallback,
    ModelCheckpoint,
    Trainer,
)

OneCycleLR = optim.lr_scheduler.OneCycleLR


class Interrupts(Callback):
    """Presses Ctrl-C after the given number of batches, once."""

    def __init__(self, after):
        self.left = after

    def on_batch_end(self, trainer, batch, logs):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


schedules = optim.lr_scheduler


def doubled(optimizer):
    parts = [schedules.ExponentialLR(optimizer, 0.9), schedules.StepLR(optimizer, 3)]
    return schedules.ChainedScheduler(parts)


def warmed(optimizer):
    parts = [schedules.LinearLR(optimizer, 0.1, total_iters=3), OneCycleLR(optimizer, 1.0, 9)]
    return schedules.SequentialLR(optimizer, parts, milestones=[3])


SCHEDULES = {
    "OneCycleLR": lambda o: OneCycleLR(o, 1.0, 12),
    "CyclicLR": lambda o: schedules.CyclicLR(o, 0.1, 1.0, step_size_up=5),
    "StepLR": lambda o: schedules.StepLR(o, 3),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 12),
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda step: 0.9**step),
    "SequentialLR": warmed,
    "ChainedScheduler": doubled,
}


def trainer(callbacks=(), *, total_steps=None, interval=None, make=None, optimizer=optim.SGD):
    rg.manual_seed(0)
    model = nn.Linear(2, 2)
    options = {"betas": (0.9, 0.99)} if optimizer is optim.Adam else {"momentum": 0.9}
    optimizer = optimizer(model.parameters(), lr=0.1, **options)
    if total_steps is not None:
        make = partial(OneCycleLR, max_lr=1.0, total_steps=total_steps)
    schedule = None if make is None else LRSchedulerCallback(make(optimizer), interval)
    return Trainer(model, optimizer, nn.CrossEntropyLoss(), scheduler=schedule, callbacks=callbacks)


def fit(run, epochs):
    return run.fit(data(), epochs, batch_size=3, verbose=0)


def settings(run):
    return [{k: v for k, v in g.items() if k != "params"} for g in run.optimizer.param_groups]


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("name", SCHEDULES)
def test_an_interrupted_epoch_begins_again_with_its_part_of_the_schedule(name, optimizer, tmp_path):
    options = {"make": SCHEDULES[name], "interval": "step", "optimizer": optimizer}
    whole = trainer(**options)
    fit(whole, 3)
    run = trainer([Interrupts(7)], **options)
    with pytest.raises(KeyboardInterrupt):
        fit(run, 3)
    run.save(tmp_path / "run.safetensors")
    fit(run, 3)
    loaded = trainer(**options)
    loaded.load(tmp_path / "run.safetensors")
    fit(loaded, 3)
    for again in (run, loaded):
        assert again.history["lr"] == whole.history["lr"]
        assert settings(again) == settings(whole)
        ours, theirs = (r.callbacks[0].state_dict() for r in (again, whole))
        assert ours == theirs


def test_a_damaged_start_of_an_epoch_is_refused(tmp_path):
    options = {"make": SCHEDULES["CyclicLR"], "optimizer": optim.Adam}
    run = trainer([Interrupts(2)], **options)
    with pytest.raises(KeyboardInterrupt):
        fit(run, 1)
    path = tmp_path / "run.safetensors"
    run.save(path)
    good = rg.load(path)
    start = good["callbacks"][0][1]["start of the epoch under way"]
    rates = start["rates"][0]
    for wrong in (
        "text",
        {},
        {**start, "rates": []},
        {**start, "rates": [{**rates, "lr": "text"}]},
        {**start, "rates": [{**rates, "params": []}]},
        {**start, "rates": [{**rates, "betas": [0.9]}]},
        {**start, "scheduler": {**start["scheduler"], "last_epoch": "text"}},
    ):
        good["callbacks"][0][1]["start of the epoch under way"] = wrong
        rg.save(good, path)
        other = trainer(**options)
        before = other.callbacks[0].state_dict()
        with pytest.raises(ValueError, match="does not fit this trainer"):
            other.load(path)
        assert other.callbacks[0].state_dict() == before


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


def test_a_schedule_may_be_too_short_for_a_run_that_ends_early():
    stop = EarlyStopping("loss", patience=1, min_delta=100.0)
    run = trainer([stop], total_steps=8)
    fit(run, 50)
    assert run.epoch == 2
    late = trainer([EarlyStopping("loss", patience=50)], total_steps=8)
    with pytest.raises(ValueError, match="tried to step 9 times; the schedule has 8 steps"):
        fit(late, 50)


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
    assert ModelCheckpoint("{{epoch}}-{epoch}").path_of(3) == "{epoch}-3"
    with pytest.raises(ValueError, match="there is no 'loss'; there is epoch"):
        ModelCheckpoint("{loss}").path_of(3)


@pytest.mark.parametrize(
    "path", ["{}", "{0}", "{epoch.real}", "{epoch[0]}", "{loss:d}", "{loss!x}", "{loss", "}"]
)
def test_a_path_that_cannot_be_filled_in_is_refused_at_once(path):
    with pytest.raises(ValueError, match=r"cannot fill in the path .* a brace itself is written"):
        ModelCheckpoint(path)


class Untrained(Callback):
    """Sees no step."""

    def on_step_end(self, trainer):
        raise AssertionError("a step")


class Logs(Callback):
    """Logs what the callbacks after it may use."""

    def on_epoch_end(self, trainer, logs):
        logs["val_loss"] = 0.5


NEEDS_VAL_LOSS = {
    "path": lambda path: ModelCheckpoint(path / "{val_loss}"),
    "best": lambda path: ModelCheckpoint(path / "a", save_best_only=True),
    "stop": lambda path: EarlyStopping(),
    "plateau": lambda path: LRSchedulerCallback(
        schedules.ReduceLROnPlateau(optim.SGD(nn.Linear(1, 1).parameters()))
    ),
}


@pytest.mark.parametrize("name", NEEDS_VAL_LOSS)
def test_what_will_not_be_logged_is_refused_before_the_first_step(name, tmp_path):
    callback = NEEDS_VAL_LOSS[name](tmp_path)
    run = trainer()
    if name == "plateau":
        callback.scheduler.optimizer = run.optimizer
    run.callbacks = [Untrained(), callback]
    with pytest.raises(ValueError, match=r"there is .*loss, lr, seconds"):
        fit(run, 1)
    run.callbacks = [Untrained(), callback]
    with pytest.raises(AssertionError, match="a step"):
        run.fit(data(), 1, validation=data(), verbose=0)
    run.callbacks = [Logs(), callback]
    fit(run, 1)


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
    path.write_text('{"epoch": 1}\n\n  \n{"epoch": 2}\n')  # as an editor may leave it
    run = trainer([JSONLogger(path)])
    run.epoch = 1
    fit(run, 2)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]
    run = trainer([JSONLogger(path)])
    run.epoch = 1
    path.write_text('{"epoch": 1}')  # all but the end of the line
    fit(run, 2)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]
