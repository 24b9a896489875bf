"""The knowledge graph as three tables: entities, relations and triples.

The tables are Polars frames with dense integer ids, so that a graph of millions of triples can be
joined, filtered and written without a Python loop. Every triple names its source (file, field and
rule), which makes pruning explainable and reversible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from kg_builders.errors import InputError
from kg_builders.tables import conform, number_rows, refuse_duplicates, refuse_nulls

__all__ = ["ENTITY_SCHEMA", "ITEM", "NAMED_SCHEMA", "RELATION_SCHEMA", "TRIPLE_SCHEMA", "KnowledgeGraph"]

ITEM = "item"
"""Entity kind of catalogue items; their ``id`` is the original item id."""

ENTITY_SCHEMA = {"entity": pl.Int64, "id": pl.Utf8, "label": pl.Utf8, "kind": pl.Utf8}
RELATION_SCHEMA = {"relation": pl.Int64, "name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean}
TRIPLE_SCHEMA = {"head": pl.Int64, "relation": pl.Int64, "tail": pl.Int64, "source": pl.Utf8}
NAMED_SCHEMA = {
    "head_kind": pl.Utf8,
    "head_id": pl.Utf8,
    "relation": pl.Utf8,
    "tail_kind": pl.Utf8,
    "tail_id": pl.Utf8,
    "tail_label": pl.Utf8,
    "source": pl.Utf8,
}


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
        Columns ``relation`` (dense, 0-based, in row order), ``name`` (unique), ``label`` (for people)
        and ``symmetric`` (a symmetric relation is its own inverse).
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
            object.__setattr__(self, name, conform(getattr(self, name), schema, name))
        self._validate()

    def _validate(self) -> None:
        for table, column in ((self.entities, "entity"), (self.relations, "relation")):
            expected = pl.Series(column, range(len(table)), dtype=pl.Int64)
            if not table[column].equals(expected):
                raise InputError(f"knowledge graph: {column} ids must be 0, 1, 2, ... in row order")
        refuse_nulls(self.entities, ["kind", "id"], "entity")
        refuse_nulls(self.relations, ["name"], "relation")
        refuse_duplicates(self.entities, ["kind", "id"], "entity")
        refuse_duplicates(self.relations, ["name"], "relation")
        for column, bound, what in (
            ("head", self.n_entities, "entity"),
            ("tail", self.n_entities, "entity"),
            ("relation", self.n_relations, "relation"),
        ):
            bad = self.triples.with_row_index("row").filter(
                pl.col(column).is_null() | (pl.col(column) < 0) | (pl.col(column) >= bound)
            )
            if len(bad):
                row, value = bad.row(0, named=True)["row"], bad.row(0, named=True)[column]
                raise InputError(
                    f"knowledge graph: triple {row} has unknown {what} {value} as its {column}; "
                    f"expected an id from 0 to {bound - 1}"
                )

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
        relation_table = _relation_table(named["relation"].unique().sort().to_list(), relations)
        keys = table.select("kind", "id", "entity")
        triples = (
            named.join(
                keys.rename({"kind": "head_kind", "id": "head_id", "entity": "head"}),
                on=["head_kind", "head_id"],
            )
            .join(
                keys.rename({"kind": "tail_kind", "id": "tail_id", "entity": "tail"}),
                on=["tail_kind", "tail_id"],
            )
            .rename({"relation": "name"})
            .join(relation_table.select("name", "relation", "symmetric"), on="name")
        )
        backwards = pl.col("symmetric") & (pl.col("head") > pl.col("tail"))
        triples = triples.with_columns(
            pl.when(backwards).then("tail").otherwise("head").alias("head"),
            pl.when(backwards).then("head").otherwise("tail").alias("tail"),
        )
        return cls(table, relation_table, _merge_triples(triples))

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
        known = self.entities.select("kind", "id", known="label")
        given = (
            given.join(known, on=["kind", "id"], how="left", maintain_order="left")
            .with_columns(pl.coalesce("label", "known", "id").alias("label"))
            .select("kind", "id", "label")
        )
        rest = self.entities.join(given, on=["kind", "id"], how="anti", maintain_order="left")
        entities = number_rows(pl.concat([given, rest.select("kind", "id", "label")]), "entity")
        moved = self.entities.select(old="entity", kind="kind", id="id").join(
            entities.select("kind", "id", new="entity"), on=["kind", "id"]
        )
        triples = (
            self.triples.join(moved.select(head="old", new_head="new"), on="head")
            .join(moved.select(tail="old", new_tail="new"), on="tail")
            .select(pl.col("new_head").alias("head"), "relation", pl.col("new_tail").alias("tail"), "source")
            .sort("head", "relation", "tail")
        )
        return KnowledgeGraph(entities, self.relations, triples)

    def union(self, *others: KnowledgeGraph) -> KnowledgeGraph:
        """Join graphs: entities with the same kind and id, and relations with the same name, are one.

        All items stay, those of the first graph first; an entity takes its label from the first graph
        that has one besides the bare id. Other entities without a triple are left out.
        """
        graphs = (self, *others)
        named = pl.concat([graph.to_named() for graph in graphs])
        entities = pl.concat([graph.entities.select("kind", "id", "label") for graph in graphs])
        items = entities.filter(pl.col("kind") == ITEM).unique("id", keep="first", maintain_order=True)
        labels = entities.filter(pl.col("label") != pl.col("id")).unique(
            ["kind", "id"], keep="first", maintain_order=True
        )
        relations = pl.concat([graph.relations for graph in graphs]).unique(
            "name", keep="first", maintain_order=True
        )
        unlabelled = items.select("id", label=pl.lit(None, dtype=pl.Utf8))
        return KnowledgeGraph.from_named(named, unlabelled, relations, labels)

    def with_triples(self, triples: pl.DataFrame) -> KnowledgeGraph:
        """Return the graph with other triples, without the entities and relations that lose all of theirs.

        Items stay, also those without a triple. The order of what stays does not change; duplicate
        triples are merged as in ``from_named``.
        """
        kept = KnowledgeGraph(self.entities, self.relations, triples).triples
        ends = pl.concat([kept["head"], kept["tail"].alias("head")]).unique()
        entities = number_rows(
            self.entities.filter((pl.col("kind") == ITEM) | pl.col("entity").is_in(ends.implode())).rename(
                {"entity": "old"}
            ),
            "entity",
        )
        used = pl.col("relation").is_in(kept["relation"].unique().implode())
        relations = number_rows(self.relations.filter(used).rename({"relation": "old"}), "relation")
        moved = (
            kept.join(entities.select(head="old", new_head="entity"), on="head")
            .join(entities.select(tail="old", new_tail="entity"), on="tail")
            .join(relations.select(relation="old", new_relation="relation"), on="relation")
            .select(
                pl.col("new_head").alias("head"),
                pl.col("new_relation").alias("relation"),
                pl.col("new_tail").alias("tail"),
                "source",
            )
        )
        return KnowledgeGraph(entities, relations, _merge_triples(moved))

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
        items = self.entities.filter(pl.col("kind") == ITEM)["entity"]
        if not len(items):
            return 0.0
        used = pl.concat([self.triples["head"], self.triples["tail"].alias("head")]).unique()
        return int(items.is_in(used.implode()).sum()) / len(items)


def _merge_triples(triples: pl.DataFrame) -> pl.DataFrame:
    return (
        triples.select(list(TRIPLE_SCHEMA))
        .sort("head", "relation", "tail", "source", nulls_last=True)
        .unique(["head", "relation", "tail"], keep="first", maintain_order=True)
    )


def _relation_table(names: Iterable[str], described: pl.DataFrame | None) -> pl.DataFrame:
    table = pl.DataFrame({"name": list(names)}, schema={"name": pl.Utf8})
    if described is not None:
        table = table.join(described.select("name", "label", "symmetric"), on="name", how="left")
    else:
        table = table.with_columns(
            pl.lit(None, dtype=pl.Utf8).alias("label"), pl.lit(None, dtype=pl.Boolean).alias("symmetric")
        )
    return (
        number_rows(table.sort("name"), "relation")
        .with_columns(
            pl.col("label").fill_null(pl.col("name").str.replace_all("[._]", " ")),
            pl.col("symmetric").fill_null(False),
        )
        .select(list(RELATION_SCHEMA))
    )
