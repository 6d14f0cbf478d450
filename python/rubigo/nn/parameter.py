"""The tensor types that modules recognise."""

from typing import Any

import rubigo as rg
from rubigo._arguments import no_tensor
from rubigo._core import Tensor


class Parameter(Tensor):
    """A tensor that becomes a parameter when it is assigned to an attribute of a `Module`.

    It shares storage with ``data``; operations on it give plain tensors.

    Args:
        data: The values; None gives an empty tensor.
        requires_grad: Whether `backward()` fills ``grad``.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.ones(2))
        >>> (p * 3.0).sum().backward()
        >>> p.grad.tolist()
        [3.0, 3.0]
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> "Parameter":
        if data is None:  # to be filled later
            data = rg.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: expected a Tensor, got {no_tensor(data)}")
        self = super().__new__(cls, data)
        self.requires_grad_(requires_grad)
        return self

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        # All is done in __new__; this keeps `requires_grad` out of the native initialiser.
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameter":
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.detach(), self.requires_grad)


class Buffer(Tensor):
    """A tensor that becomes a buffer when it is assigned to an attribute of a `Module`.

    Args:
        data: The values; None gives an empty tensor.
        persistent: Whether `Module.state_dict` contains it.

    Example:
        >>> import rubigo as rg
        >>> module = rg.nn.Module()
        >>> module.mean = rg.nn.Buffer(rg.zeros(2))
        >>> list(module.state_dict())
        ['mean']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> "Buffer":
        if data is None:
            data = rg.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Buffer: expected a Tensor, got {no_tensor(data)}")
        self = super().__new__(cls, data.detach())
        self.requires_grad_(data.requires_grad)
        self.persistent = persistent
        return self

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass  # as in `Parameter`
