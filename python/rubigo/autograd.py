"""Gradients: the recording switch, `grad`, and functions with a rule of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, overload
from weakref import ref

from rubigo import _core
from rubigo._core import Tensor
from rubigo.testing import gradcheck as gradcheck, gradgradcheck as gradgradcheck

_F = TypeVar("_F", bound=Callable[..., Any])
_Tensors = Tensor | Sequence[Tensor]


class _GradMode:
    """Base of the context managers, which work as decorators too."""

    mode: bool = True

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.function = function
        self.before: list[bool] = []

    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: _F) -> _F: ...
    def __new__(cls, function: Any = None) -> Any:
        if callable(function):
            return cls().__call__(function)
        return super().__new__(cls)

    def __enter__(self) -> Self:
        self.before.append(_core.set_grad_enabled(self.mode))
        return self

    def __exit__(self, *exc: object) -> None:
        _core.set_grad_enabled(self.before.pop())

    def __call__(self, function: _F) -> _F:
        from functools import wraps
        from inspect import isgeneratorfunction

        if isgeneratorfunction(function):
            # The mode holds while the generator runs, not while its user does.
            @wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                inner = function(*args, **kwargs)
                resume, value = inner.send, None
                try:
                    while True:
                        with self._fresh():
                            item = resume(value)
                        try:
                            value = yield item
                            resume = inner.send
                        except GeneratorExit:
                            with self._fresh():
                                inner.close()
                            raise
                        except BaseException as error:
                            resume, value = inner.throw, error
                except StopIteration as stop:
                    return stop.value

            return cast(_F, generate)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return cast(_F, call)

    def _fresh(self) -> Self:
        """The mode with nothing to restore yet: a decorated function may run on many threads."""
        made = object.__new__(type(self))
        made.mode, made.before = self.mode, []
        return made


class no_grad(_GradMode):
    """Nothing is recorded inside: results do not require gradients.

    Args:
        function: what it decorates; None for a `with` block.

    >>> import rubigo as rg
    >>> x = rg.ones(2, requires_grad=True)
    >>> with rg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    mode = False


class inference_mode(no_grad):
    """As `no_grad`.

    Args:
        mode: False records after all.

    >>> import rubigo as rg
    >>> x = rg.ones(2, requires_grad=True)
    >>> with rg.inference_mode():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    @overload
    def __new__(cls, mode: bool = True) -> Self: ...
    @overload
    def __new__(cls, mode: _F) -> _F: ...
    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return cls().__call__(mode)
        return object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = not mode


class enable_grad(_GradMode):
    """Records inside of a `no_grad` block.

    Args:
        function: what it decorates; None for a `with` block.

    >>> import rubigo as rg
    >>> x = rg.ones(2, requires_grad=True)
    >>> with rg.no_grad(), rg.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    mode = True


class set_grad_enabled(_GradMode):
    """Switches recording on or off: at once, and for a `with` block.

    Args:
        mode: whether operations are recorded.

    >>> import rubigo as rg
    >>> x = rg.ones(2, requires_grad=True)
    >>> with rg.autograd.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __new__(cls, mode: bool) -> Self:
        return object.__new__(cls)

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        self.before.append(_core.set_grad_enabled(self.mode))

    def __enter__(self) -> Self:
        return self

    def __call__(self, function: _F) -> _F:
        # As a decorator the switch holds for the calls only.
        _core.set_grad_enabled(self.before.pop())
        mode = self.mode
        from functools import wraps

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            before = _core.set_grad_enabled(mode)
            try:
                return function(*args, **kwargs)
            finally:
                _core.set_grad_enabled(before)

        return cast(_F, call)


def is_grad_enabled() -> bool:
    """Whether operations are recorded on this thread.

    >>> import rubigo as rg
    >>> with rg.no_grad():
    ...     rg.is_grad_enabled()
    False
    """
    return _core.is_grad_enabled()


def _listed(x: _Tensors) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else list(x)


def _vectors(
    given: Tensor | Sequence[Tensor | None] | None, outputs: list[Tensor]
) -> list[Tensor | None]:
    """The vectors of the vector-Jacobian products, one for each output."""
    if given is None:
        return [None] * len(outputs)
    return [given] if isinstance(given, Tensor) else list(given)


@overload
def grad(
    outputs: _Tensors,
    inputs: _Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = ...,
    retain_graph: bool | None = ...,
    create_graph: bool = ...,
    only_inputs: bool = ...,
    allow_unused: Literal[False] | None = ...,
    is_grads_batched: bool = ...,
    materialize_grads: bool = ...,
) -> tuple[Tensor, ...]: ...
@overload
def grad(
    outputs: _Tensors,
    inputs: _Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = ...,
    retain_graph: bool | None = ...,
    create_graph: bool = ...,
    only_inputs: bool = ...,
    allow_unused: bool | None = ...,
    is_grads_batched: bool = ...,
    materialize_grads: bool = ...,
) -> tuple[Tensor | None, ...]: ...
def grad(
    outputs: _Tensors,
    inputs: _Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, without touching `.grad`.

    Args:
        outputs: tensor or tensors to differentiate; scalars unless `grad_outputs` is given.
        inputs: tensor or tensors to differentiate by.
        grad_outputs: the vector of the vector-Jacobian product, one for each output.
        retain_graph: keep what was saved, for another pass; `create_graph` by default.
        create_graph: record the gradients' own computation.
        only_inputs: has no effect; False warns, as in PyTorch.
        allow_unused: give None for inputs that the outputs do not depend on, instead of raising.
        is_grads_batched: only False.
        materialize_grads: give zeros instead of None.

    Raises:
        RuntimeError: for outputs without a graph, or with several elements and no vector; for
            inputs that are not used.

    >>> import rubigo as rg
    >>> x = rg.tensor(3.0, requires_grad=True)
    >>> (g,) = rg.autograd.grad(x**3, x, create_graph=True)
    >>> rg.autograd.grad(g, x)[0].item()
    18.0
    """
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched: call grad once for each vector instead")
    if not only_inputs:
        warnings.warn(
            "only_inputs is ignored: use backward() to add to the .grad of other leaves",
            FutureWarning,
            stacklevel=2,
        )
    outputs, inputs = _listed(outputs), _listed(inputs)
    vectors = _vectors(grad_outputs, outputs)
    if len(vectors) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} outputs and {len(vectors)} grad_outputs")
    keep = create_graph if retain_graph is None else retain_graph
    found = _core.grad(outputs, inputs, vectors, keep, create_graph)
    if materialize_grads:
        pairs = zip(found, inputs, strict=True)
        found = [_core.zeros_like(x) if g is None else g for g, x in pairs]
    elif not allow_unused and any(g is None for g in found):
        i = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(
            f"input {i} appears to not have been used in the graph; "
            "set allow_unused=True if this is the desired behavior"
        )
    return tuple(found)


def backward(
    tensors: _Tensors,
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Tensor | Sequence[Tensor | None] | None = None,
    inputs: _Tensors | None = None,
) -> None:
    """Adds the gradients of `tensors` into the `.grad` of the leaves.

    Args:
        tensors: tensor or tensors to differentiate; scalars unless `grad_tensors` is given.
        grad_tensors: the vector of the vector-Jacobian product, one for each tensor.
        retain_graph: keep what was saved, for another pass; `create_graph` by default.
        create_graph: record the gradients' own computation.
        grad_variables: the older name of `grad_tensors`.
        inputs: only these leaves get a gradient.

    Raises:
        RuntimeError: for tensors without a graph, or with several elements and no vector.

    >>> import rubigo as rg
    >>> x = rg.tensor([1.0, 2.0], requires_grad=True)
    >>> rg.autograd.backward(x * 3, rg.tensor([1.0, 10.0]))
    >>> x.grad.tolist()
    [3.0, 30.0]
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("grad_variables is the older name of grad_tensors: pass only one")
        warnings.warn("grad_variables is now grad_tensors", FutureWarning, stacklevel=2)
        grad_tensors = grad_variables
    tensors = _listed(tensors)
    vectors = _vectors(grad_tensors, tensors)
    keep = create_graph if retain_graph is None else retain_graph
    _core.backward(
        tensors, vectors, keep, create_graph, None if inputs is None else _listed(inputs)
    )


class FunctionCtx:
    """What `forward` leaves for `backward`; as `ctx` in the example of `Function`.

    Any other attribute may be set on it, too.

    >>> ctx = FunctionCtx()
    >>> ctx.shape = (2, 3)
    >>> ctx.needs_input_grad, ctx.shape
    ((), (2, 3))
    """

    def __init__(self) -> None:
        # A tensor, its version when it was saved, and the output that it stands for, if any.
        self._saved: tuple[tuple[Tensor | None, int, ref[Tensor] | None], ...] = ()
        self._to_save: tuple[Tensor | None, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self._plain: set[int] = set()
        self._dirty: set[int] = set()
        self._materialize = True
        self._freed = False

    # Users keep what they like on it.
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors, None allowed; they are checked for later in-place writes."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save tensors, but got {type(t).__name__}; "
                    "other values are kept as attributes of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The kept tensors."""
        if self._freed:
            raise RuntimeError(
                "trying to backward through the graph a second time: the saved tensors were freed; "
                "pass retain_graph=True to the first backward() or grad()"
            )
        out: list[Tensor | None] = []
        for t, version, source in self._saved:
            if t is not None and t._version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: saved at version {version}, now at {t._version}"
                )
            live = None if source is None else source()
            if source is not None and live is None and _core.is_grad_enabled():
                raise RuntimeError(
                    "a saved output is gone, so this backward cannot be differentiated again: keep "
                    "the output alive, or compute it anew in backward"
                )
            out.append(t if live is None else live)
        return tuple(out)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs carry no gradient."""
        self._plain = {id(t) for t in tensors}

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were written in place by forward."""
        self._dirty = {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients come as zeros (the default) or as None."""
        self._materialize = value


class Function:
    """An operation with its own gradient.

    >>> import rubigo as rg
    >>> class Cube(rg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x**2
    >>> x = rg.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    """

    # Written so that a type checker lets a subclass choose its parameters.
    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the outputs from `(ctx, *args)`; nothing inside is recorded."""
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grads: Any, **kwargs: Any) -> Any:
        """One gradient, or None, for each argument of forward."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs forward and records backward."""
        ctx = FunctionCtx()
        tensors = [a if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple(t is not None and t.requires_grad for t in tensors)
        setup = getattr(cls, "setup_context", None)
        records = _core.is_grad_enabled() and any(ctx.needs_input_grad)
        with no_grad():
            if setup is None:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                setup(ctx, args, result)
        several = isinstance(result, tuple)
        outputs = list(result) if several else [result]
        if not records:
            return result
        inputs = {id(t): i for i, t in enumerate(tensors) if t is not None}
        for i, out in enumerate(outputs):
            # An input that is returned as it came gets a history of its own.
            if isinstance(out, Tensor) and id(out) in inputs and id(out) not in ctx._dirty:
                outputs[i] = out.detach()
        _record(cls, ctx, tensors, outputs)
        return tuple(outputs) if several else outputs[0]


def _record(
    cls: type[Function],
    ctx: FunctionCtx,
    tensors: list[Tensor | None],
    results: list[Any],
) -> None:
    """Puts the call on the tape; the gradients of results that are no tensors are None."""
    places = [i for i, result in enumerate(results) if isinstance(result, Tensor)]
    outputs: list[Tensor] = [results[i] for i in places]
    count = len(results)  # the rule below must not keep the results alive
    plain = [id(o) not in ctx._plain for o in outputs]
    shapes = [(o.shape, o.dtype, o.device) for o in outputs]
    place = {id(o): i for i, o in enumerate(outputs)}

    def rule(*grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if ctx._materialize:
            grads = tuple(
                _core.zeros(shape, dtype=dtype, device=device) if g is None else g
                for g, (shape, dtype, device) in zip(grads, shapes, strict=True)
            )
        given: list[Tensor | None] = [None] * count
        for i, g in zip(places, grads, strict=True):
            given[i] = g
        got = cls.backward(ctx, *given)
        found = list(got) if isinstance(got, tuple) else [got]
        # Arguments left to their defaults may have gradients, too: None.
        while len(found) > len(tensors) and found[-1] is None:
            found.pop()
        return tuple(found)

    def release() -> None:
        ctx._saved = ()
        ctx._freed = True

    saved: list[tuple[Tensor | None, int, ref[Tensor] | None]] = []
    for t in ctx._to_save:
        if t is None:
            saved.append((None, 0, None))
        elif id(t) in place:
            # An output would keep its own node alive: only its data is kept.
            saved.append((t.detach(), t._version, ref(t)))
        else:
            saved.append((t, t._version, None))
    _core.attach_function(cls.__name__, tensors, outputs, plain, rule, release)
    ctx._saved = tuple(saved)
    ctx._to_save = ()
