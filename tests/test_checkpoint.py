"""Checkpoints that lie: every place of one is damaged in turn, and nothing may be lost."""

import copy
import warnings

import numpy as np
import pytest
from training import data

import rubigo as rg
from rubigo import nn, optim
from rubigo.train import Callback, EarlyStopping, Trainer, weights_sha256

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
        callbacks=[stop],
    )


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
                if "steps left" in str(error):  # a shorter OneCycleLR, which says so
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


def test_a_trainer_refuses_parts_in_the_wrong_place():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer, loss = optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    for wrong, kind, text in [
        (
            (model, optim.Adam, loss),
            TypeError,
            "optimizer is an object such as .* got the class Adam",
        ),
        ((model, "adam", loss), TypeError, "optimizer is an object such as .* got str"),
        ((model, loss, optimizer), TypeError, "optimizer is an object such as"),
        ((model, optimizer, "mse"), TypeError, "loss is a function of .* got 'mse'"),
        (
            (model, optimizer, nn.MSELoss),
            TypeError,
            "loss is a function of .* got the class MSELoss",
        ),
        ((other, optimizer, loss), ValueError, "the optimizer has no parameter of the Linear"),
    ]:
        with pytest.raises(kind, match=text):
            Trainer(*wrong)
    with pytest.raises(TypeError, match=r"validation is data, like train, got 0\.2"):
        Trainer(model, optimizer, loss).fit(data(), 1, validation=0.2)


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


class Growing(optim.lr_scheduler.LRScheduler):
    """A schedule of a user's own, with a list that grows and an attribute that comes later."""

    def __init__(self, optimizer):
        self.seen = []
        super().__init__(optimizer)

    def get_lr(self):
        self.seen.append(self.last_epoch)
        if self.last_epoch == 2:
            self.peak = 1.0
        return [group["lr"] * 0.9 for group in self.optimizer.param_groups]


def parameter():
    return [nn.Parameter(rg.zeros(2))]


def test_schedules_of_ones_own_come_back():
    optimizer = optim.SGD(parameter(), lr=0.1)
    schedule = Growing(optimizer)
    optimizer.step()
    for _ in range(3):
        schedule.step()
    again = Growing(optim.SGD(parameter(), lr=0.1))
    again.load_state_dict(schedule.state_dict())
    assert again.state_dict() == schedule.state_dict() and again.peak == 1.0
    with pytest.raises(ValueError, match="would replace its method 'step'"):
        again.load_state_dict({"step": 5})


def test_schedules_take_other_milestones_and_states_of_torch():
    torch = pytest.importorskip("torch")
    schedule = optim.lr_scheduler.MultiStepLR(optim.SGD(parameter(), lr=0.1), [2])
    other = optim.lr_scheduler.MultiStepLR(optim.SGD(parameter(), lr=0.1), [2, 5])
    schedule.load_state_dict(other.state_dict())
    assert schedule.milestones == [2, 5]
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    for name, args in [("StepLR", (2,)), ("CosineAnnealingLR", (5,)), ("ExponentialLR", (0.9,))]:
        ours = getattr(optim.lr_scheduler, name)(optim.SGD(parameter(), lr=0.1), *args)
        saved = getattr(torch.optim.lr_scheduler, name)(theirs, *args)
        theirs.step()
        saved.step()
        ours.load_state_dict(saved.state_dict())
        assert ours.last_epoch == 1 and ours.get_last_lr() == saved.get_last_lr()


@pytest.mark.parametrize("rate", [np.float32(0.1), np.float64(0.1), rg.tensor(0.1), 1])
def test_rates_may_be_scalars_of_any_kind(rate, tmp_path):
    saved = optim.SGD(parameter(), lr=rate).state_dict()
    again = optim.SGD(parameter(), lr=0.2)
    again.load_state_dict(saved)
    assert float(again.param_groups[0]["lr"]) == float(rate)
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=rate)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: np.float32(0.5))
    Trainer(model, optimizer, nn.CrossEntropyLoss(), scheduler=schedule).save(tmp_path / "a")


def test_state_of_an_optimizer_of_ones_own_may_have_any_shape():
    class Scaled(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        def step(self):
            for p in self.param_groups[0]["params"]:
                self.state[p]["norm"] = rg.tensor(1.5)

    one = Scaled(parameter())
    one.step()
    two = Scaled(parameter())
    two.load_state_dict(one.state_dict())
    assert two.state[two.param_groups[0]["params"][0]]["norm"].item() == 1.5


def test_a_state_that_lacks_a_piece_is_refused():
    model = nn.Linear(2, 2)
    optimizer = optim.Adam(model.parameters())
    model(rg.ones(1, 2)).sum().backward()
    optimizer.step()
    saved = optimizer.state_dict()
    for name in ("exp_avg", "step"):
        broken = copy.deepcopy(saved)
        del broken["state"][0][name]
        with pytest.raises(ValueError, match=f"only some parameters have '{name}'"):
            optimizer.load_state_dict(broken)


def test_early_stopping_without_a_state_in_the_file_starts_anew(tmp_path):
    x = rg.arange(8, dtype=rg.float32).reshape(8, 1) / 8

    def run(callbacks=()):
        model = nn.Linear(1, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        return Trainer(model, optimizer, nn.MSELoss(), callbacks=callbacks)

    plain = run()
    plain.fit((x, x), 2, verbose=0)
    plain.save(tmp_path / "a")
    stopped = run([EarlyStopping("loss", patience=1, min_delta=100.0)])
    stopped.fit((x, x), 20, verbose=0)
    assert stopped.epoch == 2
    with pytest.warns(UserWarning, match="finds no state in it"):
        stopped.load(tmp_path / "a")
    stopped.fit((x, x), 4, verbose=0)
    assert stopped.epoch == 4


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 7])
def test_resuming_is_exact_where_the_best_weights_were_lent_out(cut, tmp_path):
    x = rg.arange(8, dtype=rg.float32).reshape(8, 1) / 8

    def run():
        rg.manual_seed(7)
        model = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        optimizer = optim.AdamW(model.parameters(), lr=0.3)
        stop = EarlyStopping("loss", patience=50, restore_best_weights=True)
        return Trainer(model, optimizer, nn.MSELoss(), callbacks=[stop])

    def go_on(trainer, epochs):
        trainer.fit((x, x), epochs, batch_size=2, verbose=0)

    whole, first, resumed = run(), run(), run()
    go_on(whole, 8)
    go_on(first, cut)
    first.save(tmp_path / "a")
    resumed.load(tmp_path / "a")
    for trainer in (first, resumed):
        go_on(trainer, 8)
        assert trainer.history["loss"] == whole.history["loss"]
        assert weights_sha256(trainer.model) == weights_sha256(whole.model)


def test_a_failed_load_leaves_callbacks_as_they_were(tmp_path):
    class Keeps(Callback):
        def __init__(self):
            self.d = {1: (1, 2)}

        def state_dict(self):
            return {"d": self.d}

        def load_state_dict(self, state):
            self.d = state["d"]

    def run(width):
        model = nn.Linear(width, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        return Trainer(model, optimizer, nn.MSELoss(), callbacks=[Keeps()])

    run(1).save(tmp_path / "a")
    other = run(2)
    with pytest.raises(ValueError, match="does not fit this trainer"):
        other.load(tmp_path / "a")
    assert other.callbacks[0].d == {1: (1, 2)}


def test_every_callback_has_its_end():
    ended = []

    class Ends(Callback):
        def __init__(self, fails):
            self.fails = fails

        def on_fit_end(self, trainer):
            ended.append(self.fails)
            if self.fails:
                raise OSError("no room")

    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    run = Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=[Ends(True), Ends(False)])
    with pytest.raises(OSError, match="no room"):
        run.fit(data(), 1, verbose=0)
    assert ended == [True, False]
