"""The contract of every metric object."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from .inputs import ArrayLike


class Metric:
    """Accumulates over batches what a metric needs: sums, or all scores where these must be ranked.

    `update` takes a batch, `compute` gives the metric of all batches since the last `reset`,
    and `merge` adds what another object of the same kind has seen. A subclass keeps its sums in
    `self._sums`, a tuple whose members add up (tensors, numbers or lists), or overrides `_add`.
    `compute` leaves them as they are: a trainer also asks for it after the first batch.

    >>> import rubigo as rg
    >>> class Largest(Metric):
    ...     name = "largest"
    ...     higher_is_better = False
    ...     def _measure(self, preds, target):
    ...         return (float((preds - target).abs().max()),)
    ...     def _add(self, sums):
    ...         self._sums = sums if self._sums is None else max(self._sums, sums)
    ...     def _result(self, largest):
    ...         return largest
    >>> metric = Largest()
    >>> metric.update(rg.tensor([1.0, 2.0]), rg.tensor([1.0, 4.5]))
    >>> metric.compute()
    2.5
    """

    higher_is_better: ClassVar[bool]
    name: ClassVar[str]

    def __init__(self) -> None:
        self._sums: tuple[Any, ...] | None = None

    def update(self, preds: ArrayLike, target: ArrayLike, **options: Any) -> None:
        """Takes in one batch; `options` is its `sample_weight`, where the metric has one."""
        self._add(self._measure(preds, target, **options))

    def compute(self) -> Any:
        """The metric of everything taken in; a `ValueError` when that is nothing."""
        if self._sums is None:
            raise ValueError(f"{self.name}: no samples yet, call update() before compute()")
        return self._result(*self._sums)

    def reset(self) -> None:
        """Forgets everything taken in."""
        self._sums = None

    def merge(self, other: Self) -> None:
        """Takes in all that `other` has seen."""
        if type(other) is not type(self) or vars(other).keys() != vars(self).keys():
            raise TypeError(f"cannot merge {type(other).__name__} into {type(self).__name__}")
        for key, value in vars(self).items():
            if key != "_sums" and value != vars(other)[key]:
                raise ValueError(
                    f"cannot merge {self.name} objects that differ in {key}: "
                    f"{value!r} and {vars(other)[key]!r}"
                )
        if other._sums is not None:
            self._add(tuple(list(s) if isinstance(s, list) else s for s in other._sums))

    def _add(self, sums: tuple[Any, ...]) -> None:
        if self._sums is None:
            self._sums = sums
        else:
            self._sums = tuple(_plus(a, b) for a, b in zip(self._sums, sums, strict=True))

    def _measure(self, preds: ArrayLike, target: ArrayLike) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} does not define _measure")

    def _result(self, *sums: Any, **_: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _result")

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({options})"


def _plus(total: Any, more: Any) -> Any:
    if not isinstance(total, list):
        return total + more
    total += more  # a new list would copy all batches before in each
    return total
