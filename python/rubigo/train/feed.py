"""From what a user passes as data to batches on the right device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import rubigo as rg
from rubigo._arguments import type_name

from ..data import DataLoader, Dataset, RandomSampler, TensorDataset
from ..data.convert import as_tensor


def is_columns(data: Any) -> bool:
    """Whether `data` is several arrays side by side: a tuple, or a list of arrays only.

    >>> is_columns(([1.0], [2])), is_columns([[1.0], [2.0]])
    (True, False)
    """
    if isinstance(data, tuple):
        return True
    return isinstance(data, list) and bool(data) and all(map(_is_array, data))


def _is_array(value: Any) -> bool:
    """Whether it is a tensor, or an array or a tensor of another library, with rows."""
    return isinstance(value, rg.Tensor) or (hasattr(value, "__dlpack__") and value.ndim > 0)


def table(columns: Sequence[Any], dtype: Any) -> TensorDataset:
    """A dataset of arrays; floats that are no tensor yet get the model's dtype."""
    tensors = []
    for position, column in enumerate(columns):
        tensor = as_tensor(column, f"data[{position}]")
        if tensor.is_floating_point() and not isinstance(column, rg.Tensor):
            tensor = tensor.to(dtype)
        tensors.append(tensor)
    return TensorDataset(*tensors)


def as_loader(
    data: Any,
    target: Any,
    batch_size: int,
    *,
    dtype: Any,
    shuffle: bool = False,
    seed: int = 0,
    num_workers: int = 0,
) -> DataLoader:
    """A loader over (inputs..., target), from a loader (as it is), a dataset or arrays."""
    if target is not None:
        if isinstance(data, DataLoader | Dataset):
            raise TypeError(f"a {type(data).__name__} holds the target itself: leave it out")
        data = (*data, target) if is_columns(data) else (data, target)
    if isinstance(data, DataLoader):
        return data
    if _is_array(data):
        raise TypeError("the target is missing: pass (x, y), or x and y")
    if is_columns(data):
        data = table(data, dtype)
    # Its own generator, so that the default one is left alone.
    generator = rg.Generator().manual_seed(seed)
    sampler = RandomSampler(data, generator=generator) if shuffle else None
    return DataLoader(
        data, batch_size, sampler=sampler, num_workers=num_workers, generator=generator
    )


def input_loader(x: Any, batch_size: int, dtype: Any) -> Iterator[list[rg.Tensor]]:
    """Batches of the model's inputs alone, without the target of a dataset or a loader."""
    if is_columns(x) or isinstance(x, list) or _is_array(x):
        columns = x if is_columns(x) else (x,)
        yield from as_loader(table(columns, dtype), None, batch_size, dtype=dtype)
        return
    if not hasattr(x, "__getitem__") and not isinstance(x, DataLoader):
        raise TypeError(f"predict takes arrays, a dataset or a loader, got {type(x).__name__}")
    for batch in as_loader(x, None, batch_size, dtype=dtype):
        parts = batch if isinstance(batch, list | tuple) else [batch]
        parts = parts[:-1] if len(parts) > 1 else parts
        rows = _number_of(parts)
        yield [_input(part, rows, f"input {i}") for i, part in enumerate(parts)]


def join(parts: list[Any]) -> Any:
    """Outputs of batches, one after the other; tuples of outputs member by member.

    >>> join([(rg.ones(1), rg.zeros(1)), (rg.ones(1), rg.zeros(1))])
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    if isinstance(parts[0], tuple | list):
        return tuple(join(list(members)) for members in zip(*parts, strict=True))
    if not isinstance(parts[0], rg.Tensor):
        raise TypeError(
            f"a model's output is a tensor or a tuple of them, got {type_name(parts[0])}"
        )
    return rg.cat([part.to("cpu") for part in parts])


def split_batch(batch: Any, device: Any, where: str) -> tuple[list[rg.Tensor], Any, int]:
    """The model's inputs, the target (a list where samples have several) and their number."""
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise TypeError(
            f"{where}: a batch is (inputs..., target), got {type(batch).__name__}; "
            "return that from the dataset or from collate_fn"
        )
    rows = _number_of(batch)
    inputs = [_input(part, rows, f"{where}: field {i}") for i, part in enumerate(batch[:-1])]
    several = _is_several(batch[-1], rows)
    targets = [as_tensor(t, f"{where}: target") for t in (batch[-1] if several else batch[-1:])]
    sizes = [part.shape[0] if part.ndim else 0 for part in (*inputs, *targets)]
    if len(set(sizes)) > 1:
        raise ValueError(f"{where}: the fields differ in their number of samples: {sizes}")
    if sizes[0] == 0:
        raise ValueError(f"{where} has 0 samples")
    inputs, targets = ([part.to(device) for part in parts] for parts in (inputs, targets))
    return inputs, targets if several else targets[0], sizes[0]


def _number_of(batch: Sequence[Any]) -> int:
    """The samples of a batch, by its first field that is no list of arrays if there is one."""
    try:
        return len(next((field for field in batch if not _is_arrays(field)), batch[0]))
    except TypeError:  # one number, which is refused by its name
        return 0


def _is_arrays(field: Any) -> bool:
    return isinstance(field, list | tuple) and bool(field) and all(map(_is_array, field))


def _is_several(field: Any, rows: int) -> bool:
    """Whether collating made several fields of one, as of the target in (x, (y1, y2)).

    As many arrays as there are samples are one field, unless each has a row for every sample.
    """
    if not _is_arrays(field):
        return False
    return len(field) != rows or all(part.ndim and part.shape[0] == rows for part in field)


def _input(field: Any, rows: int, name: str) -> rg.Tensor:
    if _is_several(field, rows):
        raise TypeError(
            f"{name} is {len(field)} tensors: give a model of several inputs samples of "
            "(x1, x2, target), or stack them in collate_fn"
        )
    return as_tensor(field, name)


def explain_non_finite(model: Any, inputs: Sequence[rg.Tensor], output: Any, target: Any) -> str:
    """Where the first value that is not finite stands."""
    targets = target if isinstance(target, list) else [target]
    data = [(f"input {i}", x) for i, x in enumerate(inputs)] + [("target", t) for t in targets]
    for name, values in data:
        row = _bad_row(values)
        if row is not None:
            return f"{name} is not finite in sample {row} of the batch: clean the data"
    for name, values in model.named_parameters():
        if _bad_row(values.detach()) is not None:
            return (
                f"parameter {name} is no longer finite: an earlier step was too large; lower "
                "the learning rate or pass clip_norm=1.0"
            )
    outputs = output if isinstance(output, tuple | list) else [output]
    bad = [_bad_row(out.detach()) for out in outputs if isinstance(out, rg.Tensor)]
    row = next((row for row in bad if row is not None), None)
    if row is not None:
        return (
            f"the model's output is not finite in sample {row} of the batch, though its "
            "inputs and parameters are: scale the inputs or look for log, division or exp"
        )
    return (
        "inputs, parameters and outputs are finite: the loss function itself overflowed or divided "
        "by zero"
    )


def _bad_row(values: rg.Tensor) -> int | None:
    if not values.is_floating_point():
        return None
    bad = ~rg.isfinite(values.to("cpu"))
    if not bool(bad.any()):
        return None
    return 0 if bad.ndim == 0 else bad.reshape(bad.shape[0], -1).any(1).tolist().index(True)
