"""From a list of samples to one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rubigo as rg


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks samples along a new first dimension, field by field.

    Tensors and numpy arrays of one shape are stacked; ints become int64, floats float64 and
    bools bool tensors; strings and bytes stay lists; mappings, named tuples and sequences are
    collated member by member.

    Args:
        batch: the samples, all of the same structure.

    >>> import rubigo as rg
    >>> x, y = default_collate([(rg.tensor([1.0, 2.0]), 0), (rg.tensor([3.0, 4.0]), 1)])
    >>> tuple(x.shape), y.tolist()
    ((2, 2), [0, 1])
    """
    if len(batch) == 0:
        raise ValueError("cannot collate a batch of 0 samples")
    first = batch[0]
    if isinstance(first, rg.Tensor):
        _check_shapes(batch)
        return rg.stack(list(batch))
    if type(first).__module__ == "numpy":
        return _from_numpy(batch)
    if isinstance(first, bool | int):
        return rg.tensor(list(batch))
    if isinstance(first, float):
        return rg.tensor(list(batch), dtype=rg.float64)
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([_member(s, key, i) for i, s in enumerate(batch)])
                for key in first}  # fmt: skip
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) > 1:
            raise ValueError(f"samples differ in their number of fields: {sorted(lengths)}")
        fields = [default_collate(field) for field in zip(*batch, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else fields
    raise TypeError(
        f"cannot collate samples of type {type(first).__name__}: "
        "return tensors, arrays, numbers, strings, or dicts or tuples of them, "
        "or pass your own collate_fn"
    )


def _member(sample: Mapping[Any, Any], key: Any, position: int) -> Any:
    try:
        return sample[key]
    except KeyError:
        raise KeyError(f"sample {position} of the batch has no field {key!r}") from None


def _check_shapes(batch: Sequence[Any]) -> None:
    expected = tuple(batch[0].shape)
    for position, sample in enumerate(batch):
        if tuple(sample.shape) != expected:
            raise ValueError(
                f"sample {position} of the batch has shape {tuple(sample.shape)}, the first "
                f"has {expected}: pad or crop them, or pass your own collate_fn"
            )


def _from_numpy(batch: Sequence[Any]) -> rg.Tensor:
    import numpy as np

    _check_shapes(batch)
    return rg.from_numpy(np.stack([np.asarray(sample) for sample in batch]))
