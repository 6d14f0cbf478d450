"""Losses for classes and probabilities."""

from __future__ import annotations

import rubigo as rg
from rubigo import _core
from rubigo._core import ShapeError, Tensor

from ._check import check_reduction, check_tensors, reduce, same_shape

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "soft_margin_loss",
]  # fmt: skip


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-log softmax(x)[y]``: logits against class indices or class probabilities.

    Args:
        input: Logits, shape ``(C,)``, ``(N, C)`` or ``(N, C, *)``.
        target: Indices of shape ``()``, ``(N,)`` or ``(N, *)``, or probabilities shaped as
            the input.
        weight: One weight per class; the mean is weighted by them.
        ignore_index: Targets with this value do not count.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: This share of each target is spread evenly over the classes.

    Example:
        >>> import rubigo as rg
        >>> logits = rg.tensor([[100.0, 0.0], [0.0, 100.0]])
        >>> rg.nn.functional.cross_entropy(logits, rg.tensor([0, 0])).item()
        50.0
    """
    check_reduction(reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    _check_classes("cross_entropy", input, target, probabilities=True)
    return _core.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """``-x[y]`` for log probabilities ``x``; arguments as in `cross_entropy`.

    Example:
        >>> import rubigo as rg
        >>> logp = rg.tensor([[-1.0, -2.0], [-3.0, -4.0]])
        >>> rg.nn.functional.nll_loss(logp, rg.tensor([0, 1])).item()
        2.5
    """
    check_tensors("nll_loss", input, target, optional=(weight,))
    check_reduction(reduction)
    _check_classes("nll_loss", input, target, probabilities=False)
    return _core.nll_loss(input, target, weight, ignore_index, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(y log x + (1 - y) log(1 - x))``, with logarithms cut off at -100.

    `binary_cross_entropy_with_logits` is more accurate where a `sigmoid` comes first.

    Args:
        input: Probabilities, any shape; checked to lie in [0, 1] on the CPU.
        target: Same shape, likewise.
        weight: Broadcasts to that shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> p = rg.tensor([0.0, 1.0])
        >>> rg.nn.functional.binary_cross_entropy(p, rg.tensor([1.0, 1.0])).item()
        50.0
    """
    check_tensors("binary_cross_entropy", input, target, optional=(weight,))
    same_shape("binary_cross_entropy", input, target)
    if input.numel() and str(input.device).startswith("cpu"):
        hint = "apply sigmoid, or use binary_cross_entropy_with_logits"
        _check_probabilities("input", input, hint)
        _check_probabilities("target", target, "targets are probabilities, as 0.0 and 1.0")
    other = 1 - input
    loss = -(target * _safe_log(input, other) + (1 - target) * _safe_log(other, input))
    return reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of ``sigmoid(x)``, computed without overflow.

    Args:
        input: Logits, any shape.
        target: Same shape, in [0, 1].
        weight: Broadcasts to that shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        pos_weight: Factor of the positive term, one per class (last dimension).

    Example:
        >>> import rubigo as rg
        >>> logit, target = rg.tensor([100.0]), rg.tensor([0.0])
        >>> rg.nn.functional.binary_cross_entropy_with_logits(logit, target).item()
        100.0
    """
    check_tensors("binary_cross_entropy_with_logits", input, target, optional=(weight, pos_weight))
    same_shape("binary_cross_entropy_with_logits", input, target)
    log_p = _core.logsigmoid(input)
    if pos_weight is not None:
        log_p = log_p * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input - log_p
    return reduce(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """``y (log y - x)`` for log probabilities ``x``.

    Args:
        input: Log probabilities, any shape.
        target: Probabilities, or their logarithms with ``log_target``; same shape.
        reduction: ``"batchmean"`` (the divergence: the sum over the first dimension's size),
            ``"mean"`` (over all elements), ``"sum"`` or ``"none"``.
        log_target: Whether the target is given as logarithms.

    Example:
        >>> import rubigo as rg
        >>> p = rg.tensor([[0.5, 0.5]])
        >>> rg.nn.functional.kl_div(p.log(), p, reduction="batchmean").item()
        0.0
    """
    same_shape("kl_div", input, target)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = target.xlogy(target) - target * input
    if reduction == "batchmean":
        return loss.sum() / (input.shape[0] if input.dim() else 1)
    return reduce(loss, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-y x))`` for targets 1 and -1.

    Args:
        input: Scores, any shape.
        target: 1 and -1, same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([100.0])
        >>> rg.nn.functional.soft_margin_loss(x, rg.tensor([-1.0])).item()
        100.0
    """
    same_shape("soft_margin_loss", input, target)
    return reduce(-_core.logsigmoid(input * target), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of the binary cross-entropy with logits.

    Args:
        input: Logits, shape ``(N, C)`` or ``(C,)``.
        target: Zeros and ones, same shape.
        weight: One weight per class.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (per sample).

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[100.0, 100.0]])
        >>> rg.nn.functional.multilabel_soft_margin_loss(x, rg.tensor([[1.0, 0.0]])).item()
        50.0
    """
    check_tensors("multilabel_soft_margin_loss", input, target, optional=(weight,))
    same_shape("multilabel_soft_margin_loss", input, target)
    loss = (1 - target) * input - _core.logsigmoid(input)
    if weight is not None:
        loss = loss * weight
    return reduce(loss.mean(-1), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum_{j != y} max(0, margin - x_y + x_j)^p / C``.

    Args:
        input: Scores, shape ``(N, C)`` or ``(C,)``.
        target: Class indices, shape ``(N,)`` or ``()``.
        p: 1 or 2.
        margin: How much better the right class should score.
        weight: One weight per class.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (per sample).

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[0.0, 1.0, 3.0]])
        >>> rg.nn.functional.multi_margin_loss(x, rg.tensor([1])).item()
        1.0
    """
    check_tensors("multi_margin_loss", input, target, optional=(weight,))
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    _check_classes("multi_margin_loss", input, target, probabilities=False)
    index = target.unsqueeze(-1)
    hinge = (margin - input.gather(-1, index) + input).clamp(min=0)
    if p == 2:
        hinge = hinge.square()
    if weight is not None:
        hinge = hinge * weight.index_select(0, target.reshape(-1)).reshape(index.shape)
    hinge = hinge.scatter(-1, index, 0.0)  # the right class is not its own rival
    return reduce(hinge.mean(-1), reduction)


def multilabel_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``sum_{y, j} max(0, 1 - x_y + x_j) / C`` over the right classes ``y`` and the wrong ``j``.

    Args:
        input: Scores, shape ``(N, C)`` or ``(C,)``; a number counts as one class.
        target: The right classes of each sample first, then -1; same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` (per sample).

    Raises:
        ShapeError: for other shapes.
        IndexError: for classes that are not there.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[0.0, 1.0, 3.0]])
        >>> rg.nn.functional.multilabel_margin_loss(x, rg.tensor([[2, -1, 0]])).item()
        0.0
    """
    check_tensors("multilabel_margin_loss", input, target)
    if input.dim() < 2 and target.dim() < 2:
        input, target = input.reshape(-1), target.reshape(-1)
    same_shape("multilabel_margin_loss", input, target)
    classes = input.shape[-1]
    if input.dim() > 2 or not classes:
        raise ShapeError(
            "multilabel_margin_loss: expected scores of shape (N, C) or (C,) with C >= 1, got "
            f"{tuple(input.shape)}"
        )
    wrong = (target < -1) | (target >= classes)
    if bool(wrong.any()):
        raise IndexError(
            f"multilabel_margin_loss: target must hold classes from 0 to {classes - 1}, then -1, "
            f"got {target[wrong][0].item()}"
        )
    # What stands behind the first -1 does not count.
    listed = (target < 0).long().cumsum(-1) == 0
    index = target.masked_fill(~listed, 0)
    right = rg.zeros_like(target).scatter_add(-1, index, listed.long()) > 0
    score = input.gather(-1, index).unsqueeze(-1)
    hinge = (1 - score + input.unsqueeze(-2)).clamp(min=0)
    counted = listed.unsqueeze(-1) & ~right.unsqueeze(-2)
    return reduce(hinge.masked_fill(~counted, 0.0).sum((-2, -1)) / classes, reduction)


def _safe_log(x: Tensor, rest: Tensor) -> Tensor:
    """``max(log x, -100)`` for ``rest = 1 - x``, with the gradient ``rest / max(x rest, 1e-12)``.

    That is log's own but next to 0, where it is at most 1e12, and next to 1, where it falls to 0:
    so the loss of a perfect prediction has the gradient 0.
    """
    tiny = x < 1e-12
    line = x * 1e12
    floor = (x.log().clamp(min=-100.0) - line).detach()
    return (line + floor).where(tiny, x.masked_fill(tiny | (rest < 1e-12), 1.0).log())


def _check_probabilities(what: str, values: Tensor, hint: str) -> None:
    x = values.detach()
    low, high = x.min().item(), x.max().item()
    if not (low >= 0.0 and high <= 1.0):
        raise RuntimeError(
            f"binary_cross_entropy: all elements of {what} should be between 0 and 1, "
            f"got values from {low:.4g} to {high:.4g}\n  hint: {hint}"
        )


def _check_classes(name: str, input: Tensor, target: Tensor, probabilities: bool) -> None:
    """Catches targets of a wrong shape or kind before anything is computed."""
    check_tensors(name, input, target)
    shape = tuple(input.shape)
    if not shape:
        raise ShapeError(f"{name}: input must have a class dimension, got a 0-d tensor")
    wanted = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    got = tuple(target.shape)
    if target.is_floating_point():
        if probabilities and got == shape:
            return
        if got == wanted:
            raise TypeError(
                f"{name}: class indices must be integers, got {target.dtype}\n"
                "  hint: use target.long()"
            )
        raise ShapeError(f"{name}: input has shape {shape}, target {got}")
    if got != wanted:
        hint = f"class indices must have shape {wanted}"
        if got == (*wanted, 1):
            hint += ": use target.squeeze(-1)"
        elif got == shape:
            hint += ": use target.argmax(1), or probabilities as target.float()"
        raise ShapeError(f"{name}: input has shape {shape}, target {got}\n  hint: {hint}")
