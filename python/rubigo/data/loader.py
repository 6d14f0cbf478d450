"""The loader: batches of a dataset, loaded ahead by threads, always in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

import rubigo as rg

from .collate import default_collate
from .dataset import fetch
from .sampler import BatchSampler, RandomSampler, SequentialSampler

if TYPE_CHECKING:
    from concurrent.futures import Future

# A wait is cut into slices so that Ctrl-C is seen on systems where a lock cannot be interrupted.
_SLICE_SECONDS = 0.1


class DataLoader:
    """Iterates over a dataset in batches.

    The order depends on the sampler alone, never on the number of workers. Epoch e of a
    shuffled loader depends only on the loader's seed, drawn when it is made, and on e.

    Args:
        dataset: anything with `len()` and `[index]`; see `Dataset.batch` for the fast path.
        batch_size: samples per batch; None yields single samples, not collated.
        shuffle: visit the samples in a new random order in each epoch.
        sampler: an iterable of indices in place of `shuffle`.
        batch_sampler: an iterable of lists of indices in place of batch_size, shuffle, sampler
            and drop_last.
        num_workers: threads that load ahead; 0 loads in the caller's thread. A thread gains
            where `__getitem__` waits or runs code that releases the interpreter lock.
        collate_fn: makes a batch of a list of samples; `default_collate` when absent.
        drop_last: leave out a last, smaller batch.
        timeout: seconds to wait for a batch of the workers; 0 waits for ever.
        generator: where the seed of `shuffle` comes from, read once.
        prefetch_factor: batches loaded ahead per worker; 2 by default.

    >>> loader = DataLoader(range(5), batch_size=2)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        timeout: float = 0,
        generator: rg.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
    ):
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError(
                f"DataLoader needs a dataset with len() and [index], got {type(dataset).__name__}"
            )
        if num_workers < 0 or timeout < 0:
            raise ValueError("num_workers and timeout must not be negative")
        if prefetch_factor is not None and (num_workers == 0 or prefetch_factor < 1):
            raise ValueError("prefetch_factor is a positive number that needs num_workers >= 1")
        if sampler is not None and shuffle:
            raise ValueError("a sampler decides the order itself: leave out shuffle")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("drop_last needs a batch_size")
        self.dataset = dataset
        self.num_workers = num_workers
        self.timeout = timeout
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self.collate_fn: Callable[[list[Any]], Any] = (
            default_collate if collate_fn is None else collate_fn
        )
        if batch_sampler is None and sampler is None:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else (SequentialSampler(dataset))
            )
        if sampler is not None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def set_epoch(self, epoch: int) -> None:
        """The next pass has the order of `epoch`, where the sampler knows epochs."""
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        if hasattr(order, "set_epoch"):
            order.set_epoch(epoch)

    def __len__(self) -> int:
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)

    def __iter__(self) -> Iterator[Any]:
        if self.batch_sampler is None:
            jobs: Iterable[Any] = ((index,) for index in self.sampler or ())
            collate: Callable[[list[Any]], Any] = _only
        else:
            jobs, collate = self.batch_sampler, self.collate_fn
        if self.num_workers == 0:
            return (fetch(self.dataset, indices, collate) for indices in jobs)
        return self._threaded(iter(jobs), collate)

    def _threaded(
        self, jobs: Iterator[list[int]], collate: Callable[[list[Any]], Any]
    ) -> Iterator[Any]:
        """Results in the order of the jobs, with a bounded number of them under way.

        The threads end with this generator: after the last batch, an error, or `close()`, which
        Python calls when a loop is left by `break` or Ctrl-C.
        """
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="rubigo-loader")
        pending: deque[Future[Any]] = deque()

        def submit(count: int) -> None:
            for indices in islice(jobs, count):
                pending.append(pool.submit(fetch, self.dataset, indices, collate))

        stuck = False
        try:
            submit(self.num_workers * self.prefetch_factor)
            number = 0
            while pending:
                future = pending.popleft()
                stuck = not _wait(future, self.timeout)
                if stuck:
                    raise RuntimeError(
                        f"DataLoader timed out: batch {number} took over {self.timeout} seconds"
                    )
                batch = future.result()
                submit(1)
                yield batch
                number += 1
        finally:
            # A sample that hangs cannot be cancelled: only then the threads are not waited for.
            pool.shutdown(wait=not stuck, cancel_futures=True)


def _only(samples: list[Any]) -> Any:
    return samples[0]


def _wait(future: Future[Any], timeout: float) -> bool:
    """Whether the future was done before the timeout (0: no timeout)."""
    deadline = monotonic() + timeout
    while timeout == 0 or monotonic() < deadline:
        try:
            future.exception(_SLICE_SECONDS)
        except TimeoutError:
            continue
        return True
    return future.done()
