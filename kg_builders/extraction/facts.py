"""What a rule gives: triples as integers in the engine, the entities that they name, and a report.

Until the entities of all rules are known and sorted, a triple holds a code in place of an entity. Codes are
unique among all rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import narwhals as nw
import polars as pl

from kg_builders.engines import Engine
from kg_builders.extraction_report import Dropped, Merged, RuleReport
from kg_builders.rules import BaseRule
from kg_builders.sources.records import ItemRecords

__all__ = ["ENTITY_COLUMNS", "Context", "Facts", "Relation", "Triples"]

ENTITY_COLUMNS = {"code": pl.Int64, "kind": pl.Utf8, "id": pl.Utf8, "label": pl.Utf8, "items": pl.Int64}
"""Entities that were found here: ``items`` says how many have it, so that the commonest label wins."""

End = Literal["item", "entity", "outside"]
"""What an end of a triple holds: the number of an item, the code of an entity, or, for an entity that only
the engine knows, its id."""


@dataclass(frozen=True)
class Relation:
    """A relation by its name, and how people call it forwards and backwards."""

    name: str
    label: str | None = None
    inverse_label: str | None = None
    symmetric: bool = False


@dataclass(frozen=True)
class Triples:
    """Triples of one relation and source.

    Parameters
    ----------
    relation, source
        Name of the relation, and ``file:field:kind`` of the rule.
    frame
        Columns ``head`` and ``tail``.
    head, tail
        What these columns hold.
    outside_kind
        Kind of the entities that only the engine knows.
    """

    relation: str
    source: str
    frame: nw.LazyFrame[Any]
    head: End
    tail: End
    outside_kind: str = ""


@dataclass(frozen=True)
class Facts:
    """What a rule gives.

    Parameters
    ----------
    outside
        Columns ``kind`` and ``id``, distinct: entities that only the engine knows.
    """

    reports: tuple[RuleReport, ...]
    relations: tuple[Relation, ...] = ()
    triples: tuple[Triples, ...] = ()
    entities: tuple[pl.DataFrame, ...] = ()
    outside: tuple[nw.LazyFrame[Any], ...] = ()


@dataclass
class Context:
    """The records in their engine, and the codes given so far."""

    records: ItemRecords
    engine: Engine
    codes: int = 0
    frame: nw.LazyFrame[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.frame = self.engine.scan(self.records)

    @cached_property
    def n_items(self) -> int:
        """Number of records."""
        return len(self.records)

    @cached_property
    def items(self) -> nw.LazyFrame[Any]:
        """Columns ``raw`` (the id of an item) and ``other`` (its number)."""
        return self.engine.persist(self.frame.select(nw.col("id").alias("raw"), nw.col("row").alias("other")))

    def new_codes(self, count: int) -> int:
        """Return the first of ``count`` codes that are not in use."""
        first = self.codes
        self.codes += count
        return first

    def file(self, rule: BaseRule) -> str:
        """Return the file of the rule's field."""
        return self.records.files.get(rule.field, "records")

    def source(self, rule: BaseRule) -> str:
        """Return what the triples of a rule name as their source."""
        return f"{self.file(rule)}:{rule.field}:{kind_of(rule)}"

    def place(self, rule: BaseRule) -> str:
        """Return how messages name a rule."""
        return f"{self.file(rule)}: rule {rule.relation!r}"

    def report(
        self,
        rule: BaseRule,
        *,
        records_with_value: int = 0,
        values: int = 0,
        entities: int = 0,
        triples: int = 0,
        items: int = 0,
        dropped: Sequence[Dropped] = (),
        merged: Sequence[Merged] = (),
    ) -> RuleReport:
        """Return what a rule did, with where its values come from."""
        return RuleReport(
            relation=rule.relation,
            kind=kind_of(rule),
            field=rule.field,
            file=self.file(rule),
            records=self.n_items,
            records_with_value=records_with_value,
            values=values,
            entities=entities,
            triples=triples,
            items=items,
            dropped=tuple(dropped),
            merged=tuple(merged),
        )

    def count_items(self, *frames: nw.LazyFrame[Any]) -> list[int]:
        """Count the distinct items in column ``row`` of each table, in one pass of the engine."""
        counts = [
            frame.select(nw.col("row").n_unique().cast(nw.Int64()).alias("n")).with_columns(
                nw.lit(number).cast(nw.Int64()).alias("table")
            )
            for number, frame in enumerate(frames)
        ]
        # Over no rows at all, an engine may say null instead of 0.
        return self.engine.collect(nw.concat(counts)).sort("table")["n"].fill_null(0).to_list()


def kind_of(rule: BaseRule) -> str:
    """Return the kind of a rule."""
    return str(getattr(rule, "kind", "rule"))


def oriented(rule: BaseRule, frame: nw.LazyFrame[Any], source: str, relation: str, tail: End) -> Triples:
    """Return triples from columns ``row`` (the item) and ``other``, in the direction of the rule."""
    outside = rule.entity if tail == "outside" else ""
    if rule.direction == "from_item":
        columns = frame.select(nw.col("row").alias("head"), nw.col("other").alias("tail"))
        return Triples(relation, source, columns, "item", tail, outside)
    columns = frame.select(nw.col("other").alias("head"), nw.col("row").alias("tail"))
    return Triples(relation, source, columns, tail, "item", outside)
