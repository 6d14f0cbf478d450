"""Work on the parameters of a model: clipping gradients, flattening."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import rubigo as rg
from rubigo._core import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients together so that their norm is at most ``max_norm``, in place.

    Args:
        parameters: Whose gradients; those without one are skipped.
        max_norm: The largest norm allowed.
        norm_type: Order of the norm; may be infinite.
        error_if_nonfinite: Raise if the norm is NaN or infinite.
        foreach: Changes nothing: PyTorch chooses its kernels by it.

    Returns:
        The norm before scaling.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.zeros(2))
        >>> p.grad = rg.tensor([3.0, 4.0])
        >>> rg.nn.utils.clip_grad_norm_([p], max_norm=1.0).item()
        5.0
        >>> [round(g, 3) for g in p.grad.tolist()]
        [0.6, 0.8]

    Reference: Pascanu et al. 2012, https://arxiv.org/abs/1211.5063
    """
    grads = _grads(parameters)
    total = _wide_norm(grads, norm_type, error_if_nonfinite)
    _scale(grads, max_norm, total)
    return total.to(_dtype(grads))


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """`clip_grad_norm_` with a norm that is known, as of the gradients on several machines.

    Args:
        parameters: Whose gradients; those without one are skipped.
        max_norm: The largest norm allowed.
        total_norm: The norm that is known.
        foreach: Changes nothing: PyTorch chooses its kernels by it.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.zeros(2))
        >>> p.grad = rg.tensor([3.0, 4.0])
        >>> rg.nn.utils.clip_grads_with_norm_([p], 1.0, rg.tensor(10.0))
        >>> [round(g, 3) for g in p.grad.tolist()]
        [0.3, 0.4]
    """
    _scale(_grads(parameters), max_norm, total_norm)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limits every gradient element to ``[-clip_value, clip_value]``, in place.

    Args:
        parameters: Whose gradients; those without one are skipped.
        clip_value: The largest absolute value allowed.
        foreach: Changes nothing: PyTorch chooses its kernels by it.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.zeros(2))
        >>> p.grad = rg.tensor([3.0, -0.5])
        >>> rg.nn.utils.clip_grad_value_([p], 1.0)
        >>> p.grad.tolist()
        [1.0, -0.5]
    """
    limit = float(clip_value)
    with rg.no_grad():
        for grad in _grads(parameters):
            grad.clamp_(-limit, limit)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors, as if they were one vector.

    Args:
        tensors: One or several.
        norm_type: Order of the norm; may be infinite.
        error_if_nonfinite: Raise if the norm is NaN or infinite.
        foreach: Changes nothing: PyTorch chooses its kernels by it.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.utils.get_total_norm([rg.tensor([3.0]), rg.tensor([4.0])]).item()
        5.0
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    return _wide_norm(tensors, norm_type, error_if_nonfinite).to(_dtype(tensors))


def _wide_norm(tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    """The norm of the tensors' norms, in float32 at least: squares overflow in half precision."""
    if not tensors:
        return rg.tensor(0.0)
    p, device = float(norm_type), tensors[0].device
    dtype = rg.promote_types(_dtype(tensors), rg.float32)
    with rg.no_grad():
        norms = [rg.norm(t.detach().to(dtype=dtype), p).to(device=device) for t in tensors]
        total = rg.norm(rg.stack(norms), p)
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(
                f"the total norm of order {p} is {total.item()}, so gradients cannot be clipped"
            )
    return total


def _dtype(tensors: list[Tensor]) -> Any:
    kinds = [t.dtype for t in tensors] or [rg.float32]
    return functools.reduce(rg.promote_types, kinds)


def _scale(grads: list[Tensor], max_norm: float, total: Tensor) -> None:
    with rg.no_grad():
        factor = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(device=grad.device, dtype=grad.dtype))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector.

    Args:
        parameters: Tensors of one dtype on one device.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.utils.parameters_to_vector([rg.zeros(1, 2), rg.ones(1)]).tolist()
        [0.0, 0.0, 1.0]
    """
    return rg.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the parts of a vector into the parameters.

    Args:
        vec: As many elements as the parameters have.
        parameters: Where they go, in order.

    Example:
        >>> import rubigo as rg
        >>> p = rg.nn.Parameter(rg.zeros(2))
        >>> rg.nn.utils.vector_to_parameters(rg.ones(2), [p])
        >>> p.tolist()
        [1.0, 1.0]
    """
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if vec.numel() != total:
        raise ValueError(f"the vector has {vec.numel()} elements, the parameters {total}")
    start = 0
    with rg.no_grad():
        for p in parameters:
            p.copy_(vec[start : start + p.numel()].reshape(p.shape))
            start += p.numel()


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]
