"""Progress on the error stream: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

_REDRAW_SECONDS = 0.1


def is_terminal() -> bool:
    """Whether the error stream is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def format_logs(logs: dict[str, float]) -> str:
    """The values in a line, seconds last.

    >>> format_logs({"loss": 0.51234, "lr": 0.001, "seconds": 1.23})
    'loss 0.5123  lr 0.001  1.2 s'
    """
    parts = [f"{name} {value:.4g}" for name, value in logs.items() if name != "seconds"]
    if "seconds" in logs:
        parts.append(f"{logs['seconds']:.1f} s")
    return "  ".join(parts)


class EpochLines(Callback):
    """Prints one line per epoch.

    Args:
        epochs: how many there will be.
    """

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        print(f"epoch {trainer.epoch}/{self.epochs}  {format_logs(logs)}", file=sys.stderr)


class ProgressBar(Callback):
    """A bar that rewrites its line, at most ten times a second.

    Args:
        epochs: how many there will be.
        batches: of each epoch.
    """

    def __init__(self, epochs: int, batches: int):
        self.epochs = epochs
        self.batches = batches
        self._drawn = 0.0
        self._open = False

    def on_batch_end(self, trainer: Trainer, batch: int, logs: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        done = batch + 1
        filled = 20 * done // self.batches
        self._write(
            f"epoch {trainer.epoch + 1}/{self.epochs} [{'#' * filled:<20}] "
            f"{done}/{self.batches}  {format_logs(logs)}"
        )
        self._open = True

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> None:
        self._write(f"epoch {trainer.epoch}/{self.epochs}  {format_logs(logs)}")
        self._end_line()

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._open:
            self._end_line()

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{text[:width]:<{width}}")
        sys.stderr.flush()

    def _end_line(self) -> None:
        sys.stderr.write("\n")
        sys.stderr.flush()
        self._open = False
