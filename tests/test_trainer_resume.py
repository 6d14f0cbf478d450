"""Runs that are saved, interrupted, killed and resumed: they end in the same bits."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from training import blobs, network, trainer

import rubigo as rg
from rubigo import nn, optim
from rubigo.data import DataLoader, Dataset, TensorDataset
from rubigo.train import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LRSchedulerCallback,
    ModelCheckpoint,
    Trainer,
    weights_sha256,
)


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
