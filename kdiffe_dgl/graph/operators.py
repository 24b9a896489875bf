"""Fixed-weight propagation: the normalised adjacency, and its product with embeddings.

The matrices are built with SciPy, once for a training run or once an epoch for generated graphs. The
product runs as a torch CSR kernel, which is several times faster than message passing with edge
weights, on CPU and GPU alike.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.compressed_rows import csr_tensor, row_positions, sparse_product

__all__ = [
    "Propagation",
    "normalised_adjacency",
    "normalised_adjacency_from_edges",
    "row_normalised",
]


def normalised_adjacency(
    interactions: sp.csr_matrix,
    similarity: sp.csr_matrix | None = None,
    epsilon: float = 0.0,
    self_loops: bool = True,
) -> sp.csr_matrix:
    r"""Return the symmetrically normalised adjacency of a user-item graph.

    .. math:: \hat A = D^{-1/2} (A + I + \varepsilon S) D^{-1/2}

    where :math:`A` is the bipartite adjacency over users and items, :math:`S` the attention-aware
    similarity of its edges (in both directions), and :math:`D` the degrees of :math:`A + I`.

    Source: Mo et al. (2025), *Knowledge-aware Diffusion-Enhanced Multimedia Recommendation*.

    Parameters
    ----------
    interactions
        ``[users, items]``, non-negative weights, 1 for an observed interaction.
    similarity
        ``[users, items]``, the values S_ui of ``kdiffe_dgl.graph.attention``.
    epsilon
        Weight of the similarity.
    self_loops
        Whether I is added, to A and to the degrees. Without it, and with ``epsilon = 0``, this is
        LightGCN's operator; rows of nodes without an edge are then empty.

    Returns
    -------
    csr_matrix
        ``[users + items, users + items]``, float32, symmetric to the last bit, users first.

    Raises
    ------
    ValueError
        If the shapes of the two matrices differ, or a weight is negative or not finite.
    """
    weights = sp.csr_matrix(interactions, dtype=np.float64)
    if weights.nnz and not (np.isfinite(weights.data).all() and weights.data.min() >= 0):
        raise ValueError("interactions hold a negative or non-finite weight; expected weights of 0 or more")
    user_scale = _inverse_root(np.asarray(weights.sum(axis=1), dtype=np.float64).ravel() + self_loops)
    item_scale = _inverse_root(np.asarray(weights.sum(axis=0), dtype=np.float64).ravel() + self_loops)
    if similarity is not None and epsilon:
        if similarity.shape != weights.shape:
            raise ValueError(
                f"similarity has the shape {similarity.shape}; expected {weights.shape}, as the interactions"
            )
        weights = weights + epsilon * sp.csr_matrix(similarity, dtype=np.float64)
    edges = (sp.diags(user_scale) @ weights @ sp.diags(item_scale)).tocoo()
    users, items = edges.row, edges.col + len(user_scale)
    n_nodes = len(user_scale) + len(item_scale)
    nodes = np.arange(n_nodes if self_loops else 0)
    loops = np.concatenate([user_scale, item_scale])[nodes] ** 2
    values = np.concatenate([edges.data, edges.data, loops]).astype(np.float32)
    ends = (np.concatenate([users, items, nodes]), np.concatenate([items, users, nodes]))
    return _canonical(sp.csr_matrix((values, ends), shape=(n_nodes, n_nodes)))


def normalised_adjacency_from_edges(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    n_users: int,
    n_items: int,
) -> sp.csr_matrix:
    """Return the normalised adjacency, with self-loops, of a user-item graph given by its edges.

    Used for generated graphs, which change every epoch.

    Parameters
    ----------
    users, items
        ``[edges]``, dense integer ids of the ends.
    weights
        ``[edges]``, non-negative; null: 1 each. Weights of an edge that is given twice add up.
    n_users, n_items
        Sizes of the graph; nodes without an edge keep only their self-loop.

    Returns
    -------
    csr_matrix
        ``[n_users + n_items, n_users + n_items]``, float32, users first.

    Raises
    ------
    ValueError
        If the arrays differ in length or an id is out of range.
    """
    rows = np.asarray(users, dtype=np.int64)
    columns = np.asarray(items, dtype=np.int64)
    values = (
        np.ones(len(rows), dtype=np.float64) if weights is None else np.asarray(weights, dtype=np.float64)
    )
    # SciPy refuses unequal lengths and ids out of range.
    return normalised_adjacency(sp.csr_matrix((values, (rows, columns)), shape=(n_users, n_items)))


def row_normalised(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Divide every row by its sum, so that the product is a weighted mean; empty rows stay zero.

    Parameters
    ----------
    matrix
        ``[rows, columns]``, non-negative.

    Returns
    -------
    csr_matrix
        ``[rows, columns]``, float32.
    """
    weights = sp.csr_matrix(matrix, dtype=np.float64)
    sums = np.asarray(weights.sum(axis=1)).ravel()
    scale = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return _canonical((sp.diags(scale) @ weights).astype(np.float32))


class Propagation:
    """Product of a fixed sparse matrix with embeddings, differentiable in the embeddings.

    The forward pass is ``A @ x``, the backward pass ``Aᵀ @ g``. The transpose is kept as a CSR matrix
    of its own (the same one where ``A`` is symmetric), so no product scatters and repeated runs agree
    to the last bit.

    Parameters
    ----------
    forward, backward
        CSR tensors of ``A`` ``[n, m]`` and ``Aᵀ`` ``[m, n]``. Use :meth:`from_scipy`.
    """

    def __init__(self, forward: Tensor, backward: Tensor) -> None:
        if tuple(forward.shape) != tuple(backward.shape)[::-1]:
            raise ValueError(
                f"the transpose has the shape {tuple(backward.shape)}; expected {tuple(forward.shape)[::-1]}"
            )
        self._forward = forward
        self._backward = backward

    @classmethod
    def from_scipy(cls, matrix: sp.csr_matrix, device: torch.device | str | None = None) -> Propagation:
        """Build the operator from a SciPy matrix ``[n, m]``.

        float64 stays float64; every other type becomes float32.
        """
        dtype = np.float64 if matrix.dtype == np.float64 else np.float32
        forward = _canonical(sp.csr_matrix(matrix, dtype=dtype))
        transpose = _canonical(sp.csr_matrix(forward.T))
        tensor = _csr_tensor(forward)
        backward = tensor if _identical(forward, transpose) else _csr_tensor(transpose)
        operator = cls(tensor, backward)
        return operator if device is None else operator.to(device)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        rows, columns = self._forward.shape
        return rows, columns

    @property
    def device(self) -> torch.device:
        """Where the matrix lies."""
        return self._forward.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the entries."""
        return self._forward.dtype

    @cached_property
    def row_sums(self) -> Tensor:
        """Sum of the entries of each row, ``[n]``."""
        return self(torch.ones(self.shape[1], 1, dtype=self.dtype, device=self.device)).squeeze(1)

    @property
    def transposed(self) -> Propagation:
        """The operator of the transposed matrix, ``[m, n]``; shares the memory."""
        return Propagation(self._backward, self._forward)

    def to(self, device: torch.device | str) -> Propagation:
        """Return the operator on another device (itself where it is there already)."""
        forward = self._forward.to(device)
        if forward is self._forward:
            return self
        backward = forward if self._backward is self._forward else self._backward.to(device)
        return Propagation(forward, backward)

    def __call__(self, x: Tensor) -> Tensor:
        """Propagate embeddings.

        Parameters
        ----------
        x
            ``[m, dim]``.

        Returns
        -------
        Tensor
            ``[n, dim]``.
        """
        product: Tensor = _SparseProduct.apply(x, self._forward, self._backward)
        return product

    def with_loops(self, x: Tensor, loops: Tensor, own: Tensor) -> Tensor:
        """Return ``A @ x + loops * own``, ``[n, dim]``: what nodes get, and what they keep of their own.

        Parameters
        ----------
        x
            ``[m, dim]``.
        loops
            ``[n, 1]``, without gradient.
        own
            ``[n, dim]``.
        """
        total: Tensor = _LoopedProduct.apply(x, own, loops, self._forward, self._backward)
        return total

    def at(self, rows: Tensor, x: Tensor) -> Tensor:
        """Return some rows of the product, int64 ``[k]``, ``[k, dim]``; touches only their non-zeros."""
        position, offsets, _ = self._positions(rows)
        columns, values = self._forward.col_indices()[position], self._forward.values()[position]
        return functional.embedding_bag(
            columns.long(), x, offsets, mode="sum", per_sample_weights=values.to(x.dtype)
        )

    def columns(self, rows: Tensor) -> Tensor:
        """Return the columns of all non-zeros of some rows, int64, row by row."""
        return self._forward.col_indices()[self._positions(rows)[0]].long()

    def entries(
        self, rows: Tensor, columns: Tensor
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.floating]]:
        """Return the entries where some rows meet some columns.

        Parameters
        ----------
        rows, columns
            int64, each once.

        Returns
        -------
        tuple of ndarray
            Row, column (positions in the two parameters) and value of each entry.
        """
        position, _, counts = self._positions(rows)
        row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
        new = torch.full((self.shape[1],), -1, dtype=torch.int64, device=rows.device)
        new[columns] = torch.arange(len(columns), device=rows.device)
        column = new[self._forward.col_indices()[position].long()]
        found = column >= 0
        parts = row[found], column[found], self._forward.values()[position][found]
        row_found, column_found, values = (part.cpu().numpy() for part in parts)
        return row_found, column_found, values

    def _positions(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return where the entries of rows are stored, where each row starts there, and the counts."""
        return row_positions(self._forward.crow_indices(), rows)


class _SparseProduct(torch.autograd.Function):
    """``A @ x`` with the gradient ``Aᵀ @ g``; the gradient is itself differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
        # The matrices are constants of the run, not tensors of the graph: no need to save them.
        ctx.matrices = (forward, backward)
        return sparse_product(forward, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        forward, backward = ctx.matrices
        return _SparseProduct.apply(gradients[0], backward, forward), None, None


class _LoopedProduct(torch.autograd.Function):
    """``A @ x + loops * own``, summed where it is written."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, own: Tensor, loops: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
        ctx.loops, ctx.matrices = loops, (forward, backward)
        return sparse_product(forward, x, add_to=own * loops)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (forward, backward) = gradients, ctx.matrices
        of_x = _SparseProduct.apply(gradient, backward, forward) if ctx.needs_input_grad[0] else None
        of_own = gradient * ctx.loops if ctx.needs_input_grad[1] else None
        return of_x, of_own, None, None, None


def _inverse_root(degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 1/√d for every degree, and 0 for the degree 0."""
    roots = np.zeros_like(degrees)
    np.divide(1.0, np.sqrt(degrees), out=roots, where=degrees > 0)
    return roots


def _canonical(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return the matrix as CSR with merged, sorted column indices."""
    matrix = sp.csr_matrix(matrix)
    matrix.sum_duplicates()
    return matrix


def _identical(a: sp.csr_matrix, b: sp.csr_matrix) -> bool:
    """Whether two canonical CSR matrices are stored alike."""
    return (
        a.shape == b.shape
        and np.array_equal(a.indptr, b.indptr)
        and np.array_equal(a.indices, b.indices)
        and np.array_equal(a.data, b.data)
    )


def _csr_tensor(matrix: sp.csr_matrix) -> Tensor:
    """Copy a canonical SciPy matrix into a torch CSR tensor."""
    # SciPy's 32-bit indices are kept where they suffice: the product is faster with them.
    pointers, columns, values = (torch.tensor(part) for part in (matrix.indptr, matrix.indices, matrix.data))
    return csr_tensor(pointers, columns, values, matrix.shape[1], check=True)
