"""From a loss and a model's output to what the metrics see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import rubigo as rg

from ..metrics import BY_NAME, Metric

# What an epoch's log holds beside metrics; those of the validation begin with "val_".
_LOGGED = ("epoch", "loss", "lr", "seconds")


class FunctionMetric(Metric):
    """A function of (preds, target), averaged over batches by their numbers of samples.

    >>> metric = FunctionMetric(lambda preds, target: (preds - target).abs().max())
    >>> metric.update(rg.tensor([1.0]), rg.tensor([2.0]))
    >>> metric.update(rg.tensor([0.0, 4.0, 0.0]), rg.tensor([0.0, 1.0, 0.0]))
    >>> metric.compute()
    2.5
    """

    name = "function"

    def __init__(self, function: Callable[[Any, Any], Any]):
        super().__init__()
        self.function = function

    def _measure(self, preds: Any, target: Any) -> tuple[float, int]:
        return float(self.function(preds, target)) * target.shape[0], target.shape[0]

    def _result(self, total: float, samples: int) -> float:
        return total / samples


def named_metrics(metrics: Any) -> dict[str, Metric]:
    """The metrics by the names under which they are logged."""
    if isinstance(metrics, str) or callable(metrics) or isinstance(metrics, Metric):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        named = {str(name): _metric(metric) for name, metric in metrics.items()}
    else:
        named = _by_their_names(metrics)
    for name in named:
        if name in _LOGGED or name.startswith("val_"):
            raise ValueError(
                f"a metric cannot be called {name!r}, which the log has for something else; pass "
                "a dict that names it"
            )
    return named


def _by_their_names(metrics: Iterable[Any]) -> dict[str, Metric]:
    named: dict[str, Metric] = {}
    for given in metrics:
        metric = _metric(given)
        if isinstance(given, str):
            name = given
        elif isinstance(metric, FunctionMetric):
            name = getattr(given, "__name__", type(given).__name__)
        else:
            name = metric.name
        if name in named or name == "<lambda>":
            problem = "a lambda has no name" if name == "<lambda>" else f"two are called {name!r}"
            raise ValueError(f"metrics: {problem}; pass a dict that names them")
        named[name] = metric
    return named


def _metric(given: Any) -> Metric:
    if isinstance(given, str):
        if given not in BY_NAME:
            raise ValueError(f"unknown metric {given!r}; known: {', '.join(sorted(BY_NAME))}")
        return BY_NAME[given]()
    if isinstance(given, type) and issubclass(given, Metric):
        return given()
    if isinstance(given, Metric):
        return given
    if callable(given):
        return FunctionMetric(given)
    raise TypeError(f"a metric is a name, a Metric or a function, got {type(given).__name__}")


@contextmanager
def set_aside(metrics: dict[str, Metric]) -> Iterator[dict[str, Metric]]:
    """Metrics to use between two batches of an epoch, whose own sums stay as they are.

    >>> metric = rg.metrics.Accuracy()
    >>> metric.update([0, 1], [0, 1])
    >>> with set_aside({"accuracy": metric}) as metrics:
    ...     metrics["accuracy"].reset()
    >>> metric.compute()
    1.0
    """
    # What `Metric.reset` forgets is all in _sums; only a reset of one's own may know of more.
    sums = {name: m._sums for name, m in metrics.items() if type(m).reset is Metric.reset}
    try:
        yield {name: m if name in sums else _copied(name, m) for name, m in metrics.items()}
    finally:
        for name, kept in sums.items():
            metrics[name]._sums = kept


def _copied(name: str, metric: Metric) -> Metric:
    try:
        return deepcopy(metric)
    except Exception as error:
        raise TypeError(
            f"the metric {name!r} has a reset() of its own and cannot be copied for an evaluation "
            f"between two batches ({error}): keep its sums in self._sums, or give it a "
            "__deepcopy__"
        ) from error


class Scores:
    """Shows a batch to metrics: probabilities, where the loss takes logits.

    That is sigmoid(output) for BCEWithLogitsLoss and MultiLabelSoftMarginLoss, softmax(output)
    for CrossEntropyLoss and exp(output) for NLLLoss, as modules or as functions. For the latter
    two, targets of probabilities become labels and samples of `ignore_index` are left out.

    >>> scores = Scores(rg.nn.BCEWithLogitsLoss())
    >>> metric = rg.metrics.Accuracy()
    >>> scores.update([metric], rg.tensor([[3.0], [-3.0]]), rg.tensor([[1.0], [0.0]]))
    >>> metric.compute()
    1.0
    """

    def __init__(self, loss: Any):
        options = loss.keywords if isinstance(loss, partial) else {}
        function = loss.func if isinstance(loss, partial) else loss
        nn, F = rg.nn, rg.functional
        self._link: Callable[[rg.Tensor], rg.Tensor] = _as_it_is
        self._classes = True
        if isinstance(function, nn.CrossEntropyLoss) or function is F.cross_entropy:
            self._link = _softmax
        elif isinstance(function, nn.NLLLoss) or function is F.nll_loss:
            self._link = rg.exp
        else:
            self._classes = False
            modules = nn.BCEWithLogitsLoss | nn.MultiLabelSoftMarginLoss
            functions = F.binary_cross_entropy_with_logits, F.multilabel_soft_margin_loss
            if isinstance(function, modules) or function in functions:
                self._link = rg.sigmoid
        self._ignore_index = options.get("ignore_index", getattr(loss, "ignore_index", -100))
        reduction = options.get("reduction", getattr(loss, "reduction", "mean"))
        self.is_sum: bool = reduction == "sum"
        """Whether the loss of a batch is the sum of its samples' and not their mean."""

    def update(self, metrics: Iterable[Metric], output: Any, target: Any) -> None:
        """Gives the batch to each metric; of several outputs or targets, the first."""
        metrics = list(metrics)
        if not metrics:
            return
        if isinstance(output, tuple | list):
            output = output[0]
        if isinstance(target, list):
            target = target[0]
        output = output.detach()
        if self._classes:
            output, target = self._labelled(output, target)
        if target.shape[0] == 0:
            return
        preds = self._link(output)
        for metric in metrics:
            # An object like LogLoss(logits=True) says itself what it wants.
            metric.update(output if getattr(metric, "logits", False) else preds, target)

    def explain_nothing_left(self, target: Any) -> str | None:
        """Why the mean loss is nan where all samples are to be ignored."""
        if not self._classes or target.is_floating_point():
            return None
        if bool((target != self._ignore_index).any()):
            return None
        return (
            f"all targets are {self._ignore_index}, the ignore_index of the loss, and the mean of "
            "no samples is nan: leave such batches out"
        )

    def _labelled(self, output: rg.Tensor, target: rg.Tensor) -> tuple[rg.Tensor, rg.Tensor]:
        if target.is_floating_point():
            return output, target.argmax(1)
        if not bool((target == self._ignore_index).any()):
            return output, target
        scores = output.movedim(1, -1).reshape(-1, output.shape[1])
        target = target.reshape(-1)
        keep = target != self._ignore_index
        return scores[keep], target[keep]


def _as_it_is(output: rg.Tensor) -> rg.Tensor:
    return output


def _softmax(output: rg.Tensor) -> rg.Tensor:
    return output.softmax(1)
