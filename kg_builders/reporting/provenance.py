"""Where the triples come from: files, fields and rules."""

from __future__ import annotations

from typing import Any

import polars as pl

from kg_builders.schema import KnowledgeGraph

__all__ = ["describe_provenance"]

# A field may hold colons (a relation that is a URI does), a file's own name and a kind of rule do not.
_SOURCE = r"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^:]*):(?:(.*):)?([^:]*)$"
MOST_SOURCES = 200


def describe_provenance(kg: KnowledgeGraph) -> dict[str, Any]:
    """Count the triples by where they come from.

    Returns
    -------
    dict
        ``sources``: ``source``, its ``file``, ``field`` and ``rule`` (null where the source is not
        ``file:field:rule``), ``relation`` and ``triples``, most first; ``sources_left_out``: how many more
        there are; ``without_source``: triples without one.
    """
    counts = kg.triples.group_by("source", "relation").agg(pl.len().cast(pl.Int64).alias("triples"))
    table = (
        counts.join(kg.relations.select("relation", name="name"), on="relation")
        .sort(["triples", "source", "name"], descending=[True, False, False], nulls_last=True)
        .with_columns(
            pl.col("source").str.extract(_SOURCE, 1).alias("file"),
            pl.col("source").str.extract(_SOURCE, 2).alias("field"),
            pl.col("source").str.extract(_SOURCE, 3).alias("rule"),
        )
        .select("source", "file", "field", "rule", relation="name", triples="triples")
    )
    return {
        "sources": table.head(MOST_SOURCES).to_dicts(),
        "sources_left_out": max(len(table) - MOST_SOURCES, 0),
        "without_source": int(kg.triples["source"].null_count()),
    }
