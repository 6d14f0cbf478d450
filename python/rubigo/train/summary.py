"""The layers of a model, the shapes they give and their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rubigo as rg


@dataclass(frozen=True)
class Row:
    """One layer: its path, class, output shape and number of parameters of its own."""

    path: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int


@dataclass(frozen=True)
class Summary:
    """The rows in the order of their calls, and the sums over the model."""

    rows: tuple[Row, ...]
    parameters: int
    trainable: int

    def __str__(self) -> str:
        cells = [("layer", "output shape", "parameters")]
        cells += [
            (
                f"{row.path} ({row.kind})",
                "never called" if row.output_shape is None else str(row.output_shape),
                f"{row.parameters:,}",
            )
            for row in self.rows
        ]
        first, second, third = (max(len(line[i]) for line in cells) for i in range(3))
        lines = [f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in cells]
        lines.append(f"{self.parameters:,} parameters, {self.trainable:,} of them trainable")
        return "\n".join(lines)


def summary(model: Any, input_shape: Sequence[int], *, dtype: Any = None) -> Summary:
    """Runs the model once on zeros and lists its layers.

    Args:
        model: an `nn.Module` of one input.
        input_shape: of that input, the batch dimension included.
        dtype: of that input; float32 when absent.

    >>> import rubigo as rg
    >>> print(summary(rg.nn.Sequential(rg.nn.Linear(4, 8), rg.nn.ReLU()), (1, 4)))
    layer       output shape  parameters
    0 (Linear)  (1, 8)                40
    1 (ReLU)    (1, 8)                 0
    40 parameters, 40 of them trainable
    """
    if isinstance(input_shape, rg.Tensor):
        raise TypeError(
            f"input_shape is a shape, got a Tensor: pass x.shape, {tuple(input_shape.shape)}"
        )
    leaves = {
        id(module): (path or "model", module)
        for path, module in model.named_modules()
        if not any(True for _ in module.children())
    }
    shapes: dict[int, tuple[int, ...] | None] = {}

    def note(module: Any, inputs: Any, output: Any) -> None:
        shapes[id(module)] = tuple(output.shape) if isinstance(output, rg.Tensor) else ()

    parameters = list(model.parameters())
    device = parameters[0].device if parameters else "cpu"
    x = rg.zeros(*input_shape, dtype=dtype or rg.float32, device=device)
    modes = [(module, module.training) for module in model.modules()]
    hooks = [module.register_forward_hook(note) for _, module in leaves.values()]
    model.eval()
    try:
        with rg.no_grad():
            model(x)
    except IndexError as error:
        if dtype is None:
            error.add_note("summary ran it on float32; for indices pass dtype=rg.int64")
        raise
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    order = [*shapes, *(key for key in leaves if key not in shapes)]
    rows = []
    for key in order:
        path, module = leaves[key]
        own = sum(p.numel() for p in module.parameters())
        rows.append(Row(path, type(module).__name__, shapes.get(key), own))
    return Summary(
        tuple(rows),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )
