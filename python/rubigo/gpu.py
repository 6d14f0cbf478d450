"""The GPU: which one, why not another, memory, and waiting for it."""

from typing import Any

from rubigo import _core


def is_available() -> bool:
    """Whether a GPU can be opened."""
    return _core.gpu_error() is None


def why_not() -> str | None:
    """Why no GPU can be opened; None when one can."""
    return _core.gpu_error()


def adapters() -> list[dict[str, Any]]:
    """Every adapter seen, as dicts with name, backend, driver, device_type, chosen and reason."""
    return _core.gpu_adapters()


def info() -> dict[str, Any]:
    """Name, backend, driver, type and limits of the GPU in use."""
    return _core.gpu_info()


def synchronize() -> None:
    """Waits until everything given to the GPU is done."""
    _core.gpu_synchronize()


def memory_stats() -> dict[str, int]:
    """Bytes in use, at most in use, reserved from the driver, kept for reuse, and the limit."""
    return _core.gpu_memory_stats()


def empty_cache() -> None:
    """Gives memory that was kept for reuse back to the driver."""
    _core.gpu_empty_cache()


def set_memory_limit(bytes: int | None) -> None:
    """Raises MemoryError instead of using more than this many bytes; None lifts the limit."""
    _core.gpu_set_memory_limit(bytes)
