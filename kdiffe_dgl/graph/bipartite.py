"""Propagation over users and items, by the blocks of the normalised adjacency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.graph.operators import Propagation

__all__ = ["BipartiteOperator", "Rows", "propagate"]

Rows = tuple[Tensor, Tensor]
"""Users and items at which a view is wanted, int64 ``[n]`` each."""


@dataclass(frozen=True)
class BipartiteOperator:
    r"""The matrix :math:`\hat A = \begin{pmatrix} D_U & S \\ S^T & D_I \end{pmatrix}`, D_U and D_I diagonal.

    Views of a step share users or items, so they share half of their products; the blocks make that
    possible, and no product copies its two inputs into one matrix first.

    Attributes
    ----------
    to_users
        S, ``[users, items]``: what users get from their items.
    to_items
        ``[items, users]``: what items get from their users. The transpose of S, except in a sample,
        where the messages of each side are scaled by themselves.
    user_loop, item_loop
        The diagonal, ``[users, 1]`` and ``[items, 1]``.
    """

    to_users: Propagation
    to_items: Propagation
    user_loop: Tensor
    item_loop: Tensor

    @classmethod
    def from_scipy(cls, matrix: sp.csr_matrix, n_users: int) -> BipartiteOperator:
        """Cut a symmetric matrix ``[users + items, users + items]``, users first, into its blocks.

        float64 stays float64; every other type becomes float32.

        Raises
        ------
        ValueError
            If the matrix joins users with users, or items with items.
        """
        matrix = sp.csr_matrix(matrix)
        loops: npt.NDArray[np.floating] = matrix.diagonal()
        block = matrix[:n_users, n_users:]
        if matrix.count_nonzero() != 2 * block.count_nonzero() + np.count_nonzero(loops):
            raise ValueError(
                "the matrix joins users with users or items with items; expected a bipartite graph"
            )
        to_users = Propagation.from_scipy(block)
        diagonal = torch.tensor(loops).to(to_users.dtype).unsqueeze(1)
        return cls(to_users, to_users.transposed, diagonal[:n_users], diagonal[n_users:])

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self.to_users.shape[0]

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.to_users.shape[1]

    def to(self, device: torch.device | str) -> BipartiteOperator:
        """Return the operator on a device."""
        return BipartiteOperator(
            self.to_users.to(device),
            self.to_items.to(device),
            self.user_loop.to(device),
            self.item_loop.to(device),
        )

    def sample(self, users: Tensor, items: Tensor, rescale: bool) -> BipartiteOperator:
        """Return the operator among some users and some items, numbered in the given order.

        Parameters
        ----------
        users, items
            Which nodes, int64, each once.
        rescale
            Whether the messages that a node still gets are scaled up to the sum of the weights that it has
            in the whole graph: the sampled neighbours then speak for all of them. A node that keeps all
            neighbours is not changed.
        """
        row, column, values = self.to_users.entries(users, items)
        shape = len(users), len(items)
        user_scale = item_scale = np.ones(1, dtype=values.dtype)
        if rescale:
            user_scale = _ratio(self.to_users.row_sums[users], row, values, shape[0])[row]
            item_scale = _ratio(self.to_items.row_sums[items], column, values, shape[1])[column]
        to_users = sp.csr_matrix((values * user_scale, (row, column)), shape=shape)
        to_items = sp.csr_matrix((values * item_scale, (column, row)), shape=shape[::-1])
        device = self.to_users.device
        return BipartiteOperator(
            Propagation.from_scipy(to_users, device),
            Propagation.from_scipy(to_items, device),
            self.user_loop[users],
            self.item_loop[items],
        )

    def __call__(
        self, users: Tensor, items: Tensor, from_users: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Propagate embeddings one step.

        Parameters
        ----------
        users, items
            ``[users, dim]`` and ``[items, dim]``.
        from_users
            ``to_items(users)``, where it is known already.
        """
        to_users = self.to_users.with_loops(items, self.user_loop, users)
        if from_users is None:
            return to_users, self.to_items.with_loops(users, self.item_loop, items)
        return to_users, torch.addcmul(from_users, self.item_loop, items)

    def at(self, rows: Rows, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Propagate one step, but only to some users and some items: ``[n, dim]`` each."""
        user, item = rows
        return (
            torch.addcmul(self.to_users.at(user, items), self.user_loop[user], users[user]),
            torch.addcmul(self.to_items.at(item, users), self.item_loop[item], items[item]),
        )


def _ratio(
    whole: Tensor, rows: npt.NDArray[np.int64], values: npt.NDArray[np.floating], n_rows: int
) -> npt.NDArray[np.floating]:
    """Return by how much the sums of rows must grow to be those of the whole matrix; 1 for an empty row."""
    found = np.bincount(rows, weights=values, minlength=n_rows)
    sums = whole.cpu().numpy().astype(np.float64)
    return np.divide(sums, found, out=np.ones(n_rows), where=found > 0).astype(values.dtype)


def propagate(
    operator: BipartiteOperator,
    users: Tensor,
    items: Tensor,
    layers: int,
    from_users: Tensor | None = None,
    rows: Rows | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return the sum of embeddings and their propagations, :math:`\sum_{l=0}^{L} \hat A^l E`.

    Parameters
    ----------
    operator
        Â.
    users, items
        ``[users, dim]`` and ``[items, dim]``.
    layers
        L, 0 or more.
    from_users
        ``operator.to_items(users)``, where it is known already.
    rows
        Where the sum is wanted; null: everywhere. The last step is then done for these rows alone.

    Returns
    -------
    tuple of Tensor
        Users and items, ``[users, dim]`` and ``[items, dim]``, or as many as there are in ``rows``.
    """
    total_users, total_items = users, items
    whole = layers if rows is None else layers - 1
    for _ in range(whole):
        users, items = operator(users, items, from_users)
        total_users, total_items, from_users = total_users + users, total_items + items, None
    if rows is None:
        return total_users, total_items
    total_users, total_items = total_users[rows[0]], total_items[rows[1]]
    if layers == 0:
        return total_users, total_items
    last_users, last_items = operator.at(rows, users, items)
    return total_users + last_users, total_items + last_items
