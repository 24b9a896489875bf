"""The sections of a page that tell what a graph holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kg_builders.reporting.markup import (
    Markup,
    breakable,
    details,
    listing,
    number,
    paragraph,
    section,
    share,
    table,
    text,
)
from kg_builders.reporting.markup import tiles as show_tiles
from kg_builders.reporting.plots import facts_plot, neighbours_plot, svg

__all__ = [
    "coverage",
    "degrees",
    "facts_table",
    "hubs",
    "kinds",
    "provenance",
    "redundancy",
    "relations",
    "tiles",
    "warning_list",
]

FIRST_RELATIONS, FIRST_PAIRS = 20, 8
_QUANTILES = {"min": "fewest", "p25": "25 %", "p75": "75 %", "p95": "95 %", "max": "most"}


def tiles(described: Mapping[str, Any]) -> Markup:
    """Show the few numbers that matter most."""
    facts = described["item_facts"]
    shown = [
        (number(described["items"]), "items"),
        (share(facts["coverage"]), "of them with a fact"),
        (number(facts["facts_per_item"]["median"]), "facts an item (median)"),
        (number(described["entities"] - described["items"]), "other entities"),
        (number(described["relations"]), "relations"),
        (number(described["triples"]), "triples"),
        (share(described["components"]["largest_share"]), "of the entities in one part"),
    ]
    return show_tiles(shown)


def warning_list(warnings: list[str]) -> Markup:
    """Show what looks wrong."""
    if not warnings:
        content = paragraph(
            "Nothing looks wrong: coverage, hubs, relations without information, repeated facts, relations "
            "in both directions, entities that join nothing and items that can't be told apart were "
            "looked for.",
            "fine",
        )
    else:
        content = listing(warnings, "warnings")
    return section("warnings", f"Warnings ({len(warnings)})", content)


def coverage(described: Mapping[str, Any]) -> Markup:
    """Tell how well the items are known."""
    facts, count = described["item_facts"], described["items"]
    alike, sizes = facts["same_facts"], described["component_sizes"]
    parts = [
        paragraph(
            f"{count - facts['items_without_facts']:,} of {count:,} items have a fact. A fact is a triple "
            "that the item is in."
        ),
        table(
            [("fewer facts than", "number"), ("items", "number"), ("share", "share")],
            [[row["facts"], row["items"], row["share"]] for row in facts["fewer_than"]],
        ),
        paragraph("Facts an item, from the least known to the best known:"),
        table(
            [(_QUANTILES.get(name, name), "number") for name in facts["facts_per_item"]],
            [facts["facts_per_item"].values()],
        ),
    ]
    if facts["without_facts"]:
        shown = ", ".join(f"{item['label']} ({item['id']})" for item in facts["without_facts"])
        parts.append(paragraph(f"Items without a fact: {facts['items_without_facts']:,}, such as {shown}."))
    parts.append(
        paragraph(
            f"{alike['items']:,} items have exactly the facts of another item ({alike['groups']:,} groups); "
            "the graph can't tell them apart."
        )
    )
    if alike["examples"]:
        parts.append(
            table(
                [("items", "number"), ("facts", "number"), ("such as", "long")],
                [
                    [row["items"], row["facts"], " · ".join(map(str, row["labels"]))]
                    for row in alike["examples"]
                ],
            )
        )
    parts.append(paragraph(_parts_sentence(described["components"]["count"], sizes)))
    return section("coverage", "Coverage of the items", *parts)


def _parts_sentence(count: int, sizes: Mapping[str, Any]) -> str:
    if count <= 1:
        return "The graph is one part: a path joins any two entities."
    return (
        f"The graph falls into {count:,} parts that no path joins; {sizes['single_entities']:,} of them are "
        f"a single entity. The largest have {', '.join(f'{size:,}' for size in sizes['largest'])} entities; "
        f"{sizes['items_with_facts_elsewhere']:,} items with facts are outside the largest."
    )


def relations(described: Mapping[str, Any]) -> Markup:
    """Show each relation with examples."""
    columns = [
        ("relation", "long"),
        ("joins", "text"),
        ("triples", "number"),
        ("heads", "number"),
        ("tails", "number"),
        ("items", "share"),
        ("commonest tail", "text"),
        ("examples", "long"),
    ]
    rows = [_relation(row) for row in described["relation_table"]]
    parts = [
        paragraph(
            "Heads and tails are counted once each; items is the share of all items in its triples.", "quiet"
        ),
        table(columns, rows[:FIRST_RELATIONS]),
    ]
    if len(rows) > FIRST_RELATIONS:
        rest = rows[FIRST_RELATIONS:]
        parts.append(details(f"{len(rest):,} relations with fewer triples", table(columns, rest)))
    return section("relations", "Relations", *parts)


def _relation(row: Mapping[str, Any]) -> list[Any]:
    name, label = row["name"], row["label"]
    shown = Markup(f"<b>{breakable(name)}</b>")
    if label and label != re.sub("[._]", " ", name):
        shown = Markup(f"{shown}<br><span class=quiet>{text(label)}</span>")
    arrow = "–" if row["symmetric"] else "→"
    ends = ", ".join(f"{end['head']} {arrow} {end['tail']}" for end in row["ends"])
    common = row["commonest_tail"]
    usual = Markup(f"<bdi>{text(common['label'], 40)}</bdi> ({share(common['share'])})") if common else ""
    examples = Markup("<br>".join(_fact(example, arrow) for example in row["examples"]))
    return [shown, ends, row["triples"], row["heads"], row["tails"], row["item_share"], usual, examples]


def degrees(described: Mapping[str, Any]) -> Markup:
    """Plot the degrees."""
    told = described["degrees"]
    left = svg(
        facts_plot(told["facts_per_item"]), "facts", "Items by number of facts; the bins double in width."
    )
    right = svg(
        neighbours_plot(told["neighbours"]),
        "neighbours",
        "Share of the entities of each kind with at least so many neighbours; both axes are logarithmic.",
    )
    return section("degrees", "Degrees", Markup(f'<div class="pair">{left}{right}</div>'))


def kinds(described: Mapping[str, Any]) -> Markup:
    """Show the kinds of entities."""
    columns = [
        ("kind", "text"),
        ("entities", "number"),
        ("neighbours, median", "number"),
        ("95 %", "number"),
        ("most", "number"),
        ("in a single triple", "share"),
        ("named by the id", "share"),
    ]
    rows = [
        [
            row["kind"],
            row["entities"],
            row["neighbours"]["median"],
            row["neighbours"]["p95"],
            row["neighbours"]["max"],
            row["used_once_share"],
            row["unnamed"] / row["entities"],
        ]
        for row in described["kinds"]
    ]
    return section("kinds", "Entities by kind", table(columns, rows))


def hubs(described: Mapping[str, Any]) -> Markup:
    """Show the entities that join most items."""
    rows = [[row["label"], row["kind"], row["items"], row["share"]] for row in described["hubs"]]
    columns = [("entity", "long"), ("kind", "text"), ("items", "number"), ("share", "share")]
    note = "An entity that most items are joined to tells few of them apart; max_share drops such entities."
    return section("hubs", "Hubs", paragraph(note, "quiet"), table(columns, rows))


def redundancy(described: Mapping[str, Any]) -> Markup:
    """Show what is said more than once."""
    told = described["redundancy"]
    parts = [
        paragraph(
            f"{told['duplicate_triples']:,} triples say what another says, {told['loops']:,} lead from an "
            "entity to itself."
        )
    ]
    rows = [
        [pair["relations"][0], how, pair["relations"][1], pair["triples"], pair["share"]]
        for key, how in (("overlapping", "the same as"), ("inverse", "the reverse of"))
        for pair in told[key]
    ]
    rows.sort(key=lambda row: -row[3])
    rows += [[row["relation"], "in both directions", "", None, row["share"]] for row in told["both_ways"]]
    if rows:
        columns = [
            ("relation", "text"),
            ("is", "text"),
            ("relation", "text"),
            ("triples", "number"),
            ("share of the first", "share"),
        ]
        parts.append(table(columns, rows[:FIRST_PAIRS]))
        if len(rows) > FIRST_PAIRS:
            rest = table(columns, rows[FIRST_PAIRS:])
            parts.append(details(f"{len(rows) - FIRST_PAIRS} pairs with fewer triples", rest))
    else:
        parts.append(paragraph("No two relations overlap, in the same direction or in reverse."))
    if told["one_tail"]:
        parts.append(paragraph(f"Relations with a single tail: {', '.join(told['one_tail'])}."))
    return section("redundancy", "Redundancy", *parts)


def provenance(described: Mapping[str, Any]) -> Markup:
    """Show where the triples come from."""
    told = described["provenance"]
    total = max(described["triples"], 1)
    rows = [
        [
            row["file"] or row["source"],
            row["field"],
            row["rule"],
            row["relation"],
            row["triples"],
            row["triples"] / total,
        ]
        for row in told["sources"]
    ]
    columns = [
        ("file", "text"),
        ("field", "text"),
        ("rule", "text"),
        ("relation", "text"),
        ("triples", "number"),
        ("share", "share"),
    ]
    parts = [table(columns, rows)]
    if told["sources_left_out"]:
        parts.append(paragraph(f"{told['sources_left_out']:,} more sources are not listed."))
    if told["without_source"]:
        parts.append(paragraph(f"{told['without_source']:,} triples don't say where they come from."))
    return section("provenance", "Where the triples come from", *parts)


def facts_table(facts: list[tuple[str, str, str, str | None]]) -> Markup:
    """Show triples as text: head, label of the relation, tail and source."""
    columns = [("head", "text"), ("relation", "text"), ("tail", "text"), ("source", "text")]
    return details(f"The {len(facts)} facts of the picture as text", table(columns, facts))


def _fact(example: Mapping[str, Any], arrow: str) -> str:
    source = f' title="{text(example["source"])}"' if example["source"] else ""
    head, tail = (f"<bdi>{text(example[end], 60)}</bdi>" for end in ("head", "tail"))
    return f"<span{source}>{head} <span class=quiet>{arrow}</span> {tail}</span>"
