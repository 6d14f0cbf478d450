"""What happens around the loop: stopping, saving, schedules, logs."""

from __future__ import annotations

import csv
import json
import math
import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import rubigo as rg

from ..data.convert import whole
from .checkpoint import plain

if TYPE_CHECKING:
    from .trainer import Trainer

Mode = Literal["auto", "min", "max"]


class Callback:
    """Called by the trainer; a subclass overrides the moments it needs.

    What `state_dict` returns is saved in checkpoints and given to `load_state_dict` on resume.

    >>> class Count(Callback):
    ...     epochs = 0
    ...     def on_epoch_end(self, trainer, logs):
    ...         self.epochs += 1
    >>> Count().state_dict()
    {}
    """

    order = 0
    """Callbacks run by ascending order, then as they were given."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each step of the optimizer."""

    def on_batch_end(self, trainer: Trainer, batch: int, logs: dict[str, float]) -> None:
        """After each batch; `logs` holds the mean loss of the epoch so far."""

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        """After each epoch and its validation; `trainer.epoch` counts it already."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """At the end of `fit`, also after an error or Ctrl-C."""

    def on_load(self, trainer: Trainer) -> None:
        """After its state came from a checkpoint; a ValueError refuses one that does not fit."""

    def state_dict(self) -> dict[str, Any]:
        """What an exact resume needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""


class LRSchedulerCallback(Callback):
    """Steps a learning-rate schedule.

    Args:
        scheduler: a schedule of `rubigo.optim.lr_scheduler`.
        interval: "step" (of the optimizer) or "epoch"; when absent, "step" for OneCycleLR and
            CyclicLR and "epoch" for the others.
        monitor: the value that ReduceLROnPlateau is given.

    >>> import rubigo as rg
    >>> optimizer = rg.optim.SGD([rg.nn.Parameter(rg.zeros(1))], lr=1.0)
    >>> schedule = rg.optim.lr_scheduler.StepLR(optimizer, step_size=10)
    >>> LRSchedulerCallback(schedule).interval
    'epoch'
    """

    def __init__(
        self,
        scheduler: Any,
        interval: Literal["step", "epoch"] | None = None,
        monitor: str = "val_loss",
    ):
        if isinstance(scheduler, type):
            raise TypeError(
                f"a schedule is an object such as StepLR(optimizer, 10), got the class "
                f"{scheduler.__name__}"
            )
        kind = type(scheduler).__name__
        if not callable(getattr(scheduler, "step", None)):
            raise TypeError(f"a schedule of rubigo.optim.lr_scheduler has a step(), {kind} none")
        if interval is None:
            interval = "step" if kind in ("OneCycleLR", "CyclicLR") else "epoch"
        if interval not in ("step", "epoch"):
            raise ValueError(f"interval must be 'step' or 'epoch', got {interval!r}")
        self.scheduler = scheduler
        self.interval = interval
        self.monitor: str | None = monitor if kind == "ReduceLROnPlateau" else None

    def on_step_end(self, trainer: Trainer) -> None:
        if self.interval == "step":
            self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        if self.interval != "epoch":
            return
        if self.monitor is None:
            self.scheduler.step()
        else:
            self.scheduler.step(monitored(self.monitor, logs))

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


def monitored(name: str, logs: dict[str, float]) -> float:
    """The logged value of that name."""
    if name not in logs:
        hint = " (pass validation=... to fit)" if name.startswith("val_") else ""
        raise ValueError(f"nothing is logged as {name!r}{hint}; there is {', '.join(logs)}")
    return logs[name]


class _Best:
    """The best value seen of a monitored name."""

    def __init__(self, monitor: str, mode: Mode, min_delta: float = 0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.value: float | None = None

    def load(self, value: Any) -> None:
        """Goes on from a value that was saved."""
        if value is not None and type(value) not in (int, float):
            raise ValueError(f"the best {self.monitor} must be a number or None, got {value!r}")
        self.value = value

    def improved(self, trainer: Trainer, logs: dict[str, float]) -> bool:
        value = monitored(self.monitor, logs)
        larger = self.mode == "max" or (
            self.mode == "auto" and trainer.higher_is_better(self.monitor)
        )
        if math.isnan(value):
            return False
        if self.value is not None:
            gain = value - self.value if larger else self.value - value
            if not gain > self.min_delta:
                return False
        self.value = value
        return True


class EarlyStopping(Callback):
    """Stops when a value has not improved for `patience` epochs.

    A run that it has stopped goes on with a fresh count when `fit` is called again; so does
    the same object in another run.

    Args:
        monitor: a name in the history.
        patience: epochs without improvement that are put up with; 0 and 1 both stop at the
            first of them.
        mode: "min", "max", or "auto": as the metric says, and "min" for losses.
        min_delta: a smaller change is no improvement.
        restore_best_weights: at the end the model gets back its weights of the best epoch. A
            run that goes on later does so from its last weights.

    >>> EarlyStopping("val_accuracy", patience=2).patience
    2
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 3,
        mode: Mode = "auto",
        *,
        min_delta: float = 0.0,
        restore_best_weights: bool = False,
    ):
        self.patience: int = whole(patience, "patience", 0)
        self.restore_best_weights = restore_best_weights
        self._best = _Best(monitor, mode, min_delta)
        self._waited = 0
        self._weights: dict[str, rg.Tensor] | None = None
        self._last: dict[str, rg.Tensor] | None = None
        self._loaded = False

    def _has_stopped(self) -> bool:
        return self._waited >= max(self.patience, 1)

    def on_fit_begin(self, trainer: Trainer) -> None:
        loaded, self._loaded = self._loaded, False
        last, self._last = self._last, None
        if loaded and self._has_stopped():
            # A run that had ended does not begin again because its last checkpoint is resumed.
            trainer.should_stop = True
            warnings.warn(
                f"early stopping had ended this run after epoch {trainer.epoch}: nothing to do",
                stacklevel=3,
            )
        elif not loaded and (trainer.epoch == 0 or self._has_stopped()):
            self._best.value, self._waited, self._weights = None, 0, None
        elif last is not None and _holds(trainer.model, self._weights):
            # The best weights were only lent out: the run goes on from where it was.
            trainer.model.load_state_dict(last)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        if self._best.improved(trainer, logs):
            self._waited = 0
            if self.restore_best_weights:
                self._weights = _weights_of(trainer.model)
            return
        self._waited += 1
        if self._has_stopped():
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._weights is not None:
            self._last = None if self._has_stopped() else _weights_of(trainer.model)
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self._best.value,
            "waited": self._waited,
            "weights": self._weights,
            "last": self._last,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        waited, weights, last = state["waited"], state["weights"], state["last"]
        if type(waited) is not int:
            raise ValueError(f"EarlyStopping: 'waited' must be a whole number, got {waited!r}")
        for name, given in (("weights", weights), ("last", last)):
            tensors = given.values() if isinstance(given, dict) else [given]
            if given is not None and not all(isinstance(t, rg.Tensor) for t in tensors):
                raise ValueError(f"EarlyStopping: {name!r} must be a dict of tensors, or None")
        self._best.load(state["best"])
        self._waited, self._weights, self._last = waited, weights, last
        self._loaded = True

    def on_load(self, trainer: Trainer) -> None:
        shapes = {name: t.shape for name, t in trainer.model.state_dict().items()}
        for weights in (self._weights, self._last):
            if weights is not None and shapes != {k: t.shape for k, t in weights.items()}:
                raise ValueError("EarlyStopping: its weights are those of another model")


def _weights_of(model: Any) -> dict[str, rg.Tensor]:
    return {k: v.detach().to("cpu").clone() for k, v in model.state_dict().items()}


def _holds(model: Any, weights: dict[str, rg.Tensor] | None) -> bool:
    now = _weights_of(model)
    return weights is not None and all(rg.equal(now[name], t) for name, t in weights.items())


class ModelCheckpoint(Callback):
    """Saves after each epoch, or after each that is the best so far.

    A file is written under another name and renamed, so that a crash never leaves half of one.

    Args:
        path: where to; `{epoch}` in it becomes the number of epochs done.
        monitor: what decides which epoch is best.
        mode: "min", "max", or "auto": as the metric says, and "min" for losses.
        save_best_only: skip epochs that are no improvement.
        weights_only: the model's state dict instead of `Trainer.save`.

    >>> ModelCheckpoint("run/{epoch}.safetensors").path_of(3)
    'run/3.safetensors'
    """

    order = 1

    def __init__(
        self,
        path: str | PathLike[str],
        monitor: str = "val_loss",
        mode: Mode = "auto",
        *,
        save_best_only: bool = False,
        weights_only: bool = False,
    ):
        self.path = str(path)
        self.save_best_only = save_best_only
        self.weights_only = weights_only
        self._best = _Best(monitor, mode)

    def path_of(self, epoch: int) -> str:
        """Where the checkpoint of that epoch goes."""
        return self.path.replace("{epoch}", str(epoch))

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        if self.save_best_only and not self._best.improved(trainer, logs):
            return
        path = Path(self.path_of(trainer.epoch))
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.weights_only:
            rg.save(plain(trainer.model.state_dict()), path)
        else:
            trainer.save(path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best.load(state["best"])


class CSVLogger(Callback):
    """Writes the history as a table, anew after each epoch.

    Args:
        path: the file; columns are the names in the history.

    >>> CSVLogger("run/log.csv").path.name
    'log.csv'
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = ["epoch", *trainer.history]
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            rows = zip(*trainer.history.values(), strict=True)
            writer.writerows([number, *row] for number, row in enumerate(rows, 1))


class JSONLogger(Callback):
    """Appends one line of JSON per epoch.

    Args:
        path: the file; lines of epochs that this run has yet to do are removed at the start.

    >>> JSONLogger("run/log.jsonl").path.name
    'log.jsonl'
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        # A killed run may have logged an epoch (or half a line) that its checkpoint lacks.
        kept = [line for line in lines if 0 < _epoch_of(line) <= trainer.epoch]
        self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        entry = {k: v if math.isfinite(v) else None for k, v in logs.items()}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": trainer.epoch, **entry}) + "\n")


def _epoch_of(line: str) -> int:
    """The epoch of a line of the log, 0 where it is none."""
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, TypeError, KeyError):
        return 0
