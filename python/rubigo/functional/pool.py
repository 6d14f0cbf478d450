"""Pooling over sequences and images."""

from __future__ import annotations

from typing import Any, Literal, overload

from rubigo import _core
from rubigo._core import Tensor

from ._check import sized

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip


@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Tensor | tuple[Tensor, Tensor]: ...
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest value of each window of a sequence ``(N, C, L)`` or ``(C, L)``.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        kernel_size: Size of the window.
        stride: Step of the window; its size if None.
        padding: Minus infinity on both sides, at most half the window.
        dilation: Distance between the elements of a window.
        ceil_mode: Keep a last window that sticks out.
        return_indices: Return the positions of the maxima too.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.max_pool1d(rg.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
        [[[3.0, 2.0]]]
    """
    args = _windows(1, kernel_size, stride, padding)
    return _core.max_pool1d(input, *args, sized(dilation, 1, "dilation"), ceil_mode, return_indices)


@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Tensor | tuple[Tensor, Tensor]: ...
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The largest value of each window of an image; arguments as in `max_pool1d`.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.max_pool2d(rg.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 2).tolist()
        [[[[3.0]]]]
    """
    args = _windows(2, kernel_size, stride, padding)
    return _core.max_pool2d(input, *args, sized(dilation, 2, "dilation"), ceil_mode, return_indices)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of a sequence ``(N, C, L)`` or ``(C, L)``.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        kernel_size: Size of the window.
        stride: Step of the window; its size if None.
        padding: Zeros on both sides, at most half the window.
        ceil_mode: Keep a last window that sticks out.
        count_include_pad: Whether the zeros of the padding count.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.avg_pool1d(rg.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
        [[[2.0, 1.0]]]
    """
    args = _windows(1, kernel_size, stride, padding)
    return _core.avg_pool1d(input, *args, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of an image.

    Args:
        input: Shape ``(N, C, H, W)`` or ``(C, H, W)``.
        kernel_size: Size of the window, one int or two, as for the next two.
        stride: Step of the window; its size if None.
        padding: Zeros on all sides, at most half the window.
        ceil_mode: Keep a last window that sticks out.
        count_include_pad: Whether the zeros of the padding count.
        divisor_override: Divide by this number instead of the count.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.avg_pool2d(rg.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 2).tolist()
        [[[[1.5]]]]
    """
    args = _windows(2, kernel_size, stride, padding)
    return _core.avg_pool2d(input, *args, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows that share the sequence evenly.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        output_size: The length of the output.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.adaptive_avg_pool1d(rg.tensor([[[1.0, 3.0, 5.0]]]), 1).tolist()
        [[[3.0]]]
    """
    return _core.adaptive_avg_pool1d(input, _output_size(input, output_size, 1))


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of windows that share the image evenly; None keeps a dimension's size.

    Args:
        input: Shape ``(N, C, H, W)`` or ``(C, H, W)``.
        output_size: Height and width of the output, or one int for both.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.adaptive_avg_pool2d(rg.ones(1, 1, 5, 7), (1, 2)).tolist()
        [[[[1.0, 1.0]]]]
    """
    return _core.adaptive_avg_pool2d(input, _output_size(input, output_size, 2))


@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = ...
) -> Tensor: ...
@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: Any, return_indices: bool = ...
) -> Tensor | tuple[Tensor, Tensor]: ...
def adaptive_max_pool1d(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima of ``output_size`` windows that share the sequence evenly.

    Args:
        input: Shape ``(N, C, L)`` or ``(C, L)``.
        output_size: The length of the output.
        return_indices: Return the positions of the maxima too.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.adaptive_max_pool1d(rg.tensor([[[1.0, 3.0, 5.0]]]), 1).tolist()
        [[[5.0]]]
    """
    return _core.adaptive_max_pool1d(input, _output_size(input, output_size, 1), return_indices)


@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = ...
) -> Tensor: ...
@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: Any, return_indices: bool = ...
) -> Tensor | tuple[Tensor, Tensor]: ...
def adaptive_max_pool2d(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Maxima of windows that share the image evenly; None keeps a dimension's size.

    Args:
        input: Shape ``(N, C, H, W)`` or ``(C, H, W)``.
        output_size: Height and width of the output, or one int for both.
        return_indices: Return the positions of the maxima too.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.adaptive_max_pool2d(rg.ones(1, 1, 5, 7), (1, 2)).tolist()
        [[[[1.0, 1.0]]]]
    """
    return _core.adaptive_max_pool2d(input, _output_size(input, output_size, 2), return_indices)


def _windows(n: int, kernel_size: Any, stride: Any, padding: Any) -> tuple[Any, Any, Any]:
    kernel = sized(kernel_size, n, "kernel_size")
    # PyTorch takes [] for None.
    step = kernel if stride is None or stride in ([], ()) else sized(stride, n, "stride")
    return kernel, step, sized(padding, n, "padding")


def _output_size(input: Tensor, size: Any, n: int) -> tuple[int, ...]:
    if not isinstance(size, (tuple, list)):
        size = (size,) * n
    if len(size) == n and None in size and input.dim() >= n:
        size = [
            s if s is not None else have for s, have in zip(size, input.shape[-n:], strict=True)
        ]
    return sized(tuple(size), n, "output_size")
