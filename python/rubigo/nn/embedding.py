"""Look-up tables."""

from __future__ import annotations

from typing import Any, Self

import rubigo as rg
from rubigo import functional as F
from rubigo._core import Tensor

from . import init
from .linear import check_sizes
from .module import Layer
from .parameter import Parameter


class Embedding(Layer):
    """One learned vector per index.

    Input: integers of any shape ``(*)``; output ``(*, embedding_dim)``.

    Args:
        num_embeddings: Rows of the table.
        embedding_dim: Length of a row.
        padding_idx: This row starts at zero and is not trained; may count from the end.
        device: Where the table lives.
        dtype: Its type.

    Example:
        >>> import rubigo as rg
        >>> table = rg.nn.Embedding(10, 3, padding_idx=0)
        >>> tuple(table(rg.tensor([[1, 2], [4, 0]])).shape)
        (2, 2, 3)
        >>> table(rg.tensor([0])).tolist()
        [[0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        for name, given in (
            ("max_norm", max_norm is not None),
            ("scale_grad_by_freq", scale_grad_by_freq),
            ("sparse", sparse),
        ):
            if given:
                raise NotImplementedError(f"Embedding: {name} is not supported")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx {padding_idx} is outside {num_embeddings} rows"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        if _weight is not None:
            self.weight = Parameter(_weight)
            return
        self.weight = Parameter(rg.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws a new table."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with rg.no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """A table with these rows, shape ``(num, dim)``, trained only without ``freeze``."""
        if embeddings.dim() != 2:
            raise ValueError(f"Embedding: expected a 2-d table, got {tuple(embeddings.shape)}")
        rows, columns = embeddings.shape
        self = cls(rows, columns, padding_idx=padding_idx, _weight=embeddings)
        self.weight.requires_grad_(not freeze)
        return self

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
