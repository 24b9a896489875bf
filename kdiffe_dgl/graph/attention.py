r"""The attention-aware matrix: how much the neighbourhoods of a user and an item overlap.

For every observed pair, :math:`S_{ui} = |\Gamma(u) \cap \Gamma(i)| / |\Gamma(u) \cup \Gamma(i)|`, where
:math:`\Gamma(v)` holds the nodes that random walks with restart from ``v`` visit: R walks of M time
steps, each step a jump back to ``v`` with the restart probability, else a move to a uniformly chosen
neighbour. ``v`` itself counts as visited; a node without neighbours stays where it is.

Source: Mo et al. (2025), *Knowledge-aware Diffusion-Enhanced Multimedia Recommendation*. The published
code steps back by one node, with a probability that grows; here the walk restarts at the seed, as the
paper says, and the result does not depend on the order of the edges.

The walks of some nodes are taken together, all of them one step at a time, so a step is a few array
operations. Such shards have random streams of their own and run on all cores; neither their number nor
their order changes the result. (DGL walks as well, but its random streams belong to threads: to repeat a
result it has to walk on one, at less than half of the speed for each.)
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kdiffe_dgl.errors import InputError

__all__ = ["attention_similarity", "visit_counts", "visited_sets"]

# Visits gathered before they are sorted, and set elements intersected at a time: 50 to 160 MB a core.
_BLOCK = 2**21
_HALF = np.uint64(32)

_Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row lengths, column indices and values of some rows of a CSR matrix."""


@dataclass(frozen=True)
class _Walks:
    """The graph over users and items with every edge in both directions, and how to walk on it."""

    adjacency: sp.csr_matrix
    degrees: np.ndarray
    walk_length: int
    n_walks: int
    restart_prob: float


def attention_similarity(
    interactions: sp.csr_matrix,
    walk_length: int,
    n_walks: int,
    restart_prob: float,
    seed: int,
    workers: int | None = None,
) -> sp.csr_matrix:
    """Return the Jaccard similarity of the visited sets of every observed user-item pair.

    Parameters
    ----------
    interactions
        ``[users, items]``; every stored non-zero is an edge, whatever its weight.
    walk_length
        M, time steps of a walk, restarts included.
    n_walks
        R, walks from every node.
    restart_prob
        Probability, at every time step, of a jump back to the seed.
    seed
        Seed of the walks.
    workers
        Threads; null: all cores. The result does not depend on it.

    Returns
    -------
    csr_matrix
        ``[users, items]``, float32, values in [0, 1] on exactly the edges of ``interactions``.

    Raises
    ------
    InputError
        If a parameter is out of its range.
    """
    edges = _edges(interactions)
    sets = visited_sets(edges, walk_length, n_walks, restart_prob, seed, workers)
    sizes = np.diff(sets.indptr).astype(np.int64)
    users = np.repeat(np.arange(edges.shape[0]), np.diff(edges.indptr))
    items = edges.indices.astype(np.int64) + edges.shape[0]
    work = np.cumsum(sizes[users] + sizes[items])
    total = int(work[-1]) if len(work) else 0
    bounds = np.unique([0, *np.searchsorted(work, np.arange(_BLOCK, total, _BLOCK)), len(work)])

    def shared(block: tuple[int, int]) -> np.ndarray:
        start, stop = block
        common = sets[users[start:stop]].multiply(sets[items[start:stop]]).tocsr()
        return np.diff(common.indptr)

    with ThreadPoolExecutor(_threads(workers)) as pool:
        blocks = itertools.pairwise(bounds.tolist())
        counts = [np.empty(0, dtype=np.int64), *pool.map(shared, blocks)]
    intersection = np.concatenate(counts)
    union = sizes[users] + sizes[items] - intersection
    edges.data = (intersection / union).astype(np.float32)
    return edges


def visited_sets(
    interactions: sp.csr_matrix,
    walk_length: int,
    n_walks: int,
    restart_prob: float,
    seed: int,
    workers: int | None = None,
) -> sp.csr_matrix:
    """Return the visited sets as rows of a boolean matrix ``[users + items, users + items]``.

    Parameters and errors are those of :func:`attention_similarity`. Users come first.
    """
    return _visits(interactions, walk_length, n_walks, restart_prob, seed, workers, counted=False)


def visit_counts(
    interactions: sp.csr_matrix,
    walk_length: int,
    n_walks: int,
    restart_prob: float,
    seed: int,
    workers: int | None = None,
) -> sp.csr_matrix:
    """Return how often the walks from each node visit each node, ``[users + items, users + items]``.

    Parameters and errors are those of :func:`attention_similarity`. The start of a walk counts, so
    every row sums to R (M + 1). For many walks the frequencies approach the walk's stationary
    distribution.
    """
    return _visits(interactions, walk_length, n_walks, restart_prob, seed, workers, counted=True)


def _visits(
    interactions: sp.csr_matrix,
    walk_length: int,
    n_walks: int,
    restart_prob: float,
    seed: int,
    workers: int | None,
    counted: bool,
) -> sp.csr_matrix:
    for name, value in (("walk_length", walk_length), ("n_walks", n_walks)):
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or more")
    if not 0 <= restart_prob <= 1:
        raise InputError(f"restart_prob is {restart_prob}; expected a probability from 0 to 1")
    adjacency = _both_directions(_edges(interactions))
    degrees = np.diff(adjacency.indptr).astype(np.uint64)
    walks = _Walks(adjacency, degrees, walk_length, n_walks, restart_prob)
    n_nodes = adjacency.shape[0]
    # The size of a shard follows from the parameters alone: seeds belong to shards, not to threads.
    size = max(1, _BLOCK // (n_walks * (walk_length + 1)))
    firsts = range(0, n_nodes, size)
    seeds = np.random.SeedSequence(seed).spawn(len(firsts))

    def shard(number: int) -> _Part:
        first = firsts[number]
        nodes = np.arange(first, min(first + size, n_nodes))
        return _walk_shard(walks, nodes, np.random.default_rng(seeds[number]), counted)

    with ThreadPoolExecutor(_threads(workers)) as pool:
        parts = list(pool.map(shard, range(len(firsts))))
    lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(part[0] for part in parts)])
    indices = np.concatenate([np.empty(0, dtype=np.int32), *(part[1] for part in parts)])
    values = np.concatenate([np.empty(0, dtype=np.int32 if counted else bool), *(part[2] for part in parts)])
    del parts
    return sp.csr_matrix((values, indices, np.cumsum(lengths)), shape=(n_nodes, n_nodes))


def _walk_shard(walks: _Walks, nodes: np.ndarray, generator: np.random.Generator, counted: bool) -> _Part:
    """Walk from some consecutive nodes and return their sorted visits.

    A random number of 64 bits makes a step: its upper half chooses the neighbour (a degree d favours none
    by more than d / 2^32), its lower half decides on the restart.
    """
    pointers, neighbours = walks.adjacency.indptr, walks.adjacency.indices
    n_nodes, length = walks.adjacency.shape[0], walks.walk_length
    # Without a neighbour, or with a certain restart, no walk leaves its seed.
    leaves = (walks.degrees[nodes] > 0) & (walks.restart_prob < 1)
    owners = np.repeat(np.flatnonzero(leaves), walks.n_walks)
    homes = nodes[owners]
    bar = np.uint64(round(walks.restart_prob * 2**32))
    # A visit is the key ``owner * n_nodes + visited node``. Every seed visits itself.
    visits = np.empty((length + 1, len(owners)), dtype=np.int64)
    visits[0] = place = homes
    for step in range(1, length + 1):
        drawn = generator.integers(0, 2**64, len(owners), dtype=np.uint64)
        chosen = ((drawn >> _HALF) * walks.degrees[place]) >> _HALF
        moved = neighbours[pointers[place] + chosen.astype(np.int64)]
        place = np.where((drawn & np.uint64(2**32 - 1)) < bar, homes, moved)
        visits[step] = place
    visits += owners * n_nodes
    keys = np.concatenate([np.arange(len(nodes), dtype=np.int64) * n_nodes + nodes, visits.ravel()])
    return _count_keys(keys, nodes[0], n_nodes, walks.n_walks * (length + 1) if counted else None)


def _count_keys(keys: np.ndarray, first_node: int, n_nodes: int, total: int | None) -> _Part:
    """Sort a shard's visits into CSR parts: row lengths, sorted columns, and counts (or True).

    ``total`` is the number of visits of a row, those of the seed by a restart included.
    """
    keys.sort()
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    rows, columns = np.divmod(keys[starts], n_nodes)
    lengths = np.bincount(rows)
    if total is None:
        return lengths, columns.astype(np.int32), np.ones(len(columns), dtype=bool)
    counts = np.diff(starts, append=len(keys))
    recorded = np.add.reduceat(counts, np.cumsum(lengths) - lengths)
    counts[columns == rows + first_node] += total - recorded
    return lengths, columns.astype(np.int32), counts.astype(np.int32)


def _edges(interactions: sp.csr_matrix) -> sp.csr_matrix:
    """Return the edges in canonical order, so that the order in which they were given is forgotten."""
    edges = sp.csr_matrix(interactions, copy=True)
    edges.sum_duplicates()
    edges.eliminate_zeros()
    return edges


def _both_directions(edges: sp.csr_matrix) -> sp.csr_matrix:
    """Return the adjacency over users and items, ``[users + items, users + items]``."""
    n_nodes = sum(edges.shape)
    users = np.repeat(np.arange(edges.shape[0]), np.diff(edges.indptr))
    items = edges.indices + edges.shape[0]
    ends = (np.concatenate([users, items]), np.concatenate([items, users]))
    adjacency = sp.csr_matrix((np.ones(2 * edges.nnz, dtype=bool), ends), shape=(n_nodes, n_nodes))
    adjacency.sort_indices()
    return adjacency


def _threads(workers: int | None) -> int:
    if workers:
        return workers
    # The cores that this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
