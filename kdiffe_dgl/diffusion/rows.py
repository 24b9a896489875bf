"""Rows of a binary adjacency matrix, kept sparse: what diffusion treats as x_0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.compressed_rows import row_pointers, row_positions

__all__ = ["RowBatch", "SparseRows"]


@dataclass(frozen=True)
class RowBatch:
    """Some rows of a binary matrix.

    Attributes
    ----------
    columns
        Column of each non-zero, row after row, int64 ``[nnz]``.
    offsets
        Where each row starts in ``columns``, int64 ``[batch]``.
    counts
        Non-zeros of each row, int64 ``[batch]``.
    """

    columns: Tensor
    offsets: Tensor
    counts: Tensor

    @property
    def pointers(self) -> Tensor:
        """Where each row starts and the last one ends, int64 ``[batch + 1]``."""
        return torch.cat([self.offsets, self.offsets.new_tensor([len(self.columns)])])

    def sum_of(self, table: Tensor, weights: Tensor | None = None) -> Tensor:
        """Multiply the rows with a dense table, touching only the non-zeros.

        Parameters
        ----------
        table
            ``[width, dim]``.
        weights
            Weight of each non-zero in place of 1, ``[nnz]``.

        Returns
        -------
        Tensor
            ``[batch, dim]``.
        """
        return functional.embedding_bag(
            self.columns, table, self.offsets, mode="sum", per_sample_weights=weights
        )

    def part(self, start: int, stop: int) -> RowBatch:
        """Return the rows from ``start`` to ``stop`` of the batch, without a copy of their columns."""
        first = int(self.offsets[start])
        last = int(self.offsets[stop]) if stop < len(self.offsets) else len(self.columns)
        return RowBatch(self.columns[first:last], self.offsets[start:stop] - first, self.counts[start:stop])

    def transposed(self, width: int) -> tuple[RowBatch, Tensor]:
        """Return the columns as rows, ``[width]``, and the order in which they take the non-zeros.

        ``batch.transposed(width)[0].sum_of(x)`` adds the rows of ``x``, ``[batch, dim]``, at their
        columns: the gradient of :meth:`sum_of` as a gather, which runs in parallel and in fixed order.
        """
        device = self.columns.device
        rows = torch.repeat_interleave(torch.arange(len(self.counts), device=device), self.counts)
        order = torch.argsort(self.columns, stable=True)
        counts = torch.bincount(self.columns, minlength=width)
        return RowBatch(rows[order], torch.cumsum(counts, 0) - counts, counts), order


@dataclass(frozen=True)
class SparseRows:
    """A binary matrix in compressed rows.

    Attributes
    ----------
    indptr
        int64 ``[rows + 1]``.
    columns
        int64 ``[nnz]``, sorted within a row.
    width
        Number of columns.
    """

    indptr: Tensor
    columns: Tensor
    width: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @classmethod
    def from_pairs(cls, rows: Tensor, columns: Tensor, n_rows: int, width: int) -> SparseRows:
        """Build the matrix from coordinates, int64 ``[nnz]`` each; repeated ones count once."""
        key = torch.unique(rows * width + columns)
        return cls(row_pointers(key // width, n_rows), key % width, width)

    @classmethod
    def from_scipy(cls, matrix: sp.csr_matrix) -> SparseRows:
        """Take the stored entries of a SciPy matrix, whose indices must be sorted and distinct."""
        indptr, indices = (torch.from_numpy(x.astype(np.int64)) for x in (matrix.indptr, matrix.indices))
        return cls(indptr, indices, matrix.shape[1])

    def to_scipy(self) -> sp.csr_matrix:
        """Return the matrix for SciPy, on the CPU, with float64 ones."""
        indptr, columns = self.indptr.cpu().numpy(), self.columns.cpu().numpy()
        return sp.csr_matrix((np.ones(len(columns)), columns, indptr), shape=(self.n_rows, self.width))

    def to(self, device: torch.device | str) -> SparseRows:
        """Return the matrix on a device."""
        return SparseRows(self.indptr.to(device), self.columns.to(device), self.width)

    def coordinates(self) -> tuple[Tensor, Tensor]:
        """Return row and column of every non-zero, int64 ``[nnz]`` each, sorted by row, then column."""
        every = torch.arange(self.n_rows, device=self.columns.device)
        return torch.repeat_interleave(every, self.indptr.diff()), self.columns

    def occupied(self) -> Tensor:
        """Return the rows that have a non-zero, int64, ascending."""
        return torch.nonzero(self.indptr[1:] > self.indptr[:-1]).squeeze(1)

    def batch(self, rows: Tensor) -> RowBatch:
        """Take rows, int64 ``[batch]``, in the given order."""
        position, offsets, counts = row_positions(self.indptr, rows)
        return RowBatch(self.columns[position], offsets, counts)

    def dense(self) -> Tensor:
        """Return the matrix as float32 ``[rows, width]``; for small ones."""
        full = torch.zeros(self.n_rows, self.width, device=self.columns.device)
        full[self.coordinates()] = 1.0
        return full
