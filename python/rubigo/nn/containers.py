"""Modules and parameters kept in order or by name."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self, overload

from rubigo._arguments import no_tensor
from rubigo._core import Tensor

from .module import Layer, Module, indented, shown
from .parameter import Parameter


def _position(length: int, index: Any) -> int:
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range for {length} items")
    return index % length


class _Numbered(Module):
    """Modules under the names "0", "1", ...; what `Sequential` and `ModuleList` share."""

    if TYPE_CHECKING:

        def __getitem__(self, index: int | slice) -> Any: ...

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._modules.values()))

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[_position(len(self), index)], module)

    def __delitem__(self, index: int | slice) -> None:
        items = list(self)
        if not isinstance(index, slice):
            index = _position(len(items), index)
        del items[index]
        _refill(self, items)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Adds a module before position ``index``."""
        if not isinstance(module, Module):
            raise TypeError(f"expected a Module, got {type(module).__name__}")
        items = list(self)
        items.insert(operator.index(index), module)
        _refill(self, items)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: int | slice = -1) -> Any:
        """Removes and returns one module, or the several of a slice."""
        removed = self[index]
        del self[index]
        return removed


def _repeated(modules: Iterable[Any], count: int) -> list[Any]:
    count = operator.index(count)
    if count < 1:
        raise ValueError(f"a Sequential can be repeated once or more, got {count}")
    return list(modules) * count


def _refill(parent: Module, modules: list[Any]) -> None:
    for name in list(parent._modules):
        delattr(parent, name)
    for i, module in enumerate(modules):
        parent.register_module(str(i), module)


class Sequential(_Numbered, Layer):
    """Modules called one after the other, each on the result of the one before.

    Args:
        args: Modules in order, or one dict of named modules.

    Example:
        >>> import rubigo as rg
        >>> model = rg.nn.Sequential(rg.nn.Linear(4, 8), rg.nn.ReLU(), rg.nn.Linear(8, 2))
        >>> tuple(model(rg.ones(3, 4)).shape)
        (3, 2)
        >>> model[1]
        ReLU()
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named: Iterable[tuple[str, Any]]
        if len(args) == 1 and isinstance(args[0], Mapping):
            named = args[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(args))
        for name, module in named:
            self.register_module(name, module)

    def forward(self, input: Any) -> Any:
        values = self.__dict__
        for name, kind in self._rubigo_slots.items():
            if kind == "module":  # a subclass may hold parameters too
                input = values[name](input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return list(self)[_position(len(self), index)]

    def __add__(self, other: Iterable[Module]) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        if not isinstance(other, Sequential):
            return NotImplemented
        return self.extend(other)

    def __mul__(self, count: int) -> Sequential:
        return Sequential(*_repeated(self, count))

    __rmul__ = __mul__

    def __imul__(self, count: int) -> Self:
        return self.extend(_repeated(self, count)[len(self) :])


class ModuleList(_Numbered):
    """A list of modules whose parameters are found.

    Args:
        modules: The first modules, in order.

    Example:
        >>> import rubigo as rg
        >>> layers = rg.nn.ModuleList(rg.nn.Linear(2, 2) for _ in range(3))
        >>> len(layers), len(list(layers.parameters()))
        (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return list(self)[_position(len(self), index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __repr__(self) -> str:
        # Equal modules in a row share a line.
        lines, first = [], 0
        for text, same in groupby(indented(module) for module in self):
            count = len(list(same))
            last = first + count - 1
            many = f"({first}-{last}): {count} x {text}"
            lines.append(many if count > 1 else f"({first}): {text}")
            first = last + 1
        return shown(self, lines)


class ModuleDict(Module):
    """A dict of modules whose parameters are found.

    Args:
        modules: The first modules, by name.

    Example:
        >>> import rubigo as rg
        >>> heads = rg.nn.ModuleDict({"a": rg.nn.Linear(2, 1), "b": rg.nn.Linear(2, 3)})
        >>> tuple(heads["b"](rg.ones(5, 2)).shape)
        (5, 3)
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def items(self) -> Any:
        """Names and modules."""
        return self._modules.items()

    def pop(self, key: str) -> Any:
        """Removes and returns one module."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Removes all modules."""
        for key in list(self):
            del self[key]

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules by name."""
        for key, module in dict(modules).items():
            self[key] = module


def _parameter(value: Any) -> Any:
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor):
        return Parameter(value)
    raise TypeError(f"expected a Tensor, got {no_tensor(value)}")


class ParameterList(Module):
    """A list of parameters; tensors put into it become parameters.

    Args:
        values: The first parameters or tensors, in order.

    Example:
        >>> import rubigo as rg
        >>> weights = rg.nn.ParameterList([rg.zeros(2), rg.zeros(3)])
        >>> [tuple(p.shape) for p in weights]
        [(2,), (3,)]
    """

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([p for p in self._parameters.values() if p is not None])

    @overload
    def __getitem__(self, index: int) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: int | slice) -> Parameter | ParameterList:
        items = list(self)
        if isinstance(index, slice):
            return ParameterList(items[index])
        return items[_position(len(items), index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        setattr(self, str(_position(len(self), index)), _parameter(value))

    def append(self, value: Tensor) -> Self:
        """Adds one at the end."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Adds several at the end."""
        for value in list(values):
            self.append(value)
        return self

    def __add__(self, values: Iterable[Tensor]) -> ParameterList:
        return ParameterList([*self, *values])

    def __iadd__(self, values: Iterable[Tensor]) -> Self:
        return self.extend(values)

    def extra_repr(self) -> str:
        return "\n".join(f"  ({i}): {_line(p, str(p.dtype))}" for i, p in enumerate(self))


def _line(p: Tensor, kind: str) -> str:
    place = "" if str(p.device) == "cpu" else f" ({p.device})"
    return f"Parameter containing: [{kind} of size {'x'.join(map(str, p.shape))}{place}]"


class ParameterDict(Module):
    """A dict of parameters; tensors put into it become parameters.

    Args:
        parameters: The first parameters or tensors, by name, or pairs of both.

    Example:
        >>> import rubigo as rg
        >>> table = rg.nn.ParameterDict({"shift": rg.zeros(2)})
        >>> table["scale"] = rg.ones(2)
        >>> list(table)
        ['shift', 'scale']
    """

    def __init__(
        self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] | None = None
    ) -> None:
        super().__init__()
        self.update(parameters or {})

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Tensor | None) -> None:
        self.register_parameter(key, None if value is None else _parameter(value))

    def __delitem__(self, key: str) -> None:
        if key not in self._parameters:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def keys(self) -> Any:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Any:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Any:
        """Names and parameters."""
        return self._parameters.items()

    def update(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
        """Adds or replaces parameters by name."""
        for key, value in dict(parameters).items():
            self[key] = value

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of that name, or the default."""
        return self._parameters.get(key, default)

    def setdefault(self, key: str, default: Tensor | None = None) -> Any:
        """The parameter of that name, which becomes the default if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Removes and returns one parameter."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Removes and returns the name and the parameter that came last."""
        if not len(self):
            raise KeyError("popitem(): the ParameterDict is empty")
        key = list(self)[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        """Removes all parameters."""
        for key in list(self):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another ParameterDict with the same parameters."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Tensor | None = None) -> ParameterDict:
        """A new ParameterDict with these names, all with the same value."""
        new = ParameterDict()
        for key in keys:
            new.setdefault(key, default)
        return new

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def __or__(self, other: ParameterDict) -> ParameterDict:
        return ParameterDict({**dict(self.items()), **dict(other.items())})

    def __ror__(self, other: Mapping[str, Tensor]) -> ParameterDict:
        return ParameterDict({**dict(other.items()), **dict(self.items())})

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other.items())
        return self

    def extra_repr(self) -> str:
        rows = [(key, p) for key, p in self.items() if p is not None]
        return "\n".join(f"  ({key}): {_line(p, 'rubigo.nn.Parameter')}" for key, p in rows)
