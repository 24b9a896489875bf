r"""What speaks for an edge, computed as if the edge itself were not there.

A denoiser that has seen an edge gives it back, true or false: what a row's reconstruction says of the row's
own edges is mostly what it was told. So each edge is judged here by all others, the edge left out exactly.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

__all__ = ["context_agreement", "degree_evidence", "neighbour_similarity", "structure_evidence"]

IntArray = np.ndarray[Any, np.dtype[np.int64]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

PATHS = 1 << 24
"""Paths of three steps that are followed at once, about: bounds the memory."""

MAX_DEGREE = 1024
"""Greatest degree of a neighbour that makes two entities similar: what nearly all have says little of one."""


def degree_evidence(relation: IntArray, head: IntArray, tail: IntArray, n_entities: int) -> FloatArray:
    r"""Return how many other triples of its relation head and tail have: :math:`\log(1 + n - 1)`.

    Random edges meet popular entities no more often than others; true ones do.

    Parameters
    ----------
    relation, head, tail
        The triples, int64 ``[triples]`` each, none twice.
    n_entities
        Number of entities.

    Returns
    -------
    numpy.ndarray
        float64 ``[triples, 2]``: of the tail, of the head.
    """
    columns = []
    for entity in (tail, head):
        _, inverse, counts = np.unique(
            relation * n_entities + entity, return_inverse=True, return_counts=True
        )
        columns.append(np.log(counts[inverse].astype(np.float64)))
    return np.stack(columns, axis=1)


def structure_evidence(
    adjacency: sp.csr_matrix, relation: IntArray, head: IntArray, tail: IntArray
) -> FloatArray:
    """Gather what the graph itself says of each triple, without that triple.

    Parameters
    ----------
    adjacency
        Which entities are joined, binary and symmetric, ``[entities, entities]``.
    relation, head, tail
        The triples, int64 ``[triples]`` each.

    Returns
    -------
    numpy.ndarray
        float64 ``[triples, 6]``: :func:`degree_evidence`; then sum (as a logarithm) and mean of
        :func:`neighbour_similarity`, seen from the head and seen from the tail.
    """
    degree = np.diff(adjacency.indptr)
    columns = [degree_evidence(relation, head, tail, adjacency.shape[0])]
    for first, second in ((head, tail), (tail, head)):
        total = neighbour_similarity(adjacency, first, second)
        mean = total / np.maximum(degree[second] - 1, 1)
        # Similarities of two entities are mostly around 0.1: that is where the logarithm bends.
        columns.append(np.stack([np.log1p(10 * total), mean], axis=1))
    return np.concatenate(columns, axis=1)


def neighbour_similarity(adjacency: sp.csr_matrix, first: IntArray, second: IntArray) -> FloatArray:
    r"""Add up how similar the first end of each edge is to the other neighbours of its second end.

    .. math:: s_{ht} = \sum_{h' \in N(t) \setminus h} \frac{\sum_{x \in N(h) \cap N(h') \setminus t} w_x}
              {\sqrt{\sum_{x \in N(h) \setminus t} w_x} \sqrt{\sum_{x \in N(h')} w_x}},
              \quad w_x = |N(x)|^{-1/2}

    (0 for a degree above :data:`MAX_DEGREE`) is the cosine of two neighbourhoods in which a rare neighbour
    says more than a common one: a film is likely to have an actor whose other films resemble it.

    Parameters
    ----------
    adjacency
        As for :func:`structure_evidence`; the edges are among its entries.
    first, second
        h and t, int64 ``[edges]`` each.

    Returns
    -------
    numpy.ndarray
        float64 ``[edges]``.
    """
    degree = np.diff(adjacency.indptr).astype(np.float64)
    weight = np.zeros(len(degree))
    passable = (degree > 0) & (degree <= MAX_DEGREE)
    weight[passable] = degree[passable] ** -0.5
    norm = np.asarray(adjacency @ weight).ravel()
    inverse = np.zeros(len(degree))
    inverse[norm > 0] = norm[norm > 0] ** -0.5
    out = (adjacency @ sp.diags(weight)).tocsr()
    out.eliminate_zeros()
    total = _path_weights(adjacency, out, (sp.diags(inverse) @ adjacency).tocsr(), first, second)
    # Take out h' = h, and of every other h' what it shares with h by t alone.
    total -= norm[first] * inverse[first]
    total -= weight[second] * (np.asarray(adjacency @ inverse).ravel()[second] - inverse[first])
    rest = norm[first] - weight[second]
    some = rest > 1e-9
    found = np.zeros(len(first))
    found[some] = np.maximum(total[some], 0) / np.sqrt(rest[some])
    return found


def _path_weights(
    adjacency: sp.csr_matrix, out: sp.csr_matrix, back: sp.csr_matrix, first: IntArray, second: IntArray
) -> FloatArray:
    """Return the entries of ``out @ adjacency @ back`` at the edges, block by block of rows."""
    rows, place = np.unique(first, return_inverse=True)
    degree = np.diff(adjacency.indptr).astype(np.float64)
    paths = np.asarray(out[rows].astype(bool) @ (adjacency @ degree)).ravel()
    bounds = np.searchsorted(np.cumsum(paths), np.arange(PATHS, paths.sum() + PATHS, PATHS))
    starts = np.unique(np.concatenate([[0], np.minimum(bounds + 1, len(rows)), [len(rows)]]))
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], starts)
    found = np.zeros(len(first))
    for number, (start, stop) in enumerate(pairwise(starts)):
        own = order[edges[number] : edges[number + 1]]
        block = (out[rows[start:stop]] @ adjacency @ back).tocsr()
        found[own] = np.asarray(block[place[own] - start, second[own]]).ravel()
    return found


def context_agreement(
    incidence: sp.csr_matrix, context: FloatArray, first: IntArray, second: IntArray
) -> FloatArray:
    r"""Tell how far an item's collaborative context agrees with that of the other items of an entity.

    .. math:: a_{ie} = \frac{1}{\sqrt{n}} \sum_{j \in N(e) \setminus i} \cos(c_i - \bar c, c_j - \bar c)

    with n the number of these items and at least 1, and :math:`\bar c` the mean over all items. An entity
    whose items have users in common matters for the recommendation, and so do its edges.

    Parameters
    ----------
    incidence
        Which items an entity is joined with, binary, ``[entities, items]``; items are the first entities.
    context
        c of each item, ``[items, dim]``, zero where it has no interactions.
    first, second
        Ends of the edges, int64 ``[edges]`` each.

    Returns
    -------
    numpy.ndarray
        float64 ``[edges]``; where both ends are items, the mean of both directions; 0 where neither is.
    """
    n_items = incidence.shape[1]
    known = np.linalg.norm(context, axis=1) > 0
    unit = np.where(known[:, None], context - context[known].mean(axis=0) if known.any() else context, 0.0)
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = np.divide(unit, length, out=np.zeros_like(unit), where=length > 0)
    total = np.asarray(incidence @ unit)
    count = np.asarray(incidence @ (length[:, 0] > 0)).ravel()

    def seen_from(item: IntArray, entity: IntArray) -> FloatArray:
        is_item = item < n_items
        own = unit[np.where(is_item, item, 0)]
        others = np.einsum("nd,nd->n", own, total[entity]) - np.einsum("nd,nd->n", own, own)
        value: FloatArray = np.where(is_item, others / np.sqrt(np.maximum(count[entity] - 1, 1)), 0.0)
        return value

    ends = (first < n_items).astype(np.float64) + (second < n_items)
    agreement: FloatArray = (seen_from(first, second) + seen_from(second, first)) / np.maximum(ends, 1)
    return agreement
