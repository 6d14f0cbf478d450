"""The trainer: one visible loop, with callbacks around it."""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from numbers import Number
from os import PathLike
from typing import Any, cast

import rubigo as rg
from rubigo._arguments import given, type_name

from ..data.convert import whole
from ..data.sampler import draw_seed, mix_seed
from ..metrics import Metric
from .callbacks import Callback, EarlyStopping, LRSchedulerCallback
from .checkpoint import plain, read_checkpoint, restore_optimizer
from .feed import as_loader, explain_non_finite, input_loader, join, split_batch
from .history import History
from .progress import EpochLines, ProgressBar, is_terminal
from .scoring import FunctionMetric, Scores, named_metrics, set_aside

_FORMAT = "rubigo.trainer/2"


class Trainer:
    """Trains, evaluates and applies a model.

    Args:
        model: an `nn.Module`, called with the inputs of a batch. Of several outputs, the loss
            gets all and the metrics the first.
        optimizer: over the model's parameters.
        loss: a function of (output, target); a loss of `reduction="sum"` is logged per sample.
            Where samples are (x, (y1, y2)), the target is a list, and the metrics get its first.
        metrics: names from `rubigo.metrics.BY_NAME`, metric objects, or functions of (preds,
            target) that give a number (averaged by samples); or a dict that names them.
            They see probabilities where the loss takes logits: sigmoid(output) for
            BCEWithLogitsLoss, softmax(output) for CrossEntropyLoss, exp(output) for NLLLoss;
            with other losses, the output as it is. A metric object made with `logits=True`
            sees the output.
        device: where to train; where the model is, when absent.
        scheduler: of the learning rate; stepped per batch if it is a OneCycleLR or CyclicLR and
            per epoch otherwise. Pass an `LRSchedulerCallback` to choose.
        callbacks: see `rubigo.train.Callback`.
        clip_norm: gradients are scaled down to this total norm.
        accumulate_steps: batches whose gradients are averaged before each step.

    >>> import rubigo as rg
    >>> _ = rg.manual_seed(0)
    >>> x = rg.arange(8, dtype=rg.float32).reshape(8, 1) / 8
    >>> model = rg.nn.Linear(1, 1)
    >>> optimizer = rg.optim.SGD(model.parameters(), lr=0.5)
    >>> trainer = Trainer(model, optimizer, rg.nn.MSELoss(), metrics=["mae"])
    >>> history = trainer.fit((x, 2 * x), epochs=50, batch_size=4)
    >>> history["loss"][-1] < 0.01
    True
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        loss: Callable[[Any, Any], rg.Tensor],
        *,
        metrics: Any = (),
        device: Any = None,
        scheduler: Any = None,
        callbacks: Iterable[Callback] = (),
        clip_norm: float | None = None,
        accumulate_steps: int = 1,
    ):
        _check_parts(model, optimizer, loss)
        callbacks = list(callbacks)
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks are Callback objects, got {type(callback).__name__}")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"clip_norm must be positive, got {clip_norm}")
        if device is None:
            device = next((p.device for p in model.parameters()), "cpu")
        else:
            model.to(device)
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.metrics: dict[str, Metric] = named_metrics(metrics)
        self._scores = Scores(loss)
        self.device = device
        self.clip_norm = clip_norm
        self.accumulate_steps: int = whole(accumulate_steps, "accumulate_steps", 1)
        if scheduler is not None and not isinstance(scheduler, LRSchedulerCallback):
            scheduler = LRSchedulerCallback(scheduler)
        given = callbacks if scheduler is None else [scheduler, *callbacks]
        _check_schedules(given, optimizer)
        # Checkpoints come last, so that they hold what the other callbacks have learnt.
        self.callbacks: list[Callback] = sorted(given, key=lambda callback: callback.order)
        self.history = History()
        self.epoch: int = 0
        """Epochs completed."""
        self.logged: list[str] = []
        """What this `fit` logs of each epoch."""
        self.should_stop = False
        """A callback sets it to end the run after the epoch."""
        self._seed: int | None = None
        self._in_batches = False
        self._results_checked = False

    def fit(
        self,
        train: Any,
        target: Any = None,
        epochs: int | None = None,
        *,
        validation: Any = None,
        validation_data: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        num_workers: int = 0,
        verbose: int | str = "auto",
    ) -> History:
        """Trains until `epochs` epochs are done in all, those before a `load` included.

        `fit((x, y), 5)`, `fit([x, y], 5)`, `fit(x, y, 5)` and `fit(dataset, 5)` are ways to say
        the same; `epochs` may be named, and is 1 when absent.

        Every random number of epoch e (order, dropout, what `__getitem__` draws) depends only on
        `seed` and e, so that a resumed run gives the same bits as one that was never interrupted.
        A DataLoader or sampler with a generator of its own goes by that, and a sampler of yours
        by itself: make them alike for a resume.
        Ctrl-C leaves a model whose weights, optimizer and schedule belong together, and the
        history so far.

        Args:
            train: arrays, a dataset, or a DataLoader (which then decides about batches and
                their order); several inputs are (x1, x2, y), or (x1, x2) beside a target. Floats
                of numpy arrays and lists get the model's dtype.
            target: y, where `train` is x alone.
            epochs: how many the run has in all.
            validation: data to evaluate after each epoch, or None.
            validation_data: Keras' name for `validation`.
            batch_size, shuffle, num_workers: of the loader made for arrays or a dataset.
            seed: of the run; it seeds rubigo's default generator anew in each epoch.
            verbose: "auto" draws a progress bar on a terminal and is quiet elsewhere, 1 draws
                the bar or, elsewhere, prints one line per epoch, 2 always prints the lines, 0
                is quiet.
        """
        if epochs is None and isinstance(target, Number):
            epochs, target = cast(int, target), None
        epochs = 1 if epochs is None else whole(epochs, "epochs", 0)
        seed = whole(seed, "seed")
        if validation_data is not None:
            if validation is not None:
                raise ValueError("validation and validation_data are two names for one thing")
            validation = validation_data
        if isinstance(validation, Number):
            raise TypeError(
                f"validation is data, like train, got {validation!r}: cut it off first with "
                "rubigo.data.random_split"
            )
        if self._seed not in (None, seed):
            raise ValueError(f"this run was begun with seed={self._seed}, got seed={seed}")
        if self.epoch >= epochs:
            warnings.warn(
                f"{self.epoch} epochs are done already, so fit(epochs={epochs}) has nothing to "
                "do: `epochs` counts from the start of the run",
                stacklevel=2,
            )
            return self.history
        loader = as_loader(
            train,
            target,
            batch_size,
            dtype=self._dtype(),
            shuffle=shuffle,
            seed=seed,
            num_workers=num_workers,
        )
        if len(loader) == 0:
            raise ValueError("the training data has 0 samples")
        if loader is train:  # as one made here is seeded
            loader.reseed(draw_seed(rg.Generator().manual_seed(seed)))
        steps = math.ceil(len(loader) / self.accumulate_steps)
        # Early stopping may end a run that is too long; it needs one epoch at least.
        stops = any(isinstance(callback, EarlyStopping) for callback in self.callbacks)
        for callback in self.callbacks:
            if isinstance(callback, LRSchedulerCallback):
                callback.check_steps(1 if stops else epochs - self.epoch, steps)
        callbacks = [*self._reporters(verbose, epochs, len(loader)), *self.callbacks]
        self._seed = seed
        self.should_stop = False
        scores = ["loss", *self.metrics]
        validated = [] if validation is None else [f"val_{name}" for name in scores]
        self.logged = [*scores, *validated, "lr", "seconds"]
        try:
            for callback in callbacks:
                callback.on_fit_begin(self)
            while self.epoch < epochs and not self.should_stop:
                self._epoch(loader, validation, batch_size, callbacks)
        finally:
            with ExitStack() as ends:  # each has its turn, whatever another raises
                for callback in reversed(callbacks):
                    ends.callback(callback.on_fit_end, self)
        return self.history

    def _epoch(
        self, loader: Any, validation: Any, batch_size: int, callbacks: list[Callback]
    ) -> None:
        started = time.perf_counter()
        assert self._seed is not None
        rg.manual_seed(mix_seed(self._seed, self.epoch))
        loader.set_epoch(self.epoch)
        _reset(self.metrics)
        self.model.train()
        self.optimizer.zero_grad()
        self._in_batches = True
        try:
            loss, rate = self._batches(loader, callbacks)
        finally:
            self._in_batches = False
        logs = {"loss": loss, **_results(self.metrics)}
        if validation is not None:
            scores = self.evaluate(validation, batch_size=batch_size)
            logs |= {f"val_{name}": score for name, score in scores.items()}
        # The rate of the last step, not what the schedule has set for the next one.
        logs["lr"] = rate
        logs["seconds"] = time.perf_counter() - started
        with _uninterrupted():
            self.epoch += 1
            self.history.append(logs)
            for callback in callbacks:
                callback.on_epoch_end(self, logs)

    def _batches(self, loader: Any, callbacks: list[Callback]) -> tuple[float, float]:
        """One pass over the training data: the mean loss and the last learning rate."""
        total, samples, batches, rate = 0.0, 0, len(loader), 0.0
        for number, batch in enumerate(loader):
            where = f"epoch {self.epoch + 1}, batch {number + 1}"
            inputs, target, size = split_batch(batch, self.device, where)
            first = number - number % self.accumulate_steps
            group = min(self.accumulate_steps, batches - first)
            output, value = self._backward(inputs, target, group, where)
            if number + 1 == first + group:
                rate = float(self.optimizer.param_groups[0]["lr"])
                with _uninterrupted():
                    self._step()
                    for callback in callbacks:
                        callback.on_step_end(self)
            total += value if self._scores.is_sum else value * size
            samples += size
            self._scores.update(self.metrics.values(), output, target)
            if not self._results_checked:
                _check_results(self.metrics)
                self._results_checked = True
            for callback in callbacks:
                callback.on_batch_end(self, number, {"loss": total / samples})
        if samples == 0:
            raise ValueError(f"epoch {self.epoch + 1}: the training data gave no batches")
        return total / samples, rate

    def _backward(
        self, inputs: list[rg.Tensor], target: Any, group: int, where: str
    ) -> tuple[Any, float]:
        output = self.model(*inputs)
        loss = _one_number(self.loss(output, target))
        value = float(loss.item())
        if not math.isfinite(value):
            reason = self._scores.explain_nothing_left(target) or explain_non_finite(
                self.model, inputs, output, target
            )
            raise FloatingPointError(f"the loss is {value} in {where}: {reason}")
        (loss if group == 1 else loss / group).backward()
        return output, value

    def _step(self) -> None:
        if self.clip_norm is not None:
            rg.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def evaluate(self, data: Any, target: Any = None, batch_size: int = 32) -> dict[str, float]:
        """The mean loss and the metrics over `data`, in evaluation mode.

        Args:
            data, target: as for `fit`; visited in order.
            batch_size: of the loader made for arrays or a dataset.
        """
        # A callback that evaluates between two batches must not disturb what these add up.
        metrics = set_aside(self.metrics) if self._in_batches else nullcontext(self.metrics)
        total, samples = 0.0, 0
        loader = as_loader(data, target, batch_size, dtype=self._dtype())
        with _evaluating(self.model), metrics as scored:
            _reset(scored)
            for number, batch in enumerate(loader):
                where = f"evaluation, batch {number + 1}"
                inputs, target, size = split_batch(batch, self.device, where)
                output = self.model(*inputs)
                value = float(_one_number(self.loss(output, target)).item())
                total += value if self._scores.is_sum else value * size
                samples += size
                self._scores.update(scored.values(), output, target)
            if samples == 0:
                raise ValueError("cannot evaluate on 0 samples")
            return {"loss": total / samples, **_results(scored)}

    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """The model's outputs, joined, on the CPU; a tuple where the model returns one.

        Args:
            x: an array (N, ...), a tuple of them for a model of several inputs, or a dataset or
                a DataLoader, whose last field is left out as the target where there are two.
            batch_size: of the loader made for arrays or a dataset.
        """
        with _evaluating(self.model):
            parts = [
                self.model(*(part.to(self.device) for part in inputs))
                for inputs in input_loader(x, batch_size, self._dtype())
            ]
        if not parts:
            raise ValueError("cannot predict 0 samples")
        return join(parts)

    def _dtype(self) -> Any:
        """The dtype of the model's numbers."""
        dtypes = (p.dtype for p in self.model.parameters() if p.is_floating_point())
        return next(dtypes, rg.float32)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes all that continuing needs: model, optimizer, callbacks, epoch, seed, history.

        The file replaces an older one in one step; an interrupted save leaves that as it was.
        Resuming is exact from the end of an epoch.
        """
        state = {
            "format": _FORMAT,
            "epoch": self.epoch,
            "seed": self._seed,
            "history": dict(self.history),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "callbacks": [[_kind(c), c.state_dict()] for c in self.callbacks],
        }
        rg.save(plain(state), path)

    def load(self, path: str | PathLike[str]) -> None:
        """Takes up the state `save` wrote; model and optimizer must be made alike.

        Callbacks find their state by their class, in order. A warning tells which have none, or
        which state nobody took: then a resumed run is not exact, but `predict` is.

        Raises:
            ValueError: the file is damaged, or belongs to another model, optimizer or schedule.
                Everything then stays as it was.
        """
        state = read_checkpoint(path, _FORMAT)
        optimizer = self.optimizer.state_dict()
        callbacks = [(deepcopy(c.state_dict()), dict(vars(c))) for c in self.callbacks]
        try:
            alone = self._load_callbacks(state["callbacks"])
            restore_optimizer(self.optimizer, state["optimizer"])
            self.model.load_state_dict(state["model"])  # last: it changes all or nothing
        except Exception as error:
            for callback, (before, attributes) in zip(self.callbacks, callbacks, strict=True):
                callback.load_state_dict(before)
                vars(callback).update(attributes)
            self.optimizer.load_state_dict(optimizer)
            what = str(error) if isinstance(error, ValueError | RuntimeError) else repr(error)
            raise ValueError(f"{path} does not fit this trainer: {what}") from error
        if alone:
            warnings.warn(
                f"{path} was saved with other callbacks: {', '.join(alone)}", stacklevel=2
            )
        self.history = History(state["history"])
        self.epoch = state["epoch"]
        self._seed = state["seed"]

    def _load_callbacks(self, saved: list[list[Any]]) -> list[str]:
        """Gives callbacks their state; what found no partner."""
        left = list(saved)
        alone = []
        for callback in self.callbacks:
            kind = _kind(callback)
            place = next((i for i, entry in enumerate(left) if entry[0] == kind), None)
            if place is not None:
                callback.load_state_dict(left.pop(place)[1])
                callback.on_load(self)
            elif callback.state_dict():
                alone.append(f"{kind} finds no state in it")
        return alone + [f"the state of {kind} is not used" for kind, state in left if state]

    def higher_is_better(self, monitor: str) -> bool:
        """Whether a larger value of a logged name is better; losses are better small."""
        metric = self.metrics.get(monitor.removeprefix("val_"))
        if isinstance(metric, FunctionMetric):
            raise ValueError(f"is {monitor!r} better small or large? Pass mode='min' or 'max'")
        return False if metric is None else metric.higher_is_better

    def _reporters(self, verbose: int | str, epochs: int, batches: int) -> list[Callback]:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
        if verbose in ("auto", 1) and is_terminal():
            return [ProgressBar(epochs, batches)]
        return [EpochLines(epochs)] if verbose in (1, 2) else []


def _check_parts(model: Any, optimizer: Any, loss: Any) -> None:
    """What is wrong here would be an odd error in the first batch, or training of nothing."""
    if isinstance(optimizer, type) or not hasattr(optimizer, "param_groups"):
        raise TypeError(
            "optimizer is an object such as rg.optim.Adam(model.parameters()), got "
            f"{given(optimizer)}"
        )
    if isinstance(loss, type) or not callable(loss):
        got = given(loss) if isinstance(loss, type) else repr(loss)
        raise TypeError(
            f"loss is a function of (output, target), such as nn.CrossEntropyLoss(), got {got}"
        )
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in trained for p in model.parameters()):
        raise ValueError(
            f"the optimizer has no parameter of the {type(model).__name__}: make it with "
            "model.parameters()"
        )


def _check_schedules(callbacks: Iterable[Callback], optimizer: Any) -> None:
    for callback in callbacks:
        if isinstance(callback, LRSchedulerCallback):
            schedule = callback.scheduler
            if getattr(schedule, "optimizer", optimizer) is not optimizer:
                raise ValueError(
                    f"the {type(schedule).__name__} belongs to another optimizer, whose rates it "
                    "would change: make it with the one of this trainer"
                )


def _one_number(loss: Any) -> rg.Tensor:
    if not isinstance(loss, rg.Tensor):
        raise TypeError(f"the loss must be a Tensor of one number, got {type_name(loss)}")
    if loss.ndim != 0:
        raise ValueError(f"the loss must be one number, got shape {tuple(loss.shape)}: average it")
    return loss


def _kind(callback: Callback) -> str:
    """What a callback's state belongs to: its class, and that of the schedule within."""
    name = type(callback).__name__
    if isinstance(callback, LRSchedulerCallback):
        name = f"{name} of {type(callback.scheduler).__name__}"
    return name


def _reset(metrics: dict[str, Metric]) -> None:
    for metric in metrics.values():
        metric.reset()


def _results(metrics: dict[str, Metric]) -> dict[str, float]:
    return {name: _number(name, metric.compute()) for name, metric in metrics.items()}


def _check_results(metrics: dict[str, Metric]) -> None:
    """Refuses tables and curves after the first batch and not only after the epoch."""
    for name, metric in metrics.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = metric.compute()
        except Exception:  # one batch may be too little for it
            continue
        _number(name, value)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        what = f"shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
        raise TypeError(
            f"the metric {name!r} gives {what}, and a log holds one number for each: average it, "
            "or compute it from predict()"
        ) from None


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; every submodule's own mode comes back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with rg.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds Ctrl-C back until the block is done, so that no update is left half made."""
    ours = threading.current_thread() is threading.main_thread()
    # A handler that Python did not install (None) could not be put back.
    if not ours or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    pressed: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if pressed:
            signal.raise_signal(signal.SIGINT)
