"""The knowledge graph as three tables: entities, relations and triples.

The tables are Polars frames with dense integer ids, so that a graph of millions of triples can be
joined, filtered and written without a Python loop. Every triple names its source (file, field and
rule), which makes pruning explainable and reversible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.errors import InputError
from kg_builders.numbering import (
    make_relation_table,
    merge_triples,
    move_ends,
    refuse_strangers,
    sort_triples,
    used_relations,
)
from kg_builders.tables import (
    ENTITY_SCHEMA,
    NAMED_SCHEMA,
    OPTIONAL_RELATION_SCHEMA,
    RELATION_SCHEMA,
    TRIPLE_SCHEMA,
    conform,
    number_rows,
    refuse_duplicates,
    refuse_nulls,
)

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["ENTITY_SCHEMA", "ITEM", "NAMED_SCHEMA", "RELATION_SCHEMA", "TRIPLE_SCHEMA", "KnowledgeGraph"]

ITEM = "item"
"""Entity kind of catalogue items; their ``id`` is the original item id."""


@dataclass(frozen=True)
class KnowledgeGraph:
    """Entities, relations and triples of a knowledge graph.

    Parameters
    ----------
    entities
        Columns ``entity`` (dense, 0-based, in row order), ``id`` (unique within its kind), ``label``
        (for people) and ``kind`` (``"item"`` for catalogue items, otherwise what the entity is, such
        as ``"genre"``).
    relations
        Columns ``relation`` (dense, 0-based, in row order), ``name`` (unique), ``label`` (for people),
        ``symmetric`` (a symmetric relation is its own inverse) and, where a relation has one,
        ``inverse_label`` (how people read it backwards).
    triples
        Columns ``head``, ``relation``, ``tail`` and ``source`` (provenance). Inverses are not
        stored: whoever builds a graph for message passing adds them.

    Raises
    ------
    InputError
        If a table lacks a column, ids are not dense, an (id, kind) pair or a relation name is null or
        occurs twice, or a triple refers to an unknown entity or relation.
    """

    entities: pl.DataFrame
    relations: pl.DataFrame
    triples: pl.DataFrame

    def __post_init__(self) -> None:
        for name, schema in (
            ("entities", ENTITY_SCHEMA),
            ("relations", RELATION_SCHEMA),
            ("triples", TRIPLE_SCHEMA),
        ):
            optional = OPTIONAL_RELATION_SCHEMA if name == "relations" else {}
            object.__setattr__(self, name, conform(getattr(self, name), schema, name, optional))
        self._validate()

    @classmethod
    def _trusted(
        cls, entities: pl.DataFrame, relations: pl.DataFrame, triples: pl.DataFrame
    ) -> KnowledgeGraph:
        """Return a graph from tables that are valid because of how they were made."""
        graph = object.__new__(cls)
        for name, table in (("entities", entities), ("relations", relations), ("triples", triples)):
            object.__setattr__(graph, name, table)
        return graph

    def _validate(self) -> None:
        for table, column in ((self.entities, "entity"), (self.relations, "relation")):
            expected = pl.int_range(len(table), dtype=pl.Int64, eager=True)
            if not table[column].equals(expected):
                raise InputError(f"knowledge graph: {column} ids must be 0, 1, 2, ... in row order")
        refuse_nulls(self.entities, ["kind", "id"], "entity")
        refuse_nulls(self.relations, ["name"], "relation")
        refuse_duplicates(self.entities, ["kind", "id"], "entity")
        refuse_duplicates(self.relations, ["name"], "relation")
        refuse_strangers(self.triples, self.n_entities, self.n_relations)

    def _repr_html_(self) -> str:
        """Show in a notebook what the graph holds."""
        counts = self.relation_counts().sort("triples", "name", descending=[True, False])
        told = f"{self.n_entities:,} entities, {self.n_items:,} of them items, {self.n_triples:,} triples"
        return f"<p>Knowledge graph: {told}</p>{counts._repr_html_()}"

    def to_networkx(self) -> nx.MultiDiGraph:
        """Return the graph for NetworkX; see :func:`kg_builders.formats.networkx.to_networkx`."""
        from kg_builders.formats.networkx import to_networkx  # noqa: PLC0415  (it imports this module)

        return to_networkx(self)

    @property
    def n_entities(self) -> int:
        """Number of entities, items included."""
        return len(self.entities)

    @property
    def n_relations(self) -> int:
        """Number of relations, inverses not counted."""
        return len(self.relations)

    @property
    def n_triples(self) -> int:
        """Number of stored triples, inverses not counted."""
        return len(self.triples)

    @property
    def n_items(self) -> int:
        """Number of entities of kind ``"item"``."""
        return int((self.entities["kind"] == ITEM).sum())

    @classmethod
    def empty(cls) -> KnowledgeGraph:
        """Return a graph without entities, relations or triples."""
        return cls(
            pl.DataFrame(schema=ENTITY_SCHEMA),
            pl.DataFrame(schema=RELATION_SCHEMA),
            pl.DataFrame(schema=TRIPLE_SCHEMA),
        )

    @classmethod
    def from_named(
        cls,
        named: pl.DataFrame,
        items: pl.DataFrame | None = None,
        relations: pl.DataFrame | None = None,
        entities: pl.DataFrame | None = None,
    ) -> KnowledgeGraph:
        """Build a graph from triples that name their ends.

        Parameters
        ----------
        named
            Columns of ``NAMED_SCHEMA``: kind and id of head and tail, name of the relation, label of
            the tail (null: its id) and source. Duplicate triples are merged (in a symmetric relation
            also a triple and its reverse); the source that comes first in the alphabet is kept.
        items
            Columns ``id`` and ``label``: catalogue items, which come first, in this order. Items
            met only in triples follow, sorted by id, then all other entities, by kind and id.
        relations
            Columns ``name``, ``label`` and ``symmetric`` for relations that need more than their
            name; others get a label made from it. Those without a triple are left out.
        entities
            Columns ``kind``, ``id`` and ``label``: names for entities of the triples, also for those
            that are never a tail. It adds no entity.

        Returns
        -------
        KnowledgeGraph
            The same input, in any row order, gives the same ids.

        Raises
        ------
        InputError
            If a kind, an id or a relation is null, or an item is given twice.
        """
        named = conform(named, NAMED_SCHEMA, "named triples")
        refuse_nulls(named, ["head_kind", "head_id", "relation", "tail_kind", "tail_id"], "named triple")
        ends = pl.concat(
            [
                named.select(kind="head_kind", id="head_id", label=pl.lit(None, dtype=pl.Utf8)),
                named.select(kind="tail_kind", id="tail_id", label="tail_label"),
            ]
        )
        # The commonest label of an entity names it; ties go to the first in alphabetical order.
        labels = (
            ends.filter(pl.col("label").is_not_null())
            .group_by("kind", "id", "label")
            .len()
            .sort(["kind", "id", "len", "label"], descending=[False, False, True, False])
            .unique(["kind", "id"], keep="first", maintain_order=True)
            .select("kind", "id", "label")
        )
        if entities is not None:
            told = entities.select([pl.col(name).cast(pl.Utf8) for name in ("kind", "id", "label")])
            labels = pl.concat([told.drop_nulls("label"), labels]).unique(
                ["kind", "id"], keep="first", maintain_order=True
            )
        given = (
            pl.DataFrame(schema={"kind": pl.Utf8, "id": pl.Utf8, "label": pl.Utf8})
            if items is None
            else items.select(
                pl.lit(ITEM).alias("kind"), pl.col("id").cast(pl.Utf8), pl.col("label").cast(pl.Utf8)
            )
        )
        refuse_duplicates(given, ["kind", "id"], "item")
        met = (
            ends.select("kind", "id")
            .unique()
            .join(given, on=["kind", "id"], how="anti")
            .join(labels, on=["kind", "id"], how="left")
            .with_columns(pl.col("label").fill_null(pl.col("id")))
            .sort((pl.col("kind") != ITEM).cast(pl.Int8), "kind", "id")
        )
        # An item that was given without a label may have one in the triples.
        given = (
            given.join(labels, on=["kind", "id"], how="left", suffix="_met", maintain_order="left")
            .with_columns(pl.coalesce("label", "label_met", "id").alias("label"))
            .select("kind", "id", "label")
        )
        table = number_rows(pl.concat([given, met]), "entity")
        relation_table = make_relation_table(named["relation"].unique().sort().to_list(), relations)
        keys = table.select("kind", "id", "entity")
        triples = named.join(
            keys.rename({"kind": "head_kind", "id": "head_id", "entity": "head"}),
            on=["head_kind", "head_id"],
        ).join(
            keys.rename({"kind": "tail_kind", "id": "tail_id", "entity": "tail"}),
            on=["tail_kind", "tail_id"],
        )
        numbers = relation_table.select("relation", name="name")
        triples = triples.rename({"relation": "name"}).join(numbers, on="name")
        merged = merge_triples(triples, relation_table, len(table))
        return cls._trusted(table.select(list(ENTITY_SCHEMA)), relation_table, merged)

    @classmethod
    def from_numbered(
        cls,
        entities: pl.DataFrame,
        relations: pl.DataFrame,
        triples: pl.DataFrame,
        sources: Sequence[str] | None = None,
    ) -> KnowledgeGraph:
        """Build a graph from tables with numbers, such as an engine gives; it checks the triples only.

        Parameters
        ----------
        entities
            Columns of ``ENTITY_SCHEMA``, numbered in row order, distinct.
        relations
            Columns ``name``, ``label`` (null: made from the name) and ``symmetric``, distinct. Those
            without a triple are left out.
        triples
            Columns ``head``, ``relation`` (row of ``relations``), ``tail`` and ``source``, in any order.
            Duplicate triples are merged as in ``from_named``.
        sources
            What the numbers in ``source`` stand for, ascending; by default, it holds texts.

        Raises
        ------
        InputError
            If a triple refers to an unknown entity or relation.
        """
        refuse_strangers(triples, len(entities), len(relations))
        described = make_relation_table(relations["name"], relations)
        moved = relations.select("name").join(described, on="name", how="left", maintain_order="left")
        triples = triples.with_columns(moved["relation"].gather(triples["relation"]).alias("relation"))
        merged = merge_triples(triples, described, len(entities), sources)
        described, merged = used_relations(described, merged)
        return cls._trusted(entities.select(list(ENTITY_SCHEMA)), described, merged)

    def to_named(self) -> pl.DataFrame:
        """Return the triples with kinds, ids and names in place of numbers (``NAMED_SCHEMA``)."""
        ends = self.entities.select("entity", "kind", "id", "label")
        return (
            self.triples.join(
                ends.rename({"entity": "head", "kind": "head_kind", "id": "head_id", "label": "head_label"}),
                on="head",
            )
            .join(
                ends.rename({"entity": "tail", "kind": "tail_kind", "id": "tail_id", "label": "tail_label"}),
                on="tail",
            )
            .join(self.relations.select("relation", "name"), on="relation")
            .drop("relation")
            .rename({"name": "relation"})
            .select(list(NAMED_SCHEMA))
        )

    def align_items(self, items: pl.DataFrame) -> KnowledgeGraph:
        """Renumber the entities so that the given items come first, in the given order.

        Parameters
        ----------
        items
            Columns ``id`` and ``label``. Items without a triple are added as isolated entities;
            items of the graph that are not given stay, after the given ones.

        Returns
        -------
        KnowledgeGraph
            Entity ``i`` is item ``i`` for every given item.
        """
        given = items.select(
            pl.lit(ITEM).alias("kind"), pl.col("id").cast(pl.Utf8), pl.col("label").cast(pl.Utf8)
        )
        refuse_duplicates(given, ["kind", "id"], "item")
        known = self.entities.filter(pl.col("kind") == ITEM).select("id", old="entity", known="label")
        given = given.join(known, on="id", how="left", maintain_order="left").with_columns(
            pl.coalesce("label", "known", "id").alias("label")
        )
        moved = np.full(self.n_entities, -1, dtype=np.int64)
        placed = given.with_row_index("new").drop_nulls("old")
        moved[placed["old"].to_numpy()] = placed["new"].to_numpy()
        rest = np.flatnonzero(moved < 0)
        moved[rest] = len(given) + np.arange(len(rest))
        columns = ["kind", "id", "label"]
        entities = pl.concat([given.select(columns), self.entities[rest].select(columns)])
        entities = number_rows(entities, "entity").select(list(ENTITY_SCHEMA))
        triples = sort_triples(move_ends(self.triples, moved), len(entities), self.n_relations)
        return KnowledgeGraph._trusted(entities, self.relations, triples)

    def union(self, *others: KnowledgeGraph) -> KnowledgeGraph:
        """Join graphs: entities with the same kind and id, and relations with the same name, are one.

        All items stay, those of the first graph first; an entity takes its label from the first graph
        that has one besides the bare id. Other entities without a triple are left out.
        """
        graphs = [graph for graph in (self, *others) if graph.n_entities]
        if not graphs:
            return self
        keys = ["kind", "id"]
        used = [graph.entities.filter(pl.Series(graph._used() | graph._is_item())) for graph in graphs]
        every = pl.concat([table.select("kind", "id", "label") for table in used])
        labels = pl.concat([graph.entities.select("kind", "id", "label") for graph in graphs]).filter(
            pl.col("label") != pl.col("id")
        )
        if len(graphs) > 1:
            every = every.unique(keys, keep="first", maintain_order=True)
            labels = labels.unique(keys, keep="first", maintain_order=True)
        is_item = pl.col("kind") == ITEM
        table = pl.concat([every.filter(is_item), every.filter(~is_item).sort(keys)])
        if len(graphs) > 1:
            table = table.drop("label").join(labels, on=keys, how="left", maintain_order="left")
        table = number_rows(table.with_columns(pl.coalesce("label", "id").alias("label")), "entity")
        names = pl.concat([graph.relations for graph in graphs], how="diagonal").unique(
            "name", keep="first", maintain_order=True
        )
        relations = make_relation_table(names["name"], names)
        parts = []
        for graph in graphs:
            new = graph.entities.join(
                table.select("kind", "id", new="entity"), on=keys, how="left", maintain_order="left"
            )
            number = graph.relations.select("name").join(
                relations.select("name", "relation"), on="name", how="left", maintain_order="left"
            )
            triples = move_ends(graph.triples, new["new"].fill_null(-1).to_numpy())
            parts.append(
                triples.with_columns(number["relation"].gather(triples["relation"]).alias("relation"))
            )
        merged = merge_triples(pl.concat(parts), relations, len(table))
        relations, merged = used_relations(relations, merged)
        return KnowledgeGraph._trusted(table.select(list(ENTITY_SCHEMA)), relations, merged)

    def with_triples(self, triples: pl.DataFrame) -> KnowledgeGraph:
        """Return the graph with other triples, without the entities and relations that lose all of theirs.

        Items stay, also those without a triple. The order of what stays does not change; duplicate
        triples are merged as in ``from_named``.
        """
        kept = conform(triples, TRIPLE_SCHEMA, "triples")
        refuse_strangers(kept, self.n_entities, self.n_relations)
        merged = sort_triples(kept, self.n_entities, self.n_relations)
        stays = KnowledgeGraph._trusted(self.entities, self.relations, merged)._used() | self._is_item()
        entities = self.entities
        if not stays.all():
            entities = number_rows(entities.filter(pl.Series(stays)).drop("entity"), "entity")
            # Numbers go down but keep their order, so what is sorted stays sorted.
            merged = move_ends(merged, np.cumsum(stays, dtype=np.int64) - 1)
        relations, merged = used_relations(self.relations, merged)
        return KnowledgeGraph._trusted(entities, relations, merged)

    def relation_counts(self) -> pl.DataFrame:
        """Count triples, distinct heads and distinct tails of each relation."""
        counts = self.triples.group_by("relation").agg(
            pl.len().cast(pl.Int64).alias("triples"),
            pl.col("head").n_unique().cast(pl.Int64).alias("heads"),
            pl.col("tail").n_unique().cast(pl.Int64).alias("tails"),
        )
        return (
            self.relations.select("relation", "name", "label")
            .join(counts, on="relation", how="left")
            .with_columns(pl.col("triples", "heads", "tails").fill_null(0))
            .sort("relation")
        )

    def item_coverage(self) -> float:
        """Return the share of items that take part in at least one triple."""
        items = self._is_item()
        if not items.any():
            return 0.0
        return int((items & self._used()).sum()) / int(items.sum())

    def _is_item(self) -> NDArray[np.bool_]:
        return (self.entities["kind"] == ITEM).to_numpy()

    def _used(self) -> NDArray[np.bool_]:
        """Tell which entities have a triple."""
        used = np.zeros(self.n_entities, dtype=np.bool_)
        used[self.triples["head"].to_numpy()] = True
        used[self.triples["tail"].to_numpy()] = True
        return used
