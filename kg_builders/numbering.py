"""Numbers of entities and relations in triples: moved, merged, sorted and checked, all on columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.errors import InputError
from kg_builders.tables import OPTIONAL_RELATION_SCHEMA, RELATION_SCHEMA, TRIPLE_SCHEMA, number_rows

__all__ = [
    "merge_triples",
    "move_ends",
    "refuse_strangers",
    "sort_triples",
    "make_relation_table",
    "used_relations",
]


def refuse_strangers(triples: pl.DataFrame, n_entities: int, n_relations: int) -> None:
    """Raise ``InputError`` naming the first triple with an unknown end or relation."""
    for column, bound, what in (
        ("head", n_entities, "entity"),
        ("tail", n_entities, "entity"),
        ("relation", n_relations, "relation"),
    ):
        values = triples[column]
        bad = values.is_null() | (values < 0) | (values >= bound)
        if bad.any():
            row = bad.arg_max()
            value = values[row] if row is not None else None
            raise InputError(
                f"knowledge graph: triple {row} has unknown {what} {value} as its {column}; "
                f"expected an id from 0 to {bound - 1}"
            )


def move_ends(triples: pl.DataFrame, new: NDArray[np.int64]) -> pl.DataFrame:
    """Return the triples with ``new`` numbers of their entities, in the same order."""
    return triples.with_columns(
        pl.Series("head", new[triples["head"].to_numpy()]), pl.Series("tail", new[triples["tail"].to_numpy()])
    )


def merge_triples(
    triples: pl.DataFrame, relations: pl.DataFrame, n_entities: int, sources: Sequence[str] | None = None
) -> pl.DataFrame:
    """Sort triples and merge those that say the same, of which the first source is kept.

    Parameters
    ----------
    sources
        What the numbers in ``source`` stand for, ascending; by default, it holds texts.
    """
    if relations["symmetric"].any():
        symmetric = relations["symmetric"].gather(triples["relation"])
        backwards = pl.Series(symmetric) & (triples["head"] > triples["tail"])
        triples = triples.with_columns(
            pl.when(backwards).then("tail").otherwise("head").alias("head"),
            pl.when(backwards).then("head").otherwise("tail").alias("tail"),
        )
    merged = sort_triples(triples.select(list(TRIPLE_SCHEMA)), n_entities, len(relations))
    if sources is not None:
        texts = pl.Series("source", list(sources), dtype=pl.Utf8)
        merged = merged.with_columns(texts.gather(merged["source"]))
    return merged


def sort_triples(triples: pl.DataFrame, n_entities: int, n_relations: int) -> pl.DataFrame:
    """Sort by head, relation and tail, and keep the first source of equal triples."""
    ends = ["head", "relation", "tail"]
    if n_entities**2 * max(n_relations, 1) >= 2**63:
        ordered = triples.sort(*ends, "source", nulls_last=True)
        return ordered.unique(ends, keep="first", maintain_order=True)
    # One number a triple is sorted and compared much faster than three.
    head, relation, tail = (triples[column].to_numpy() for column in ends)
    keys = (head * n_relations + relation) * n_entities + tail
    steps = np.diff(keys)
    if (steps > 0).all():
        return triples
    if (steps < 0).any():
        order = pl.Series(keys).arg_sort().to_numpy()
        triples, keys = triples[order], keys[order]
        steps = np.diff(keys)
    if (steps > 0).all():
        return triples
    ordered = triples.with_columns(pl.Series("key", keys)).sort("key", "source", nulls_last=True)
    return ordered.unique("key", keep="first", maintain_order=True).drop("key")


def used_relations(relations: pl.DataFrame, triples: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out relations without a triple; the others keep their order, and so do the triples."""
    used = np.zeros(len(relations), dtype=np.bool_)
    used[triples["relation"].to_numpy()] = True
    if used.all():
        return relations, triples
    new = pl.Series("relation", np.cumsum(used, dtype=np.int64) - 1)
    kept = number_rows(relations.filter(pl.Series(used)).drop("relation"), "relation")
    return kept, triples.with_columns(new.gather(triples["relation"]))


def _in_words(name: pl.Expr) -> pl.Expr:
    """Return names in words, one that repeats the word before left out: film.film.actor is "film actor"."""
    word = pl.element()
    fresh = word.filter(word.ne_missing(word.shift(1)))
    return name.str.replace_all("[._]", " ").str.split(" ").list.eval(fresh).list.join(" ")


def make_relation_table(names: Iterable[str], described: pl.DataFrame | None) -> pl.DataFrame:
    """Return the relation table of these names, in alphabetical order."""
    table = pl.DataFrame({"name": list(names)}, schema={"name": pl.Utf8})
    given = pl.DataFrame(schema={"name": pl.Utf8}) if described is None else described
    columns = {**RELATION_SCHEMA, **OPTIONAL_RELATION_SCHEMA}
    missing = [
        pl.lit(None, dtype=columns[column]).alias(column)
        for column in ("label", "symmetric", "inverse_label")
        if column not in given.columns
    ]
    told = given.with_columns(missing).select("name", "label", "symmetric", "inverse_label")
    table = number_rows(table.join(told, on="name", how="left").sort("name"), "relation").with_columns(
        pl.col("label").fill_null(_in_words(pl.col("name"))),
        pl.col("symmetric").fill_null(False),
    )
    # The column is there for relations that have one.
    has_inverse = table["inverse_label"].null_count() < len(table)
    return table.select([*RELATION_SCHEMA, *(OPTIONAL_RELATION_SCHEMA if has_inverse else {})])
