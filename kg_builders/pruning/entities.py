"""Steps that take entities: without a triple, joined to too many or too few, far from every item."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kg_builders.config import nearest
from kg_builders.core import k_core_mask, nodes_within
from kg_builders.errors import InputError
from kg_builders.pruning.working import WorkingGraph
from kg_builders.schema import ITEM

__all__ = [
    "take_common",
    "take_distant",
    "take_hubs",
    "take_isolated",
    "take_outside_core",
    "take_rare",
    "take_unreachable",
]


def take_isolated(graph: WorkingGraph) -> None:
    """Take entities without a triple."""
    alone = (graph.uses == 0) & ~graph.is_item
    graph.take_entities(alone, "isolated entities", "entities without a triple")


def take_common(graph: WorkingGraph, max_share: float) -> None:
    """Take entities joined to more than ``max_share`` of the items."""
    joined = graph.pairs().degree(graph.n_entities, graph.is_item)
    share = joined / max(int(graph.is_item.sum()), 1)
    reason = f"entities joined to more than {max_share:.1%} of the items"
    graph.take_entities(~graph.is_item & (share > max_share), "common entities", reason, share)


def take_hubs(graph: WorkingGraph, max_degree: int) -> None:
    """Take entities with more than ``max_degree`` neighbours."""
    degree = graph.pairs().degree(graph.n_entities)
    reason = f"entities with more than {max_degree:,} neighbours"
    gone = ~graph.is_item & (degree > max_degree)
    graph.take_entities(gone, "hub entities", reason, degree, tell_weight=True)


def take_rare(graph: WorkingGraph, min_degree: int, of_kind: Mapping[str, int] | None = None) -> None:
    """Take entities with too few neighbours, counted before anything is taken.

    Parameters
    ----------
    min_degree
        Neighbours that an entity needs.
    of_kind
        Kind to the neighbours that its entities need instead.

    Raises
    ------
    InputError
        If a kind is given that no entity has, or that of items.
    """
    of_kind = of_kind or {}
    names, code = graph.kinds()
    least = np.full(max(len(names), 1), min_degree, dtype=np.int64)
    others = [name for name in names if name != ITEM]
    for kind, number in of_kind.items():
        if kind == ITEM:
            raise InputError("min_degree_of: items are never dropped; expected kinds of other entities")
        if kind not in others:
            expected = nearest(kind, others) if others else "; the graph has items only"
            raise InputError(f"min_degree_of: no entity is of the kind {kind!r}{expected}")
        least[names.index(kind)] = number
    reason = f"entities with fewer than {min_degree} neighbours"
    if of_kind:
        listed = ", ".join(f"{number} for {kind}" for kind, number in sorted(of_kind.items()))
        reason += f" ({listed})"
    degree = graph.pairs().degree(graph.n_entities)
    graph.take_entities(~graph.is_item & (degree < least[code]), "rare entities", reason, degree)


def take_outside_core(graph: WorkingGraph, k: int) -> None:
    """Take entities with fewer than ``k`` neighbours until none is left; items stay, as neighbours too."""
    adjacency = _adjacency(graph)
    stays = k_core_mask(adjacency, k, graph.is_item)
    reason = f"entities outside the {k}-core, in which each has {k} neighbours"
    graph.take_entities(~stays, f"{k}-core", reason, np.diff(adjacency.indptr))


def take_unreachable(graph: WorkingGraph) -> None:
    """Take entities that no path joins to an item."""
    gone = ~nodes_within(graph.head, graph.tail, graph.is_item)
    graph.take_entities(gone, "unreachable entities", "entities that no path joins to an item")


def take_distant(graph: WorkingGraph, max_hops: int) -> None:
    """Take entities more than ``max_hops`` steps away from every item."""
    gone = ~nodes_within(graph.head, graph.tail, graph.is_item, max_hops)
    reason = f"entities more than {max_hops} steps away from every item"
    graph.take_entities(gone, "distant entities", reason)


def _adjacency(graph: WorkingGraph) -> sparse.csr_matrix:
    """Return the simple adjacency of what is left, one byte a cell."""
    pairs = graph.pairs()
    ends = np.concatenate([pairs.low, pairs.high]), np.concatenate([pairs.high, pairs.low])
    ones: NDArray[np.int8] = np.ones(len(ends[0]), dtype=np.int8)
    return sparse.csr_matrix((ones, ends), shape=(graph.n_entities, graph.n_entities))
