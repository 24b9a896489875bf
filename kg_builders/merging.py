"""The mathematics of merging: who is one with whom, who stays, and the graph renumbered.

Names are numbers here. A place is a rank, the smallest first: of two names that become one, the one of the
lesser place stays.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from kg_builders.schema import KnowledgeGraph
from kg_builders.tables import number_rows

__all__ = ["assign_near", "components", "first_of_each", "merge_entities", "pair_codes", "worse_ends"]


def components(group: NDArray[np.int64], unit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the component of each name: same unit or group, directly or by others."""
    count = len(unit)
    groups = np.unique(group, return_inverse=True)[1] + count
    ends = np.arange(count), np.arange(count)
    joins = sparse.coo_matrix(
        (
            np.ones(2 * count, dtype=np.int8),
            (np.concatenate(ends), np.concatenate([unit, groups])),
        ),
        shape=(2 * count, 2 * count),
    )
    return connected_components(joins, directed=False)[1][:count].astype(np.int64)


def first_of_each(
    component: NDArray[np.int64], unit: NDArray[np.int64], place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each name the one of its component that stays."""
    order = np.lexsort((place, component))
    first = np.flatnonzero(np.diff(component[order], prepend=-1))
    return unit[order[first]][component]


def assign_near(
    near: pl.DataFrame,
    apart: NDArray[np.int64],
    place: NDArray[np.int64],
    accept: float,
    alone: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Decide which near-duplicates become one, without chains.

    Those that stay are the greedy independent set: going from the first rank to the last, a name stays
    unless one that stays is near. Each other one goes to the nearest of those that stay.

    Parameters
    ----------
    near
        Columns ``first``, ``second`` and ``score``.
    apart
        [2, pairs] of names that a person keeps apart.
    place
        [names], their rank.
    accept
        The least similarity.
    alone
        [names], those that are merged with nothing.

    Returns
    -------
    NDArray, NDArray
        [names] each: the name that stays in place of each name, and the similarity to it.
    """
    count = len(place)
    chosen, score = np.arange(count, dtype=np.int64), np.ones(count)
    strong = near.filter(pl.col("score") >= accept)
    ends = strong.select("first", "second").to_numpy().T.astype(np.int64)
    told = np.isin(pair_codes(ends, count), pair_codes(apart, count))
    settled = alone.copy()
    settled[worse_ends(ends[:, told], place)] = True
    allowed = ~told & ~settled[ends].any(axis=0)
    ends, likeness = ends[:, allowed], strong["score"].to_numpy()[allowed]
    lesser = worse_ends(ends, place)
    better = ends.sum(axis=0) - lesser
    stays, open_ = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    open_[ends] = True
    while open_.any():
        beaten = np.zeros(count, dtype=bool)
        beaten[lesser[open_[better]]] = True
        stays |= open_ & ~beaten
        open_ &= beaten
        open_[lesser[stays[better]]] = False
    moving = stays[better] & ~stays[lesser]
    order = np.lexsort((place[better[moving]], -likeness[moving], lesser[moving]))
    goer, stayer, likeness = lesser[moving][order], better[moving][order], likeness[moving][order]
    first = np.flatnonzero(np.diff(goer, prepend=-1))
    chosen[goer[first]], score[goer[first]] = stayer[first], likeness[first]
    # Two that a person keeps apart don't meet at a third: the lesser one stays by itself.
    clash = apart[:, chosen[apart[0]] == chosen[apart[1]]]
    loser = worse_ends(clash, place)
    chosen[loser] = loser
    return chosen, score


def worse_ends(ends: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the end of each pair that ranks after the other."""
    return np.where(place[ends[0]] > place[ends[1]], ends[0], ends[1])


def pair_codes(ends: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return one number a pair, whatever the order of its ends."""
    return ends.min(axis=0, initial=count) * count + ends.max(axis=0, initial=0)


def merge_entities(kg: KnowledgeGraph, target: NDArray[np.int64]) -> KnowledgeGraph:
    """Put other entities in the place of some.

    Triples between two entities that become one are left out.

    Parameters
    ----------
    target
        [entities], the entity that each one becomes.
    """
    stays = target == np.arange(len(target))
    if stays.all():
        return kg
    number = (np.cumsum(stays) - 1)[target]
    entities = number_rows(kg.entities.filter(pl.Series(stays)).drop("entity"), "entity")
    head, tail = kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy()
    loop = (number[head] == number[tail]) & (head != tail)
    head, tail = number[head], number[tail]
    # In a symmetric relation the smaller number comes first, as wherever a graph is made.
    symmetric = kg.relations["symmetric"].to_numpy()
    if symmetric.any():
        turned = symmetric[kg.triples["relation"].to_numpy()] & (head > tail)
        head, tail = np.where(turned, tail, head), np.where(turned, head, tail)
    triples = kg.triples.with_columns(head=pl.Series(head), tail=pl.Series(tail))
    if loop.any():
        triples = triples.filter(pl.Series(~loop))
    merged = KnowledgeGraph(entities, kg.relations, triples.clear())
    return merged.with_triples(triples)
