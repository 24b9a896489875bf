"""What extraction did with each field: how much it found, what it left out, what it merged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

__all__ = ["Dropped", "ExtractionReport", "Merged", "RuleReport", "merged_spellings"]


@dataclass(frozen=True)
class Dropped:
    """Values or entities that made no triple, for one reason.

    Parameters
    ----------
    reason
        Why.
    entities
        Number of distinct values or entities.
    triples
        Number of triples that there would have been, or of values in the records.
    examples
        The most used ones.
    """

    reason: str
    entities: int
    triples: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """Spellings that became one entity, the commonest first, with how often each is used."""

    label: str
    spellings: dict[str, int]


@dataclass(frozen=True)
class RuleReport:
    """What one rule did.

    Parameters
    ----------
    relation, kind, field, file
        The rule and where its values come from.
    records, records_with_value
        Number of item records, and of those with a value in the field.
    values
        Number of distinct values, or words.
    entities, triples, items
        Number of entities and triples made, and of items with at least one of them.
    dropped
        What was left out.
    merged
        Entities with more than one spelling, most used first.
    """

    relation: str
    kind: str
    field: str
    file: str
    records: int
    records_with_value: int
    values: int
    entities: int
    triples: int
    items: int
    dropped: tuple[Dropped, ...]
    merged: tuple[Merged, ...]


@dataclass(frozen=True)
class ExtractionReport:
    """What all rules did.

    Parameters
    ----------
    items
        Number of item records.
    coverage
        Share of the items with at least one triple.
    rules
        One report a rule.
    """

    items: int
    coverage: float
    rules: tuple[RuleReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def table(self) -> Table:
        """Return a table for the terminal, one row a rule and one below for each reason to leave out."""
        table = Table(title=f"Extraction from {self.items:,} items ({self.coverage:.1%} with a fact)")
        table.add_column("relation")
        table.add_column("from")
        for name in ("with value", "items", "entities", "triples"):
            table.add_column(name, justify="right")
        for rule in self.rules:
            table.add_row(
                rule.relation,
                # As it stands: ":date:" is no picture here.
                Text(f"{rule.file}:{rule.field}:{rule.kind}"),
                f"{rule.records_with_value:,}",
                f"{rule.items:,}",
                f"{rule.entities:,}",
                f"{rule.triples:,}",
                style="bold",
            )
            for dropped in rule.dropped:
                table.add_row(
                    "",
                    Text(f"left out, {dropped.reason}: {_listed(dropped.examples, dropped.entities)}"),
                    "",
                    "",
                    f"-{dropped.entities:,}",
                    f"-{dropped.triples:,}",
                    style="dim",
                )
            if rule.merged:
                shown = ", ".join(" = ".join(merged.spellings) for merged in rule.merged[:3])
                more = ", ..." if len(rule.merged) > 3 else ""
                told = f"{len(rule.merged):,} with several spellings: {shown}{more}"
                table.add_row("", Text(told), style="dim")
        return table


def merged_spellings(vocabulary: pl.DataFrame) -> tuple[Merged, ...]:
    """Return the entities of a vocabulary with more than one spelling, most used first.

    Parameters
    ----------
    vocabulary
        Columns ``raw``, ``n``, ``key`` and ``label``.
    """
    groups = (
        vocabulary.sort(["n", "raw"], descending=[True, False])
        .group_by("key", "label", maintain_order=True)
        .agg("raw", "n", pl.col("n").sum().alias("total"))
        .filter(pl.col("raw").list.len() > 1)
        .sort(["total", "key"], descending=[True, False])
    )
    return tuple(
        Merged(label, dict(zip(raw, n, strict=True)))
        for label, raw, n in groups.select("label", "raw", "n").iter_rows()
    )


def _listed(examples: tuple[str, ...], count: int) -> str:
    return ", ".join(examples) + (", ..." if count > len(examples) else "")
