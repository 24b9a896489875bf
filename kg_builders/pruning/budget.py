"""The step that leaves each item its most informative facts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kg_builders.pruning.working import WorkingGraph

__all__ = ["fact_weights", "take_beyond_budget"]


def take_beyond_budget(graph: WorkingGraph, most: int, lift: Mapping[str, float] | None = None) -> None:
    """Take an item's facts beyond the ``most`` most informative ones.

    A triple is a fact of its head if that is an item, otherwise of its tail, so that a triple between two
    items counts for the one that it is about. Equally informative facts stay in the order of relations' and
    entities' names (their numbers).

    Parameters
    ----------
    most
        Facts that an item keeps.
    lift
        Relation to its usefulness (``relation_usefulness``); 1 where it isn't known.
    """
    subject = graph.is_item[graph.head]
    owner = np.where(subject, graph.head, graph.tail)
    counted = subject | graph.is_item[graph.tail]
    owned = np.bincount(owner[counted], minlength=graph.n_entities)
    places = np.flatnonzero(counted & (owned[owner] > most))
    gone = np.zeros(len(graph.rows), dtype=bool)
    if len(places):
        weight = fact_weights(graph, places, lift)
        relation, head, tail = graph.relation[places], graph.head[places], graph.tail[places]
        order = np.lexsort((tail, head, relation, -weight, owner[places]))
        owners = owner[places][order]
        starts = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
        rank = np.arange(len(owners)) - np.repeat(starts, np.diff(np.append(starts, len(owners))))
        gone[places[order[rank >= most]]] = True
    lost = np.bincount(graph.relation[gone], minlength=graph.n_relations)
    examples = [
        f"{graph.names[at]}: {lost[at]:,}" for at in np.argsort(-lost, kind="stable")[:5].tolist() if lost[at]
    ]
    reason = f"facts of an item beyond its {most:,} most informative ones (rare tails, useful relations)"
    graph.take(gone, "facts beyond the budget", reason, examples)


def fact_weights(
    graph: WorkingGraph, places: NDArray[np.int64], lift: Mapping[str, float] | None = None
) -> NDArray[np.float64]:
    """Return how informative facts of items are: ``lift · log(1 + items / shared)``.

    ``shared`` is the number of items that have the fact's other end. An entity that no other item has joins
    no items and weighs nothing.

    Parameters
    ----------
    places
        [facts] places of triples with an item.
    lift
        Relation to its usefulness; 1 where it isn't known, and for one below chance 0.
    """
    count = graph.n_entities
    head_item, tail_item = graph.is_item[graph.head], graph.is_item[graph.tail]
    shared = np.bincount(graph.tail[head_item], minlength=count)
    shared += np.bincount(graph.head[tail_item], minlength=count)
    other = np.where(graph.is_item[graph.head[places]], graph.tail[places], graph.head[places])
    used = shared[other]
    weight = np.log1p(max(int(graph.is_item.sum()), 1) / np.maximum(used, 1))
    weight[(used < 2) & ~graph.is_item[other]] = 0.0
    factor = np.array([max((lift or {}).get(name, 1.0), 0.0) for name in graph.names], dtype=np.float64)
    factor[~np.isfinite(factor)] = 1.0
    return weight * factor[graph.relation[places]]
