"""Rows of a matrix in compressed form (CSR), as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["row_positions"]


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
