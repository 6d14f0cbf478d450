"""Fully connected layers and reshaping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rubigo as rg
from rubigo import _core, functional as F
from rubigo._core import Tensor

from . import init
from .module import Layer, Module
from .parameter import Parameter
from .trace import dtype_error, shape_error


def check_sizes(name: str, **sizes: Any) -> None:
    """Refuses sizes that are not whole numbers above zero."""
    for key, value in sizes.items():
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name}: {key} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{name}: {key} must be at least 1, got {value}")


class Identity(Layer):
    """Returns its input; takes and ignores any arguments.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Identity(54, unused=True)(rg.tensor([1.0])).tolist()
        [1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Layer):
    """``y = x W^T + b``.

    Input ``(*, in_features)``, output ``(*, out_features)``. Weight and bias start uniform in
    ``(-k, k)`` with ``k = 1 / sqrt(in_features)``.

    Args:
        in_features: Size of the last input dimension.
        out_features: Size of the last output dimension.
        bias: Whether to add ``b``.
        device: Where the parameters live.
        dtype: Their type.

    Example:
        >>> import rubigo as rg
        >>> layer = rg.nn.Linear(3, 2)
        >>> tuple(layer(rg.ones(5, 3)).shape)
        (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(rg.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(rg.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new starting values."""
        init.uniform_fan_in_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        try:
            return _core.linear(input, self.weight, self.bias)
        except RuntimeError as error:
            raise self._explained(input, error) from None

    def _explained(self, input: Tensor, error: Exception) -> Exception:
        shape, n = tuple(input.shape), self.in_features
        if shape and shape[-1] == n:
            return dtype_error(input, self.weight) or error
        hint = f"make it Linear({shape[-1] if shape else 1}, {self.out_features}), or reshape"
        if len(shape) > 2 and math.prod(shape[1:]) == n:
            hint = "flatten the input first: x.flatten(1), or nn.Flatten() before this layer"
        elif len(shape) == 4:
            hint = f"put nn.Flatten() before it, and make it Linear({math.prod(shape[1:])}, "
            hint += f"{self.out_features})"
        elif len(shape) > 1 and n in shape[:-1]:
            hint = f"the input looks transposed: x.transpose({shape.index(n)}, -1)"
        return shape_error(
            f"expected input with {n} features in the last dimension, got shape {shape}", hint
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``y_k = x1^T W_k x2 + b_k``.

    Inputs ``(*, in1_features)`` and ``(*, in2_features)``, output ``(*, out_features)``.

    Args:
        in1_features: Size of the first input's last dimension.
        in2_features: Size of the second's.
        out_features: Size of the output's.
        bias: Whether to add ``b``.
        device: Where the parameters live.
        dtype: Their type.

    Example:
        >>> import rubigo as rg
        >>> layer = rg.nn.Bilinear(3, 4, 2)
        >>> tuple(layer(rg.ones(5, 3), rg.ones(5, 4)).shape)
        (5, 2)
    """

    if TYPE_CHECKING:

        def __call__(self, input1: Tensor, input2: Tensor) -> Tensor: ...

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Bilinear", in1_features=in1_features, in2_features=in2_features)
        check_sizes("Bilinear", out_features=out_features)
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(rg.empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(rg.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new starting values."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Flatten(Layer):
    """Joins the dimensions ``start_dim`` to ``end_dim`` into one.

    Args:
        start_dim: The first of them.
        end_dim: The last of them.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.Flatten()(rg.ones(2, 3, 4)).shape)
        (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Layer):
    """Splits dimension ``dim`` into ``unflattened_size``; one size may be -1.

    Args:
        dim: The dimension, may count from the end.
        unflattened_size: The sizes it is split into.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.Unflatten(1, (3, 4))(rg.ones(2, 12)).shape)
        (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size: tuple[int, ...] = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        shape = tuple(input.shape)
        if not -len(shape) <= self.dim < len(shape):
            raise IndexError(f"dimension {self.dim} is out of range for shape {shape}")
        dim = self.dim % len(shape)
        return input.reshape(*shape[:dim], *self.unflattened_size, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class PixelShuffle(Layer):
    """``(*, C r^2, H, W)`` to ``(*, C, H r, W r)``.

    Args:
        upscale_factor: ``r``.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.PixelShuffle(2)(rg.ones(1, 4, 3, 3)).shape)
        (1, 1, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Layer):
    """``(*, C, H r, W r)`` to ``(*, C r^2, H, W)``; undoes `PixelShuffle`.

    Args:
        downscale_factor: ``r``.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.PixelUnshuffle(2)(rg.ones(1, 1, 6, 6)).shape)
        (1, 4, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class CosineSimilarity(Module):
    """The cosine between two tensors along ``dim``.

    Args:
        dim: The dimension of the vectors.
        eps: The smallest norm.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[1.0, 0.0]])
        >>> rg.nn.CosineSimilarity()(x, x).tolist()
        [1.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """``||x1 - x2 + eps||_p`` over the last dimension.

    Args:
        p: Order of the norm.
        eps: Added to the differences.
        keepdim: Keep the last dimension, of size 1.

    Example:
        >>> import rubigo as rg
        >>> round(rg.nn.PairwiseDistance()(rg.zeros(1, 4), rg.ones(1, 4)).item(), 3)
        2.0
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
