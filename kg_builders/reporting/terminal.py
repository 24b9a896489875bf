"""The description of a graph as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["render"]

MOST_ROWS = 40


def render(described: Mapping[str, Any]) -> RenderableType:
    """Return what ``describe`` told as tables for the terminal; labels are shown as they are."""
    parts: list[RenderableType] = [_summary(described), _kinds(described), _relations(described)]
    if described["hubs"]:
        parts.append(_hubs(described))
    redundancy = _redundancy(described["redundancy"])
    if redundancy.row_count:
        parts.append(redundancy)
    parts.extend(Text(f"Warning: {warning}") for warning in described["warnings"])
    return Group(*parts)


def _summary(described: Mapping[str, Any]) -> Table:
    facts, components = described["item_facts"], described["components"]
    table = Table(title="Knowledge graph", show_header=False)
    table.add_row("triples", f"{described['triples']:,} in {described['relations']} relations")
    table.add_row("entities", f"{described['entities']:,}, of which {described['items']:,} items")
    table.add_row("items with a fact", f"{facts['coverage']:.1%}")
    if facts["without_facts"]:
        shown = ", ".join(str(item["label"]) for item in facts["without_facts"])
        table.add_row("items without", Text(f"{facts['items_without_facts']:,}, such as {shown}"))
    table.add_row(
        "items with few facts",
        ", ".join(f"{row['share']:.1%} fewer than {row['facts']}" for row in facts["fewer_than"][1:]),
    )
    table.add_row(
        "facts an item", ", ".join(f"{name} {value:g}" for name, value in facts["facts_per_item"].items())
    )
    alike = facts["same_facts"]
    table.add_row("items with the facts of another", f"{alike['items']:,} in {alike['groups']:,} groups")
    table.add_row(
        "components",
        f"{components['count']:,}, the largest with {components['largest_share']:.1%} of the entities",
    )
    return table


def _kinds(described: Mapping[str, Any]) -> Table:
    table = _table("Entities by kind", "kind", "entities", "neighbours (median, largest)", "in one triple")
    for kind in described["kinds"][:MOST_ROWS]:
        degrees = kind["neighbours"]
        table.add_row(
            Text(kind["kind"]),
            f"{kind['entities']:,}",
            f"{degrees['median']:g}, {degrees['max']:g}",
            f"{kind['used_once_share']:.1%}",
        )
    _count_rest(table, described["kinds"])
    return table


def _relations(described: Mapping[str, Any]) -> Table:
    table = _table("Relations", "relation", "triples", "heads", "tails", "items")
    table.add_column("examples")
    for relation in described["relation_table"][:MOST_ROWS]:
        examples = "; ".join(f"{example['head']} → {example['tail']}" for example in relation["examples"])
        table.add_row(
            Text(relation["name"] + (" (symmetric)" if relation["symmetric"] else "")),
            f"{relation['triples']:,}",
            f"{relation['heads']:,}",
            f"{relation['tails']:,}",
            f"{relation['item_share']:.1%}",
            Text(examples),
        )
    _count_rest(table, described["relation_table"])
    return table


def _hubs(described: Mapping[str, Any]) -> Table:
    table = Table(title="Entities joined to most items")
    table.add_column("entity")
    table.add_column("kind")
    table.add_column("items", justify="right")
    for hub in described["hubs"]:
        table.add_row(Text(str(hub["label"])), Text(hub["kind"]), f"{hub['items']:,} ({hub['share']:.1%})")
    return table


def _redundancy(redundancy: Mapping[str, Any]) -> Table:
    table = Table(title="Said more than once", show_header=False)
    if redundancy["duplicate_triples"]:
        table.add_row("repeated triples", f"{redundancy['duplicate_triples']:,}")
    if redundancy["loops"]:
        table.add_row("triples from an entity to itself", f"{redundancy['loops']:,}")
    for key, how in (("overlapping", "is also in"), ("inverse", "is in reverse in")):
        for pair in redundancy[key][:5]:
            first, second = pair["relations"]
            table.add_row(Text(first), Text(f"{pair['share']:.1%} ({pair['triples']:,}) {how} {second}"))
    for both in redundancy["both_ways"]:
        table.add_row(Text(both["relation"]), f"{both['share']:.1%} is in both directions")
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _count_rest(table: Table, rows: list[Any]) -> None:
    if len(rows) > MOST_ROWS:
        table.add_row(f"{len(rows) - MOST_ROWS} more", style="dim")
