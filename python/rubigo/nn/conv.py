"""Convolution layers."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import rubigo as rg
from rubigo import functional as F
from rubigo._core import Tensor
from rubigo.functional._check import sized
from rubigo.functional.conv import same_padding

from . import init
from .linear import check_sizes
from .module import Layer
from .parameter import Parameter
from .trace import dtype_error, shape_error

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Layer):
    """What the four layers share: sizes, parameters, and what a wrong input is told."""

    _n: int  # spatial dimensions
    transposed = False
    output_padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: in_channels ({in_channels}) and out_channels ({out_channels}) "
                f"must be divisible by groups ({groups})"
            )
        if padding_mode not in _MODES:
            raise ValueError(f"{name}: padding_mode must be one of {_MODES}, got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size: tuple[int, ...] = sized(kernel_size, self._n, "kernel_size")
        self.stride: tuple[int, ...] = sized(stride, self._n, "stride")
        self.dilation: tuple[int, ...] = sized(dilation, self._n, "dilation")
        self.output_padding = (0,) * self._n
        self.groups = groups
        self.padding_mode = padding_mode
        for key in ("kernel_size", "stride", "dilation"):
            if min(getattr(self, key)) < 1:
                raise ValueError(f"{name}: {key} must be at least 1, got {getattr(self, key)}")
        self.padding = self._checked_padding(padding)
        pair = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (pair[0], pair[1] // groups, *self.kernel_size)
        self.weight = Parameter(rg.empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(rg.empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def _checked_padding(self, padding: Any) -> Any:
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"padding must be ints, 'same' or 'valid', got {padding!r}")
            if padding == "same":
                same_padding(self.kernel_size, self.stride, self.dilation)  # refuses strides
            return padding
        padding = sized(padding, self._n, "padding")
        if min(padding) < 0:
            raise ValueError(f"padding must not be negative, got {padding}")
        return padding

    def reset_parameters(self) -> None:
        """Draws new starting values."""
        init.uniform_fan_in_(self.weight, self.bias)

    def _sides(self) -> list[int]:
        """The padding as `pad` takes it: before and after, from the last dimension back."""
        if self.padding == "valid":
            sides = [(0, 0)] * self._n
        elif self.padding == "same":
            sides = same_padding(self.kernel_size, self.stride, self.dilation)
        else:
            sides = [(p, p) for p in self.padding]
        return [width for side in reversed(sides) for width in side]

    def _explained(self, input: Tensor, error: Exception) -> Exception:
        shape, n, c = tuple(input.shape), self._n, self.in_channels
        names = ("length",) if n == 1 else ("height", "width")
        wanted = ", ".join(("batch", str(c), *names))
        if len(shape) not in (n + 1, n + 2):
            hint = (
                "add the channel dimension with x.unsqueeze(0)"
                if len(shape) == n and c == 1
                else None
            )
            return shape_error(f"expected input of shape ({wanted}), got shape {shape}", hint)
        if shape[-n - 1] == c:
            wrong = dtype_error(input, self.weight)
            if wrong is not None or self.transposed or "smaller than" not in str(error):
                return wrong or error
            return shape_error(
                f"the kernel {self.kernel_size} does not fit an input of shape {shape} "
                f"with padding {self.padding} and dilation {self.dilation}",
                "use a smaller kernel_size, more padding, or fewer layers that shrink the input",
            )
        hint = f"make it {type(self).__name__}({shape[-n - 1]}, {self.out_channels}, ...)"
        if shape[-1] == c:
            order = (0, 2, 1) if n == 1 else (0, 3, 1, 2)
            order = order if len(shape) == n + 2 else tuple(i - 1 for i in order[1:])
            hint = f"the channels look last: x.permute{order}"
        elif len(shape) == n + 1 and c == 1:
            hint = "the channel dimension looks missing: x.unsqueeze(1)"
        return shape_error(f"expected input with {c} channels, ({wanted}), got shape {shape}", hint)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        if self.padding != (0,) * self._n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self._n:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Forward(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        conv = F.conv1d if self._n == 1 else F.conv2d
        padding = self.padding
        try:
            if self.padding_mode != "zeros":
                input, padding = F.pad(input, self._sides(), self.padding_mode), 0
            return conv(
                input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
            )
        except RuntimeError as error:
            raise self._explained(input, error) from None


class Conv1d(_Forward):
    """Convolution (cross-correlation) over a sequence: ``y = b + sum_c w_c * x_c``.

    Input ``(N, in_channels, L)`` or ``(in_channels, L)``, output ``(N, out_channels, L')`` with
    ``L' = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Taps of the filter.
        stride: Step of the filter.
        padding: Elements put on both sides, or ``"same"`` or ``"valid"``.
        dilation: Distance between taps.
        groups: Independent parts of the channels.
        bias: Whether to add ``b``.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: Where the parameters live.
        dtype: Their type.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.Conv1d(2, 4, kernel_size=3)(rg.ones(1, 2, 10)).shape)
        (1, 4, 8)
    """

    _n = 1


class Conv2d(_Forward):
    """Convolution (cross-correlation) over an image; arguments as in `Conv1d`.

    Input ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``; sizes are one int or two.

    Example:
        >>> import rubigo as rg
        >>> layer = rg.nn.Conv2d(3, 8, kernel_size=3, padding="same")
        >>> tuple(layer(rg.ones(1, 3, 5, 7)).shape)
        (1, 8, 5, 7)

    Reference: Dumoulin and Visin 2016, https://arxiv.org/abs/1603.07285
    """

    _n = 2


class _Transposed(_Conv):
    transposed = True

    if TYPE_CHECKING:

        def __call__(self, input: Tensor, output_size: Any = None) -> Tensor: ...

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: only padding_mode='zeros' is supported")
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be ints, got {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip
        self.output_padding = sized(output_padding, self._n, "output_padding")

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        conv = F.conv_transpose1d if self._n == 1 else F.conv_transpose2d
        extra = self.output_padding
        try:
            if output_size is not None:
                extra = self._extra(input, output_size)
            return conv(
                input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
                self.dilation,
            )  # fmt: skip
        except RuntimeError as error:
            raise self._explained(input, error) from None

    def _extra(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives ``output_size``."""
        wanted = [operator.index(s) for s in output_size][-self._n :]
        sizes = zip(
            input.shape[-self._n :], self.stride, self.padding, self.dilation, self.kernel_size,
            strict=True,
        )  # fmt: skip
        least = [(s - 1) * st - 2 * p + d * (k - 1) + 1 for s, st, p, d, k in sizes]
        extra = tuple(w - m for w, m in zip(wanted, least, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
            raise ValueError(f"output_size {wanted} must lie between {least} and {most}")
        return extra

    def extra_repr(self) -> str:
        text = super().extra_repr()
        if self.output_padding != (0,) * self._n:
            text += f", output_padding={self.output_padding}"
        return text


class ConvTranspose1d(_Transposed):
    """The transpose of `Conv1d`, for upsampling.

    Input ``(N, in_channels, L)``, output ``(N, out_channels, L')`` with ``L' = (L - 1) stride
    - 2 padding + dilation (kernel_size - 1) + output_padding + 1``. `forward` takes
    ``output_size``. The other arguments as in `Conv1d`.

    Args:
        output_padding: Makes one side of the output longer; less than the stride or the dilation.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.ConvTranspose1d(2, 4, 2, stride=2)(rg.ones(1, 2, 5)).shape)
        (1, 4, 10)
    """

    _n = 1


class ConvTranspose2d(_Transposed):
    """The transpose of `Conv2d`; arguments as in `ConvTranspose1d`.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.ConvTranspose2d(2, 4, 2, stride=2)(rg.ones(1, 2, 3, 5)).shape)
        (1, 4, 6, 10)
    """

    _n = 2
