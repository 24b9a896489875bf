"""Rules x item records -> triples.

What touches every record is a Narwhals expression, so that another engine can run it; what looks at the
distinct values of a field is in ``vocabulary``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.engines import Engine, PolarsEngine
from kg_builders.errors import InputError
from kg_builders.extraction_report import Dropped, ExtractionReport, RuleReport, merged_spellings
from kg_builders.rules import BaseRule, KeywordRule, ListRule, NamedRule, Rules, TolerantRule
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph
from kg_builders.sources.records import ItemRecords
from kg_builders.vocabulary import BAD_FORM, build_vocabulary

__all__ = ["Extraction", "extract_triples"]

# Entities that would hide the end of a word; all others are decoded with the vocabulary.
_COMMON_ENTITIES = {"&amp;": "&", "&quot;": '"', "&#39;": "'", "&apos;": "'", "&nbsp;": " "}
_NOT_IN_WORDS = r"[^\p{L}\p{M}\p{N}&#;]+"


@dataclass(frozen=True)
class Extraction:
    """What extraction gives: the graph, with all items of the records, and the report."""

    kg: KnowledgeGraph
    report: ExtractionReport


def extract_triples(records: ItemRecords, rules: Rules, engine: Engine | None = None) -> Extraction:
    """Extract a knowledge graph from item records.

    Parameters
    ----------
    records
        The items; each becomes an entity of kind ``item``, also without a triple.
    rules
        Which field becomes which relation.
    engine
        What runs the expressions; Polars by default.

    Returns
    -------
    Extraction
        The graph and a report of each rule. The source of a triple is ``file:field:kind`` of its rule.

    Raises
    ------
    InputError
        If a rule names an unknown field or one of another type, or more values than it tolerates have
        another form than it needs.
    """
    engine = engine or PolarsEngine()
    items = records.labels(rules.label)
    frame = engine.lift(records.frame)
    named: list[pl.DataFrame] = []
    reports: list[RuleReport] = []
    for rule in rules.rules:
        triples, report = _apply(rule, records, frame, engine)
        named.append(triples)
        reports.append(report)
    kg = KnowledgeGraph.from_named(pl.concat(named), items, _relations(rules.rules))
    return Extraction(kg, ExtractionReport(len(records), kg.item_coverage(), tuple(reports)))


def _apply(
    rule: BaseRule, records: ItemRecords, frame: nw.LazyFrame[Any], engine: Engine
) -> tuple[pl.DataFrame, RuleReport]:
    """Run one rule.

    The values of all records are grouped, the distinct ones become a vocabulary, the vocabulary is joined
    back, and entities that too few or too many items use are left out.
    """
    place = f"rule {rule.relation!r}"
    records.require(rule.field, place)
    file = records.files.get(rule.field, "records")
    _check_type(rule, records.frame.schema[rule.field], f"{file}: {place}")
    values = engine.persist(_values(rule, frame))
    distinct = engine.collect(values.group_by("raw").agg(nw.len().alias("n")))
    vocabulary = build_vocabulary(rule, distinct)
    _refuse_bad_values(rule, vocabulary, f"{file}: {place}")
    keyed = vocabulary.filter(pl.col("key").is_not_null())
    pairs = engine.persist(
        values.join(engine.lift(keyed.select("raw", "key")), on="raw", how="inner")
        .select("id", "key")
        .unique()
    )
    usage = engine.collect(pairs.group_by("key").agg(nw.len().alias("items"))).sort("key")
    usage = _judge(rule, usage, len(records))
    kept = usage.filter(pl.col("reason").is_null()).select("key")
    triples = engine.collect(pairs.join(engine.lift(kept), on="key", how="inner"))
    labels = keyed.select("key", "label").unique("key", keep="any")
    usage = usage.join(labels, on="key", how="left", maintain_order="left")
    named = triples.join(labels, on="key", how="left").select(
        pl.lit(ITEM).alias("head_kind"),
        pl.col("id").alias("head_id"),
        pl.lit(rule.relation).alias("relation"),
        pl.lit(rule.entity).alias("tail_kind"),
        pl.col("key").alias("tail_id"),
        pl.col("label").alias("tail_label"),
        pl.lit(f"{file}:{rule.field}:{_kind(rule)}").alias("source"),
    )
    report = RuleReport(
        relation=rule.relation,
        kind=_kind(rule),
        field=rule.field,
        file=file,
        records=len(records),
        records_with_value=_count_items(engine, values),
        values=len(vocabulary),
        entities=len(kept),
        triples=len(named),
        items=named["head_id"].n_unique(),
        dropped=(*_dropped_values(vocabulary), *_dropped_entities(usage)),
        merged=merged_spellings(keyed) if isinstance(rule, NamedRule) else (),
    )
    return named.select(list(NAMED_SCHEMA)), report


@singledispatch
def _values(rule: BaseRule, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return columns ``id`` and ``raw`` (text), a row for each value of each record."""
    return _long(frame.select("id", nw.col(rule.field).cast(nw.String()).alias("raw")))


@_values.register
def _list_values(rule: ListRule, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    column = nw.col(rule.field)
    if rule.delimiter is not None:
        column = column.str.split(rule.delimiter)
    parts = frame.select("id", column.alias("raw")).explode("raw")
    return _long(parts.with_columns(nw.col("raw").cast(nw.String())))


@_values.register
def _word_values(rule: KeywordRule, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    text = frame.select("id", nw.col(rule.field).alias("raw"))
    if isinstance(frame.collect_schema()[rule.field], nw.List):
        text = text.explode("raw")
    word = nw.col("raw").cast(nw.String())
    for entity, character in _COMMON_ENTITIES.items():
        word = word.str.replace_all(entity, character, literal=True)
    # The possessive belongs to the word before it: "Schindler's" is "Schindler".
    word = word.str.replace_all(r"['’][sS]\b", "").str.replace_all(_NOT_IN_WORDS, " ").str.split(" ")
    words = text.with_columns(word.alias("raw")).explode("raw")
    # What is left of "&" and ";" between words is no part of one.
    return _long(words.with_columns(nw.col("raw").str.replace_all(r"^[&#;]+$", "")))


def _long(values: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    return values.filter(~nw.col("raw").is_null()).filter(nw.col("raw") != "")


def _check_type(rule: BaseRule, dtype: pl.DataType, place: str) -> None:
    """Refuse a field whose type doesn't fit its rule."""
    is_list = isinstance(dtype, (pl.List, pl.Array))
    inner = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else dtype
    if isinstance(inner, (pl.Struct, pl.List, pl.Array)) or inner in (pl.Object, pl.Binary):
        raise InputError(
            f"{place}: field {rule.field!r} holds {dtype}; expected texts, numbers or lists of them"
        )
    if isinstance(rule, ListRule):
        if not is_list and (rule.delimiter is None or dtype != pl.Utf8):
            raise InputError(
                f"{place}: field {rule.field!r} holds {_called(dtype)}, not lists; "
                "expected a text and a delimiter"
            )
        if is_list and rule.delimiter is not None:
            raise InputError(f"{place}: field {rule.field!r} holds lists; expected no delimiter")
    elif is_list and not isinstance(rule, KeywordRule):
        raise InputError(
            f"{place}: field {rule.field!r} holds lists; expected one value, or a rule of kind list"
        )


def _refuse_bad_values(rule: BaseRule, vocabulary: pl.DataFrame, place: str) -> None:
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


def _judge(rule: BaseRule, usage: pl.DataFrame, n_items: int) -> pl.DataFrame:
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


def _count_items(engine: Engine, values: nw.LazyFrame[Any]) -> int:
    return len(engine.collect(values.select("id").unique()))


def _dropped_values(vocabulary: pl.DataFrame) -> list[Dropped]:
    table = vocabulary.filter(pl.col("reason").is_not_null()).sort(["n", "raw"], descending=[True, False])
    return [
        Dropped(str(reason), len(group), int(group["n"].sum()), tuple(group["raw"][:5]))
        for (reason,), group in table.group_by("reason", maintain_order=True)
    ]


def _dropped_entities(usage: pl.DataFrame) -> list[Dropped]:
    table = usage.filter(pl.col("reason").is_not_null()).sort(["items", "key"], descending=[True, False])
    return [
        Dropped(str(reason), len(group), int(group["items"].sum()), tuple(group["label"][:5]))
        for (reason,), group in table.group_by("reason", maintain_order=True)
    ]


def _relations(rules: Iterable[BaseRule]) -> pl.DataFrame:
    """Describe the relations that need more than their name."""
    labels = {rule.relation: rule.relation_label for rule in rules if rule.relation_label}
    return pl.DataFrame(
        {"name": list(labels), "label": list(labels.values()), "symmetric": [False] * len(labels)},
        schema={"name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean},
    )


def _kind(rule: BaseRule) -> str:
    return str(getattr(rule, "kind", "rule"))


def _called(dtype: pl.DataType) -> str:
    return "texts" if dtype == pl.Utf8 else str(dtype)
