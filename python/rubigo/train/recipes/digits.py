"""A small convolutional network for scikit-learn's handwritten digits.

Ten epochs give about 99 % on the test part; the settings were chosen by cross-validation on
the training part alone.
"""

from __future__ import annotations

import errno
import os
import statistics
import time
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import rubigo as rg

from ... import metrics, plots
from ...data import load_digits
from ..checkpoint import plain, weights_sha256
from ..trainer import Trainer

EPOCHS = 10
BATCH_SIZE = 32
_FORMAT = "rubigo.digits/1"

Part = tuple[rg.Tensor, rg.Tensor]


def split(validation: float = 0.1) -> tuple[Part, Part, Part]:
    """Images and labels for training, validation and test, with equal shares of each digit.

    The test part is a fifth of all digits and never depends on `validation`, which is a
    fraction of the rest.
    """
    images, labels = load_digits()
    from sklearn.model_selection import train_test_split

    y = labels.numpy()
    train, test = train_test_split(range(len(y)), test_size=0.2, random_state=0, stratify=y)
    train, held = train_test_split(train, test_size=validation, random_state=0, stratify=y[train])

    def part(indices: Any) -> Part:
        rows = rg.tensor(indices, dtype=rg.int64)
        return images.index_select(0, rows), labels.index_select(0, rows)

    return part(train), part(held), part(test)


def network() -> Any:
    """Three convolutions, two poolings and one linear layer: 15,498 parameters.

    Images (N, 1, 8, 8) to scores (N, 10).
    """
    nn = rg.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 2 * 2, 10),
    )


def trainer(model: Any, steps: int, device: Any = "cpu") -> Trainer:
    """AdamW under a one-cycle schedule of `steps` steps, with accuracy as the metric."""
    model.to(device)
    optimizer = rg.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=1e-2)
    schedule = rg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    return Trainer(
        model,
        optimizer,
        rg.nn.CrossEntropyLoss(),
        metrics=["accuracy"],
        device=device,
        scheduler=schedule,
    )


def steps(samples: int, epochs: int) -> int:
    """Steps of the optimizer in `epochs` passes over `samples` images."""
    return epochs * -(-samples // BATCH_SIZE)


def save_model(model: Any, path: str | PathLike[str]) -> None:
    """Writes weights that `load_model` and `rubigo predict` read."""
    rg.save({"format": _FORMAT, "weights": plain(model.state_dict())}, path)


def load_model(path: str | PathLike[str]) -> Any:
    """The network with the weights of a file, in evaluation mode."""
    content = rg.load(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a model of the digits recipe ({_FORMAT})")
    model = network()
    model.load_state_dict(content["weights"])
    model.eval()
    return model


def report(done: Trainer, test: Part, seed: int, seconds: float) -> dict[str, Any]:
    """Of one run: scores on the test part, cost and the digest of the weights."""
    scores = metrics.classification_report(done.predict(test[0]), test[1])
    return {
        "seed": seed,
        **scores,
        "seconds": round(seconds, 3),
        "epochs": done.epoch,
        "parameters": sum(p.numel() for p in done.model.parameters()),
        "weights_sha256": weights_sha256(done.model),
    }


def save_pictures(done: Trainer, test: Part, out: Path) -> None:
    """Writes curves.png and confusion.png."""
    left, right = plots.new_figure(9, 4).subplots(1, 2)
    plots.curves(done.history, ("loss", "val_loss"), left)
    plots.curves(done.history, ("accuracy", "val_accuracy"), right)
    plots.save(left, out / "curves.png")
    matrix = metrics.confusion_matrix(done.predict(test[0]), test[1])
    plots.save(plots.confusion(matrix), out / "confusion.png")


def run(
    out: Path,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    seeds: int = 1,
    device: Any = "cpu",
    verbose: int | str = "auto",
) -> dict[str, Any]:
    """Trains, tests and writes model.safetensors and the pictures into `out`.

    Args:
        seeds: how many runs, with seeds from `seed` on; the first leaves its files.

    Returns:
        what metrics.json holds: the report of the first run, and what all of them come to.
    """
    # Before the training, which would be lost where nothing can be written.
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))
    train, validation, test = split()
    runs = []
    for number in range(seed, seed + seeds):
        rg.manual_seed(number)
        done = trainer(network(), steps(len(train[0]), epochs), device)
        started = time.perf_counter()
        done.fit(
            train,
            epochs,
            validation=validation,
            batch_size=BATCH_SIZE,
            seed=number,
            verbose=verbose,
        )
        runs.append(report(done, test, number, time.perf_counter() - started))
        if number == seed:
            save_model(done.model, out / "model.safetensors")
            save_pictures(done, test, out)
    accuracies = [one["accuracy"] for one in runs]
    return {
        **runs[0],
        "accuracy_mean": statistics.fmean(accuracies),
        "accuracy_stdev": statistics.stdev(accuracies) if seeds > 1 else 0.0,
        "runs": [{key: one[key] for key in ("seed", "accuracy", "weights_sha256")} for one in runs],
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_images(path: str | PathLike[str]) -> rg.Tensor:
    """Images (N, 1, 8, 8) from a .npy or .csv file of N x 64 values from 0 to 16.

    A .csv file may begin with a row of names.
    """
    import numpy as np

    if not str(path).endswith((".npy", ".csv")):
        raise ValueError(f"{path}: images are read from .npy and .csv files")
    try:
        with warnings.catch_warnings():
            # numpy only warns about an empty table.
            warnings.simplefilter("error")
            if str(path).endswith(".npy"):
                with open(path, "rb") as file:
                    values = np.lib.format.read_array(file, allow_pickle=False)
            else:
                with open(path, encoding="utf-8") as file:
                    first = file.readline().split(",")
                names = len(first) > 1 and not any(map(_is_number, first))
                values = np.loadtxt(path, delimiter=",", ndmin=2, skiprows=int(names))
    except (ValueError, EOFError, UserWarning) as error:
        raise ValueError(f"{path}: {error}") from error
    if values.ndim == 0 or values.shape[0] == 0 or values.size != 64 * values.shape[0]:
        raise ValueError(f"{path}: expected N rows of 8 x 8 values, got shape {values.shape}")
    if values.dtype.kind not in "iufb":
        raise ValueError(f"{path}: expected numbers, got {values.dtype}")
    values = values.reshape(-1, 64).astype("float32")
    bad = ~((values >= 0) & (values <= 16)).all(1)
    if bad.any():
        raise ValueError(f"{path}: row {int(bad.argmax())} has values outside of 0..16")
    if values.max() <= 1:
        raise ValueError(f"{path}: all values lie in 0..1, but 16 is full ink: multiply by 16")
    return rg.from_numpy(values.reshape(-1, 1, 8, 8) / 16)
