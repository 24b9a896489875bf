"""Rows of a matrix in compressed form (CSR), as tensors: where entries lie, and two products at them."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

__all__ = [
    "CompressedRows",
    "csr_tensor",
    "dot_products",
    "row_pointers",
    "row_positions",
    "sparse_product",
]

_GATHERED_ENTRIES = 1 << 20
_FILTERS = threading.Lock()


def row_pointers(rows: Tensor, n_rows: int) -> Tensor:
    """Return where each row starts and the last one ends, int64 ``[n_rows + 1]``.

    Parameters
    ----------
    rows
        Row of each entry, int64 ``[entries]``, in any order.
    n_rows
        Number of rows.
    """
    pointers = torch.zeros(n_rows + 1, dtype=torch.int64, device=rows.device)
    torch.cumsum(torch.bincount(rows, minlength=n_rows), 0, out=pointers[1:])
    return pointers


def row_positions(pointers: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the entries of some rows.

    Parameters
    ----------
    pointers
        Where each row starts, ``[rows + 1]``.
    rows
        Which rows, int64 ``[k]``, in any order.

    Returns
    -------
    tuple of Tensor
        Where the entries are stored, int64, row by row; where each row starts among these, and how many
        it has, int64 ``[k]`` each.
    """
    start = pointers[rows].long()
    counts = pointers[rows + 1].long() - start
    offsets = torch.cumsum(counts, 0) - counts
    position = torch.arange(int(counts.sum()), device=rows.device)
    return position + torch.repeat_interleave(start - offsets, counts), offsets, counts


def dot_products(pointers: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the product of a row of ``left`` and a row of ``right`` for each stored entry.

    Nothing of the size of entries times ``dim`` is held: on the CPU one kernel reads both rows in place;
    elsewhere they are gathered for some entries at a time.

    Parameters
    ----------
    pointers, columns
        Where each row starts, ``[rows + 1]``, and the column of each entry, ``[entries]``, both int64 or
        both int32. A column may occur twice in a row.
    left, right
        ``[rows, dim]`` and ``[columns, dim]``, without gradient.

    Returns
    -------
    Tensor
        ``[entries]``.
    """
    # The kernel takes no more entries than the matrix has places, which a few nodes with many edges exceed.
    if left.device.type != "cpu" or len(columns) > len(left) * len(right):
        return _gathered_products(pointers, columns, left, right)
    if not len(columns):
        return left.new_zeros(0)
    pattern = csr_tensor(pointers, columns, left.new_zeros(len(columns)), len(right), check=False)
    return torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0).values()


def _gathered_products(pointers: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    rows = torch.repeat_interleave(torch.arange(len(left), device=left.device), pointers.diff())
    found = left.new_empty(len(columns))
    # So many pairs at a time that what is gathered stays in a processor's cache; a GPU wants long arrays.
    entries = _GATHERED_ENTRIES if left.device.type == "cpu" else 64 * _GATHERED_ENTRIES
    size = max(1, entries // max(1, left.shape[1]))
    for start in range(0, len(columns), size):
        part = slice(start, start + size)
        found[part] = torch.linalg.vecdot(left[rows[part]], right[columns[part]])
    return found


@dataclass(frozen=True)
class CompressedRows:
    """Where the entries of a matrix lie whose values change from product to product.

    Attributes
    ----------
    pointers, columns
        Where each row starts, ``[rows + 1]``, and the column of each entry, ``[entries]``, int32 where
        that suffices, which the product is faster with.
    order
        Which of the caller's entries comes where, int64 ``[entries]``.
    width
        Number of columns.
    """

    pointers: Tensor
    columns: Tensor
    order: Tensor
    width: int

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor, n_rows: int, width: int) -> CompressedRows:
        """Sort entries, int64 ``[entries]`` each, by row; of one row they keep their order."""
        order = torch.argsort(rows, stable=True)
        pointers = row_pointers(rows, n_rows)
        small = max(len(rows), n_rows, width) <= torch.iinfo(torch.int32).max
        kind = torch.int32 if small else torch.int64
        return cls(pointers.to(kind), columns[order].to(kind), order, width)

    def product(self, values: Tensor, x: Tensor) -> Tensor:
        """Return the product ``[rows, dim]`` with ``x``, ``[width, dim]``.

        Parameters
        ----------
        values
            Of each entry, in the caller's order, ``[entries]``.
        x
            ``[width, dim]``.
        """
        matrix = csr_tensor(self.pointers, self.columns, values[self.order], self.width, check=False)
        return sparse_product(matrix, x)

    def dot_products(self, left: Tensor, right: Tensor) -> Tensor:
        """Return :func:`dot_products` at the entries, in the caller's order, ``[entries]``."""
        found = torch.empty(len(self.order), dtype=left.dtype, device=left.device)
        found[self.order] = dot_products(self.pointers, self.columns, left, right)
        return found


def sparse_product(matrix: Tensor, x: Tensor, add_to: Tensor | None = None) -> Tensor:
    """Return the product of a CSR matrix ``[n, m]`` and ``x``, ``[m, dim]``, without gradient.

    Parameters
    ----------
    matrix, x
        Of one type, on one device.
    add_to
        ``[n, dim]``, to which the product is added in place.

    Notes
    -----
    ``matrix @ x`` first fills the result with zeros and then copies it, which takes several times as long as
    the product. Here the kernel writes where the result is to be.
    """
    if add_to is None:
        empty = x.new_empty(matrix.shape[0], x.shape[1])
        return torch.addmm(empty, matrix, x, beta=0, out=empty)
    return torch.addmm(add_to, matrix, x, out=add_to)


def csr_tensor(pointers: Tensor, columns: Tensor, values: Tensor, width: int, check: bool) -> Tensor:
    """Return a torch CSR matrix ``[rows, width]``.

    Parameters
    ----------
    pointers, columns, values
        Where each row starts, ``[rows + 1]``, and column and value of each entry.
    width
        Number of columns.
    check
        Whether torch looks for a mistake in these; it demands that a column occurs once in a row.
    """
    _hear_beta_notice()
    shape = len(pointers) - 1, width
    return torch.sparse_csr_tensor(pointers, columns, values, size=shape, check_invariants=check)


@cache
def _hear_beta_notice() -> None:
    """Let torch tell that its CSR layout is in beta, which it does once a process, where nobody is told.

    The products used here are tested against dense matrices, so the notice is of no use to a user.
    """
    # Filters belong to the process: only one thread at a time may change them and put them back.
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Sparse CSR tensor support is in beta", category=UserWarning
        )
        none = torch.zeros(1, dtype=torch.int64)
        torch.sparse_csr_tensor(none, none[:0], none[:0], size=(0, 0), check_invariants=True)
