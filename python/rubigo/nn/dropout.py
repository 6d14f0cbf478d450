"""Dropout layers: active in training mode, the identity in evaluation mode."""

from __future__ import annotations

from rubigo import functional as F
from rubigo._core import Tensor
from rubigo.functional._check import probability

from .module import Layer


class _Dropout(Layer):
    """``inplace=True`` writes the result into the input."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        probability(type(self).__name__, p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes each element with probability ``p`` and scales the others by ``1 / (1 - p)``.

    Args:
        p: The probability of a zero, in [0, 1].
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Dropout(0.5).eval()(rg.ones(2)).tolist()
        [1.0, 1.0]

    Reference: Hinton et al. 2012, https://arxiv.org/abs/1207.0580
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Zeroes whole channels of ``(N, C, L)`` or ``(C, L)`` with probability ``p``.

    Args:
        p: The probability of a zero, in [0, 1].
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Dropout1d(1.0)(rg.ones(1, 2, 3)).sum().item()
        0.0

    Reference: Tompson et al. 2014, https://arxiv.org/abs/1411.4280
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Zeroes whole channels of ``(N, C, H, W)`` with probability ``p``.

    Args:
        p: The probability of a zero, in [0, 1].
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.Dropout2d(1.0)(rg.ones(1, 2, 3, 3)).sum().item()
        0.0

    Reference: Tompson et al. 2014, https://arxiv.org/abs/1411.4280
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks with `SELU`.

    Args:
        p: The probability of a zero, in [0, 1].
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.AlphaDropout(0.5).eval()(rg.ones(2)).tolist()
        [1.0, 1.0]

    Reference: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of ``(N, C, *)``.

    Args:
        p: The probability of a zero, in [0, 1].
        inplace: Write the result into the input.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.FeatureAlphaDropout(0.5).eval()(rg.ones(1, 2, 3)).sum().item()
        6.0

    Reference: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
