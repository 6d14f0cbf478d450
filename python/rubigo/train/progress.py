"""Progress on the error stream: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .callbacks import Callback

if TYPE_CHECKING:
    from ..metrics import Metric
    from .trainer import Trainer

_REDRAW_SECONDS = 0.1


def is_terminal() -> bool:
    """Whether the error stream is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def terminal_width() -> int:
    """Columns of the terminal that the error stream writes to."""
    try:
        # The standard output may be a file while the error stream is not.
        found = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):
        found = 0
    return found if "COLUMNS" not in os.environ and found else shutil.get_terminal_size().columns


def fields(logs: dict[str, float], paired: bool = False) -> list[str]:
    """One text per value, seconds last; validation's values behind training's if paired.

    >>> fields({"loss": 0.51234, "lr": 0.001, "seconds": 1.23})
    ['loss 0.5123', 'lr 0.001', '1.2 s']
    >>> fields({"loss": 0.5, "val_loss": 0.6}, paired=True)
    ['loss 0.5 val 0.6']
    """
    parts = []
    for name, value in logs.items():
        told = paired and name.startswith("val_") and name.removeprefix("val_") in logs
        if name == "seconds" or told:
            continue
        behind = f" val {logs[f'val_{name}']:.4g}" if paired and f"val_{name}" in logs else ""
        parts.append(f"{name} {value:.4g}{behind}")
    if "seconds" in logs:
        parts.append(f"{logs['seconds']:.1f} s")
    return parts


def fitting(parts: list[str], width: int) -> str:
    """The parts that fit in a line, each whole or not at all.

    >>> fitting(["epoch 1/2", "loss 0.5123", "lr 0.001"], 20)
    'epoch 1/2  lr 0.001'
    """
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if len(longer) <= width:
            line = longer
    return line


def wrapped(parts: list[str], width: int) -> str:
    """The parts in as many lines as they need, later ones indented.

    >>> print(wrapped(["epoch 1/2", "loss 0.5123", "lr 0.001"], 20))
    epoch 1/2
      loss 0.5123
      lr 0.001
    """
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(f"  {part}")
    return "\n".join(lines)


def running(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """What the metrics are so far; those that are not yet defined are left out."""
    values = {}
    with warnings.catch_warnings():
        # What is undefined is worth a warning after the epoch only.
        warnings.simplefilter("ignore")
        for name, metric in metrics.items():
            try:
                values[name] = float(metric.compute())
            except ValueError:
                continue
    return values


class EpochLines(Callback):
    """Prints one line per epoch.

    Args:
        epochs: how many there will be.
    """

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        parts = [f"epoch {trainer.epoch}/{self.epochs}", *fields(logs)]
        print("  ".join(parts), file=sys.stderr)


class ProgressBar(Callback):
    """A bar with the loss and metrics so far that rewrites its line, at most ten times a second.

    What does not fit into the terminal's width is left out; no number is ever cut. The line that
    stays at the end of an epoch is shortened, first by the names of validation's values, then by
    the learning rate, and wrapped where that is not enough.

    Args:
        epochs: how many there will be.
        batches: of each epoch.
    """

    def __init__(self, epochs: int, batches: int):
        self.epochs = epochs
        self.batches = batches
        self._began = 0.0
        self._drawn = 0.0
        self._open = False

    def on_batch_end(self, trainer: Trainer, batch: int, logs: dict[str, float]) -> None:
        now = time.monotonic()
        if batch == 0:
            self._began = now
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        done = batch + 1
        parts = [f"epoch {trainer.epoch + 1}/{self.epochs}", f"{done}/{self.batches}"]
        if batch:
            # The first batch is where the clock starts.
            left = (now - self._began) / batch * (self.batches - done)
            parts.append(f"ETA {left:.0f} s")
        parts += fields({**logs, **running(trainer.metrics)})
        # Last, since the numbers say more where both do not fit.
        parts.append(f"[{'#' * (20 * done // self.batches):<20}]")
        width = terminal_width() - 1
        self._write(f"{fitting(parts, width):<{width}}")
        self._open = True

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        width = terminal_width() - 1
        brief = {name: value for name, value in logs.items() if name != "lr"}
        head = f"epoch {trainer.epoch}/{self.epochs}"
        forms = [fields(logs), fields(logs, paired=True), fields(brief, paired=True)]
        fits = (form for form in forms if len("  ".join([head, *form])) <= width)
        lines = wrapped([head, *next(fits, forms[0])], width).split("\n")
        self._write("\n".join([f"{lines[0]:<{width}}", *lines[1:]]))
        self._end_line()

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._open:
            self._end_line()

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text}")
        sys.stderr.flush()

    def _end_line(self) -> None:
        sys.stderr.write("\n")
        sys.stderr.flush()
        self._open = False
