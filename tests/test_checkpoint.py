"""Checkpoints that lie: every place of one is damaged in turn, and nothing may be lost."""

import copy
import warnings

import pytest

import rubigo as rg
from rubigo import nn, optim
from rubigo.train import EarlyStopping, ModelCheckpoint, Trainer, weights_sha256

SCHEDULES = {
    "StepLR": lambda o: optim.lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: optim.lr_scheduler.MultiStepLR(o, [1, 3]),
    "ReduceLROnPlateau": lambda o: optim.lr_scheduler.ReduceLROnPlateau(o),
    "LambdaLR": lambda o: optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "OneCycleLR": lambda o: optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=40),
    "CosineAnnealingLR": lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 5),
    "SequentialLR": lambda o: optim.lr_scheduler.SequentialLR(
        o,
        [optim.lr_scheduler.ConstantLR(o), optim.lr_scheduler.ExponentialLR(o, 0.9)],
        milestones=[2],
    ),
}
WRONG = ("text", -3, 1.5, True, None, [], ["x"], {}, {"x": 1}, rg.zeros(7), float("nan"))
GONE = object()


def trainer(schedule="StepLR", optimizer=optim.Adam, seed=0):
    rg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    opt = optimizer(model.parameters(), lr=0.01)
    stop = EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    return Trainer(
        model,
        opt,
        nn.CrossEntropyLoss(),
        scheduler=SCHEDULES[schedule](opt),
        callbacks=[stop, ModelCheckpoint("unused/{epoch}", save_best_only=True)][:1],
    )


def data():
    generator = rg.Generator().manual_seed(1)
    x = rg.randn(12, 2, generator=generator)
    return x, (x[:, 0] > 0).long()


def fit(run, epochs):
    seed = run._seed or 0  # of the checkpoint, where it has another
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(data(), epochs, validation=data(), seed=seed, verbose=0)


def places(node, path=()):
    """The path of every dict entry and list member."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def damaged(state, path, wrong):
    state = copy.deepcopy(state)
    node = state
    for key in path[:-1]:
        node = node[key]
    if wrong is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = wrong
    return state


def everything(run):
    """All that `load` may change, as text."""
    weights = weights_sha256(run.model)
    callbacks = [callback.state_dict() for callback in run.callbacks]
    return repr((weights, run.optimizer.state_dict(), callbacks, run.history, run.epoch))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_damaged_checkpoint_changes_nothing(schedule, tmp_path):
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    run = trainer(schedule)
    fit(run, 2)
    run.save(good)
    state = rg.load(good)
    other = trainer(schedule, seed=5)
    fit(other, 1)
    before = everything(other)
    refused = 0
    for path in places(state):
        for wrong in (*WRONG, GONE):
            rg.save(damaged(state, path, wrong), bad)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    other.load(bad)
            except ValueError as error:
                refused += 1
                assert str(bad) in str(error), (path, wrong, error)
                assert everything(other) == before, (path, wrong, error)
                continue
            # What is let in must be usable: a number in place of a number, for instance.
            other = trainer(schedule, seed=5)
            fit(other, 1)
            before = everything(other)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                taken = trainer(schedule, seed=5)
                taken.load(bad)
            try:
                fit(taken, taken.epoch + 1)
            except Exception as error:
                if "tried to step" in str(error):  # a shorter OneCycleLR, which says so
                    continue
                raise AssertionError(f"{path} = {wrong!r} was let in, then: {error}") from error
    assert refused > 100
    other.load(good)
    assert everything(other) == everything(run)


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.AdamW, optim.RMSprop])
def test_a_checkpoint_of_another_optimizer_changes_nothing(optimizer, tmp_path):
    run = trainer(optimizer=optimizer)
    fit(run, 1)
    run.save(tmp_path / "a.safetensors")
    other = trainer()
    other.optimizer.add_param_group({"params": [nn.Parameter(rg.zeros(1))]})
    before = everything(other)
    with pytest.raises(ValueError, match=r"a\.safetensors does not fit this trainer: .*groups"):
        other.load(tmp_path / "a.safetensors")
    assert everything(other) == before


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path):
    run = trainer()
    fit(run, 1)
    run.save(tmp_path / "a.safetensors")
    model = nn.Linear(2, 2)
    other = Trainer(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss())
    before = everything(other)
    with pytest.raises(ValueError, match="does not fit this trainer"):
        other.load(tmp_path / "a.safetensors")
    assert everything(other) == before


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"callbacks": [5]}, "callbacks are Callback objects, got int"),
        ({"scheduler": 5}, "has a step"),
        ({"metrics": [5]}, "a metric is a name"),
    ],
)
def test_a_trainer_refuses_what_it_cannot_use(wrong, text):
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=text):
        Trainer(model, optim.Adam(model.parameters()), nn.CrossEntropyLoss(), **wrong)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (lambda output, target: 1.0, "must be a Tensor of one number, got float"),
        (lambda output, target: None, "must be a Tensor of one number, got NoneType"),
    ],
)
def test_a_loss_is_a_tensor(loss, text):
    model = nn.Linear(2, 2)
    run = Trainer(model, optim.SGD(model.parameters(), lr=0.1), loss)
    with pytest.raises(TypeError, match=text):
        run.fit(data(), 1, verbose=0)
    with pytest.raises(TypeError, match=text):
        run.evaluate(data())


@pytest.mark.parametrize("output", [None, "text", 5])
def test_a_model_that_gives_no_tensor(output):
    class Odd(nn.Linear):
        def forward(self, input):
            return output

    model = Odd(2, 2)
    run = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    with pytest.raises(TypeError, match="expected a Tensor"):
        run.fit(data(), 1, verbose=0)
