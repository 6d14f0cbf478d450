"""Pooling layers."""

from __future__ import annotations

from typing import Any

from rubigo import functional as F
from rubigo._core import Tensor
from rubigo.functional._check import sized

from .module import Layer, Module


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride: Any = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _args(self) -> tuple[Any, ...]:
        return (
            self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest value of each window of a sequence.

    Input ``(N, C, L)`` or ``(C, L)``, output length ``(L + 2 padding - dilation (kernel_size - 1)
    - 1) / stride + 1``, rounded down.

    Args:
        kernel_size: Size of the window.
        stride: Step of the window; its size if None.
        padding: Minus infinity on both sides.
        dilation: Distance between the elements of a window.
        return_indices: Return the positions of the maxima too.
        ceil_mode: Round up: keep a last window that sticks out.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.MaxPool1d(2)(rg.tensor([[[1.0, 3.0, 2.0, 0.0]]])).tolist()
        [[[3.0, 2.0]]]
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool1d(input, *self._args())


class MaxPool2d(_MaxPool):
    """The largest value of each window of an image; arguments as in `MaxPool1d`.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.MaxPool2d(2)(rg.ones(1, 3, 8, 6)).shape)
        (1, 3, 4, 3)
    """

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(input, *self._args())


class _AvgPool(Layer):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride: Any = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of a sequence.

    Args:
        kernel_size: Size of the window.
        stride: Step of the window; its size if None.
        padding: Zeros on both sides.
        ceil_mode: Keep a last window that sticks out.
        count_include_pad: Whether the zeros of the padding count.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.AvgPool1d(2)(rg.tensor([[[1.0, 3.0, 2.0, 0.0]]])).tolist()
        [[[2.0, 1.0]]]
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        kernel = sized(kernel_size, 1, "kernel_size")
        step = kernel if stride is None else sized(stride, 1, "stride")
        edge = sized(padding, 1, "padding")
        super().__init__(kernel, step, edge, ceil_mode, count_include_pad)

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip


class AvgPool2d(_AvgPool):
    """The mean of each window of an image.

    Args:
        kernel_size: Size of the window, one int or two, as for the next two.
        stride: Step of the window; its size if None.
        padding: Zeros on all sides.
        ceil_mode: Keep a last window that sticks out.
        count_include_pad: Whether the zeros of the padding count.
        divisor_override: Divide by this number instead of the count.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.AvgPool2d(2)(rg.tensor([[[[1.0, 3.0], [2.0, 0.0]]]])).tolist()
        [[[[1.5]]]]
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive, Layer):
    """Means of ``output_size`` windows that share the sequence evenly.

    Args:
        output_size: The length of the output.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.AdaptiveAvgPool1d(1)(rg.tensor([[[1.0, 3.0, 5.0]]])).tolist()
        [[[3.0]]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive, Layer):
    """Means of windows that share the image evenly; None keeps a dimension's size.

    Args:
        output_size: Height and width of the output, or one int for both.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.AdaptiveAvgPool2d((1, None))(rg.ones(1, 3, 8, 6)).shape)
        (1, 3, 1, 6)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima of ``output_size`` windows that share the sequence evenly.

    Args:
        output_size: The length of the output.
        return_indices: Return the positions of the maxima too.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.AdaptiveMaxPool1d(1)(rg.tensor([[[1.0, 3.0, 5.0]]])).tolist()
        [[[5.0]]]
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima of windows that share the image evenly; None keeps a dimension's size.

    Args:
        output_size: Height and width of the output, or one int for both.
        return_indices: Return the positions of the maxima too.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.AdaptiveMaxPool2d(2)(rg.ones(1, 3, 8, 6)).shape)
        (1, 3, 2, 2)
    """

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)
