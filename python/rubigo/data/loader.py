"""The loader: batches of a dataset, loaded ahead by threads, always in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Self

import rubigo as rg

from .collate import default_collate, default_convert
from .convert import whole
from .dataset import Sample, rows_at, sample_at, samples_at
from .sampler import (
    BatchSampler,
    RandomSampler,
    SeededSampler,
    SequentialSampler,
    draw_seed,
    mix_seed,
)
from .stream import own_stream

if TYPE_CHECKING:
    from concurrent.futures import Future

# A wait is cut into slices so that Ctrl-C is seen on systems where a lock cannot be interrupted.
_SLICE_SECONDS = 0.1

# What goes into making a loader: to set it later would change half of it.
_FIXED = ("batch_sampler", "batch_size", "dataset", "drop_last", "persistent_workers", "sampler")


class DataLoader(Generic[Sample]):
    """Iterates over a dataset in batches.

    The order depends on the sampler alone, never on the number of workers. Epoch e depends only
    on the loader's seed, drawn when it is made, and on e: so does the order of a shuffled
    loader, and so do the random numbers that `__getitem__` draws.

    Args:
        dataset: anything with `len()` and `[index]`; `__getitems__` is used where it has one.
        batch_size: samples per batch; None yields single samples.
        shuffle: visit the samples in a new random order in each epoch.
        sampler: an iterable of indices in place of `shuffle`.
        batch_sampler: an iterable of lists of indices in place of batch_size, shuffle, sampler
            and drop_last.
        num_workers: threads that load ahead; 0 loads in the caller's thread. A thread gains
            where `__getitem__` waits or runs code that releases the interpreter lock.
        collate_fn: makes a batch of a list of samples, `default_collate` when absent; without a
            batch size it is given each sample, and is `default_convert` when absent.
        drop_last: leave out a last, smaller batch.
        timeout: seconds to wait for a batch of the workers; 0 waits for ever.
        generator: where the loader's seed comes from, read once.
        prefetch_factor: batches loaded ahead per worker; 2 by default.
        persistent_workers: accepted; threads start quickly, so that none outlives its epoch.
        pin_memory, pin_memory_device: accepted; no memory is pinned.
        in_order: accepted; batches come in order in any case.
        worker_init_fn, multiprocessing_context: only None.

    >>> loader = DataLoader(range(5), batch_size=2)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: None = None,
        multiprocessing_context: None = None,
        generator: rg.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        if worker_init_fn is not None or multiprocessing_context is not None:
            raise ValueError(
                "the workers are threads: they take no worker_init_fn or multiprocessing_context"
            )
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers needs num_workers >= 1")
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError(
                f"DataLoader needs a dataset with len() and [index], got {type(dataset).__name__}"
            )
        num_workers = whole(num_workers, "num_workers", 0)
        if timeout < 0:
            raise ValueError(f"timeout must not be negative, got {timeout}")
        if prefetch_factor is not None:
            prefetch_factor = whole(prefetch_factor, "prefetch_factor", 1)
            if num_workers == 0:
                raise ValueError("prefetch_factor needs num_workers >= 1")
        if sampler is not None and shuffle:
            raise ValueError("a sampler decides the order itself: leave out shuffle")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ValueError("batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("drop_last needs a batch_size")
        if sampler is None:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        # One number of the generator decides about the order and about each batch.
        self._seed: int = (
            sampler.seed if isinstance(sampler, SeededSampler) else draw_seed(generator)
        )
        self._epoch = 0
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.timeout = timeout
        self.generator = generator
        self.prefetch_factor = prefetch_factor or (2 if num_workers > 0 else None)
        self.persistent_workers = persistent_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn: Callable[[Any], Any] = collate_fn
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and name in vars(self):
            raise ValueError(f"a DataLoader cannot change its {name}: make another loader")
        super().__setattr__(name, value)

    @property
    def _order(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of `epoch`, where the sampler knows epochs."""
        self._epoch = epoch
        if hasattr(self._order, "set_epoch"):
            self._order.set_epoch(epoch)

    def reseed(self, seed: int) -> None:
        """Takes this seed in place of one that came from the default generator."""
        if self.generator is None:
            self._seed = seed
        if hasattr(self._order, "reseed"):
            self._order.reseed(seed)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Pass:
        seed = mix_seed(self._seed, self._epoch)
        self._epoch += 1
        # Jobs carry their number, so that each batch has random numbers of its own.
        jobs = ((mix_seed(seed, number), job) for number, job in enumerate(self._order))
        if self.num_workers == 0:
            return Pass((self._load(*job) for job in jobs), self)
        return Pass(self._threaded(jobs), self)

    def _load(self, seed: int, job: Any) -> Any:
        """The batch (or the sample, without a batch size) of one entry of the order."""
        with own_stream(seed):
            if self.batch_sampler is None:
                return self.collate_fn(sample_at(self.dataset, job))
            if self.collate_fn is default_collate:
                rows = rows_at(self.dataset, job)
                if rows is not None:
                    return rows
            return self.collate_fn(samples_at(self.dataset, job))

    def _threaded(self, jobs: Iterator[tuple[int, Any]]) -> Generator[Any, None, None]:
        """Results in the order of the jobs, with a bounded number of them under way.

        The threads end with this generator: after the last batch, an error, or `close()`, which
        Python calls when a loop is left by `break`. After Ctrl-C or a timeout a thread may still
        finish the sample it is at.
        """
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="rubigo-loader")
        pending: deque[Future[Any]] = deque()

        def submit(count: int) -> None:
            for job in islice(jobs, count):
                pending.append(pool.submit(self._load, *job))

        stuck = False
        try:
            submit(self.num_workers * (self.prefetch_factor or 2))
            number = 0
            while pending:
                future = pending.popleft()
                stuck = True  # if the wait is interrupted, too
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
            # A sample under way cannot be cancelled, and whoever gave up on it waits no longer.
            pool.shutdown(wait=not stuck, cancel_futures=True)


class Pass:
    """One pass over a loader: its batches, and how many the whole pass has.

    >>> len(iter(DataLoader(range(5), batch_size=2)))
    3
    """

    def __init__(self, batches: Generator[Any, None, None], loader: DataLoader[Any]):
        self._batches = batches
        self._loader = loader

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def __len__(self) -> int:
        return len(self._loader)

    def close(self) -> None:
        """Ends the pass and its threads before its last batch."""
        self._batches.close()


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
