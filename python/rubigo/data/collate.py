"""From a list of samples to one batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import rubigo as rg
from rubigo._arguments import type_name


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks samples along a new first dimension, field by field.

    Tensors and arrays of one shape, of other libraries too, are stacked; ints become int64,
    floats float64 and bools bool tensors; strings and bytes stay as they are; mappings, named
    tuples and sequences are collated member by member, and a tuple's members come as a list.

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
    if _is_numeric_array(first):
        return _from_numpy(batch)
    if _is_foreign_tensor(first):
        return default_collate([rg.from_dlpack(sample) for sample in batch])
    if isinstance(first, bool | int):
        return rg.tensor(list(batch))
    if isinstance(first, float):
        return rg.tensor(list(batch), dtype=rg.float64)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        fields = {
            key: default_collate([_member(s, key, i) for i, s in enumerate(batch)]) for key in first
        }
        return _mapping_like(first, fields)
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) > 1:
            raise ValueError(f"samples differ in their number of fields: {sorted(lengths)}")
        return _sequence_like(first, [default_collate(f) for f in zip(*batch, strict=True)])
    raise TypeError(
        f"cannot collate samples of type {type_name(first)}: "
        "return tensors, arrays, numbers, strings, or dicts or tuples of them, "
        "or pass your own collate_fn"
    )


def default_convert(data: Any) -> Any:
    """Turns arrays, and other libraries' tensors, in one sample into tensors; leaves all else.

    A loader with `batch_size=None` applies it to each sample.

    >>> import numpy as np
    >>> default_convert({"x": np.ones(2, "float32"), "name": "a"})
    {'x': tensor([1., 1.]), 'name': 'a'}
    """
    if _is_numeric_array(data):
        return rg.as_tensor(data)
    if _is_foreign_tensor(data):
        return rg.from_dlpack(data)
    if isinstance(data, Mapping):
        return _mapping_like(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _sequence_like(data, [default_convert(member) for member in data])
    return data


def _is_numeric_array(value: Any) -> bool:
    return type(value).__module__ == "numpy" and value.dtype.kind in "biuf"


def _is_foreign_tensor(value: Any) -> bool:
    ours = isinstance(value, rg.Tensor) or type(value).__module__ == "numpy"
    return hasattr(value, "__dlpack__") and not ours


def _mapping_like(first: Mapping[Any, Any], fields: dict[Any, Any]) -> Any:
    """The fields in a mapping of the type of `first` (ordered, with defaults, ...)."""
    if type(first) is dict:
        return fields
    if isinstance(first, MutableMapping):
        clone = copy.copy(first)
        clone.update(fields)
        return clone
    return _made(type(first), fields)


def _sequence_like(first: Sequence[Any], members: list[Any]) -> Any:
    """The members in a sequence of the type of `first`, and a list for a tuple."""
    if hasattr(first, "_fields"):
        return type(first)(*members)
    return members if isinstance(first, tuple | list) else _made(type(first), members)


def _made(kind: Callable[[Any], Any], content: Any) -> Any:
    try:
        return kind(content)
    except TypeError:
        # A class whose constructor wants something else; PyTorch falls back to the same.
        return content


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
