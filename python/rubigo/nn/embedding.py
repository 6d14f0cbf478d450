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
from .trace import shape_error


class Embedding(Layer):
    """One learned vector per index.

    Input: integers of any shape ``(*)``; output ``(*, embedding_dim)``.

    Args:
        num_embeddings: Rows of the table.
        embedding_dim: Length of a row.
        padding_idx: This row starts at zero and is not trained; may count from the end.
        max_norm: Rows are scaled down to this norm when they are used.
        norm_type: Order of that norm.
        scale_grad_by_freq: Divide a row's gradient by how often the batch uses it.
        sparse: Not supported: gradients are dense.
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
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if sparse:
            raise NotImplementedError("Embedding: sparse gradients are not supported")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx {padding_idx} is outside {num_embeddings} rows"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is not None:
            if tuple(_weight.shape) != (num_embeddings, embedding_dim):
                raise shape_error(
                    f"Embedding: _weight must have shape {(num_embeddings, embedding_dim)}, "
                    f"got {tuple(_weight.shape)}"
                )
            self.weight = Parameter(_weight, requires_grad=not _freeze)
            return
        table = rg.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        self.weight = Parameter(table, requires_grad=not _freeze)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws a new table."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with rg.no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A table with these rows.

        Args:
            embeddings: Shape ``(num, dim)``; shared with the layer.
            freeze: Do not train them.
            padding_idx: As for the layer, and so are the others.

        Example:
            >>> import rubigo as rg
            >>> table = rg.nn.Embedding.from_pretrained(rg.tensor([[1.0, 2.0], [3.0, 4.0]]))
            >>> table(rg.tensor([1])).tolist(), table.weight.requires_grad
            ([[3.0, 4.0]], False)
        """
        if embeddings.dim() != 2:
            raise ValueError(f"Embedding: expected a 2-d table, got {tuple(embeddings.shape)}")
        rows, columns = embeddings.shape
        return cls(
            rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            embeddings, freeze,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        return text
