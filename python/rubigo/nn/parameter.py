"""The tensor type that modules recognise as trainable."""

from typing import Any

from rubigo._core import Tensor


class Parameter(Tensor):
    """A tensor that becomes a parameter when it is assigned to an attribute of a `Module`.

    It shares storage with ``data``; operations on it give plain tensors.

    Args:
        data: The values.
        requires_grad: Whether `backward()` fills ``grad``.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.ones(2))
        >>> (p * 3.0).sum().backward()
        >>> p.grad.tolist()
        [3.0, 3.0]
    """

    def __new__(cls, data: Tensor, requires_grad: bool = True) -> "Parameter":
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: expected a Tensor, got {type(data).__name__}")
        self = super().__new__(cls, data)
        self.requires_grad_(requires_grad)
        return self

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        # All is done in __new__; this keeps `requires_grad` out of the native initialiser.
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameter":
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.detach(), self.requires_grad)
