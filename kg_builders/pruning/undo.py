"""What pruning took as a table that can be stored, and the way back.

The table tells entities by kind and id and relations by name, never by number, because pruning numbers anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.tables import conform, number_rows

__all__ = ["REMOVED_SCHEMA", "removed_table", "restore"]

REMOVED_SCHEMA = {
    "step": pl.Utf8,
    "reason": pl.Utf8,
    "head_kind": pl.Utf8,
    "head_id": pl.Utf8,
    "head_label": pl.Utf8,
    "relation": pl.Utf8,
    "relation_label": pl.Utf8,
    "symmetric": pl.Boolean,
    "inverse_label": pl.Utf8,
    "tail_kind": pl.Utf8,
    "tail_id": pl.Utf8,
    "tail_label": pl.Utf8,
    "source": pl.Utf8,
    "moved_to": pl.Utf8,
}
"""A row is a triple that was taken, or moved to the relation ``moved_to``; without a relation, an entity that
had no triple; without a head, a relation that had none."""

Ints = NDArray[np.int32]
_KEY = ["head", "relation", "tail", "source"]


def removed_table(
    kg: KnowledgeGraph,
    step: str,
    reason: str,
    triples: tuple[Ints, Ints],
    moved_to: Ints,
    entities: Ints,
    relations: Ints,
) -> pl.DataFrame:
    """Tell in words what a step took.

    Parameters
    ----------
    kg
        The graph before pruning.
    step, reason
        Of the record.
    triples
        Rows of ``kg.triples``, and the relation of each when it was taken.
    moved_to
        [rows] relation that the triple was moved to, -1 where it was taken.
    entities, relations
        Those without a triple that were left out.

    Returns
    -------
    pl.DataFrame
        Columns of ``REMOVED_SCHEMA``.
    """
    rows, relation = triples
    found = kg.triples[rows]

    def ends(column: str) -> list[pl.Series]:
        chosen = kg.entities[found[column]]
        return [chosen[name].alias(f"{column}_{name}") for name in ("kind", "id", "label")]

    told = kg.relations[relation]
    names = kg.relations["name"].gather(pl.Series(np.where(moved_to < 0, 0, moved_to))) if len(rows) else None
    table = pl.DataFrame(
        [
            *ends("head"),
            told["name"].alias("relation"),
            told["label"].alias("relation_label"),
            told["symmetric"],
            _inverse_labels(told),
            *ends("tail"),
            found["source"],
            pl.Series("moved_to", names, dtype=pl.Utf8).zip_with(
                pl.Series(moved_to >= 0), pl.Series([None], dtype=pl.Utf8).new_from_index(0, len(rows))
            )
            if names is not None
            else pl.Series("moved_to", [], dtype=pl.Utf8),
        ]
    )
    bare = kg.entities[entities].select(head_kind="kind", head_id="id", head_label="label")
    idle = kg.relations[relations]
    unused = idle.select("symmetric", _inverse_labels(idle), relation="name", relation_label="label")
    return (
        pl.concat([table, bare, unused], how="diagonal")
        .with_columns(pl.lit(step).alias("step"), pl.lit(reason).alias("reason"))
        .select(list(REMOVED_SCHEMA))
    )


def restore(kg: KnowledgeGraph, removed: pl.DataFrame, steps: Sequence[str] | None = None) -> KnowledgeGraph:
    """Put back what pruning took.

    Parameters
    ----------
    kg
        A pruned graph.
    removed
        What was taken from it, with columns of ``REMOVED_SCHEMA``, in the order of the steps.
    steps
        Names of the steps to undo; by default all.

    Returns
    -------
    KnowledgeGraph
        Items first, in the order of ``kg``, then other entities by kind and id; relations by name.
        After all steps are undone it has the entities, relations and triples of the graph that was
        pruned. A triple that was moved goes back to its relation if it is still there.

    Raises
    ------
    InputError
        If the table lacks a column, or has nothing of a step that is named.
    """
    removed = conform(removed, REMOVED_SCHEMA, "removed triples")
    known = removed["step"].unique(maintain_order=True).to_list()
    for name in steps or ():
        if name not in known:
            expected = nearest(name, known) if known else "; the table is empty"
            raise InputError(f"restore: nothing was taken by a step {name!r}{expected}")
    chosen = known if steps is None else [name for name in known if name in set(steps)]
    removed = removed.filter(pl.col("step").is_in(chosen))
    if not len(removed):
        return kg
    entities, relations = _entities(kg, removed), _relations(kg, removed)
    triples = kg.triples.select(
        head=_renumbered(kg.entities, entities, ["kind", "id"], "entity").gather(kg.triples["head"]),
        relation=_renumbered(kg.relations, relations, ["name"], "relation").gather(kg.triples["relation"]),
        tail=_renumbered(kg.entities, entities, ["kind", "id"], "entity").gather(kg.triples["tail"]),
        source="source",
    )
    back = _numbered(removed.filter(pl.col("tail_id").is_not_null()), entities, relations)
    # The last step is undone first, because it may have taken what an earlier one had moved.
    for name in reversed(chosen):
        of_step = back.filter(pl.col("step") == name)
        taken = of_step.filter(pl.col("moved_to").is_null())
        triples = _move_back(pl.concat([triples, taken.select(_KEY)]), of_step)
    return KnowledgeGraph(entities, relations, triples.sort(_KEY, nulls_last=True))


def _entities(kg: KnowledgeGraph, removed: pl.DataFrame) -> pl.DataFrame:
    columns = ("kind", "id", "label")
    told = pl.concat(
        [
            kg.entities.select(columns),
            *(
                removed.select([pl.col(f"{end}_{name}").alias(name) for name in columns])
                for end in ("head", "tail")
            ),
        ]
    )
    told = told.filter(pl.col("id").is_not_null()).unique(["kind", "id"], keep="first", maintain_order=True)
    is_item = pl.col("kind") == ITEM
    return number_rows(pl.concat([told.filter(is_item), told.filter(~is_item).sort("kind", "id")]), "entity")


def _relations(kg: KnowledgeGraph, removed: pl.DataFrame) -> pl.DataFrame:
    told = pl.concat(
        [
            kg.relations.select("name", "label", "symmetric", _inverse_labels(kg.relations)),
            removed.filter(pl.col("relation").is_not_null()).select(
                "symmetric", "inverse_label", name="relation", label="relation_label"
            ).select("name", "label", "symmetric", "inverse_label"),
        ]
    )  # fmt: skip
    if told["inverse_label"].null_count() == len(told):
        told = told.drop("inverse_label")
    return number_rows(told.unique("name", keep="first", maintain_order=True).sort("name"), "relation")


def _inverse_labels(relations: pl.DataFrame) -> pl.Series:
    """Return what relations are called the other way round; null where the table doesn't tell."""
    if "inverse_label" in relations.columns:
        return relations["inverse_label"]
    return pl.Series("inverse_label", [None] * len(relations), dtype=pl.Utf8)


def _renumbered(old: pl.DataFrame, new: pl.DataFrame, key: list[str], number: str) -> pl.Series:
    """Return the new number of each row of ``old``."""
    found = old.select(key).join(new.select(*key, number), on=key, how="left", maintain_order="left")
    return found[number]


def _numbered(removed: pl.DataFrame, entities: pl.DataFrame, relations: pl.DataFrame) -> pl.DataFrame:
    """Return columns ``step``, ``head``, ``relation``, ``tail``, ``source`` and ``moved_to`` as numbers."""
    ends = entities.select("kind", "id", "entity")
    names = relations.select("name", "relation")
    return (
        removed.rename({"relation": "name", "moved_to": "target"})
        .join(ends.select(head_kind="kind", head_id="id", head="entity"), on=["head_kind", "head_id"])
        .join(ends.select(tail_kind="kind", tail_id="id", tail="entity"), on=["tail_kind", "tail_id"])
        .join(names, on="name")
        .join(names.select(target="name", moved_to="relation"), on="target", how="left")
        .select("step", *_KEY, "moved_to")
    )


def _move_back(triples: pl.DataFrame, of_step: pl.DataFrame) -> pl.DataFrame:
    moves = of_step.filter(pl.col("moved_to").is_not_null())
    if not len(moves):
        return triples
    # Equal triples are told apart by a running number, so that each goes back once.
    turn = pl.int_range(pl.len()).over("head", "moved_to", "tail", "source").alias("turn")
    back = moves.with_columns(turn).select("head", "tail", "source", "turn", "moved_to", former="relation")
    turn = pl.int_range(pl.len()).over(_KEY).alias("turn")
    return (
        triples.with_columns(turn)
        .join(
            back.rename({"moved_to": "relation"}),
            on=[*_KEY, "turn"],
            how="left",
            nulls_equal=True,
        )
        .select("head", pl.coalesce("former", "relation").alias("relation"), "tail", "source")
    )
