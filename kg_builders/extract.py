"""Rules x item records -> triples.

What touches every record is a Narwhals expression, so that each engine can run it; what looks at the
distinct values of a field is in ``vocabulary``. Triples are integers from the beginning: items have the
number of their record, entities get theirs when those of all rules are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.engines import Engine, PolarsEngine
from kg_builders.extraction.details import apply_details
from kg_builders.extraction.facts import ENTITY_COLUMNS, Context, Facts, Relation, Triples
from kg_builders.extraction.fields import check_type
from kg_builders.extraction.numbering import number_entities
from kg_builders.extraction.paths import apply_paths
from kg_builders.extraction.references import apply_references
from kg_builders.extraction.text import apply_text
from kg_builders.extraction.values import apply_values
from kg_builders.extraction_report import Dropped, ExtractionReport
from kg_builders.rules import (
    BaseRule,
    DetailsRule,
    PathRule,
    ReferenceRule,
    Rules,
    TextRule,
    ValueRule,
    read_vocabularies,
)
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.sources.records import ItemRecords

__all__ = ["Extraction", "extract_triples"]


@dataclass(frozen=True)
class Extraction:
    """What extraction gives: the graph, with all items of the records, and the report."""

    kg: KnowledgeGraph
    report: ExtractionReport


def extract_triples(
    records: ItemRecords, rules: Rules, engine: Engine | None = None, items: pl.DataFrame | None = None
) -> Extraction:
    """Extract a knowledge graph from item records.

    Parameters
    ----------
    records
        The items; each becomes an entity of kind ``item``, also without a triple.
    rules
        Which field becomes which relation.
    engine
        What runs the expressions; Polars by default.
    items
        Columns ``id`` and ``label``, as ``records.labels(rules.label)`` gives them, where that has been done.

    Returns
    -------
    Extraction
        The graph and a report of each rule. The source of a triple is ``file:field:kind`` of its rule.
        All engines give the same.

    Raises
    ------
    InputError
        If a rule names an unknown field or one of another type, or more values than it tolerates have
        another form than it needs.
    """
    engine = engine or PolarsEngine()
    rules = read_vocabularies(rules)
    items = records.labels(rules.label) if items is None else items
    for rule in rules.rules:
        if not rule.optional:
            records.require(rule.field, f"rule {rule.relation!r}")
    context = Context(records, engine)
    for rule in rules.rules:
        if rule.field not in records.schema:
            continue
        check_type(rule, records.schema[rule.field], context.place(rule))
    facts = [_apply(rule, context) for rule in rules.rules]
    kg = _assemble(items, facts, context)
    engine.release()
    reports = tuple(report for fact in facts for report in fact.reports)
    return Extraction(kg, ExtractionReport(len(records), kg.item_coverage(), reports))


def _apply(rule: BaseRule, context: Context) -> Facts:
    if rule.field not in context.records.schema:
        absent = Dropped("no such field", 0, 0, (rule.field,))
        return Facts((context.report(rule, dropped=(absent,)),))
    if isinstance(rule, PathRule):
        return apply_paths(rule, context)
    if isinstance(rule, ReferenceRule):
        return apply_references(rule, context)
    if isinstance(rule, DetailsRule):
        return apply_details(rule, context)
    if isinstance(rule, TextRule):
        return apply_text(rule, context)
    if isinstance(rule, ValueRule):
        return apply_values(rule, context)
    raise TypeError(f"no extraction for {type(rule).__name__}")


def _assemble(items: pl.DataFrame, facts: Sequence[Facts], context: Context) -> KnowledgeGraph:
    """Give the entities of all rules their numbers, and put these in place of the codes."""
    engine = context.engine
    found = pl.concat(
        [pl.DataFrame(schema=ENTITY_COLUMNS), *(table for fact in facts for table in fact.entities)]
    )
    outside = [table for fact in facts for table in fact.outside]
    lifted = engine.lift(found.select("code", "kind", "id"))
    numbered = number_entities(engine, [lifted, *outside], len(items))
    numbers = engine.persist(lifted.join(numbered, on=["kind", "id"], how="inner").select("code", "entity"))
    triples = [part for fact in facts for part in fact.triples]
    names = sorted({part.relation for part in triples})
    sources = sorted({part.source for part in triples})
    parts = [
        _numbered(part, numbers, numbered).select(
            "head",
            nw.lit(names.index(part.relation)).cast(nw.Int64()).alias("relation"),
            "tail",
            nw.lit(sources.index(part.source)).cast(nw.Int64()).alias("source"),
        )
        for part in triples
    ]
    empty = pl.DataFrame(schema=dict.fromkeys(("head", "relation", "tail", "source"), pl.Int64))
    table = engine.collect(nw.concat(parts), large=True) if parts else empty
    entities = _entity_table(items, engine.collect(numbered, large=True), found)
    relations = _relation_table(names, (relation for fact in facts for relation in fact.relations))
    return KnowledgeGraph.from_numbered(entities, relations, table, sources)


def _numbered(part: Triples, numbers: nw.LazyFrame[Any], numbered: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    frame = part.frame
    for column, holds in (("head", part.head), ("tail", part.tail)):
        if holds == "item":
            continue
        if holds == "entity":
            table = numbers.rename({"code": column})
        else:
            ours = numbered.filter(nw.col("kind") == part.outside_kind)
            table = ours.select(nw.col("id").alias(column), "entity")
        frame = frame.join(table, on=column, how="inner").drop(column).rename({"entity": column})
    return frame.select("head", "tail")


def _entity_table(items: pl.DataFrame, numbered: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return the entities, items first; the commonest label names one, ties go to the alphabet's first."""
    labels = (
        found.drop_nulls("label")
        .group_by("kind", "id", "label")
        .agg(pl.col("items").sum())
        .sort(["kind", "id", "items", "label"], descending=[False, False, True, False])
        .unique(["kind", "id"], keep="first", maintain_order=True)
        .select("kind", "id", "label")
    )
    others = (
        numbered.sort("entity")
        .join(labels, on=["kind", "id"], how="left", maintain_order="left")
        .select("id", pl.coalesce("label", "id").alias("label"), "kind")
    )
    known = items.select("id", pl.coalesce("label", "id").alias("label"), pl.lit(ITEM).alias("kind"))
    table = pl.concat([known, others])
    return table.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("entity"), pl.all())


def _relation_table(names: list[str], relations: Iterable[Relation]) -> pl.DataFrame:
    """Describe the relations; where several rules make one, the first that says something counts."""
    told: dict[str, Relation] = {}
    for relation in relations:
        known = told.get(relation.name, Relation(relation.name))
        told[relation.name] = Relation(
            relation.name,
            known.label or relation.label,
            known.inverse_label or relation.inverse_label,
            known.symmetric or relation.symmetric,
        )
    chosen = [told[name] for name in names]
    return pl.DataFrame(
        {
            "name": names,
            "label": [relation.label for relation in chosen],
            "symmetric": [relation.symmetric for relation in chosen],
            "inverse_label": [relation.inverse_label for relation in chosen],
        },
        schema={"name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean, "inverse_label": pl.Utf8},
    )
