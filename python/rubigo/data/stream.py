"""Random numbers for samples that are loaded by several threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rubigo import _core


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """Within it, this thread draws from a default generator of its own, seeded with `seed`."""
    outer = _core.swap_thread_generator(_core.Generator().manual_seed(seed))
    try:
        yield
    finally:
        _core.swap_thread_generator(outer)
