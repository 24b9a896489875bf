"""The sections of a page that tell what a graph holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kg_builders.reporting.markup import (
    Markup,
    details,
    listing,
    number,
    paragraph,
    section,
    share,
    table,
    text,
)
from kg_builders.reporting.plots import degree_plots, svg

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
    cells = "".join(
        f'<div class="tile"><b>{value}</b><span>{text(name)}</span></div>' for value, name in shown
    )
    return Markup(f'<div class="tiles">{cells}</div>')


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
        table(
            [("facts an item", "text"), *((name, "number") for name in facts["facts_per_item"])],
            [["", *facts["facts_per_item"].values()]],
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
    parts.append(
        paragraph(
            f"The graph falls into {described['components']['count']:,} parts that no path joins; "
            f"{sizes['single_entities']:,} of them are a single entity. The largest have "
            f"{', '.join(f'{size:,}' for size in sizes['largest'])} entities; "
            f"{sizes['items_with_facts_elsewhere']:,} items with facts are outside the largest."
        )
    )
    return section("coverage", "Coverage of the items", *parts)


def relations(described: Mapping[str, Any]) -> Markup:
    """Show each relation with examples."""
    rows = []
    for row in described["relation_table"]:
        examples = Markup("<br>".join(_fact(example, row["label"]) for example in row["examples"]))
        ends = ", ".join(
            f"{end['head']} {'–' if row['symmetric'] else '→'} {end['tail']}" for end in row["ends"]
        )
        common = row["commonest_tail"]
        name = Markup(f"<b>{text(row['name'])}</b><br><span class=quiet>{text(row['label'])}</span>")
        usual = Markup(f"{text(common['label'], 40)} ({share(common['share'])})") if common else ""
        rows.append(
            [name, ends, row["triples"], row["heads"], row["tails"], row["item_share"], usual, examples]
        )
    columns = [
        ("relation", "text"),
        ("joins", "text"),
        ("triples", "number"),
        ("heads", "number"),
        ("tails", "number"),
        ("items", "share"),
        ("commonest tail", "text"),
        ("examples", "long"),
    ]
    return section(
        "relations",
        "Relations",
        paragraph(
            "Heads and tails are counted once each; items is the share of all items in its triples.", "quiet"
        ),
        table(columns, rows),
    )


def degrees(described: Mapping[str, Any]) -> Markup:
    """Plot the degrees."""
    figure = degree_plots(described["degrees"])
    caption = (
        "Left, how many items have how many facts; the bins double in width. Right, the share of the "
        "entities of each kind with at least so many neighbours, both axes logarithmic."
    )
    return section("degrees", "Degrees", svg(figure, "degrees", caption))


def kinds(described: Mapping[str, Any]) -> Markup:
    """Show the kinds of entities."""
    columns = [
        ("kind", "text"),
        ("entities", "number"),
        ("neighbours, median", "number"),
        ("95 %", "number"),
        ("most", "number"),
        ("in a single triple", "share"),
        ("known by id alone", "share"),
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
    rows += [[row["relation"], "in both directions", "", None, row["share"]] for row in told["both_ways"]]
    if rows:
        columns = [
            ("relation", "text"),
            ("is", "text"),
            ("relation", "text"),
            ("triples", "number"),
            ("share of the first", "share"),
        ]
        parts.append(table(columns, rows))
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


def _fact(example: Mapping[str, Any], relation: str | None) -> str:
    source = f' title="{text(example["source"])}"' if example["source"] else ""
    head, tail = (f"<bdi>{text(example[end], 60)}</bdi>" for end in ("head", "tail"))
    return f"<span{source}>{head} <span class=quiet>{text(relation, 40)}</span> {tail}</span>"
