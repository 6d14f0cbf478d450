"""What happens around the loop: stopping, saving, schedules, logs."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

import rubigo as rg

from ..data.convert import whole
from ..optim.lr_scheduler import OneCycleLR
from ..optim.optimizer import check_kinds
from .checkpoint import nest_copy, plain

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
        self._start: dict[str, Any] | None = None
        """Schedule and rates before the first step of the epoch under way."""

    def check_steps(self, epochs: int, per_epoch: int) -> None:
        """Refuses a run that is longer than what is left of the schedule."""
        if not isinstance(self.scheduler, OneCycleLR):
            return
        start = self.scheduler.state_dict() if self._start is None else self._start["scheduler"]
        total, past = self.scheduler.total_steps, start["last_epoch"]
        steps = epochs * per_epoch if self.interval == "step" else epochs
        if past + steps > total:
            raise ValueError(
                f"the OneCycleLR has {total - past} of its {total} steps left, and the epochs to "
                f"come have {steps}: make it with total_steps={past + steps}"
            )

    def on_fit_begin(self, trainer: Trainer) -> None:
        if self.monitor is not None:
            check_monitor(self.monitor, trainer)
        # After an interrupt the epoch begins again, and so must its part of the schedule.
        start, self._start = self._start, None
        if start is not None:
            self.scheduler.load_state_dict(start["scheduler"])
            for group, rates in zip(trainer.optimizer.param_groups, start["rates"], strict=True):
                group.update(rates)

    def on_step_end(self, trainer: Trainer) -> None:
        if self.interval != "step":
            return
        if self._start is None and hasattr(self.scheduler, "state_dict"):
            state = nest_copy(self.scheduler.state_dict())
            self._start = {"scheduler": state, "rates": _rates(trainer.optimizer)}
        self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        self._start = None
        if self.interval != "epoch":
            return
        if self.monitor is None:
            self.scheduler.step()
        else:
            self.scheduler.step(monitored(self.monitor, logs))

    def state_dict(self) -> dict[str, Any]:
        start = {} if self._start is None else {_START: self._start}
        return {**self.scheduler.state_dict(), **start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        schedule = {key: value for key, value in state.items() if key != _START}
        start = state.get(_START)
        if start is not None:
            self.scheduler.load_state_dict(start["scheduler"])  # refuses what does not fit
            start = {**start, "scheduler": nest_copy(self.scheduler.state_dict())}
        self.scheduler.load_state_dict(schedule)
        self._start = start

    def on_load(self, trainer: Trainer) -> None:
        if self._start is None:
            return
        now, saved = _rates(trainer.optimizer), self._start["rates"]
        if [group.keys() for group in now] != [group.keys() for group in saved]:
            raise ValueError(f"{_START}: its rates are those of another optimizer")
        for group, rates in zip(now, saved, strict=True):
            check_kinds(group, rates, _START)
            if "betas" in rates:
                rates["betas"] = tuple(rates["betas"])  # a file has lists only


_START = "start of the epoch under way"


def _rates(optimizer: Any) -> list[dict[str, Any]]:
    """What a schedule may set in each group."""
    names = ("lr", "momentum", "betas")
    return [{k: group[k] for k in names if k in group} for group in optimizer.param_groups]


def monitored(name: str, logs: dict[str, float]) -> float:
    """The logged value of that name."""
    if name not in logs:
        hint = " (pass validation=... to fit)" if name.startswith("val_") else ""
        raise ValueError(f"nothing is logged as {name!r}{hint}; there is {', '.join(logs)}")
    return logs[name]


def check_monitor(name: str, trainer: Trainer) -> None:
    """Refuses a name that will not be logged before an epoch is trained in vain."""
    monitored(name, _logs_to_come(trainer, name))


def _logs_to_come(trainer: Trainer, *names: str) -> dict[str, float]:
    """What an epoch will log, with numbers made up, and the names where that cannot be known."""
    unknown = names if any(map(_may_log, trainer.callbacks)) else ()
    return dict.fromkeys([*trainer.logged, *unknown], 1.0)


def _may_log(callback: Callback) -> bool:
    """Whether a callback may add to the logs that those after it see."""
    kind = type(callback)
    changed = kind.on_epoch_end is not Callback.on_epoch_end
    return changed and not kind.__module__.startswith("rubigo.")


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
        check_monitor(self._best.monitor, trainer)
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
        path: where to; `{epoch}` in it becomes the number of epochs done, `{val_loss}` and the
            like what is logged, written as Python's format() does: `{epoch:02d}-{loss:.3f}`.
        monitor: what decides which epoch is best.
        mode: "min", "max", or "auto": as the metric says, and "min" for losses.
        save_best_only: skip epochs that are no improvement.
        weights_only: the model's state dict instead of `Trainer.save`.

    >>> checkpoint = ModelCheckpoint("run/{epoch:02d}-{val_loss:.3f}.safetensors")
    >>> checkpoint.path_of(3, {"val_loss": 0.5})
    'run/03-0.500.safetensors'
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
        self._names = self._fields()
        self.save_best_only = save_best_only
        self.weights_only = weights_only
        self._best = _Best(monitor, mode)

    def _fields(self) -> list[str]:
        """The names in the path, which must be plain ones: "loss", and not "loss.real"."""
        try:
            names = [name for _, name, _, _ in Formatter().parse(self.path) if name is not None]
        except ValueError as error:
            raise self._wrong(str(error)) from None
        for name in names:
            if not name or name.isdigit() or set(name) & set(".["):
                raise self._wrong(f"{{{name}}} is not the plain name of a value")
        self.path_of(1, dict.fromkeys(names, 1.0))
        return names

    def _wrong(self, what: str) -> ValueError:
        return ValueError(
            f"cannot fill in the path {self.path!r}: {what}; a field is {{epoch}} or a name that "
            "is logged, and a brace itself is written twice"
        )

    def path_of(self, epoch: int, logs: Mapping[str, float] | None = None) -> str:
        """Where the checkpoint of that epoch goes."""
        values = {**(logs or {}), "epoch": epoch}
        try:
            return self.path.format_map(values)
        except KeyError as error:
            raise self._wrong(f"there is no {error}; there is {', '.join(values)}") from None
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.path_of(trainer.epoch + 1, _logs_to_come(trainer, *self._names))
        if self.save_best_only:
            check_monitor(self._best.monitor, trainer)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        if self.save_best_only and not self._best.improved(trainer, logs):
            return
        path = Path(self.path_of(trainer.epoch, logs))
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
        path: the file; lines of epochs that this run has yet to do are removed at the start. A
            file of anything else is refused.

    >>> JSONLogger("run/log.jsonl").path.name
    'log.jsonl'
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        *lines, rest = text.split("\n")
        # A killed run may have logged an epoch (or half a line) that its checkpoint lacks.
        if rest.endswith("}") or rest[: len(_BEGIN)] != _BEGIN[: len(rest)]:
            lines.append(rest)
        written = [line for line in lines if line.strip()]
        kept = [line for line in written if self._epoch_of(line) <= trainer.epoch]
        self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        entry = {k: v if math.isfinite(v) else None for k, v in logs.items()}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": trainer.epoch, **entry}) + "\n")

    def _epoch_of(self, line: str) -> int:
        try:
            return int(json.loads(line)["epoch"])
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"{self.path} is no log of epochs: it has the line {line!r:.60}; give JSONLogger "
                "another path"
            ) from None


_BEGIN = '{"epoch": '  # of each line of a JSONLogger
