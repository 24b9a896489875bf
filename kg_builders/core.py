"""The k-core of a graph and its components, on arrays of edge ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra

__all__ = ["component_labels", "hops_from", "k_core_mask", "nodes_within", "simple_adjacency"]

_ROUNDS = 4


def simple_adjacency(heads: NDArray[np.int64], tails: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    """Return the adjacency [count, count] in which each pair of neighbours has a 1, whatever joins them.

    Direction, repeated edges and loops are left out, so that a row sum is a number of neighbours.
    """
    ends = np.concatenate([heads, tails]), np.concatenate([tails, heads])
    apart = ends[0] != ends[1]
    adjacency = sparse.csr_matrix(
        (np.ones(int(apart.sum()), dtype=np.int64), (ends[0][apart], ends[1][apart])), shape=(count, count)
    )
    adjacency.data[:] = 1
    return adjacency


def k_core_mask(
    adjacency: sparse.csr_matrix, k: int, protected: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return which nodes stay when nodes with fewer than ``k`` neighbours are taken away again and again.

    Each round touches only the neighbours of the nodes that it takes, so all rounds together cost no more
    than the number of edges.

    Parameters
    ----------
    adjacency
        From ``simple_adjacency``.
    k
        Neighbours that a node needs among those that stay.
    protected
        [nodes], nodes that always stay; none by default.
    """
    count = adjacency.shape[0]
    starts, neighbours = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int64)
    degree = np.diff(starts)
    removable = np.ones(count, dtype=bool) if protected is None else ~protected
    stays = np.ones(count, dtype=bool)
    leaving = np.flatnonzero(removable & (degree < k))
    while len(leaving):
        stays[leaving] = False
        lengths = starts[leaving + 1] - starts[leaving]
        # All neighbours of the leaving nodes: their stretches of ``neighbours``, one after another.
        offsets = np.repeat(starts[leaving] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        touched, losses = np.unique(neighbours[offsets + np.arange(lengths.sum())], return_counts=True)
        degree[touched] -= losses
        leaving = touched[stays[touched] & removable[touched] & (degree[touched] < k)]
    return stays


def component_labels(adjacency: sparse.csr_matrix) -> NDArray[np.int64]:
    """Return the number of the connected component of each node."""
    return connected_components(adjacency, directed=False)[1].astype(np.int64)


def hops_from(adjacency: sparse.csr_matrix, sources: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the number of edges from each node to the nearest source, infinite where there is no path."""
    starts = np.flatnonzero(sources)
    if not len(starts):
        return np.full(adjacency.shape[0], np.inf)
    return dijkstra(adjacency, directed=False, indices=starts, unweighted=True, min_only=True)


def nodes_within(
    heads: NDArray[np.integer[Any]],
    tails: NDArray[np.integer[Any]],
    sources: NDArray[np.bool_],
    max_hops: int | None = None,
) -> NDArray[np.bool_]:
    """Return which nodes a path of at most ``max_hops`` edges joins to a source, whatever the direction.

    A few rounds over the edges reach nearly everything in a graph about items, and need no adjacency; what
    they leave, such as a long chain, is left to the components of the remaining edges.

    Parameters
    ----------
    heads, tails
        [edges] ends.
    sources
        [nodes], which are sources.
    max_hops
        Edges of the longest path; any number by default.
    """
    near = sources.copy()
    rounds = 0
    while max_hops is None or rounds < max_hops:
        first, second = near[heads], near[tails]
        apart = first != second
        if not apart.any():
            return near
        if max_hops is None and rounds == _ROUNDS:
            # Whatever is in the same component of the remaining edges as a node that is near is near.
            open_ends = ~(first & second)
            adjacency = simple_adjacency(
                heads[open_ends].astype(np.int64), tails[open_ends].astype(np.int64), len(near)
            )
            labels = component_labels(adjacency)
            reached = np.zeros(len(near), dtype=bool)
            reached[labels[near]] = True
            return near | reached[labels]
        near[heads[apart]] = True
        near[tails[apart]] = True
        # Edges with both ends near lead nowhere new.
        open_edges = ~(near[heads] & near[tails])
        heads, tails = heads[open_edges], tails[open_edges]
        rounds += 1
    return near
