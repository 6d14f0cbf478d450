"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rubigo as rg
from rubigo import functional as F
from rubigo._core import Tensor

from . import init
from .linear import check_sizes
from .module import Layer
from .parameter import Parameter
from .trace import shape_error


class Affine(Layer):
    """A layer with an optional scale and shift."""

    def _make_affine(self, shape: Any, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            value = Parameter(rg.empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, value)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if getattr(self, "bias", None) is not None:
            init.zeros_(self.bias)


class GroupNorm(Affine):
    """Normalises each sample over groups of channels.

    Input and output ``(N, C, *)``.

    Args:
        num_groups: Into how many groups the channels are split.
        num_channels: The channels ``C``.
        eps: Added to the variance.
        affine: Learn a scale and a shift per channel.
        device: Where the parameters live.
        dtype: Their type.
        bias: Whether there is a shift too.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.GroupNorm(2, 4, eps=0.0)(rg.tensor([[1.0, 3.0, 5.0, 9.0]])).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    Reference: Wu and He 2018, https://arxiv.org/abs/1803.08494
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels ({num_channels}) must be divisible by "
                f"num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make_affine(num_channels, affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() < 2 or input.shape[1] != self.num_channels:
            raise shape_error(
                f"expected input with {self.num_channels} channels in dimension 1, "
                f"got shape {tuple(input.shape)}"
            )
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{text}, bias={self.bias is not None}"


class _LastDims(Affine):
    """Normalises over the last dimensions: layer and RMS norm."""

    def _set_shape(self, normalized_shape: int | Sequence[int]) -> None:
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape: tuple[int, ...] = tuple(normalized_shape)
        if not self.normalized_shape:
            raise ValueError(f"{type(self).__name__}: normalized_shape must not be empty")
        for size in self.normalized_shape:
            check_sizes(type(self).__name__, normalized_shape=size)

    def _check(self, input: Tensor) -> None:
        wanted = self.normalized_shape
        if tuple(input.shape[-len(wanted) :]) != wanted:
            raise shape_error(
                f"expected input whose last dimensions are {wanted}, "
                f"got shape {tuple(input.shape)}",
                self._hint(tuple(input.shape)),
            )

    def _hint(self, shape: tuple[int, ...]) -> str:
        count = len(self.normalized_shape)
        if count == 1 and self.normalized_shape[0] in shape:
            where = shape.index(self.normalized_shape[0])
            return f"the features look not last: x.movedim({where}, -1)"
        last = shape[-count:]
        return f"make it {type(self).__name__}({last[0] if len(last) == 1 else last})"


class LayerNorm(_LastDims):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions of each sample.

    Input and output ``(*, normalized_shape)``.

    Args:
        normalized_shape: The sizes of the last dimensions.
        eps: Added to the variance.
        elementwise_affine: Learn ``weight`` and ``bias``.
        bias: Whether there is a ``bias`` then.
        device: Where the parameters live.
        dtype: Their type.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.LayerNorm(2, eps=0.0)(rg.tensor([[1.0, 3.0]])).tolist()
        [[-1.0, 1.0]]

    Reference: Ba et al. 2016, https://arxiv.org/abs/1607.06450
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        with_bias = elementwise_affine and bias
        self._make_affine(self.normalized_shape, elementwise_affine, with_bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}"
        text += f", elementwise_affine={self.elementwise_affine}"
        return f"{text}, bias={self.bias is not None}"


class RMSNorm(_LastDims):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions.

    Input and output ``(*, normalized_shape)``.

    Args:
        normalized_shape: The sizes of the last dimensions.
        eps: Added to the mean square; None is the spacing of the dtype at 1,
            and float32's for half types.
        elementwise_affine: Learn ``weight``.
        device: Where it lives.
        dtype: Its type.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.RMSNorm(2, eps=0.0)(rg.tensor([[2.0, -2.0]])).tolist()
        [[1.0, -1.0]]

    Reference: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter("weight", None)
        if elementwise_affine:
            self.weight = Parameter(rg.empty(self.normalized_shape, device=device, dtype=dtype))
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}"
        return f"{text}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Layer):
    """``x / (k + alpha * mean(x^2 over size neighbouring channels))^beta``.

    Args:
        size: How many channels count as neighbours.
        alpha: Factor of their mean square.
        beta: Exponent.
        k: What the mean square is added to.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.LocalResponseNorm(2, alpha=0.0)(rg.ones(1, 2, 3)).sum().item()
        6.0

    Reference: Krizhevsky et al. 2012, https://doi.org/10.1145/3065386
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
