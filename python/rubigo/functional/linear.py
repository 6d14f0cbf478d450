"""Products with weights, look-up tables, and distances between vectors."""

from __future__ import annotations

import math

import rubigo as rg
from rubigo import _core
from rubigo._core import ShapeError, Tensor, linear, one_hot

from ._check import check_tensors, wide

__all__ = [
    "bilinear", "cosine_similarity", "embedding", "linear", "normalize", "one_hot",
    "pairwise_distance", "pixel_shuffle", "pixel_unshuffle",
]  # fmt: skip


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y_k = x1^T W_k x2 + b_k``.

    Args:
        input1: Shape ``(*, in1)``.
        input2: Shape ``(*, in2)``.
        weight: Shape ``(out, in1, in2)``.
        bias: Shape ``(out,)``.

    Example:
        >>> import rubigo as rg
        >>> w = rg.ones(1, 2, 2)
        >>> rg.nn.functional.bilinear(rg.ones(2), rg.ones(2), w).tolist()
        [4.0]
    """
    check_tensors("bilinear", input1, input2, weight, optional=(bias,))
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear: batch shapes differ: {tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    out, in1, in2 = weight.shape
    if input1.shape[-1] != in1 or input2.shape[-1] != in2:
        raise ShapeError(
            f"bilinear: weight {tuple(weight.shape)} takes {in1} and {in2} features, "
            f"got {input1.shape[-1]} and {input2.shape[-1]}"
        )
    # x1 W for all k at once, then a dot product with x2: (..., out, in2) . (..., 1, in2)
    left = input1.matmul(weight.permute(1, 0, 2).reshape(in1, out * in2))
    left = left.reshape(*input1.shape[:-1], out, in2)
    result = (left * input2.unsqueeze(-2)).sum(-1)
    return result if bias is None else result + bias


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` at the indices ``input``.

    Args:
        input: Integers, any shape ``(*)``.
        weight: Shape ``(num, dim)``.
        padding_idx: This row receives no gradient; may count from the end.
        max_norm: Rows that are used are first scaled down to this norm, in place.
        norm_type: Order of that norm.
        scale_grad_by_freq: Divide a row's gradient by how often the row is used here.
        sparse: Not supported: gradients are dense.

    Returns:
        Shape ``(*, dim)``.

    Example:
        >>> import rubigo as rg
        >>> table = rg.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> rg.nn.functional.embedding(rg.tensor([1, 0]), table).tolist()
        [[2.0, 3.0], [0.0, 1.0]]
    """
    check_tensors("embedding", weight)
    if sparse:
        raise NotImplementedError("embedding: sparse gradients are not supported")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be a matrix, got shape {tuple(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(f"embedding: padding_idx {padding_idx} is outside {rows} rows")
        padding_idx %= rows
    try:
        if max_norm is not None:
            _limit_rows(input.reshape(-1), weight, max_norm, norm_type)
        result = _core.embedding(input, weight, padding_idx)
    except IndexError as error:
        raise _misplaced(input, rows, error) from None
    if scale_grad_by_freq and result.requires_grad:
        flat = input.reshape(-1)
        counts = rg.bincount(flat, minlength=rows).index_select(0, flat)
        counts = counts.reshape(input.shape).unsqueeze(-1).to(dtype=weight.dtype)
        result.register_hook(lambda grad: grad / counts)
        result = result.view_as(result)  # what the caller hooks comes before the division
    return result


def _limit_rows(index: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    with rg.no_grad():
        rows = weight.index_select(0, index)
        size = _norm("embedding", rows, norm_type, 1, keepdim=True)
        factor = (max_norm / (size + 1e-7)).masked_fill(size <= max_norm, 1.0)
        weight.index_copy_(0, index, rows * factor)


def _misplaced(input: Tensor, rows: int, error: IndexError) -> IndexError:
    """Says which index is wrong, where."""
    if not isinstance(input, Tensor) or input.is_floating_point():
        return error
    wrong = ((input < 0) | (input >= rows)).nonzero().tolist()
    if not wrong:
        return error
    place = tuple(wrong[0])
    return IndexError(
        f"index {input[place].item()} at {place} is out of range [0, {rows})\n"
        f"  hint: the table needs a row for every index, up to {int(input.max())}"
    )


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``x / max(||x||_p, eps)`` along ``dim``.

    Args:
        input: Any shape.
        p: Order of the norm.
        dim: The dimension whose norm becomes 1.
        eps: The smallest divisor.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.functional.normalize(rg.tensor([[3.0, 4.0]]), p=1.0).sum().item()
        1.0
    """
    check_tensors("normalize", input)
    x = wide(input)
    return (x / _norm("normalize", x, p, dim, keepdim=True).clamp(min=eps)).to(input.dtype)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(||x1||, eps) * max(||x2||, eps))`` along ``dim``.

    Args:
        x1: Any shape.
        x2: A shape that broadcasts with the first.
        dim: The dimension of the vectors.
        eps: The smallest norm.

    Example:
        >>> import rubigo as rg
        >>> x = rg.tensor([[1.0, 0.0]])
        >>> rg.nn.functional.cosine_similarity(x, -x).tolist()
        [-1.0]
    """
    check_tensors("cosine_similarity", x1, x2)
    a, b = rg.broadcast_tensors(wide(x1), wide(x2))
    n1 = _norm("cosine_similarity", a, 2.0, dim, keepdim=True).clamp(min=eps)
    n2 = _norm("cosine_similarity", b, 2.0, dim, keepdim=True).clamp(min=eps)
    return ((a / n1) * (b / n2)).sum(dim).to(rg.promote_types(x1.dtype, x2.dtype))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """``||x1 - x2 + eps||_p`` over the last dimension.

    Args:
        x1: Shape ``(N, D)`` or ``(D,)``.
        x2: A shape that broadcasts with the first.
        p: Order of the norm.
        eps: Added to the differences.
        keepdim: Keep the last dimension, of size 1.

    Example:
        >>> import rubigo as rg
        >>> d = rg.nn.functional.pairwise_distance(rg.zeros(1, 4), rg.ones(1, 4))
        >>> round(d.item(), 3)
        2.0
    """
    check_tensors("pairwise_distance", x1, x2)
    gap = x1 - x2 + eps
    return _norm("pairwise_distance", wide(gap), p, -1, keepdim).to(gap.dtype)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """``(*, C r^2, H, W)`` to ``(*, C, H r, W r)``.

    Args:
        input: Shape ``(*, C r^2, H, W)``.
        upscale_factor: ``r``.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.functional.pixel_shuffle(rg.zeros(1, 8, 2, 3), 2).shape)
        (1, 2, 4, 6)
    """
    check_tensors("pixel_shuffle", input)
    r = upscale_factor
    *lead, c, h, w = input.shape
    if r < 1 or c % (r * r):
        raise ShapeError(f"pixel_shuffle: {c} channels cannot be split by {r} squared")
    n = len(lead)
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    x = x.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """``(*, C, H r, W r)`` to ``(*, C r^2, H, W)``; undoes `pixel_shuffle`.

    Args:
        input: Shape ``(*, C, H r, W r)``.
        downscale_factor: ``r``.

    Example:
        >>> import rubigo as rg
        >>> tuple(rg.nn.functional.pixel_unshuffle(rg.zeros(1, 2, 4, 6), 2).shape)
        (1, 8, 2, 3)
    """
    check_tensors("pixel_unshuffle", input)
    r = downscale_factor
    *lead, c, h, w = input.shape
    if r < 1 or h % r or w % r:
        raise ShapeError(f"pixel_unshuffle: {h} x {w} pixels cannot be split by {r}")
    n = len(lead)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    x = x.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*lead, c * r * r, h // r, w // r)


def _norm(name: str, x: Tensor, p: float, dim: int, keepdim: bool) -> Tensor:
    """The p-norm along one dimension, with gradient 0 (not NaN) at 0."""
    if not x.is_floating_point():
        raise TypeError(f"{name}: expected floating point, got {x.dtype}\n  hint: x.float()")
    if p in (0, 1, 2, math.inf, -math.inf):
        return _core.vector_norm(x, p, dim, keepdim)
    size = x.abs()
    zero = size == 0
    powers = size.masked_fill(zero, 1.0).pow(p).masked_fill(zero, 0.0 if p > 0 else math.inf)
    total = powers.sum(dim, keepdim=keepdim)
    # A total of 0, or infinite for p below 0: the norm is 0, and flat for autograd.
    flat = (total == 0) | (total == math.inf)
    root = total.masked_fill(flat, 1.0).pow(1.0 / p)
    return root.where(~flat, total.detach().pow(1.0 / p))
