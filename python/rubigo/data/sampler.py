"""Samplers: in which order a loader visits a dataset."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import isfinite, log
from numbers import Integral
from typing import Any, Generic, TypeVar

import rubigo as rg


def mix_seed(seed: int, step: int) -> int:
    """A 63-bit seed for `step` of the run `seed`, by two rounds of splitmix64.

    Reference: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.

    >>> mix_seed(0, 1) != mix_seed(1, 0)
    True
    """
    value = seed
    for word in (0, step):
        value = (value + word + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1


def draw_seed(generator: rg.Generator | None) -> int:
    """A seed from a generator, the default one where None."""
    return int(rg.randint(0, 2**62, (1,), generator=generator).item())


def _positive(number: Any, name: str) -> int:
    # numpy's integers are none of Python's int, but they count as well.
    if isinstance(number, bool) or not isinstance(number, Integral) or number <= 0:
        raise ValueError(f"{name} must be a positive integer, got {number!r}")
    return int(number)


Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """An iterable of indices with a length.

    >>> class Backwards(Sampler[int]):
    ...     def __init__(self, data):
    ...         self.data = data
    ...     def __iter__(self):
    ...         return iter(range(len(self.data) - 1, -1, -1))
    ...     def __len__(self):
    ...         return len(self.data)
    >>> list(Backwards("abc"))
    [2, 1, 0]
    """

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... in order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class SeededSampler(Sampler[int]):
    """A random sampler whose epoch e depends on its seed and e alone.

    The seed is drawn once, when the sampler is made; nothing that runs between two epochs
    can change their order, and `set_epoch` returns to any of them.
    """

    def __init__(self, generator: rg.Generator | None):
        self.generator = generator
        self.seed = draw_seed(generator)
        self.epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of `epoch`."""
        self.epoch = epoch

    def reseed(self, seed: int) -> None:
        """Takes this seed in place of one that came from the default generator."""
        if self.generator is None:
            self.seed = seed

    def _next_generator(self) -> rg.Generator:
        generator = rg.Generator()
        generator.manual_seed(mix_seed(self.seed, self.epoch))
        self.epoch += 1
        return generator


class RandomSampler(SeededSampler):
    """A new permutation of the indices in each epoch, or draws with replacement.

    Args:
        data_source: anything with a length.
        replacement: draw each index independently.
        num_samples: how many indices an epoch has; all of them by default.
        generator: where the sampler's seed comes from, read once.

    >>> sampler = RandomSampler(range(5), generator=rg.Generator().manual_seed(0))
    >>> sorted(sampler)
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: rg.Generator | None = None,
    ):
        if num_samples is not None:
            num_samples = _positive(num_samples, "num_samples")
        super().__init__(generator)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples

    def __iter__(self) -> Iterator[int]:
        size, generator = len(self.data_source), self._next_generator()
        if size == 0:
            return
        if self.replacement:
            yield from rg.randint(0, size, (len(self),), generator=generator).tolist()
            return
        left = len(self)
        while left > 0:
            yield from rg.randperm(size, generator=generator).tolist()[:left]
            left -= size

    def __len__(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples


class SubsetRandomSampler(SeededSampler):
    """The given indices in a new random order in each epoch.

    Args:
        indices: what to visit.
        generator: where the sampler's seed comes from, read once.

    >>> sorted(SubsetRandomSampler([5, 3, 8]))
    [3, 5, 8]
    """

    def __init__(self, indices: Sequence[int], generator: rg.Generator | None = None):
        super().__init__(generator)
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        generator = self._next_generator()
        for position in rg.randperm(len(self.indices), generator=generator).tolist():
            yield self.indices[position]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(SeededSampler):
    """Index i with probability proportional to `weights[i]`.

    Without replacement the indices are those with the largest log(u_i) / w_i.

    Args:
        weights: one finite, non-negative number per sample.
        num_samples: how many indices an epoch has.
        replacement: draw each index independently.
        generator: where the sampler's seed comes from, read once.

    Reference: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.

    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float] | rg.Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: rg.Generator | None = None,
    ):
        given: Any = weights
        values = given.tolist() if hasattr(given, "tolist") else given
        self.weights: list[float] = [float(weight) for weight in values]
        for index, weight in enumerate(self.weights):
            if not (isfinite(weight) and weight >= 0):
                raise ValueError(f"weight {index} is {weight}: weights are finite and >= 0")
        self.num_samples: int = _positive(num_samples, "num_samples")
        usable = sum(weight > 0 for weight in self.weights)
        if usable == 0:
            raise RuntimeError("no sample can be drawn: the sum of the weights is 0")
        if not replacement and num_samples > usable:
            raise ValueError(
                f"cannot draw {num_samples} different samples from {usable} positive weights: "
                "pass replacement=True"
            )
        super().__init__(generator)
        self.replacement = replacement

    def __iter__(self) -> Iterator[int]:
        generator = self._next_generator()
        count = self.num_samples if self.replacement else len(self.weights)
        uniform = rg.rand(count, generator=generator, dtype=rg.float64).tolist()
        if self.replacement:
            ends = list(accumulate(self.weights))
            # The last positive weight bounds the search, whatever rounding did to the total.
            last = max(i for i, weight in enumerate(self.weights) if weight > 0)
            yield from (min(bisect_right(ends, u * ends[-1]), last) for u in uniform)
            return
        keys = [
            (log(u or 5e-324) / weight, index)
            for index, (u, weight) in enumerate(zip(uniform, self.weights, strict=True))
            if weight > 0
        ]
        keys.sort(reverse=True)
        yield from (index for _, index in keys[: self.num_samples])

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups of `batch_size` consecutive indices of another sampler.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        self.sampler = sampler
        self.batch_size: int = _positive(batch_size, "batch_size")
        self.drop_last = drop_last

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of `epoch`, where the sampler below knows epochs."""
        sampler: Any = self.sampler
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)

    def reseed(self, seed: int) -> None:
        """Hands this seed on to the sampler below, where that takes one."""
        sampler: Any = self.sampler
        if hasattr(sampler, "reseed"):
            sampler.reseed(seed)

    def __iter__(self) -> Iterator[list[int]]:
        group: list[int] = []
        for index in self.sampler:
            group.append(index)
            if len(group) == self.batch_size:
                yield group
                group = []
        if group and not self.drop_last:
            yield group

    def __len__(self) -> int:
        sampler: Any = self.sampler
        size = len(sampler)
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)
