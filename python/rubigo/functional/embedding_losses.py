"""Losses between pairs and triples of vectors or scores."""

from __future__ import annotations

from collections.abc import Callable

from rubigo import _core
from rubigo._core import ShapeError, Tensor

from ._check import check_tensors, reduce, same_shape
from .linear import pairwise_distance

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` for similar pairs (target 1), ``max(0, cos - margin)`` for others (target -1).

    Args:
        input1: Shape ``(N, D)`` or ``(D,)``.
        input2: Same shape.
        target: Shape ``(N,)`` or ``()``.
        margin: Between -1 and 1.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[1.0, 0.0]])
        >>> y = rg.tensor([[0.0, 1.0]])
        >>> rg.nn.functional.cosine_embedding_loss(x, y, rg.tensor([1])).item()
        1.0
    """
    check_tensors("cosine_embedding_loss", input1, input2, target)
    same_shape("cosine_embedding_loss", input1, input2, "input2")
    if tuple(target.shape) != tuple(input1.shape[:-1]):
        raise ShapeError(
            f"cosine_embedding_loss: inputs have shape {tuple(input1.shape)}, so target must "
            f"have {tuple(input1.shape[:-1])}, got {tuple(target.shape)}"
        )
    eps = 1e-12
    size = (input1.square().sum(-1) + eps) * (input2.square().sum(-1) + eps)
    cos = (input1 * input2).sum(-1) / size.sqrt()
    loss = (1 - cos).masked_fill(target != 1, 0) + (cos - margin).clamp(min=0).masked_fill(
        target != -1, 0
    )
    return reduce(loss, reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``max(0, -y (x1 - x2) + margin)``: with y = 1 the first should score higher.

    Args:
        input1: Scores, any shape.
        input2: Same shape.
        target: 1 or -1, same shape.
        margin: By how much the one should score higher.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> a, b = rg.tensor([1.0]), rg.tensor([3.0])
        >>> rg.nn.functional.margin_ranking_loss(a, b, rg.tensor([1.0])).item()
        2.0
    """
    same_shape("margin_ranking_loss", input1, input2, "input2")
    same_shape("margin_ranking_loss", input1, target)
    return reduce((margin - target * (input1 - input2)).clamp(min=0), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """The distance ``x`` itself for target 1, ``max(0, margin - x)`` for target -1.

    Args:
        input: Distances, any shape.
        target: 1 and -1, same shape.
        margin: How far dissimilar pairs should be.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([0.25, 0.25])
        >>> rg.nn.functional.hinge_embedding_loss(x, rg.tensor([1, -1])).item()
        0.5
    """
    same_shape("hinge_embedding_loss", input, target)
    far = (margin - input).clamp(min=0).masked_fill(target == 1, 0)
    return reduce(input.masked_fill(target == -1, 0) + far, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Args:
        anchor: Shape ``(N, D)`` or ``(D,)``.
        positive: Same shape.
        negative: Same shape.
        margin: How much farther the negative should be; positive.
        p: Order of the distance.
        eps: Added to the differences.
        swap: Use ``d(positive, negative)`` where it is smaller.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> a = rg.zeros(1, 2)
        >>> rg.nn.functional.triplet_margin_loss(a, a, a, margin=0.5).item()
        0.5

    Reference: Balntas et al. 2016, https://doi.org/10.5244/C.30.119
    """
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be positive, got {margin}")
    same_shape("triplet_margin_loss", anchor, positive, "positive")
    same_shape("triplet_margin_loss", anchor, negative, "negative")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = _core.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduce((near - far + margin).clamp(min=0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance, `pairwise_distance` unless given.

    Args:
        anchor: Shape ``(N, D)`` or ``(D,)``.
        positive: Same shape.
        negative: Same shape.
        distance_function: From two tensors to their distances.
        margin: How much farther the negative should be; positive.
        swap: Use ``d(positive, negative)`` where it is smaller.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> a, b = rg.zeros(1, 2), rg.ones(1, 2)
        >>> rg.nn.functional.triplet_margin_with_distance_loss(
        ...     a, b, a, distance_function=lambda x, y: (x - y).abs().sum(-1)
        ... ).item()
        3.0
    """
    name = "triplet_margin_with_distance_loss"
    if margin <= 0:
        raise ValueError(f"{name}: margin must be positive, got {margin}")
    same_shape(name, anchor, positive, "positive")
    same_shape(name, anchor, negative, "negative")
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _core.minimum(far, distance(positive, negative))
    return reduce((near - far + margin).clamp(min=0), reduction)
