"""Normalisation with statistics per channel that may be tracked: batch and instance norm."""

from __future__ import annotations

import warnings
from typing import Any

import rubigo as rg
from rubigo import functional as F
from rubigo._core import Tensor

from . import init
from .linear import check_sizes
from .norm import Affine
from .trace import shape_error


class _Running(Affine):
    """Per-channel statistics that may be tracked: batch and instance norm."""

    _dims: tuple[int, ...]
    _shape: str

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, num_features=num_features)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._make_affine(num_features, affine, affine and bias, device, dtype)
        values: list[Tensor | None] = [None, None, None]
        if track_running_stats:
            values = [
                rg.zeros(num_features, device=device, dtype=dtype),
                rg.ones(num_features, device=device, dtype=dtype),
                rg.zeros((), dtype=rg.int64, device=device),
            ]
        names = ("running_mean", "running_var", "num_batches_tracked")
        for name, value in zip(names, values, strict=True):
            self.register_buffer(name, value)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forgets what was tracked: mean 0, variance 1."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, statistics forgotten."""
        self.reset_running_stats()
        super().reset_parameters()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # PyTorch's oldest files count no batches; the count then stays what it is.
        if self.num_batches_tracked is not None:
            state_dict.setdefault(f"{prefix}num_batches_tracked", self.num_batches_tracked)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _check(self, input: Tensor, channel_dim: int) -> None:
        shape = tuple(input.shape)
        if len(shape) not in self._dims:
            family = type(self).__name__[:-2]
            raise ValueError(
                f"expected input of shape {self._shape}, got shape {shape}\n"
                f"  hint: {family}1d is for vectors and sequences, {family}2d for images"
            )
        if shape[channel_dim] != self.num_features:
            hint = f"make it {type(self).__name__}({shape[channel_dim]})"
            if shape[-1] == self.num_features:
                hint = "the channels look last: move them with x.movedim(-1, 1)"
            text = f"expected input with {self.num_features} channels, {self._shape}"
            if self._unused():
                warnings.warn(f"{text}, got shape {shape}\n  hint: {hint}", stacklevel=4)
                return
            raise shape_error(f"{text}, got shape {shape}", hint)

    def _unused(self) -> bool:
        """Whether nothing here has the size `num_features`."""
        return False

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Running):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check(input, 1)
        mean, var, momentum = self.running_mean, self.running_var, self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the plain average over all batches
                momentum = 1.0 / self.num_batches_tracked.item()
        own = self.training or mean is None
        return F.batch_norm(
            input, mean, var, self.weight, self.bias, own, momentum or 0.0, self.eps
        )


class BatchNorm1d(_BatchNorm):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel, over the batch.

    Input and output ``(N, C)`` or ``(N, C, L)``. Training uses the batch's statistics and tracks
    them; evaluation uses the tracked ones.

    Args:
        num_features: The channels ``C``.
        eps: Added to the variance.
        momentum: The newest batch's share in the tracked statistics; None averages over all.
        affine: Learn a scale and a shift per channel.
        track_running_stats: Track statistics; otherwise evaluation uses the batch's too.
        device: Where the parameters live.
        dtype: Their type.
        bias: Whether there is a shift too.

    Example:
        >>> import rubigo as rg
        >>> y = rg.nn.BatchNorm1d(1)(rg.tensor([[1.0], [3.0]]))
        >>> [round(v, 3) for v in y.flatten().tolist()]
        [-1.0, 1.0]

    Reference: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
    """

    _dims = (2, 3)
    _shape = "(batch, channels) or (batch, channels, length)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images ``(N, C, H, W)``; arguments as in `BatchNorm1d`.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.BatchNorm2d(3)(rg.ones(2, 3, 4, 4)).shape)
        (2, 3, 4, 4)

    Reference: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
    """

    _dims = (4,)
    _shape = "(batch, channels, height, width)"


class _InstanceNorm(_Running):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def _unused(self) -> bool:
        return self.weight is None and self.running_mean is None

    def forward(self, input: Tensor) -> Tensor:
        batched = input.dim() == self._dims[-1]
        self._check(input, 1 if batched else 0)
        result = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return result if batched else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample of ``(N, C, L)`` or ``(C, L)`` over its positions.

    Args:
        num_features: The channels ``C``.
        eps: Added to the variance.
        momentum: The newest batch's share in the tracked statistics.
        affine: Learn a scale and a shift per channel.
        track_running_stats: Track statistics and use them in evaluation.
        device: Where the parameters live.
        dtype: Their type.
        bias: Whether there is a shift too.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.InstanceNorm1d(1, eps=0.0)(rg.tensor([[[1.0, 3.0]]])).tolist()
        [[[-1.0, 1.0]]]

    Reference: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022
    """

    _dims = (2, 3)
    _shape = "(batch, channels, length) or (channels, length)"


class InstanceNorm2d(_InstanceNorm):
    """Normalises images ``(N, C, H, W)`` or ``(C, H, W)``; arguments as in `InstanceNorm1d`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.InstanceNorm2d(1, eps=0.0)(rg.tensor([[[[1.0, 3.0]]]])).tolist()
        [[[[-1.0, 1.0]]]]

    Reference: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022
    """

    _dims = (3, 4)
    _shape = "(batch, channels, height, width) or (channels, height, width)"
