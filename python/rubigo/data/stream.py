"""Random numbers for samples that are loaded by several threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import rubigo as rg
from rubigo._core import default_generator

_here = threading.local()


def sample_generator() -> rg.Generator:
    """The generator of the batch that this thread is loading, for use in `__getitem__`.

    Its stream depends on the loader's seed, the epoch and the number of the batch, whatever the
    number of workers. Outside of a loader it is the default generator, which all threads share:
    draws from that one in workers come in no fixed order.

    >>> import rubigo as rg
    >>> class Noisy(rg.data.Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index + rg.rand((), generator=sample_generator())
    >>> def epoch(workers):
    ...     seed = rg.Generator().manual_seed(3)
    ...     loader = rg.data.DataLoader(Noisy(), 2, num_workers=workers, generator=seed)
    ...     return [batch.tolist() for batch in loader]
    >>> epoch(0) == epoch(2)
    True
    """
    return getattr(_here, "generator", default_generator)


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """Within it, `sample_generator` of this thread is a new one."""
    outer = sample_generator()
    _here.generator = rg.Generator().manual_seed(seed)
    try:
        yield
    finally:
        _here.generator = outer
