"""Modules for losses of numbers and vectors; `rubigo.functional` says what shapes they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rubigo import functional as F
from rubigo._core import Tensor

from .linear import PairwiseDistance
from .module import Module


class Loss(Module):
    """Keeps how the elements are reduced: ``"mean"``, ``"sum"`` or ``"none"``."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        allowed = ("none", "mean", "sum", *self._more_reductions)
        if reduction not in allowed:
            raise ValueError(f"reduction must be one of {allowed}, got {reduction!r}")
        self.reduction = reduction

    _more_reductions: tuple[str, ...] = ()

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Tensor: ...


class MSELoss(Loss):
    """``(x - y)^2``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.MSELoss()
        >>> loss(rg.tensor([1.0, 2.0]), rg.tensor([1.0, 4.0])).item()
        2.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """``|x - y|``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.L1Loss()
        >>> loss(rg.tensor([1.0, 2.0]), rg.tensor([1.0, 4.0])).item()
        1.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """``0.5 d^2 / beta`` where ``d = |x - y| < beta``, else ``d - 0.5 beta``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        beta: Where the square turns into a line.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.SmoothL1Loss()
        >>> loss(rg.tensor([0.0]), rg.tensor([3.0])).item()
        2.5

    Reference: Girshick 2015, https://arxiv.org/abs/1504.08083
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, beta=self.beta, reduction=self.reduction)


class HuberLoss(Loss):
    """``0.5 d^2`` where ``d = |x - y| < delta``, else ``delta (d - 0.5 delta)``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        delta: Where the square turns into a line.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.HuberLoss(delta=2.0)
        >>> loss(rg.tensor([0.0]), rg.tensor([3.0])).item()
        4.0

    Reference: Huber 1964, https://doi.org/10.1214/aoms/1177703732
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, delta=self.delta, reduction=self.reduction)


class PoissonNLLLoss(Loss):
    """``exp(x) - y x`` for a log rate ``x``, or ``x - y log(x + eps)`` for a rate.

    Args:
        log_input: Whether the input is the logarithm of the rate.
        full: Add Stirling's approximation of ``log y!``.
        eps: Keeps the logarithm finite.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.PoissonNLLLoss()
        >>> loss(rg.tensor([0.0]), rg.tensor([3.0])).item()
        1.0
    """

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(
            input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(Loss):
    """``0.5 (log var + (x - y)^2 / var)``.

    Args:
        full: Add ``0.5 log(2 pi)``.
        eps: The smallest variance.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.GaussianNLLLoss()
        >>> loss(rg.tensor([1.0]), rg.tensor([3.0]), rg.tensor([1.0])).item()
        2.0

    Reference: Nix and Weigend 1994, https://doi.org/10.1109/ICNN.1994.374138
    """

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class CosineEmbeddingLoss(Loss):
    """``1 - cos`` for similar pairs (target 1), ``max(0, cos - margin)`` for others (-1).

    Args:
        margin: Between -1 and 1.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.CosineEmbeddingLoss()
        >>> loss(rg.tensor([[1.0, 0.0]]), rg.tensor([[0.0, 1.0]]), rg.tensor([1])).item()
        1.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MarginRankingLoss(Loss):
    """``max(0, -y (x1 - x2) + margin)``: with y = 1 the first should score higher.

    Args:
        margin: By how much.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.MarginRankingLoss()
        >>> loss(rg.tensor([1.0]), rg.tensor([3.0]), rg.tensor([1.0])).item()
        2.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class HingeEmbeddingLoss(Loss):
    """The distance ``x`` itself for target 1, ``max(0, margin - x)`` for target -1.

    Args:
        margin: How far dissimilar pairs should be.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.HingeEmbeddingLoss()
        >>> loss(rg.tensor([0.25, 0.25]), rg.tensor([1, -1])).item()
        0.5
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class TripletMarginLoss(Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Args:
        margin: How much farther the negative should be.
        p: Order of the distance.
        eps: Added to the differences.
        swap: Use ``d(positive, negative)`` where it is smaller.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.TripletMarginLoss(margin=0.5)
        >>> loss(rg.zeros(1, 2), rg.zeros(1, 2), rg.zeros(1, 2)).item()
        0.5

    Reference: Balntas et al. 2016, https://doi.org/10.5244/C.30.119
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(Loss):
    """`TripletMarginLoss` with any distance.

    Args:
        distance_function: From two tensors to their distances; `PairwiseDistance` if None.
        margin: How much farther the negative should be.
        swap: Use ``d(positive, negative)`` where it is smaller.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.TripletMarginWithDistanceLoss(
        ...     distance_function=lambda x, y: (x - y).abs().sum(-1)
        ... )
        >>> loss(rg.zeros(1, 2), rg.ones(1, 2), rg.zeros(1, 2)).item()
        3.0
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if margin <= 0:
            raise ValueError(f"margin must be greater than 0, got {margin}")
        self.distance_function: Any = distance_function or PairwiseDistance()
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
