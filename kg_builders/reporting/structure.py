"""The numbers of a graph that every part of its report starts from, on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["Cells", "Structure", "read_structure", "runs", "sorted_distinct"]

Ints = NDArray[np.int64]

_PACKED_LIMIT = 2**62


@dataclass(frozen=True)
class Cells:
    """Which relations join which pairs of entities: a sparse 0/1 matrix, row after row.

    A pair has no direction; column ``2 r`` is relation ``r`` from the smaller entity to the larger, column
    ``2 r + 1`` the other way round. A symmetric relation has only its first column.

    Parameters
    ----------
    row, column
        [cells], the place of each 1, rows ascending.
    low, high
        [rows], the pair of entities of each row, ``low <= high``.
    """

    row: Ints
    column: Ints
    low: Ints
    high: Ints


@dataclass(frozen=True)
class Structure:
    """Counts of a graph.

    Parameters
    ----------
    heads, tails, relations
        [triples], the columns of the triples.
    items, symmetric
        [entities] and [relations], whether an entity is an item and a relation symmetric.
    facts
        [entities], number of triples that an entity is in; a triple from an entity to itself counts once.
    neighbours, item_neighbours
        [entities], number of other entities, and of other items, that some triple joins it to.
    cells
        Pairs of entities and the relations that join them.
    component, component_sizes
        [entities], number of the connected component of each, and [components], their entities.
    """

    heads: Ints
    tails: Ints
    relations: Ints
    items: NDArray[np.bool_]
    symmetric: NDArray[np.bool_]
    facts: Ints
    neighbours: Ints
    item_neighbours: Ints
    cells: Cells
    component: NDArray[np.int32]
    component_sizes: Ints


def read_structure(kg: KnowledgeGraph) -> Structure:
    """Count what a graph holds, by sorting its triples once; memory grows with the triples alone."""
    heads, tails, relations = (kg.triples[name].to_numpy() for name in ("head", "tail", "relation"))
    count = kg.n_entities
    items = (kg.entities["kind"] == ITEM).to_numpy().astype(bool)
    symmetric = kg.relations["symmetric"].fill_null(False).to_numpy().astype(bool)
    facts = np.bincount(heads, minlength=count) + np.bincount(tails[heads != tails], minlength=count)
    cells = _cells(heads, tails, relations, symmetric, count)
    apart = cells.low != cells.high
    low, high = cells.low[apart], cells.high[apart]
    neighbours = np.bincount(low, minlength=count) + np.bincount(high, minlength=count)
    item_neighbours = np.bincount(low[items[high]], minlength=count)
    item_neighbours += np.bincount(high[items[low]], minlength=count)
    component, sizes = _components(low, high, count)
    return Structure(
        heads, tails, relations, items, symmetric, facts, neighbours, item_neighbours, cells, component, sizes
    )


def sorted_distinct(values: NDArray[np.int64]) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and how often each occurs.

    NumPy's own ``unique`` hashes, which is slower by far for tens of millions of distinct numbers.
    """
    ordered = np.sort(values)
    starts = runs(ordered)
    return ordered[starts], np.diff(np.append(starts, len(ordered)))


def runs(ordered: NDArray[np.int64]) -> Ints:
    """Return where each stretch of equal values begins."""
    if not len(ordered):
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]).astype(np.int64)


def _cells(heads: Ints, tails: Ints, relations: Ints, symmetric: NDArray[np.bool_], count: int) -> Cells:
    pair = np.minimum(heads, tails) * count + np.maximum(heads, tails)
    column = 2 * relations + ((heads > tails) & ~symmetric[relations])
    width = max(2 * len(symmetric), 1)
    if count * count * width < _PACKED_LIMIT:
        packed = pair * width + column
        packed.sort()
        packed = packed[runs(packed)]
        pair = packed // width
        column = packed - pair * width
    else:
        order = np.lexsort((column, pair))
        pair, column = pair[order], column[order]
        fresh = np.ones(len(pair), dtype=bool)
        fresh[1:] = (pair[1:] != pair[:-1]) | (column[1:] != column[:-1])
        pair, column = pair[fresh], column[fresh]
    starts = runs(pair)
    row = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(pair))))
    distinct = pair[starts]
    low = distinct // max(count, 1)
    return Cells(row, column, low, distinct - low * count)


def _components(low: Ints, high: Ints, count: int) -> tuple[NDArray[np.int32], Ints]:
    """Return the component of each entity and the sizes; ``low`` is sorted, so the matrix is at hand."""
    if not count:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(np.bincount(low, minlength=count))])
    upper = sparse.csr_matrix((np.ones(len(high), dtype=np.int8), high, starts), shape=(count, count))
    number, component = connected_components(upper, directed=False)
    return component, np.bincount(component, minlength=number)
