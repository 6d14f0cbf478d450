"""Work on the parameters of a model: clipping gradients, flattening."""

from __future__ import annotations

import math
from collections.abc import Iterable

import rubigo as rg
from rubigo._core import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales all gradients together so that their norm is at most ``max_norm``, in place.

    Args:
        parameters: Whose gradients; those without one are skipped.
        max_norm: The largest norm allowed.
        norm_type: Order of the norm; may be infinite.
        error_if_nonfinite: Raise if the norm is NaN or infinite.

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
    with rg.no_grad():
        total = get_total_norm(grads, norm_type, error_if_nonfinite)
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(device=grad.device, dtype=grad.dtype))
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limits every gradient element to ``[-clip_value, clip_value]``, in place.

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
    tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all tensors, as if they were one vector.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.utils.get_total_norm([rg.tensor([3.0]), rg.tensor([4.0])]).item()
        5.0
    """
    tensors = list(tensors)
    if not tensors:
        return rg.tensor(0.0)
    p = float(norm_type)
    if not p > 0:
        raise ValueError(f"norm_type must be positive, got {norm_type}")
    device = tensors[0].device
    with rg.no_grad():
        if p == math.inf:
            parts = [t.abs().max() for t in tensors if t.numel()]
        elif p == 2:
            parts = [t.square().sum() for t in tensors]
        else:
            parts = [t.abs().pow(p).sum() for t in tensors]
        if not parts:
            return rg.tensor(0.0, device=device)
        stacked = rg.stack([part.to(device=device) for part in parts])
        total = stacked.max() if p == math.inf else stacked.sum().pow(1.0 / p)
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(
                f"the total norm of order {p} is {total.item()}, so gradients cannot be clipped"
            )
    return total


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector.

    Example:
        >>> import rubigo as rg
        >>> rg.nn.utils.parameters_to_vector([rg.zeros(1, 2), rg.ones(1)]).tolist()
        [0.0, 0.0, 1.0]
    """
    return rg.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the parts of a vector into the parameters.

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
