"""The trainer, its callbacks, and a summary of models."""

from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LRSchedulerCallback,
    ModelCheckpoint,
)
from .checkpoint import weights_sha256
from .history import History
from .progress import ProgressBar
from .summary import Summary, summary
from .trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LRSchedulerCallback",
    "ModelCheckpoint",
    "ProgressBar",
    "Summary",
    "Trainer",
    "summary",
    "weights_sha256",
]


def __dir__() -> list[str]:
    return __all__
