"""Steps that take relations: named ones, rare ones, those that say the same of everything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.pruning.hashing import scramble
from kg_builders.pruning.working import Mask, WorkingGraph

__all__ = ["take_named", "take_rare_relations", "take_uninformative"]

MIN_HEADS = 20
"""Of fewer entities, nothing can be said about what nearly all of them have."""


def take_named(graph: WorkingGraph, names: tuple[str, ...]) -> None:
    """Take relations by name.

    Raises
    ------
    InputError
        If there is no relation of that name.
    """
    for name in names:
        if name not in graph.names:
            raise InputError(f"drop_relations: no relation {name!r}{nearest(name, graph.names)}")
    gone = [at for at, name in enumerate(graph.names) if name in names]
    graph.take_relations(
        gone, "named relations", "relations that the settings name", [graph.names[at] for at in gone]
    )


def take_rare_relations(graph: WorkingGraph, min_triples: int) -> None:
    """Take relations with fewer than ``min_triples`` triples."""
    gone = np.flatnonzero(graph.relation_left & (graph.sizes < min_triples)).tolist()
    gone.sort(key=lambda at: (graph.sizes[at], graph.names[at]))
    reason = f"relations with fewer than {min_triples} triples"
    graph.take_relations(gone, "rare relations", reason, [graph.names[at] for at in gone])


def take_uninformative(graph: WorkingGraph, share: float, only_warn: bool = False) -> None:
    """Take relations that say the same of nearly all items (or of nearly all entities of some kinds).

    "Has picture", which leads from every item to one node, tells no two items apart: where ``p`` of the items
    have the same set of tails, the tails hold at most ``H(p) + (1 - p) log2(items)`` bits about which item it
    is, next to nothing for ``p`` near 1, while message passing adds the node's vector to every item and joins
    all of them within two steps. What is lost is a constant. So such a relation is dropped by default; the
    record names it with its share and the triples can be put back. A relation that *few* have, all with
    the same tail ("is a compilation"), does tell those few from the others and stays.

    Parameters
    ----------
    share
        A relation is taken if its commonest set of tails is that of at least this share of all entities
        of the kinds that its heads have; likewise with heads and tails exchanged, unless that would blame
        it for being about one item.
    only_warn
        Only name them in the record.
    """
    found = _Relations(graph)
    told: dict[int, str] = {}
    for relation in np.flatnonzero(graph.sizes >= share * MIN_HEADS).tolist():
        text = found.says_the_same(relation, share)
        if text is not None:
            told[relation] = f"{graph.names[relation]} ({text})"
    reason = f"relations that say the same of at least {share:.0%} of what they could tell apart"
    if only_warn:
        reason += "; kept, as the settings say"
    graph.take_relations(
        [] if only_warn else list(told), "uninformative relations", reason, list(told.values())
    )


@dataclass(frozen=True)
class _Ends:
    """The ends of a relation's triples, seen from one side."""

    units: NDArray[np.int32]
    others: NDArray[np.int32]


class _Relations:
    """Triples by relation, and the number of entities of each kind."""

    def __init__(self, graph: WorkingGraph) -> None:
        self.graph = graph
        # A stable sort of 16-bit numbers is a radix sort.
        narrow = graph.relation.astype(np.uint16) if graph.n_relations < 2**16 else graph.relation
        self.order = np.argsort(narrow, kind="stable").astype(np.int32)
        self.bounds = np.concatenate([[0], np.cumsum(graph.sizes)])
        names, self.kind = graph.kinds()
        left = graph.entity_left
        self.of_kind = np.bincount(self.kind[left], minlength=max(len(names), 1))
        self.kind_names = names

    def says_the_same(self, relation: int, share: float) -> str | None:
        """Return what a relation says of ``share`` and more, for a person; null if it tells things apart."""
        places = self.order[self.bounds[relation] : self.bounds[relation + 1]]
        head, tail = self.graph.head[places], self.graph.tail[places]
        is_item = self.graph.is_item
        for ends in (_Ends(head, tail), _Ends(tail, head)):
            if is_item[ends.others].any() and not is_item[ends.units].any():
                continue
            text = self._same(ends, share)
            if text is not None:
                return text
        return None

    def _same(self, ends: _Ends, share: float) -> str | None:
        kinds = np.unique(self.kind[ends.units])
        could = int(self.of_kind[kinds].sum())
        if could < MIN_HEADS or len(ends.units) < share * could:
            return None
        # Someone has to have as many triples as the commonest set has owners; this settles most cases.
        hub = _most_frequent(ends.others, self.graph.n_entities)
        if hub < share * could:
            return None
        order, first, number = _sets(ends)
        values, counts = np.unique(number, return_counts=True)
        best = int(np.argmax(counts))
        if counts[best] < share * could:
            return None
        place = int(np.flatnonzero(number == values[best])[0])
        end = first[place + 1] if place + 1 < len(first) else len(order)
        others = self.graph.entity_names(sorted(set(ends.others[order[first[place] : end]].tolist()))[:3])
        what = " and ".join(self.kind_names[kind] for kind in kinds)
        return f"{counts[best] / could:.1%} of {what} have {', '.join(others)} and nothing else"


def _most_frequent(values: NDArray[np.int32], count: int) -> int:
    if len(values) * 8 > count:
        return int(np.bincount(values, minlength=1).max())
    return int(np.unique(values, return_counts=True)[1].max())


def _sets(ends: _Ends) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Group triples by unit: order of the triples, start of each unit, and a number for its set of others.

    The sum of the set's scrambled members stands for it (two sets share a 64-bit sum by chance once
    in 10^19 pairs); a repeated triple counts once.
    """
    order = np.lexsort((ends.others, ends.units))
    units, others = ends.units[order], ends.others[order]
    starts: Mask = np.concatenate([[True], units[1:] != units[:-1]])
    repeated: Mask = np.concatenate([[False], ~starts[1:] & (others[1:] == others[:-1])])
    mixed = scramble(others.astype(np.int64))
    mixed[repeated] = 0
    first = np.flatnonzero(starts)
    return order, first, np.add.reduceat(mixed, first)
