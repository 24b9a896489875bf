"""A graph while it is pruned: integer arrays of what is left, numbered once, at the end.

The steps of pruning look at heads, relations and tails only, so they work on three arrays of 32-bit numbers
that keep the numbers of the given graph. Texts (ids, labels, sources) are touched when the pruned graph or
the table of what was taken is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.errors import InputError
from kg_builders.pruning.record import PruneStep
from kg_builders.pruning.undo import removed_table
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.tables import number_rows

__all__ = ["Ints", "Mask", "Pairs", "WorkingGraph"]

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
N_EXAMPLES = 5


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs of different entities that a triple joins, whatever its relation and direction.

    Parameters
    ----------
    low, high
        [pairs] entities, ``low < high``.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def degree(self, count: int, others: Mask | None = None) -> NDArray[np.int64]:
        """Return the number of neighbours of each of ``count`` entities; only those in ``others`` count."""
        if others is None:
            return np.bincount(self.low, minlength=count) + np.bincount(self.high, minlength=count)
        return np.bincount(self.low[others[self.high]], minlength=count) + np.bincount(
            self.high[others[self.low]], minlength=count
        )


class WorkingGraph:
    """What is left of a graph after the steps so far.

    Parameters
    ----------
    kg
        The graph before pruning.

    Attributes
    ----------
    head, relation, tail
        [triples that are left], in the numbers of ``kg``.
    rows
        [triples that are left], their rows in ``kg.triples``, ascending.
    is_item
        [entities], which are items.
    symmetric
        [relations], which are symmetric.
    entity_left, relation_left
        [entities], [relations]: which are left; all items are.
    steps
        Records of the steps so far.
    """

    def __init__(self, kg: KnowledgeGraph) -> None:
        limit = np.iinfo(np.int32).max
        if max(kg.n_entities, kg.n_triples) > limit:
            raise InputError(f"pruning: expected at most {limit:,} entities and triples")
        self.kg = kg
        self.n_entities, self.n_relations = kg.n_entities, kg.n_relations
        self.rows: Ints = np.arange(kg.n_triples, dtype=np.int32)
        self.head: Ints = kg.triples["head"].to_numpy().astype(np.int32)
        self.relation: Ints = kg.triples["relation"].to_numpy().astype(np.int32)
        self.tail: Ints = kg.triples["tail"].to_numpy().astype(np.int32)
        self.is_item: Mask = (kg.entities["kind"] == ITEM).to_numpy()
        self.symmetric: Mask = kg.relations["symmetric"].fill_null(False).to_numpy()
        self.names: list[str] = kg.relations["name"].to_list()
        self.entity_left: Mask = np.ones(self.n_entities, dtype=bool)
        self.relation_left: Mask = np.ones(self.n_relations, dtype=bool)
        self.uses = np.bincount(self.head, minlength=self.n_entities)
        self.uses += np.bincount(self.tail, minlength=self.n_entities)
        self.sizes = np.bincount(self.relation, minlength=self.n_relations)
        self.steps: list[PruneStep] = []
        self._moved = False
        self._pairs: Pairs | None = None

    def pairs(self) -> Pairs:
        """Return the distinct pairs of neighbours; kept until a step takes triples."""
        if self._pairs is None:
            low = np.minimum(self.head, self.tail).astype(np.int64)
            key = low * self.n_entities + np.maximum(self.head, self.tail)
            key = key[self.head != self.tail]
            key.sort()
            key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
            low, high = np.divmod(key, max(self.n_entities, 1))
            self._pairs = Pairs(low, high)
        return self._pairs

    def take(
        self,
        gone: Mask,
        name: str,
        reason: str,
        examples: Sequence[str] = (),
        moved: tuple[Mask, Ints] | None = None,
    ) -> None:
        """Take triples away, and with them the entities and relations that lose all of theirs.

        Parameters
        ----------
        gone
            [triples that are left], which to take.
        name, reason, examples
            For the record.
        moved
            Mask of triples that get another relation and stay, and the relation of each of them.
        """
        rows, kept = self.rows[gone], ~gone
        ends = np.concatenate([self.head[gone], self.tail[gone]])
        old_relation = self.relation[gone]
        moved_rows, moved_from = self.rows[:0], self.relation[:0]
        if moved is not None and moved[0].any():
            mask, new = moved
            moved_rows, moved_from = self.rows[mask], self.relation[mask]
            ends = np.concatenate([ends, self.head[mask], self.tail[mask]])
            self.sizes -= np.bincount(moved_from, minlength=self.n_relations)
            self.sizes += np.bincount(new, minlength=self.n_relations)
            self.relation = self.relation.copy()
            self.relation[mask] = new
            self._moved = True
        touched = np.zeros(self.n_entities, dtype=bool)
        touched[ends] = True
        if len(rows):
            self.uses -= np.bincount(self.head[gone], minlength=self.n_entities)
            self.uses -= np.bincount(self.tail[gone], minlength=self.n_entities)
            self.sizes -= np.bincount(old_relation, minlength=self.n_relations)
            self.rows, self.head = self.rows[kept], self.head[kept]
            self.relation, self.tail = self.relation[kept], self.tail[kept]
            self._pairs = None
        lost_entities = self.entity_left & ~self.is_item & (self.uses == 0)
        lost_relations = self.relation_left & (self.sizes == 0)
        self.entity_left &= ~lost_entities
        self.relation_left &= ~lost_relations
        # Entities and relations that had no triple to begin with can't be told by triples.
        bare_entities = np.flatnonzero(lost_entities & ~touched).astype(np.int32)
        seen = np.zeros(self.n_relations, dtype=bool)
        seen[old_relation] = True
        seen[moved_from] = True
        bare_relations = np.flatnonzero(lost_relations & ~seen).astype(np.int32)
        kg = self.kg
        moved_to = self._relations_of(moved_rows)

        def source() -> pl.DataFrame:
            return removed_table(
                kg,
                name,
                reason,
                (np.concatenate([rows, moved_rows]), np.concatenate([old_relation, moved_from])),
                np.concatenate([np.full(len(rows), -1, dtype=np.int32), moved_to]),
                bare_entities,
                bare_relations,
            )

        self.steps.append(
            PruneStep(
                name=name,
                reason=reason,
                triples=len(rows),
                entities=int(lost_entities.sum()),
                relations=int(lost_relations.sum()),
                items=int((touched & self.is_item).sum()),
                examples=tuple(examples[:N_EXAMPLES]),
                moved=len(moved_rows),
                source=source,
            )
        )

    def take_entities(
        self,
        gone: Mask,
        name: str,
        reason: str,
        weight: NDArray[Any] | None = None,
        tell_weight: bool = False,
    ) -> None:
        """Take entities with their triples; the heaviest ones become the examples."""
        gone = gone & self.entity_left
        order = np.flatnonzero(gone)
        if weight is not None:
            order = order[np.argsort(-weight[order], kind="stable")]
        examples = self.entity_names(order[:N_EXAMPLES].tolist())
        if weight is not None and tell_weight:
            examples = [f"{text}: {weight[at]:,}" for text, at in zip(examples, order, strict=False)]
        if not len(order):
            self.take(np.zeros(len(self.rows), dtype=bool), name, reason)
            return
        self.take(gone[self.head] | gone[self.tail], name, reason, examples)

    def take_relations(self, gone: Sequence[int], name: str, reason: str, examples: Sequence[str]) -> None:
        """Take all triples of some relations."""
        chosen = np.zeros(self.n_relations, dtype=bool)
        chosen[list(gone)] = True
        self.take(chosen[self.relation], name, reason, examples)

    def entity_names(self, entities: Sequence[int]) -> list[str]:
        """Return label and kind of entities, for a person."""
        table = self.kg.entities[list(entities)].select("label", "kind")
        return [f"{label} ({kind})" for label, kind in table.iter_rows()]

    def kinds(self) -> tuple[list[str], Ints]:
        """Return the kinds of entities, sorted, and the place of each entity's kind among them."""
        names = self.kg.entities["kind"].unique().sort()
        codes = self.kg.entities["kind"].replace_strict(names, range(len(names)), return_dtype=pl.Int32)
        return names.to_list(), codes.to_numpy().astype(np.int32)

    def to_graph(self) -> KnowledgeGraph:
        """Return what is left as a graph, numbered anew in the old order, triples sorted."""
        if len(self.rows) == self.kg.n_triples and self.entity_left.all() and self.relation_left.all():
            triples = self.kg.triples
            if not self._moved and _is_sorted(self.head, self.relation, self.tail):
                return self.kg
        else:
            triples = self.kg.triples[self.rows] if len(self.rows) < self.kg.n_triples else self.kg.triples
        entity = np.cumsum(self.entity_left) - 1
        relation = np.cumsum(self.relation_left) - 1
        table = pl.DataFrame(
            {
                "head": entity[self.head],
                "relation": relation[self.relation],
                "tail": entity[self.tail],
                "source": triples["source"],
            }
        )
        if self._moved or not _is_sorted(self.head, self.relation, self.tail):
            table = table.sort("head", "relation", "tail", "source", nulls_last=True)
        entities = self.kg.entities.filter(pl.Series(self.entity_left)).drop("entity")
        relations = self.kg.relations.filter(pl.Series(self.relation_left)).drop("relation")
        return KnowledgeGraph(number_rows(entities, "entity"), number_rows(relations, "relation"), table)

    def _relations_of(self, rows: Ints) -> Ints:
        if not len(rows):
            return rows
        return self.relation[np.searchsorted(self.rows, rows)]


def _is_sorted(head: Ints, relation: Ints, tail: Ints) -> bool:
    before, after = slice(None, -1), slice(1, None)
    return bool(
        (
            (head[before] < head[after])
            | (
                (head[before] == head[after])
                & (
                    (relation[before] < relation[after])
                    | ((relation[before] == relation[after]) & (tail[before] <= tail[after]))
                )
            )
        ).all()
    )
