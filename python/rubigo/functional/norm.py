"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence

from rubigo import _core
from rubigo._core import Tensor

from ._check import check_tensors

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm",
]  # fmt: skip


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel (dimension 1).

    Args:
        input: Shape ``(N, C, *)``.
        running_mean: Shape ``(C,)``; updated in place when training, used when not.
        running_var: Shape ``(C,)``; updated with the unbiased variance.
        weight: Shape ``(C,)``.
        bias: Shape ``(C,)``.
        training: Take mean and variance from this batch.
        momentum: The batch's share in the running statistics.
        eps: Added to the variance.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[1.0], [3.0]])
        >>> y = rg.nn.functional.batch_norm(x, None, None, training=True)
        >>> [round(v, 3) for v in y.flatten().tolist()]
        [-1.0, 1.0]

    Reference: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
    """
    return _core.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions.

    Args:
        input: Shape ``(*, normalized_shape)``.
        normalized_shape: The dimensions that are normalised together.
        weight: Shape ``normalized_shape``.
        bias: Shape ``normalized_shape``.
        eps: Added to the variance.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.layer_norm(rg.tensor([1.0, 3.0]), [2], eps=0.0).tolist()
        [-1.0, 1.0]

    Reference: Ba et al. 2016, https://arxiv.org/abs/1607.06450
    """
    check_tensors("layer_norm", input, optional=(weight, bias))
    return _core.layer_norm(input, tuple(normalized_shape), weight, bias, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each sample over groups of channels; ``weight`` and ``bias`` are per channel.

    Args:
        input: Shape ``(N, C, *)``.
        num_groups: Into how many groups the channels are split.
        weight: Shape ``(C,)``.
        bias: Shape ``(C,)``.
        eps: Added to the variance.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[1.0, 3.0, 5.0, 9.0]])
        >>> rg.nn.functional.group_norm(x, 2, eps=0.0).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]

    Reference: Wu and He 2018, https://arxiv.org/abs/1803.08494
    """
    return _core.group_norm(input, num_groups, weight, bias, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of each sample over its positions.

    Args:
        input: Shape ``(N, C, *)``.
        running_mean: Shape ``(C,)``; updated in place, or used without ``use_input_stats``.
        running_var: Shape ``(C,)``; likewise.
        weight: Shape ``(C,)``.
        bias: Shape ``(C,)``.
        use_input_stats: Take mean and variance from the input.
        momentum: The input's share in the running statistics.
        eps: Added to the variance.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.instance_norm(rg.tensor([[[1.0, 3.0]]]), eps=0.0).tolist()
        [[[-1.0, 1.0]]]

    Reference: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022
    """
    return _core.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions.

    Args:
        input: Shape ``(*, normalized_shape)``.
        normalized_shape: The dimensions that are normalised together.
        weight: Shape ``normalized_shape``.
        eps: Added to the mean square; None is the spacing of the dtype at 1,
            and float32's for half types.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.rms_norm(rg.tensor([2.0, -2.0]), [2], eps=0.0).tolist()
        [1.0, -1.0]

    Reference: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467
    """
    check_tensors("rms_norm", input, optional=(weight,))
    return _core.rms_norm(input, tuple(normalized_shape), weight, eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * mean(x^2 over size neighbouring channels))^beta``.

    Args:
        input: Shape ``(N, C, *)``, with 3 or more dimensions.
        size: How many channels count as neighbours.
        alpha: Factor of their mean square.
        beta: Exponent.
        k: What the mean square is added to.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.local_response_norm(rg.ones(1, 2, 3), 2, alpha=0.0).sum().item()
        6.0
    """
    check_tensors("local_response_norm", input)
    if input.dim() < 3:
        raise ValueError(f"local_response_norm: expected 3 or more dimensions, got {input.dim()}")
    square = input.square()
    # (N, C, L) to (N, 1, C, L): the window runs over channels only.
    flat = square.flatten(2).unsqueeze(1)
    padded = _core.pad(flat, [0, 0, size // 2, (size - 1) // 2])
    mean = _core.avg_pool2d(padded, (size, 1), (1, 1), (0, 0), False, True, None)
    return input / (mean.squeeze(1).reshape(input.shape) * alpha + k).pow(beta)
