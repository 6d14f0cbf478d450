"""Modules for losses of classes; `rubigo.functional` says what shapes they take."""

from __future__ import annotations

from rubigo import functional as F
from rubigo._core import Tensor

from .loss import Loss


class CrossEntropyLoss(Loss):
    """``-log softmax(x)[y]``: logits ``(N, C, *)`` against indices ``(N, *)`` or probabilities.

    Args:
        weight: One weight per class.
        ignore_index: Targets with this value do not count.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: Share of each target that is spread evenly over the classes.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.CrossEntropyLoss()
        >>> loss(rg.tensor([[0.0, 100.0]]), rg.tensor([0])).item()
        100.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


class NLLLoss(Loss):
    """``-x[y]`` for log probabilities ``(N, C, *)`` and class indices ``(N, *)``.

    Args:
        weight: One weight per class.
        ignore_index: Targets with this value do not count.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.NLLLoss()
        >>> loss(rg.tensor([[-1.0, -2.0]]), rg.tensor([1])).item()
        2.0
    """

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCELoss(Loss):
    """``-(y log x + (1 - y) log(1 - x))`` for probabilities, logarithms cut off at -100.

    Args:
        weight: Factor that broadcasts to the input.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.BCELoss()
        >>> loss(rg.tensor([0.0, 1.0]), rg.tensor([1.0, 1.0])).item()
        50.0
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """`BCELoss` of ``sigmoid(x)``, computed without overflow.

    Args:
        weight: Factor that broadcasts to the input.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        pos_weight: Factor of the positive term, one per class.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.BCEWithLogitsLoss()
        >>> loss(rg.tensor([100.0]), rg.tensor([0.0])).item()
        100.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(Loss):
    """``y (log y - x)`` for log probabilities ``x``; ``reduction="batchmean"`` is the divergence.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        log_target: Whether the target is given as logarithms.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.KLDivLoss()
        >>> loss(rg.zeros(1, 1), rg.ones(1, 1)).item()
        0.0
    """

    _more_reductions = ("batchmean",)

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, log_target=self.log_target, reduction=self.reduction)


class SoftMarginLoss(Loss):
    """``log(1 + exp(-y x))`` for targets 1 and -1.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.SoftMarginLoss()
        >>> loss(rg.tensor([100.0]), rg.tensor([-1.0])).item()
        100.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """The mean over classes of the binary cross-entropy with logits.

    Args:
        weight: One weight per class.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.MultiLabelSoftMarginLoss()
        >>> loss(rg.tensor([[100.0, 100.0]]), rg.tensor([[1.0, 0.0]])).item()
        50.0
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )


class MultiMarginLoss(Loss):
    """``sum_{j != y} max(0, margin - x_y + x_j)^p / C``.

    Args:
        p: 1 or 2.
        margin: How much better the right class should score.
        weight: One weight per class.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.MultiMarginLoss()
        >>> loss(rg.tensor([[0.0, 1.0, 3.0]]), rg.tensor([1])).item()
        1.0
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(
            input,
            target,
            weight=self.weight,
            p=self.p,
            margin=self.margin,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(Loss):
    """``sum_{y, j} max(0, 1 - x_y + x_j) / C`` over right classes ``y`` and wrong ones ``j``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> loss = rg.nn.MultiLabelMarginLoss()
        >>> loss(rg.tensor([[0.0, 1.0, 3.0]]), rg.tensor([[2, -1, 0]])).item()
        0.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)
