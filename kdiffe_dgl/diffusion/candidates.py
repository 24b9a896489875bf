r"""Edges that regeneration may propose: a few for each row, found along short paths.

All generators are one random walk: from a row over its neighbours, from each node that it passes to one
of that node's neighbours with equal probability. Candidates are the columns that it reaches, best the
likeliest. For paths of two steps that is the index of resource allocation (Zhou, Lü and Zhang, *Predicting
missing links via local information*, Eur. Phys. J. B 2009): a rare thing in common says more than a common
one, which the bare number of paths ignores. Nodes of a degree above a bound are not walked through, since
they say the least and cost the most; so the work grows with the number of edges.

Probabilities are sums of integers (in units of 2^-16 a step), hence exact: ties are ties, whatever the
order of summation, and go to the lower column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.diffusion.regenerate import top_order
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.errors import InputError

__all__ = ["MAX_DEGREE", "Candidates", "from_neighbours", "two_hop", "unite"]

MAX_DEGREE = 128
"""Greatest degree of a node that a path leads through, by default."""

PATHS = 1 << 22
"""Paths followed at once, unless a single row has more: bounds the memory."""

_UNITS = 1 << 16


@dataclass(frozen=True)
class Candidates:
    """Edges that regeneration chooses from.

    Attributes
    ----------
    edges
        Known edges and proposals, sorted by row, then column, each once.
    known
        Which of them are known; the others are proposals. Bool ``[edges]``.
    """

    edges: SparseRows
    known: Tensor

    @property
    def proposed(self) -> Tensor:
        """Which of the edges are proposals, bool ``[edges]``."""
        return ~self.known

    def is_known(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Tell which of some edges among the candidates are known, bool ``[pairs]``.

        Parameters
        ----------
        rows, columns
            Some of the candidates, int64 ``[pairs]`` each, in any order.
        """
        own_rows, own_columns = self.edges.coordinates()
        keys = own_rows * self.edges.width + own_columns
        return self.known[torch.searchsorted(keys, rows * self.edges.width + columns)]


def two_hop(
    matrix: SparseRows, limit: int, *, homogeneous: bool | None = None, max_degree: int = MAX_DEGREE
) -> SparseRows:
    """Propose columns that a short path leads to.

    Parameters
    ----------
    matrix
        Known edges.
    limit
        Most proposals for a row; of equal ones those of the lower columns.
    homogeneous
        Whether rows and columns are the same nodes, as for a knowledge graph. Then paths are h → t → t',
        over edges as they are stored, and a row is no proposal for itself. Otherwise, as for users and
        items, paths lead from a row over a column to the other rows that have it, and on to theirs. By
        default: whether the matrix is square.
    max_degree
        Nodes of a greater degree (for h → t → t', of more edges that lead on) are not passed through.
        The work is at most edges · ``max_degree``; and that squared where the matrix is not homogeneous.

    Returns
    -------
    SparseRows
        Proposals ``[rows, width]``, none of them known, on the device of the matrix.

    Raises
    ------
    InputError
        If the limit or the degree is out of range, or the nodes can't be the same.
    """
    square = matrix.n_rows == matrix.width
    homogeneous = square if homogeneous is None else homogeneous
    if homogeneous and not square:
        raise InputError(
            f"candidates: rows and columns can't be the same nodes in a matrix of shape "
            f"{(matrix.n_rows, matrix.width)}; expected a square one"
        )
    known = matrix.to_scipy()
    steps = [known] if homogeneous else [known.T.tocsr(), known]
    return _walk(known, known, steps, limit, max_degree, loops=not homogeneous, like=matrix)


def from_neighbours(
    matrix: SparseRows,
    neighbours: SparseRows,
    limit: int,
    *,
    of: Literal["columns", "rows"] = "columns",
    max_degree: int = MAX_DEGREE,
) -> SparseRows:
    """Propose columns by similarity: neighbours of a row's columns, or columns of its neighbours.

    Parameters
    ----------
    matrix
        Known edges ``[rows, width]``.
    neighbours
        Similar nodes of each column, ``[width, width]``; or of each row, ``[rows, rows]``.
    limit
        Most proposals for a row; of equal ones those of the lower columns.
    of
        What the neighbours belong to: ``"columns"``, for users, proposes items that are similar to
        the items of the user; ``"rows"``, for items in a knowledge graph, the entities of similar items.
    max_degree
        Nodes with more neighbours, or rows with more columns, are not passed through.

    Returns
    -------
    SparseRows
        Proposals ``[rows, width]``, none of them known, on the device of the matrix. Where the matrix is
        square, none is a row itself.

    Raises
    ------
    InputError
        If the limit or the degree is out of range, or the neighbours are not those of the matrix.
    """
    size = matrix.width if of == "columns" else matrix.n_rows
    if (neighbours.n_rows, neighbours.width) != (size, size):
        raise InputError(
            f"candidates: neighbours have the shape {(neighbours.n_rows, neighbours.width)}; "
            f"expected {(size, size)}, those of the {of}"
        )
    known, similar = matrix.to_scipy(), neighbours.to_scipy()
    first, second = (known, similar) if of == "columns" else (similar, known)
    loops = matrix.n_rows != matrix.width
    return _walk(known, first, [second], limit, max_degree, loops=loops, like=matrix)


def unite(known: SparseRows, *proposals: SparseRows) -> Candidates:
    """Unite known edges and proposals, each edge once.

    Raises
    ------
    InputError
        If the matrices differ in shape.
    """
    shape = known.n_rows, known.width
    for other in proposals:
        if (other.n_rows, other.width) != shape:
            raise InputError(
                f"candidates: proposals have the shape {(other.n_rows, other.width)}; expected {shape}"
            )
    keys = [
        rows * known.width + columns for rows, columns in map(SparseRows.coordinates, (known, *proposals))
    ]
    every = torch.unique(torch.cat(keys))
    flags = torch.zeros(len(every), dtype=torch.bool, device=every.device)
    flags[torch.searchsorted(every, keys[0])] = True
    rows = torch.div(every, max(1, known.width), rounding_mode="floor")
    indptr = torch.zeros(known.n_rows + 1, dtype=torch.int64, device=every.device)
    torch.cumsum(torch.bincount(rows, minlength=known.n_rows), 0, out=indptr[1:])
    return Candidates(SparseRows(indptr, every - rows * known.width, known.width), flags)


def _walk(
    known: sp.csr_matrix,
    start: sp.csr_matrix,
    steps: Sequence[sp.csr_matrix],
    limit: int,
    max_degree: int,
    *,
    loops: bool,
    like: SparseRows,
) -> SparseRows:
    """Return the likeliest ends of walks that start over one matrix and go on over others.

    Parameters
    ----------
    known
        Edges that are no proposals.
    start, steps
        Binary matrices; the walk leads from the rows of the first to the columns of the last.
    loops
        Whether column r may be a proposal for row r.
    """
    for name, value in (("limit", limit), ("max_degree", max_degree)):
        if value < 1:
            raise InputError(f"candidates: {name} is {value}; expected at least 1")
    transitions = [_transition(step, max_degree) for step in steps]
    counts = np.zeros(known.shape[0], dtype=np.int64)
    columns: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for first, last in _row_blocks(start, transitions):
        reached = start[first:last]
        for transition in transitions:
            reached = reached @ transition
        reached.sort_indices()
        # What is known falls below zero and so out: no sum is as much.
        found = (reached - known[first:last] * float(1 << 62)).tocoo()
        kept = found.data > 0
        if not loops:
            kept &= found.row + first != found.col
        rows, ends, weight = (
            torch.from_numpy(x[kept].astype(np.int64)) for x in (found.row, found.col, found.data)
        )
        best = top_order(rows, ends, weight, limit).sort().values
        counts[first:last] = np.bincount(rows[best].numpy(), minlength=last - first)
        columns.append(ends[best].numpy())
    indptr = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
    every = torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *columns]))
    return SparseRows(indptr, every, known.shape[1]).to(like.columns.device)


def _transition(matrix: sp.csr_matrix, max_degree: int) -> sp.csr_matrix:
    """Return the probabilities of a step as whole numbers of units; rows of hubs are empty."""
    degree = np.diff(matrix.indptr)
    share = np.zeros(len(degree))
    passable = (degree > 0) & (degree <= max_degree)
    # Of a degree beyond the units, the least.
    share[passable] = np.maximum(1, np.rint(_UNITS / degree[passable]))
    # A copy: what follows changes the structure in place.
    scaled = sp.csr_matrix(
        (np.repeat(share, degree), matrix.indices, matrix.indptr), shape=matrix.shape, copy=True
    )
    scaled.eliminate_zeros()
    return scaled


def _row_blocks(start: sp.csr_matrix, transitions: Sequence[sp.csr_matrix]) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows from which about so many paths lead as are followed at once."""
    paths = np.ones(transitions[-1].shape[1])
    for transition in reversed(transitions):
        paths = np.asarray(transition.astype(bool).astype(np.float64) @ paths).ravel()
    total = np.cumsum(start @ paths + 1)
    first = 0
    while first < len(total):
        before = total[first - 1] if first else 0.0
        last = max(first + 1, int(np.searchsorted(total, before + PATHS, side="right")))
        yield first, last
        first = last
