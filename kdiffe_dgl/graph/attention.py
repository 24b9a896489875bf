r"""The attention-aware matrix: how much the neighbourhoods of a user and an item overlap.

For every observed pair, :math:`S_{ui} = |\Gamma(u) \cap \Gamma(i)| / |\Gamma(u) \cup \Gamma(i)|`, where
:math:`\Gamma(v)` holds the nodes that random walks with restart from ``v`` visit: R walks of M time
steps, each step a jump back to ``v`` with the restart probability, else a move to a uniformly chosen
neighbour. ``v`` itself counts as visited; a node without neighbours stays where it is.

Source: Mo et al. (2025), *Knowledge-aware Diffusion-Enhanced Multimedia Recommendation*. The published
code steps back by one node, with a probability that grows; here the walk restarts at the seed, as the
paper says, and the result does not depend on the order of the edges.

Reproducibility. DGL draws random numbers from a stream that belongs to the calling thread, and a
thread's stream cannot be chosen: it is the number of threads that used the generator before. So DGL
walks on the calling thread alone, while all other work (chaining the traces, sorting the visits,
intersecting the sets) runs on all cores beside it. The number of cores never changes the result.
Runs agree when they call from the thread that used DGL's generator first, as the main thread does.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from kdiffe_dgl.backend import dgl, single_dgl_thread
from kdiffe_dgl.errors import InputError

__all__ = ["attention_similarity", "visit_counts", "visited_sets"]

# Visits gathered before they are sorted, and set elements intersected at a time: 16 to 64 MB a core.
_BLOCK = 2**21

_Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row lengths, column indices and values of some rows of a CSR matrix."""


class _Request(NamedTuple):
    """Traces that a shard needs next: where they start, and how long they are at most."""

    starts: np.ndarray
    length: int
    seed: int


_Walker = Generator[_Request, np.ndarray, _Part]


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
    graph = _walk_graph(_edges(interactions))
    n_nodes = graph.num_nodes()
    # The size of a shard follows from the parameters alone: seeds belong to shards, not to threads.
    size = max(1, _BLOCK // (n_walks * (walk_length + 1)))
    firsts = range(0, n_nodes, size)
    walkers = (
        _walk_shard(
            graph, first, min(first + size, n_nodes), walk_length, n_walks, restart_prob, own, counted
        )
        for first, own in zip(firsts, np.random.SeedSequence(seed).spawn(len(firsts)), strict=True)
    )
    parts = _run_walkers(graph, walkers, restart_prob, _threads(workers))
    lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(part[0] for part in parts)])
    indices = np.concatenate([np.empty(0, dtype=np.int32), *(part[1] for part in parts)])
    values = np.concatenate([np.empty(0, dtype=np.int32 if counted else bool), *(part[2] for part in parts)])
    return sp.csr_matrix((values, indices, np.cumsum(lengths)), shape=(n_nodes, n_nodes))


def _run_walkers(
    graph: dgl.DGLGraph, walkers: Iterator[_Walker], restart_prob: float, threads: int
) -> list[_Part]:
    """Run the shards' walkers to their ends: DGL's traces here, everything else on the pool."""
    parts: dict[int, _Part] = {}
    active: deque[tuple[int, _Walker, Future[_Request | _Part]]] = deque()
    with ThreadPoolExecutor(threads) as pool, single_dgl_thread():

        def enter(number: int, walker: _Walker) -> None:
            active.append((number, walker, pool.submit(_advance, walker, None)))

        waiting = enumerate(walkers)
        # One shard more than threads, so that no thread waits while DGL walks for another shard.
        for number, walker in itertools.islice(waiting, threads + 1):
            enter(number, walker)
        while active:
            number, walker, step = active.popleft()
            answer = step.result()
            if isinstance(answer, _Request):
                dgl.seed(answer.seed)
                starts = torch.from_numpy(answer.starts).to(graph.idtype)
                traces, _ = dgl.sampling.random_walk(
                    graph, starts, length=answer.length, restart_prob=float(restart_prob)
                )
                active.append((number, walker, pool.submit(_advance, walker, traces.numpy())))
                continue
            parts[number] = answer
            for following in itertools.islice(waiting, 1):
                enter(*following)
    return [parts[number] for number in sorted(parts)]


def _advance(walker: _Walker, traces: np.ndarray | None) -> _Request | _Part:
    """Give a walker the traces it asked for; return its next request, or its result at the end."""
    try:
        return next(walker) if traces is None else walker.send(traces)
    except StopIteration as end:
        part: _Part = end.value
        return part


def _walk_shard(
    graph: dgl.DGLGraph,
    first: int,
    stop: int,
    walk_length: int,
    n_walks: int,
    restart_prob: float,
    seed: np.random.SeedSequence,
    counted: bool,
) -> _Walker:
    """Walk from the nodes ``first`` to ``stop - 1``: ask for traces, take them, return sorted visits.

    DGL ends a trace where it restarts: before each transition, with the restart probability. As the
    walk has no memory, a walk from the seed is a chain of traces: a trace of ``k`` transitions that
    ended early spends ``k + 1`` time steps and leaves the walk at the seed; a full one of ``length``
    transitions leaves it at its last node. The last trace is cut where the budget M ends.
    """
    n_nodes = graph.num_nodes()
    nodes = np.arange(first, stop)
    generator = np.random.default_rng(seed)
    # Without a neighbour, or with a certain restart (which DGL refuses), no walk leaves its seed.
    leaves = (graph.out_degrees(torch.from_numpy(nodes).to(graph.idtype)).numpy() > 0) & (restart_prob < 1)
    owners = np.repeat(np.flatnonzero(leaves), n_walks)
    places = nodes[owners]
    remaining = np.full(len(owners), walk_length)
    # A visit is the key ``owner * n_nodes + visited node``. Every seed visits itself.
    keys = [np.arange(len(nodes)) * n_nodes + nodes]
    # About twice the mean distance between restarts: few rounds, little padding in the traces.
    usual = walk_length if restart_prob == 0 else math.ceil(2 / restart_prob)
    while len(owners):
        length = min(usual, int(remaining.max()))
        traces = yield _Request(places, length, int(generator.integers(2**31)))
        moves = (traces >= 0).sum(axis=1) - 1
        used = np.minimum(moves, remaining)
        inside = np.arange(1, length + 1) <= used[:, None]
        keys.append(np.repeat(owners, used) * n_nodes + traces[:, 1:][inside])
        restarted = moves < length
        remaining = remaining - moves - restarted
        places = np.where(restarted, nodes[owners], traces[:, -1])
        alive = remaining > 0
        owners, places, remaining = owners[alive], places[alive], remaining[alive]
    return _count_keys(np.concatenate(keys), first, n_nodes, n_walks * (walk_length + 1) if counted else None)


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


def _walk_graph(edges: sp.csr_matrix) -> dgl.DGLGraph:
    """Return the homogeneous graph over users and items, with every edge in both directions."""
    n_nodes = sum(edges.shape)
    users = np.repeat(np.arange(edges.shape[0]), np.diff(edges.indptr))
    items = edges.indices + edges.shape[0]
    ends = (np.concatenate([users, items]), np.concatenate([items, users]))
    adjacency = sp.csr_matrix((np.ones(2 * edges.nnz, dtype=bool), ends), shape=(n_nodes, n_nodes))
    adjacency.sort_indices()
    # 32-bit ids make the walks about a third faster.
    idtype = torch.int32 if max(adjacency.nnz, n_nodes) < 2**31 else torch.int64
    parts = (torch.tensor(adjacency.indptr, dtype=idtype), torch.tensor(adjacency.indices, dtype=idtype))
    return dgl.graph(("csr", (*parts, torch.empty(0, dtype=idtype))), num_nodes=n_nodes, idtype=idtype)


def _threads(workers: int | None) -> int:
    return workers or os.cpu_count() or 1
