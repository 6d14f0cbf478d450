"""PyTorch's places for what rubigo keeps elsewhere."""

from . import data

__all__ = ["data"]
