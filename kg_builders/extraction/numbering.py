"""Dense numbers of entities, in the order of kind and id, given in the engine.

No process holds or sorts all ids: they are counted inside groups that share their kind and the beginning of
their id, and only the sizes of the groups, a small table, are added up here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.engines import Engine

__all__ = ["number_entities"]

PREFIX = 2
"""Characters of an id by which entities are grouped."""


def number_entities(engine: Engine, tables: Sequence[nw.LazyFrame[Any]], first: int) -> nw.LazyFrame[Any]:
    """Give entities the numbers from ``first`` on.

    Parameters
    ----------
    tables
        Columns ``kind`` and ``id``; an entity may occur several times.

    Returns
    -------
    nw.LazyFrame
        Columns ``kind``, ``id`` and ``entity``, in the engine. Ids are compared byte by byte as UTF-8.
    """
    entities = nw.concat([table.select("kind", "id") for table in tables]).unique()
    grouped = engine.persist(entities.with_columns(nw.col("id").str.slice(0, PREFIX).alias("prefix")))
    sizes = engine.collect(grouped.group_by("kind", "prefix").agg(nw.len().cast(nw.Int64()).alias("n")))
    offsets = (
        sizes.sort("kind", "prefix")
        .with_columns((pl.col("n").cum_sum() - pl.col("n") + first).cast(pl.Int64).alias("offset"))
        .select("kind", "prefix", "offset")
    )
    ranked = grouped.with_columns(
        nw.col("id").rank("ordinal").over("kind", "prefix").cast(nw.Int64()).alias("rank")
    )
    numbered = ranked.join(engine.lift(offsets), on=["kind", "prefix"], how="inner")
    return engine.persist(
        numbered.select("kind", "id", (nw.col("offset") + nw.col("rank") - 1).alias("entity"))
    )
