"""Datasets: anything with `len()` and `[index]`, and ways to combine them."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import floor, isclose
from numbers import Integral
from typing import Any, Generic, TypeVar

import rubigo as rg

Sample = TypeVar("Sample", covariant=True)


class Dataset(Generic[Sample]):
    """A map from an index to a sample; subclasses define `__getitem__` and `__len__`.

    A dataset that can read many samples at once may define `__getitems__(indices)`, which
    returns a list of them; the loader uses it in place of one `__getitem__` per sample.

    >>> class Squares(Dataset[int]):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index * index
    >>> (Squares() + Squares())[5]
    1
    """

    def __getitem__(self, index: Any) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


def _size(dataset: Any) -> int:
    try:
        return len(dataset)
    except TypeError:
        raise TypeError(
            f"a dataset needs a length: {type(dataset).__name__} does not define __len__"
        ) from None


def _position(index: int, size: int) -> int:
    """The index counted from the start, where negative ones count from the end."""
    index = operator.index(index)
    position = index + size if index < 0 else index
    if not 0 <= position < size:
        raise IndexError(f"index {index} is out of range for a dataset of {size} samples")
    return position


def sample_at(dataset: Any, index: Any) -> Any:
    """The sample at `index`, which errors name."""
    try:
        return dataset[index]
    except StopIteration as error:
        # Passed on as it is, it would look like the end of a pass.
        raise RuntimeError(
            f"sample {index} of {type(dataset).__name__} raised StopIteration"
        ) from error
    except Exception as error:
        error.add_note(f"raised while loading sample {index} of {type(dataset).__name__}")
        raise


def samples_at(dataset: Any, indices: Sequence[Any]) -> list[Any]:
    """The samples at `indices`, by the dataset's `__getitems__` where it has one."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples = dataset.__getitems__(list(indices))
        if len(samples) != len(indices):
            raise ValueError(
                f"{type(dataset).__name__}.__getitems__ gave {len(samples)} samples for "
                f"{len(indices)} indices"
            )
        return samples
    return [sample_at(dataset, index) for index in indices]


def rows_at(dataset: Any, indices: Sequence[int]) -> list[rg.Tensor] | None:
    """What collating the samples of a TensorDataset gives, gathered by one op per tensor.

    None for any other dataset, and for subclasses, which may give samples of their own.
    """
    if type(dataset) is Subset:
        return rows_at(dataset.dataset, [dataset.indices[i] for i in indices])
    if type(dataset) is not TensorDataset:
        return None
    rows = rg.tensor([_position(i, len(dataset)) for i in indices], dtype=rg.int64)
    return [tensor.index_select(0, rows.to(tensor.device)) for tensor in dataset.tensors]


class TensorDataset(Dataset[tuple[rg.Tensor, ...]]):
    """Rows of tensors that share their first dimension; sample i is the tuple of rows i.

    Args:
        tensors: tensors of shapes (N, ...), one per field.

    >>> import rubigo as rg
    >>> data = TensorDataset(rg.tensor([[1.0], [2.0], [3.0]]), rg.tensor([0, 1, 0]))
    >>> len(data), data[1]
    (3, (tensor([2.]), tensor(1)))
    """

    def __init__(self, *tensors: rg.Tensor):
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        for position, tensor in enumerate(tensors):
            if tensor.ndim == 0:
                raise ValueError(f"tensor {position} has no first dimension to take rows from")
        sizes = [tensor.shape[0] for tensor in tensors]
        if len(set(sizes)) > 1:
            raise ValueError(f"the tensors differ in their number of rows: {sizes}")
        self.tensors: tuple[rg.Tensor, ...] = tensors

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: Any) -> tuple[rg.Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)


class Subset(Dataset[Sample]):
    """The samples of `dataset` at `indices`, a list, a tensor or an array, in that order.

    >>> Subset("abcd", [3, 1])[0]
    'd'
    """

    def __init__(self, dataset: Any, indices: Any):
        self.dataset = dataset
        self.indices: list[Any] = _listed(indices)
        if any(isinstance(index, bool) for index in self.indices):
            raise TypeError("Subset takes indices, got a mask: pass mask.nonzero().flatten()")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        index = _listed(index) if hasattr(index, "tolist") else index
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return samples_at(self.dataset, [self.indices[i] for i in indices])


def _listed(indices: Any) -> Any:
    return indices.tolist() if hasattr(indices, "tolist") else list(indices)


class ConcatDataset(Dataset[Any]):
    """Datasets one after the other.

    >>> joined = ConcatDataset(["ab", "cde"])
    >>> len(joined), joined[2], joined[-1]
    (5, 'c', 'e')
    """

    def __init__(self, datasets: Sequence[Any]):
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        self.cumulative_sizes: list[int] = list(accumulate(_size(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        position = _position(index, len(self))
        which = bisect_right(self.cumulative_sizes, position)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][position - start]


class StackDataset(Dataset[Any]):
    """Datasets of one length side by side; a sample is the tuple (or dict) of their samples.

    >>> StackDataset("ab", [0, 1])[1]
    ('b', 1)
    >>> StackDataset(letter="ab", label=[0, 1])[1]
    {'letter': 'b', 'label': 1}
    """

    def __init__(self, *args: Any, **kwargs: Any):
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes either positional or keyword datasets")
        self.datasets: tuple[Any, ...] | dict[str, Any] = kwargs or args
        sizes = [_size(d) for d in (kwargs.values() if kwargs else args)]
        if len(set(sizes)) > 1:
            raise ValueError(f"the datasets differ in length: {sizes}")
        self._length = sizes[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, Mapping):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: rg.Generator | None = None
) -> list[Subset]:
    """Splits a dataset at random into disjoint parts.

    Args:
        dataset: anything with a length.
        lengths: the parts' sizes, which sum to the whole; or fractions, which sum to 1 (what
            rounding leaves over goes to the first parts, one sample each).
        generator: the source of the permutation; the default generator when absent.

    >>> parts = random_split(range(10), [0.75, 0.25], rg.Generator().manual_seed(0))
    >>> [len(part) for part in parts]
    [8, 2]
    """
    size = _size(dataset)
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths must not be negative, got {list(lengths)}")
    if all(isinstance(length, Integral) for length in lengths) and sum(lengths) == size:
        counts = [int(length) for length in lengths]
    elif isclose(sum(lengths), 1.0, abs_tol=1e-6):
        counts = [floor(size * fraction) for fraction in lengths]
        for extra in range(size - sum(counts)):
            counts[extra % len(counts)] += 1
    else:
        raise ValueError(
            f"lengths {list(lengths)} sum neither to the dataset's {size} samples nor to 1"
        )
    order = rg.randperm(size, generator=generator).tolist()
    ends = list(accumulate(counts))
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]
