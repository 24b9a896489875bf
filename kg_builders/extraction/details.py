"""Rule ``details``: key-value pairs of which each frequent key becomes a relation."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from kg_builders.clean import clean_text, spelling_key
from kg_builders.extraction.facts import Context, Facts, Relation
from kg_builders.extraction.values import code_values, dropped_values, entity_facts, vocabulary_of
from kg_builders.extraction_report import Dropped
from kg_builders.rules import DetailsRule

__all__ = ["apply_details"]


def apply_details(rule: DetailsRule, context: Context) -> Facts:
    """Run one rule."""
    engine = context.engine
    exploded = context.frame.select("row", nw.col(rule.field).alias("pair")).explode("pair")
    details = exploded.select(
        "row",
        nw.col("pair").struct.field("key").alias("key"),
        nw.col("pair").struct.field("value").alias("raw"),
    )
    for column in ("key", "raw"):
        details = details.filter(~nw.col(column).is_null()).filter(nw.col(column) != "")
    details = engine.persist(details)
    pairs = details.group_by("key", "raw").agg(nw.len().alias("n"))
    counted = engine.collect(
        pairs.group_by("key").agg(nw.len().alias("values"), nw.col("n").sum().cast(nw.Int64()).alias("n"))
    )
    keys, dropped = _choose_keys(rule, counted)
    (with_details,) = context.count_items(details)
    overview = context.report(
        rule,
        records_with_value=with_details,
        values=len(counted),
        dropped=dropped,
    )
    chosen = keys.select(pl.col("raw").alias("key"), "number")
    ours = engine.persist(
        details.join(engine.lift(chosen), on="key", how="inner").select("row", "number", "raw")
    )
    distinct = engine.collect(ours.group_by("number", "raw").agg(nw.len().alias("n")))
    facts = [
        _apply_key(rule, context, ours, distinct, number, key, label)
        for number, key, label in keys.select("number", "key", "label").unique().sort("number").iter_rows()
    ]
    return Facts(
        (overview, *(report for fact in facts for report in fact.reports)),
        tuple(relation for fact in facts for relation in fact.relations),
        tuple(part for fact in facts for part in fact.triples),
        tuple(table for fact in facts for table in fact.entities),
    )


def _apply_key(
    rule: DetailsRule,
    context: Context,
    ours: nw.LazyFrame,
    distinct: pl.DataFrame,
    number: int,
    key: str,
    label: str,
) -> Facts:
    """Run the rule on the values of one key."""
    engine = context.engine
    name = f"{rule.relation}.{key}"
    mine = ours.filter(nw.col("number") == number).select("row", "raw")
    vocabulary = vocabulary_of(rule, distinct.filter(pl.col("number") == number).select("raw", "n"))
    codes, names = code_values(vocabulary, context)
    pairs = mine.join(engine.lift(codes), on="raw", how="inner").select("row", "code").unique()
    return entity_facts(
        rule.model_copy(update={"relation": name, "entity": f"{rule.entity}.{key}"}),
        context,
        engine.persist(pairs),
        names,
        relation=Relation(name, label, rule.inverse_label),
        given=mine,
        values=len(vocabulary),
        dropped=dropped_values(vocabulary),
        merged=vocabulary,
    )


def _choose_keys(rule: DetailsRule, counted: pl.DataFrame) -> tuple[pl.DataFrame, list[Dropped]]:
    """Decide which keys become relations.

    Parameters
    ----------
    counted
        Columns ``key``, ``values`` (how many different ones) and ``n`` (times used).

    Returns
    -------
    pl.DataFrame
        Columns ``raw`` (a spelling), ``key``, ``label`` and ``number`` of the keys that are taken.
    list of Dropped
        The others, with the reason.
    """
    text = clean_text(counted["key"])
    spellings = counted.select(raw="key", values="values", n="n").with_columns(
        text.alias("text"), spelling_key(text).alias("key")
    )
    spellings = spellings.drop_nulls("key").sort(["n", "raw"], descending=[True, False])
    merged = spellings.group_by("key", maintain_order=True).agg(
        pl.col("text").first().alias("label"), pl.col("n").sum(), pl.col("values").sum()
    )
    wanted = spelling_key(clean_text(pl.Series(list(rule.keys), dtype=pl.Utf8))).to_list()
    unwanted = spelling_key(clean_text(pl.Series(list(rule.exclude_keys), dtype=pl.Utf8))).to_list()
    reason = (
        pl.when(pl.col("key").is_in(unwanted))
        .then(pl.lit("key excluded"))
        .when(pl.lit(bool(wanted)) & ~pl.col("key").is_in(wanted))
        .then(pl.lit("key not asked for"))
        .when(pl.col("n") < rule.min_key_items)
        .then(pl.lit(f"key of fewer than {rule.min_key_items} items"))
        .when((pl.col("values") > rule.max_distinct * pl.col("n")) & ~pl.col("key").is_in(wanted))
        .then(pl.lit(f"key with different values for more than {rule.max_distinct:.0%} of its items"))
        .otherwise(None)
        .alias("reason")
    )
    merged = merged.with_columns(reason).sort(["n", "key"], descending=[True, False])
    free = pl.col("reason").is_null()
    late = free & (free.cast(pl.Int64).cum_sum() > rule.max_keys)
    merged = merged.with_columns(
        pl.when(late)
        .then(pl.lit(f"key past the {rule.max_keys} most used"))
        .otherwise("reason")
        .alias("reason")
    )
    taken = merged.filter(free).with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    dropped = [
        Dropped(str(why), len(group), int(group["n"].sum()), tuple(group["label"][:5]))
        for (why,), group in merged.filter(~free).group_by("reason", maintain_order=True)
    ]
    return spellings.select("raw", "key").join(taken.select("key", "label", "number"), on="key"), dropped
