"""From what a user passes as data to batches on the right device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rubigo as rg

from ..data import DataLoader, RandomSampler, TensorDataset
from ..data.convert import as_tensor


def as_loader(
    data: Any,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    num_workers: int = 0,
) -> DataLoader:
    """A loader over a loader (as it is), a dataset, or a tuple of arrays (x, ..., y)."""
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, tuple):
        data = TensorDataset(*(as_tensor(part, f"data[{i}]") for i, part in enumerate(data)))
    generator = rg.Generator()
    generator.manual_seed(seed)
    sampler = RandomSampler(data, generator=generator) if shuffle else None
    return DataLoader(data, batch_size, sampler=sampler, num_workers=num_workers)


def split_batch(batch: Any, device: Any, where: str) -> tuple[list[rg.Tensor], rg.Tensor, int]:
    """The model's inputs, the target and the number of samples."""
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise TypeError(
            f"{where}: a batch is (inputs..., target), got {type(batch).__name__}; "
            "return that from the dataset or from collate_fn"
        )
    parts = [as_tensor(part, f"{where}: field {i}") for i, part in enumerate(batch)]
    sizes = [part.shape[0] if part.ndim else 0 for part in parts]
    if len(set(sizes)) > 1:
        raise ValueError(f"{where}: the fields differ in their number of samples: {sizes}")
    if sizes[0] == 0:
        raise ValueError(f"{where} has 0 samples")
    *inputs, target = [part.to(device) for part in parts]
    return inputs, target, sizes[0]


def explain_non_finite(
    model: Any, inputs: Sequence[rg.Tensor], output: Any, target: rg.Tensor
) -> str:
    """Where the first value that is not finite stands."""
    for name, values in [*((f"input {i}", x) for i, x in enumerate(inputs)), ("target", target)]:
        row = _bad_row(values)
        if row is not None:
            return f"{name} is not finite in sample {row} of the batch: clean the data"
    for name, values in model.named_parameters():
        if _bad_row(values.detach()) is not None:
            return (
                f"parameter {name} is no longer finite: an earlier step was too large; lower "
                "the learning rate or pass clip_norm=1.0"
            )
    row = _bad_row(output.detach()) if isinstance(output, rg.Tensor) else None
    if row is not None:
        return (
            f"the model's output is not finite in sample {row} of the batch, though its "
            "inputs and parameters are: scale the inputs or look for log, division or exp"
        )
    return "inputs, parameters and outputs are finite: the loss function itself overflowed"


def _bad_row(values: rg.Tensor) -> int | None:
    if not values.is_floating_point():
        return None
    bad = ~rg.isfinite(values.to("cpu"))
    if not bool(bad.any()):
        return None
    return 0 if bad.ndim == 0 else bad.reshape(bad.shape[0], -1).any(1).tolist().index(True)
