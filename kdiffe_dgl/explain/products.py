r"""Products with :math:`D^{-1/2} (C + I) D^{-1/2}` where pairs are deleted, or have weights.

The degrees D follow: what is left is normalised as if the graph had been built that way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.explain.edges import PairGraph, Pairs
from kdiffe_dgl.graph.operators import Propagation

__all__ = ["Deleted", "Weighted", "base_matrix"]

Ids = npt.NDArray[np.int64]


def base_matrix(pairs: Pairs, graph: PairGraph) -> Propagation:
    """Return C over all nodes, users first: symmetric, without self-loops."""
    strength = graph.strength.numpy()
    there = strength > 0
    users, items = pairs.users[there], pairs.items[there] + pairs.n_users
    ends = np.concatenate([users, items]), np.concatenate([items, users])
    size = pairs.n_users + pairs.n_items
    values = np.concatenate([strength[there]] * 2)
    return Propagation.from_scipy(sp.csr_matrix((values, ends), shape=(size, size)))


def _degrees(pairs: Pairs, added: Tensor) -> Tensor:
    """Return the degrees of all nodes, self-loops included, ``[nodes]``."""
    users, items = torch.from_numpy(pairs.users), torch.from_numpy(pairs.items) + pairs.n_users
    loops = torch.ones(pairs.n_users + pairs.n_items, dtype=added.dtype)
    return loops.index_add(0, users, added).index_add(0, items, added)


class Deleted:
    """A graph in a batch of copies, from each of which some pairs are deleted.

    Parameters
    ----------
    pairs, graph
        The graph.
    matrix
        Its :func:`base_matrix`.
    deleted, batch
        Pairs that go, and from which copy, int64 ``[n]`` each; a pair at most once from a copy.
    size
        Number of copies.
    """

    def __init__(
        self, pairs: Pairs, graph: PairGraph, matrix: Propagation, deleted: Ids, batch: Ids, size: int
    ) -> None:
        self._matrix = matrix
        strength, lost = graph.strength[deleted], graph.degree[deleted]
        # Each pair is two entries of the matrix.
        self._row = torch.from_numpy(
            np.concatenate([pairs.users[deleted], pairs.items[deleted] + pairs.n_users])
        )
        self._column = self._row.roll(len(deleted))
        self._batch = torch.from_numpy(np.concatenate([batch, batch]))
        self._strength = torch.cat([strength, strength]).unsqueeze(1)
        degrees = _degrees(pairs, graph.degree).unsqueeze(1).repeat(1, size)
        degrees.index_put_((self._row, self._batch), -torch.cat([lost, lost]), accumulate=True)
        self._scale = degrees.rsqrt().unsqueeze(1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with node vectors, ``[nodes, k, copies]``."""
        scaled = self._scale * x
        product = self._matrix(scaled.flatten(1)).view_as(x)
        lost = self._strength * scaled[self._column, :, self._batch]
        at = torch.arange(x.shape[1])
        where = self._row.unsqueeze(1), at.unsqueeze(0), self._batch.unsqueeze(1)
        product.index_put_(where, -lost, accumulate=True)
        return self._scale * (product + scaled)


class Weighted:
    """A graph with one weight for each pair, by which products can be differentiated.

    Parameters
    ----------
    pairs, graph
        The graph.
    weights
        ``[pairs]``; a weight of 0 deletes a pair.
    """

    def __init__(self, pairs: Pairs, graph: PairGraph, weights: Tensor) -> None:
        there = torch.nonzero(graph.strength).squeeze(1)
        self._users = torch.from_numpy(pairs.users)[there]
        self._items = torch.from_numpy(pairs.items)[there] + pairs.n_users
        self._strength = (weights[there] * graph.strength[there]).view(-1, 1, 1)
        self._scale = _degrees(pairs, weights * graph.degree).rsqrt().view(-1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with node vectors, ``[nodes, k, copies]``."""
        scaled = self._scale * x
        product = scaled.index_add(0, self._users, self._strength * scaled[self._items])
        product = product.index_add(0, self._items, self._strength * scaled[self._users])
        return self._scale * product
