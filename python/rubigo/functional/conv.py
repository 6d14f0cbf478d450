"""Convolutions and padding."""

from __future__ import annotations

from typing import Any

from rubigo import _core
from rubigo._core import Tensor, pad

from ._check import sized

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "pad"]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation over a sequence: ``y = b + sum_c w_c * x_c``.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        weight: Shape ``(out, C / groups, k)``.
        bias: Shape ``(out,)``.
        stride: Step of the window.
        padding: Zeros on both sides, or ``"same"`` or ``"valid"``.
        dilation: Distance between taps.
        groups: Number of independent parts of the channels.

    Returns:
        Shape ``(N, out, (L + 2 padding - dilation (k - 1) - 1) // stride + 1)``.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[[1.0, 2.0, 4.0]]])
        >>> rg.nn.functional.conv1d(x, rg.tensor([[[-1.0, 1.0]]])).tolist()
        [[[1.0, 2.0]]]
    """
    return _conv(_core.conv1d, 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation over an image; arguments as in `conv1d`, with one int or two.

    Args:
        input: Shape ``(N, C, H, W)`` or ``(C, H, W)``.
        weight: Shape ``(out, C / groups, kh, kw)``.
        bias: Shape ``(out,)``.
        stride: Step of the window.
        padding: Zeros on all sides, or ``"same"`` or ``"valid"``.
        dilation: Distance between taps.
        groups: Number of independent parts of the channels.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.conv2d(rg.ones(1, 1, 2, 2), rg.ones(1, 1, 2, 2)).tolist()
        [[[[4.0]]]]
    """
    return _conv(_core.conv2d, 2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose (gradient) of `conv1d`, with weight ``(C, out / groups, k)``.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        weight: Shape ``(C, out / groups, k)``.
        bias: Shape ``(out,)``.
        stride: Step of the window.
        padding: What is cut off on both sides.
        output_padding: What is added at the end, less than the stride or the dilation.
        groups: Number of independent parts of the channels.
        dilation: Distance between taps.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[[1.0, 2.0]]])
        >>> rg.nn.functional.conv_transpose1d(x, rg.ones(1, 1, 2), stride=2).tolist()
        [[[1.0, 1.0, 2.0, 2.0]]]
    """
    return _core.conv_transpose1d(
        input,
        weight,
        bias,
        sized(stride, 1, "stride"),
        sized(padding, 1, "padding"),
        sized(output_padding, 1, "output_padding"),
        groups,
        sized(dilation, 1, "dilation"),
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose (gradient) of `conv2d`, with weight ``(C, out / groups, kh, kw)``.

    Args:
        input: Shape ``(N, C, H, W)`` or ``(C, H, W)``.
        weight: Shape ``(C, out / groups, kh, kw)``.
        bias: Shape ``(out,)``.
        stride: Step of the window.
        padding: What is cut off on all sides.
        output_padding: What is added at the end, less than the stride or the dilation.
        groups: Number of independent parts of the channels.
        dilation: Distance between taps.

    Example:
        >>> import rubigo as rg
        >>> x, w = rg.ones(1, 1, 3, 3), rg.ones(1, 2, 2, 2)
        >>> tuple(rg.nn.functional.conv_transpose2d(x, w, stride=2).shape)
        (1, 2, 6, 6)
    """
    return _core.conv_transpose2d(
        input,
        weight,
        bias,
        sized(stride, 2, "stride"),
        sized(padding, 2, "padding"),
        sized(output_padding, 2, "output_padding"),
        groups,
        sized(dilation, 2, "dilation"),
    )


def same_padding(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """What ``padding="same"`` puts before and after each dimension; the odd one goes after."""
    if any(s != 1 for s in stride):
        raise ValueError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(t // 2, t - t // 2) for t in totals]


def _conv(
    op: Any, n: int, input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> Tensor:  # fmt: skip
    stride, dilation = sized(stride, n, "stride"), sized(dilation, n, "dilation")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"padding must be ints, 'same' or 'valid', got {padding!r}")
        sides = [(0, 0)] * n
        if padding == "same":
            sides = same_padding(tuple(weight.shape[2:]), stride, dilation)
        if any(a != b for a, b in sides):  # pad() counts dimensions from the last
            input = pad(input, [w for side in reversed(sides) for w in side])
            sides = [(0, 0)] * n
        padding = tuple(a for a, _ in sides)
    return op(input, weight, bias, stride, sized(padding, n, "padding"), dilation, groups)
