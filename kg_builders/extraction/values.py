"""Rules whose values are looked up in a vocabulary: categorical, list, number, year, decade, keyword.

The values of all records are grouped in the engine, the distinct ones become a vocabulary here, and the
vocabulary is joined back. Numbers stay numbers in the engine, since engines write them differently as text.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.errors import InputError
from kg_builders.extraction.facts import ENTITY_COLUMNS, Context, Facts, Relation, oriented
from kg_builders.extraction.splitting import split_texts
from kg_builders.extraction.words import NOT_A_WORD, word_lists
from kg_builders.extraction_report import Dropped, merged_spellings
from kg_builders.rules import BaseRule, KeywordRule, ListRule, NamedRule, TolerantRule, ValueRule
from kg_builders.vocabulary import BAD_FORM, build_vocabulary

__all__ = ["apply_values", "code_values", "dropped_values", "entity_facts", "long_form", "vocabulary_of"]


def apply_values(rule: ValueRule, context: Context) -> Facts:
    """Run one rule."""
    engine = context.engine
    values = engine.persist(_values(rule, context))
    distinct = engine.collect(values.group_by("raw").agg(nw.len().alias("n")))
    if isinstance(rule, KeywordRule):
        distinct = distinct.filter(~pl.col("raw").str.contains(NOT_A_WORD))
    vocabulary = vocabulary_of(rule, distinct)
    _refuse_bad_values(rule, vocabulary, context.place(rule))
    codes, names = code_values(vocabulary, context)
    pairs = values.join(engine.lift(codes), on="raw", how="inner").select("row", "code")
    if isinstance(rule, (ListRule, KeywordRule)):
        pairs = pairs.unique()
    return entity_facts(
        rule,
        context,
        engine.persist(pairs),
        names,
        relation=Relation(rule.relation, rule.relation_label, rule.inverse_label),
        given=values,
        values=len(vocabulary),
        dropped=dropped_values(vocabulary),
        merged=vocabulary if isinstance(rule, NamedRule) else None,
    )


def vocabulary_of(rule: ValueRule, distinct: pl.DataFrame) -> pl.DataFrame:
    """Return the vocabulary of distinct values, with those values as the engine has them in ``value``."""
    distinct = distinct.with_columns(pl.col("raw").cast(pl.Utf8).alias("text"))
    vocabulary = build_vocabulary(rule, distinct.select(raw="text", n="n"))
    # Different numbers are different texts, so this pairs them one to one.
    return vocabulary.join(distinct.select(raw="text", value="raw"), on="raw", how="left")


def code_values(vocabulary: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give each key of a vocabulary a code.

    Returns
    -------
    pl.DataFrame
        Columns ``raw`` (the value as the engine has it) and ``code``.
    pl.DataFrame
        Columns ``code``, ``key`` and ``label``, a row for each code.
    """
    keyed = vocabulary.filter(pl.col("key").is_not_null())
    names = keyed.select("key", "label").unique("key", keep="any").sort("key")
    first = context.new_codes(len(names))
    names = names.with_columns(pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias("code"))
    codes = keyed.join(names.select("key", "code"), on="key").select(pl.col("value").alias("raw"), "code")
    return codes, names.select("code", "key", "label")


def entity_facts(
    rule: ValueRule,
    context: Context,
    pairs: nw.LazyFrame[Any],
    names: pl.DataFrame,
    *,
    relation: Relation,
    given: nw.LazyFrame[Any],
    values: int,
    dropped: list[Dropped],
    merged: pl.DataFrame | None = None,
) -> Facts:
    """Leave out entities that too few or too many items use, and report.

    Parameters
    ----------
    pairs
        Columns ``row`` and ``code``, distinct.
    names
        Columns ``code``, ``key`` and ``label``.
    given
        The values, with the ``row`` of the item.
    merged
        Vocabulary of which the spellings that became one are reported.
    """
    engine = context.engine
    usage = engine.collect(pairs.group_by("code").agg(nw.len().alias("items")))
    table = judge(rule, usage.join(names, on="code").sort("key"), context.n_items)
    kept = table.filter(pl.col("reason").is_null())
    if len(kept) < len(table):
        pairs = engine.persist(pairs.join(engine.lift(kept.select("code")), on="code", how="semi"))
    entities = kept.select(
        "code", pl.lit(rule.entity).alias("kind"), pl.col("key").alias("id"), "label", "items"
    ).cast(ENTITY_COLUMNS)  # type: ignore[arg-type]
    with_value, with_fact = context.count_items(given, pairs)
    report = context.report(
        rule,
        records_with_value=with_value,
        values=values,
        entities=len(kept),
        triples=int(kept["items"].sum()),
        items=with_fact,
        dropped=(*dropped, *dropped_entities(table)),
        merged=() if merged is None else merged_spellings(merged.filter(pl.col("key").is_not_null())),
    )
    triples = oriented(
        rule,
        pairs.select("row", nw.col("code").alias("other")),
        context.source(rule),
        relation.name,
        "entity",
    )
    return Facts((report,), (relation,), (triples,), (entities,))


def judge(rule: ValueRule, usage: pl.DataFrame, n_items: int) -> pl.DataFrame:
    """Say of each entity why it is left out, if so."""
    few = pl.col("items") < rule.min_items
    many = pl.col("items") > rule.max_share * n_items
    return usage.with_columns(
        pl.when(few)
        .then(pl.lit(f"fewer than {rule.min_items} items"))
        .when(many)
        .then(pl.lit(f"more than {rule.max_share:.1%} of the items"))
        .otherwise(None)
        .alias("reason")
    )


def long_form(values: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Leave out nulls and empty texts; what is neither number nor text becomes one."""
    dtype = values.collect_schema()["raw"]
    if not dtype.is_numeric() and dtype != nw.String:
        values = values.with_columns(nw.col("raw").cast(nw.String()))
    values = values.filter(~nw.col("raw").is_null())
    return values if dtype.is_numeric() else values.filter(nw.col("raw") != "")


def dropped_values(vocabulary: pl.DataFrame) -> list[Dropped]:
    """Return which values make no entity."""
    table = vocabulary.filter(pl.col("reason").is_not_null()).sort(["n", "raw"], descending=[True, False])
    return [
        Dropped(str(reason), len(group), int(group["n"].sum()), tuple(group["raw"][:5]))
        for (reason,), group in table.group_by("reason", maintain_order=True)
    ]


def dropped_entities(usage: pl.DataFrame) -> list[Dropped]:
    """Return which entities were left out."""
    table = usage.filter(pl.col("reason").is_not_null()).sort(["items", "key"], descending=[True, False])
    return [
        Dropped(str(reason), len(group), int(group["items"].sum()), tuple(group["label"][:5]))
        for (reason,), group in table.group_by("reason", maintain_order=True)
    ]


@singledispatch
def _values(rule: BaseRule, context: Context) -> nw.LazyFrame[Any]:
    """Return columns ``row`` and ``raw``, a row for each value of each record."""
    return long_form(context.frame.select("row", nw.col(rule.field).alias("raw")))


@_values.register
def _list_values(rule: ListRule, context: Context) -> nw.LazyFrame[Any]:
    if rule.delimiter is not None:
        return long_form(split_texts(rule.field, rule.delimiter, context))
    return long_form(context.frame.select("row", nw.col(rule.field).alias("raw")).explode("raw"))


@_values.register
def _word_values(rule: KeywordRule, context: Context) -> nw.LazyFrame[Any]:
    return long_form(word_lists(rule.field, context).explode("raw"))


def _refuse_bad_values(rule: ValueRule, vocabulary: pl.DataFrame, place: str) -> None:
    if not isinstance(rule, TolerantRule):
        return
    bad = vocabulary.filter(pl.col("reason").str.starts_with(BAD_FORM))
    total = int(vocabulary["n"].sum())
    count = int(bad["n"].sum())
    if count > rule.max_bad * total:
        examples = ", ".join(
            repr(value) for value in bad.sort("n", "raw", descending=[True, False])["raw"][:3]
        )
        raise InputError(
            f"{place}: {count} of {total} values of field {rule.field!r} are {bad['reason'][0]}, such as "
            f"{examples}; expected at most {rule.max_bad:.1%} (max_bad)"
        )
