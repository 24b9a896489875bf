"""Rule ``path``: category paths of which each level is an entity.

The distinct paths of a catalogue are few beside its records, so they are taken apart here; the engine joins
them back.
"""

from __future__ import annotations

import narwhals as nw
import polars as pl

from kg_builders.extraction.facts import ENTITY_COLUMNS, Context, Facts, Relation, Triples, oriented
from kg_builders.extraction.values import dropped_entities, dropped_values, judge, long_form
from kg_builders.extraction_report import Dropped, merged_spellings
from kg_builders.rules import PathRule
from kg_builders.vocabulary import build_vocabulary

__all__ = ["BROADER", "LEVEL_SEPARATOR", "apply_paths"]

BROADER = Relation("broader", "broader", "narrower")
"""Relation from a level to the one above it."""

LEVEL_SEPARATOR = " > "
"""Between the levels in the id of an entity."""

# Stands between the levels on the way through the engine; no text of a catalogue holds it.
_JOINT = "\x1f"


def apply_paths(rule: PathRule, context: Context) -> Facts:
    """Run one rule."""
    engine = context.engine
    values = engine.persist(_paths(rule, context).unique())
    distinct = engine.collect(values.group_by("raw").agg(nw.len().alias("n")))
    numbered = distinct.sort("raw").with_row_index("path").with_columns(pl.col("path").cast(pl.Int64))
    levels, dropped, vocabulary = _levels(rule, numbered)
    names = levels.select("key", "label", "depth").unique("key", keep="any").sort("key")
    first = context.new_codes(len(names))
    names = names.with_columns(pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias("code"))
    chains = levels.join(names.select("key", "code"), on="key").select("path", "depth", "code")
    paths = engine.persist(
        values.join(engine.lift(numbered.select("raw", "path")), on="raw", how="inner").select("row", "path")
    )
    above = paths.join(engine.lift(chains.select("path", "code")), on="path", how="inner")
    everywhere = engine.persist(above.select("row", "code").unique())
    counted = engine.collect(everywhere.group_by("code").agg(nw.len().alias("items")))
    usage = judge(rule, counted.join(names, on="code").sort("key"), context.n_items)
    kept = usage.filter(pl.col("reason").is_null())
    chains = chains.join(kept.select("code"), on="code", how="semi").sort("path", "depth")
    if rule.link == "leaf":
        # The narrowest level that is left.
        leaves = chains.unique("path", keep="last", maintain_order=True).select("path", "code")
        pairs = paths.join(engine.lift(leaves), on="path", how="inner").select("row", "code").unique()
    else:
        pairs = everywhere.join(engine.lift(kept.select("code")), on="code", how="semi")
    pairs = engine.persist(pairs)
    linked = engine.collect(pairs.group_by("code").agg(nw.len().alias("links")))
    source = context.source(rule)
    triples = [
        oriented(rule, pairs.select("row", nw.col("code").alias("other")), source, rule.relation, "entity")
    ]
    relations = [Relation(rule.relation, rule.relation_label, rule.inverse_label)]
    edges = _broader(chains) if rule.broader else None
    if edges is not None and len(edges):
        triples.append(Triples(BROADER.name, source, engine.lift(edges), "entity", "entity"))
        relations.append(BROADER)
    if not rule.broader:
        kept = kept.join(linked.select("code"), on="code", how="semi", maintain_order="left")
    with_value, with_fact = context.count_items(values, pairs)
    report = context.report(
        rule,
        records_with_value=with_value,
        values=len(distinct),
        entities=len(kept),
        triples=int(linked["links"].sum()) + (0 if edges is None else len(edges)),
        items=with_fact,
        dropped=(*dropped, *dropped_entities(usage)),
        merged=merged_spellings(vocabulary.filter(pl.col("key").is_not_null())),
    )
    entities = kept.select(
        "code", pl.lit(rule.entity).alias("kind"), pl.col("key").alias("id"), "label", "items"
    ).cast(ENTITY_COLUMNS)  # type: ignore[arg-type]
    return Facts((report,), tuple(relations), tuple(triples), (entities,))


def _paths(rule: PathRule, context: Context) -> nw.LazyFrame:
    """Return columns ``row`` and ``raw``: each path as one text."""
    frame = context.frame.select("row", nw.col(rule.field).alias("raw"))
    dtype = frame.collect_schema()["raw"]
    if isinstance(dtype, nw.List) and (rule.delimiter is not None or isinstance(dtype.inner, nw.List)):
        frame = frame.explode("raw").filter(~nw.col("raw").is_null())
    if rule.delimiter is None:
        frame = context.engine.join_list(frame, "raw", _JOINT)
    return long_form(frame)


def _levels(rule: PathRule, paths: pl.DataFrame) -> tuple[pl.DataFrame, list[Dropped], pl.DataFrame]:
    """Take paths apart.

    Returns
    -------
    pl.DataFrame
        Columns ``path``, ``depth``, ``key`` (the whole path down to this level) and ``label``.
    list of Dropped
        Levels that are left out.
    pl.DataFrame
        The vocabulary of the names of levels.
    """
    parts = paths.with_columns(pl.col("raw").str.split(rule.delimiter or _JOINT).alias("part"))
    places = pl.int_ranges(pl.col("part").list.len().cast(pl.Int64)).alias("depth")
    long = parts.with_columns(places).explode("part", "depth").select("path", "depth", "part", "n")
    distinct = long.group_by(raw="part").agg(pl.col("n").sum()).filter(pl.col("raw") != "")
    vocabulary = build_vocabulary(rule, distinct)
    named = vocabulary.filter(pl.col("key").is_not_null())
    long = long.join(named.select(part="raw", level="key", label="label"), on="part").sort("path", "depth")
    dropped = dropped_values(vocabulary)
    # A path that comes back to a level, as "A > B > A" does, would go round in circles.
    again = pl.struct("path", "level").is_first_distinct()
    dropped += _cut(long.filter(~again), "level that is above itself")
    long = long.filter(again).with_columns(pl.int_range(pl.len()).over("path").alias("depth"))
    deep = pl.col("depth") >= rule.skip_levels + rule.max_levels
    dropped += _cut(long.filter(deep), f"below {rule.max_levels} levels")
    long = long.filter(~deep & (pl.col("depth") >= rule.skip_levels))
    return _whole_paths(long), dropped, vocabulary


def _whole_paths(long: pl.DataFrame) -> pl.DataFrame:
    """Name each level by the path that leads to it."""
    # What separates the levels is no part of a level.
    long = long.with_columns(pl.col("level").str.replace_all(LEVEL_SEPARATOR, " / ", literal=True))
    found = []
    reached = long.select("path").unique().with_columns(pl.lit(None, dtype=pl.Utf8).alias("above"))
    for (depth,), level in sorted(long.group_by("depth"), key=lambda group: group[0]):
        below = level.join(reached, on="path", how="left").with_columns(
            pl.concat_str("above", "level", separator=LEVEL_SEPARATOR, ignore_nulls=True).alias("key")
        )
        found.append(below.select("path", pl.lit(depth, dtype=pl.Int64).alias("depth"), "key", "label"))
        reached = below.select("path", above="key")
    schema = {"path": pl.Int64, "depth": pl.Int64, "key": pl.Utf8, "label": pl.Utf8}
    return pl.concat([pl.DataFrame(schema=schema), *found])


def _broader(chains: pl.DataFrame) -> pl.DataFrame:
    """Return columns ``head`` (a level) and ``tail`` (the one above it), distinct."""
    return (
        chains.sort("path", "depth")
        .with_columns(pl.col("code").shift(1).over("path").alias("tail"))
        .drop_nulls("tail")
        .select(pl.col("code").alias("head"), "tail")
        .unique()
        .sort("head", "tail")
    )


def _cut(levels: pl.DataFrame, reason: str) -> list[Dropped]:
    if levels.is_empty():
        return []
    most = levels.group_by("label").agg(pl.col("n").sum()).sort(["n", "label"], descending=[True, False])
    return [Dropped(reason, len(most), int(levels["n"].sum()), tuple(most["label"][:5]))]
