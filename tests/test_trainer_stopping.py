"""Early stopping: when it stops, what it restores, and what it remembers."""

import pytest
from training import blobs, trainer

from rubigo.train import Callback, EarlyStopping, weights_sha256


class Scripted(Callback):
    """Makes the validation loss what the test wants."""

    def __init__(self, values):
        self.values = iter(values)

    def on_epoch_end(self, trainer, logs):
        logs["val_loss"] = next(self.values)


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
