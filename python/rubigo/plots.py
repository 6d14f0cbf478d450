"""Pictures of training runs; each function takes and returns a matplotlib `ax`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float = 6.0, height: float = 4.0) -> Figure:
    """A figure of its own, which no global state of matplotlib knows.

    >>> new_figure(3, 2).get_size_inches().tolist()
    [3.0, 2.0]
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install matplotlib") from error
    return Figure((width, height), layout="constrained")


def save(ax: Axes, path: str | PathLike[str]) -> None:
    """Writes the figure of `ax`; the name's ending decides the format."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("these axes have been removed from their figure")
    figure.savefig(path, dpi=120)


def curves(
    history: Mapping[str, Sequence[float]],
    names: Sequence[str] = ("loss", "val_loss"),
    ax: Axes | None = None,
) -> Axes:
    """One curve per name that the history has, over epochs.

    Args:
        history: as `Trainer.history`.
        names: what to draw.
        ax: where to draw; a new figure when absent.

    >>> len(curves({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]}).lines)
    2
    """
    ax = new_figure().subplots() if ax is None else ax
    for name in names:
        if name in history:
            values = history[name]
            ax.plot(range(1, len(values) + 1), values, marker=".", label=name)
    ax.set_xlabel("epoch")
    drawn = {name.removeprefix("val_") for name in names if name in history}
    ax.set_ylabel(" and ".join(sorted(drawn)))
    if ax.lines:
        ax.legend()
    ax.grid(alpha=0.3)
    return ax


def confusion(matrix: Any, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """A confusion matrix as a table of shades with its counts; zeros are left empty.

    Args:
        matrix: (C, C), rows are the true classes.
        labels: the classes' names; numbers when absent.
        ax: where to draw; a new figure when absent.

    >>> [text.get_text() for text in confusion([[3, 0], [1, 2]]).texts]
    ['3', '1', '2']
    """
    rows = matrix.tolist() if hasattr(matrix, "tolist") else matrix
    size = len(rows)
    names = [str(i) for i in range(size)] if labels is None else list(labels)
    if ax is None:
        ax = new_figure(1.5 + 0.45 * size, 1.2 + 0.45 * size).subplots()
    # Shares of each row, so that a rare class is as visible as a frequent one.
    shares = [[count / (sum(row) or 1) for count in row] for row in rows]
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(rows):
        for j, count in enumerate(row):
            if count:
                color = "white" if shares[i][j] > 0.5 else "black"
                ax.text(j, i, f"{count:g}", ha="center", va="center", color=color)
    ax.set_xticks(range(size), names)
    ax.set_yticks(range(size), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title("Confusion matrix")
    return ax
