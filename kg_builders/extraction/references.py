"""Rule ``reference``: items that an item names by their ids, found by a join in the engine."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from kg_builders.extraction.facts import Context, Facts, Relation, oriented
from kg_builders.extraction.splitting import split_texts
from kg_builders.extraction.values import long_form
from kg_builders.extraction_report import Dropped
from kg_builders.rules import ReferenceRule

__all__ = ["apply_references"]

_EXAMPLES = 5


def apply_references(rule: ReferenceRule, context: Context) -> Facts:
    """Run one rule."""
    engine = context.engine
    values = engine.persist(_ids(rule, context).unique())
    refs = engine.persist(values.join(context.items, on="raw", how="left"))
    own = refs.filter(nw.col("row") == nw.col("other"))
    known = refs.filter(nw.col("row") != nw.col("other")).select("row", "other")
    if rule.symmetric:
        known = known.select(
            nw.min_horizontal("row", "other").alias("low"), nw.max_horizontal("row", "other").alias("high")
        ).unique()
        known = known.select(nw.col("low").alias("row"), nw.col("high").alias("other"))
    known = engine.persist(known)
    dropped = []
    # No value comes twice in ``refs``, since ids are unique.
    totals = engine.collect(
        refs.select(
            nw.col("raw").n_unique().alias("ids"),
            (nw.col("row") == nw.col("other")).cast(nw.Int64()).sum().alias("own"),
        )
    )
    n_ids, n_own = (int(totals[name][0] or 0) for name in ("ids", "own"))
    if n_own:
        examples = engine.collect(own.sort("row").head(_EXAMPLES).select("raw"))["raw"].sort()
        dropped.append(Dropped("the item itself", n_own, n_own, tuple(examples)))
    strangers = engine.persist(
        refs.filter(nw.col("other").is_null()).group_by("raw").agg(nw.len().alias("items"))
    )
    source = context.source(rule)
    triples = [oriented(rule, known, source, rule.relation, "item")]
    outside: tuple[nw.LazyFrame[Any], ...] = ()
    ends = (
        [known.select("row"), known.select(nw.col("other").alias("row"))]
        if rule.symmetric
        else [known.select("row")]
    )
    n_triples, n_outside = _count(context, known), 0
    taken = strangers.filter(nw.col("items") >= (rule.min_items if rule.unknown == "keep" else 0))
    left = strangers
    reason = "not among the items"
    if rule.unknown == "keep":
        outside = (taken.select(nw.lit(rule.entity).alias("kind"), nw.col("raw").alias("id")),)
        beyond = engine.persist(
            refs.filter(nw.col("other").is_null())
            .join(taken.select("raw"), on="raw", how="semi")
            .select("row", nw.col("raw").alias("other"))
        )
        triples.append(oriented(rule, beyond, source, rule.relation, "outside"))
        ends.append(beyond.select("row"))
        n_outside = _count(context, taken)
        n_triples += _count(context, beyond)
        left = strangers.filter(nw.col("items") < rule.min_items)
        reason = f"not among the items, and named by fewer than {rule.min_items}"
    dropped.extend(_left_out(context, left, reason))
    with_value, with_fact = context.count_items(values, nw.concat(ends))
    report = context.report(
        rule,
        records_with_value=with_value,
        values=n_ids,
        entities=n_outside,
        triples=n_triples,
        items=with_fact,
        dropped=dropped,
    )
    relation = Relation(rule.relation, rule.relation_label, rule.inverse_label, rule.symmetric)
    return Facts((report,), (relation,), tuple(triples), outside=outside)


def _ids(rule: ReferenceRule, context: Context) -> nw.LazyFrame[Any]:
    if rule.delimiter is not None:
        return long_form(split_texts(rule.field, rule.delimiter, context))
    values = context.frame.select("row", nw.col(rule.field).alias("raw"))
    if isinstance(values.collect_schema()["raw"], nw.List):
        values = values.explode("raw")
    return long_form(values.with_columns(nw.col("raw").cast(nw.String())))


def _left_out(context: Context, left: nw.LazyFrame[Any], reason: str) -> list[Dropped]:
    totals = context.engine.collect(
        left.select(nw.len().alias("ids"), nw.col("items").sum().cast(nw.Int64()).alias("times"))
    )
    ids, times = int(totals["ids"][0]), totals["times"][0]
    if not ids:
        return []
    most = context.engine.collect(left.sort("items", "raw", descending=[True, False]).head(_EXAMPLES))
    most = most.sort(["items", "raw"], descending=[True, False])
    return [Dropped(reason, ids, int(times), tuple(most["raw"]))]


def _count(context: Context, frame: nw.LazyFrame[Any]) -> int:
    return int(context.engine.collect(frame.select(nw.len().alias("n")))["n"][0])
