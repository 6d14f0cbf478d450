"""What a run recorded, one value per epoch."""

from __future__ import annotations

import json
import math
from os import PathLike


class History(dict[str, list[float]]):
    """A dict of lists, one entry per epoch in each.

    >>> history = History()
    >>> history.append({"loss": 0.5})
    >>> history.append({"loss": 0.25, "val_loss": 0.75})
    >>> history["loss"], history["val_loss"]
    ([0.5, 0.25], [nan, 0.75])
    """

    @property
    def history(self) -> dict[str, list[float]]:
        """The same dict, where users of Keras look for it."""
        return self

    def append(self, logs: dict[str, float]) -> None:
        """Adds one epoch; a column that it or an earlier epoch lacks is filled with NaN."""
        done = max(map(len, self.values()), default=0)
        for name in {**self, **logs}:
            column = self.setdefault(name, [])
            column.extend([math.nan] * (done - len(column)))
            column.append(float(logs.get(name, math.nan)))

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """The history as JSON text (NaN becomes null), written to `path` where one is given."""
        clean = {
            name: [value if math.isfinite(value) else None for value in column]
            for name, column in self.items()
        }
        text = json.dumps(clean, indent=1)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
        return text
