"""The CPU: instruction set, threads, memory."""

from typing import Any

from rubigo import _core
from rubigo._core import get_num_threads as get_num_threads, set_num_threads as set_num_threads


def features() -> dict[str, Any]:
    """What kernels use on this machine.

    >>> import rubigo as rg
    >>> sorted(rg.cpu.features())
    ['available', 'isa', 'threads']
    """
    return {
        "isa": _core.cpu_isa(),
        "available": _core.cpu_isas(),
        "threads": _core.get_num_threads(),
    }


def memory_stats() -> dict[str, int]:
    """Bytes in use, at most in use, kept for reuse, and the limits; of all CPU tensors."""
    return _core.cpu_memory_stats()


def reset_peak_memory_stats() -> None:
    """Makes the present use the new peak."""
    _core.cpu_reset_peak()


def empty_cache() -> None:
    """Gives memory that was kept for reuse back to the system."""
    _core.cpu_empty_cache()
