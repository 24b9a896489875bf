"""The sections of a page that tell how a graph was built.

The parts of a build are known by their form, not by where they come from: whatever has another form is shown
as it is, so that a report never hides what it doesn't know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kg_builders.reporting.anything import anything
from kg_builders.reporting.markup import (
    Markup,
    details,
    paragraph,
    section,
    table,
    text,
)

__all__ = ["EARLY", "build_sections"]

EARLY = ("What was read", "What the rules found")
"""Headings of parts that come before what the graph holds."""
_SKIPPED = {"graph", "warnings"}


def build_sections(report: Mapping[str, Any]) -> list[tuple[str, str, Markup]]:
    """Return anchor, heading and content of each part of a build that has something to tell.

    Parameters
    ----------
    report
        As ``BuildReport.to_dict`` returns it; its ``graph`` and ``warnings`` are told elsewhere.
    """
    sections = []
    for key, value in report.items():
        empty = value is None or (isinstance(value, (Mapping, list, tuple, str)) and not value)
        if key in _SKIPPED or empty:
            continue
        heading, content = _told(str(key), value)
        anchor = "build-" + "".join(letter if letter.isalnum() else "-" for letter in str(key))
        sections.append((anchor, heading, section(anchor, heading, content)))
    return sections


def _told(key: str, value: Any) -> tuple[str, Markup]:
    """Return heading and content of a part, by the first form that it has."""
    parts = list(value) if isinstance(value, (list, tuple)) else [value]
    for keys, heading, shown in _FORMS:
        if parts and all(_has(part, *keys) for part in parts):
            return heading, shown(parts)
    if key == "modalities" and isinstance(value, Mapping):
        return "Features", anything(value)
    return key.replace("_", " ").capitalize(), anything(value)


def _has(value: Any, *keys: str) -> bool:
    return isinstance(value, Mapping) and all(key in value for key in keys)


def _extraction(parts_told: list[Mapping[str, Any]]) -> Markup:
    return Markup("\n".join(_one_extraction(told) for told in parts_told))


def _one_extraction(told: Mapping[str, Any]) -> Markup:
    columns = [
        ("relation", "text"),
        ("file", "text"),
        ("field", "text"),
        ("rule", "text"),
        ("records with a value", "share"),
        ("values", "number"),
        ("entities", "number"),
        ("triples", "number"),
        ("items", "number"),
    ]
    rules = told["rules"]
    rows = [
        [
            rule.get("relation"), rule.get("file"), rule.get("field"), rule.get("kind"),
            rule.get("records_with_value", 0) / max(rule.get("records", 0), 1),
            rule.get("values"), rule.get("entities"), rule.get("triples"), rule.get("items"),
        ]
        for rule in rules
    ]  # fmt: skip
    parts = [
        paragraph(
            f"{told['items']:,} items were read; {told['coverage']:.1%} of them got a fact from the rules."
        ),
        table(columns, rows),
    ]
    left_out = [
        [rule.get("relation"), row["reason"], row["entities"], row["triples"], ", ".join(row["examples"])]
        for rule in rules
        for row in rule.get("dropped") or ()
    ]
    if left_out:
        heads = [
            ("relation", "text"), ("left out because", "text"), ("values or entities", "number"),
            ("uses", "number"), ("such as", "long"),
        ]  # fmt: skip
        parts += [Markup("<h3>Left out</h3>"), table(heads, left_out)]
    merged = [
        [
            rule.get("relation"),
            row["label"],
            " · ".join(f"{name} ({uses:,})" for name, uses in row["spellings"].items()),
        ]
        for rule in rules
        for row in rule.get("merged") or ()
    ]
    if merged:
        heads = [("relation", "text"), ("entity", "text"), ("spellings, with their uses", "long")]
        parts.append(details(f"{len(merged):,} entities with several spellings", table(heads, merged)))
    return Markup("\n".join(parts))


def _bad_records(told: list[Mapping[str, Any]]) -> Markup:
    columns = [
        ("file", "text"),
        ("records", "number"),
        ("skipped", "number"),
        ("share", "share"),
        ("allowed", "share"),
    ]
    told = list(_with_others(told))
    rows = [
        [row["file"], row["records"], row["bad"], row["bad"] / max(row["records"], 1), row.get("max_bad")]
        for row in told
    ]
    parts = [table(columns, rows)]
    for row in told:
        if row.get("first"):
            parts.append(details(f"The first records skipped in {row['file']}", anything(row["first"])))
        for key, what in (("values", "Values left out"), ("cut", "Values cut")):
            if row.get(key):
                parts.append(details(f"{what} in {row['file']}", anything(row[key])))
    return Markup("\n".join(parts))


def _with_others(told: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Go through bad records file by file."""
    for row in told:
        yield row
        yield from _with_others(row.get("others") or ())


def _links(told: list[Mapping[str, Any]]) -> Markup:
    columns = [
        ("graph", "text"),
        ("links", "text"),
        ("items", "number"),
        ("linked", "number"),
        ("coverage", "share"),
        ("triples", "number"),
        ("links of other items", "number"),
        ("links to nothing", "number"),
    ]
    rows = []
    parts = []
    for row in told:
        count = row["items"]
        coverage = row["linked"] / count if count else 0.0
        counts = [row.get(key) for key in ("triples", "foreign_links", "idle_links")]
        rows.append([row["file"], row.get("link_file"), count, row["linked"], coverage, *counts])
        parts.append(
            paragraph(f"{row['file']} agrees with the items' metadata {_agreement(row.get('agreement'))}.")
        )
        if row.get("unlinked"):
            shown = ", ".join(map(str, row["unlinked"]))
            parts.append(
                paragraph(f"{count - row['linked']:,} items without a link, such as {shown}.", "quiet")
            )
    return Markup("\n".join([table(columns, rows), *parts]))


def _agreement(told: Any) -> str:
    if not isinstance(told, Mapping) or told.get("score") is None:
        return "to an extent that is not known"
    verdict = "no better than by chance" if told.get("by_chance") else "better than by chance"
    return f"{verdict} (score {told['score']:.1f})"


def _pruning(steps: list[Mapping[str, Any]]) -> Markup:
    counts = ("triples", "moved", "entities", "relations")
    busy = [step for step in steps if any(step.get(key) for key in counts)]
    idle = [str(step["name"]) for step in steps if not any(step.get(key) for key in counts)]
    # Few steps move triples to another relation or entity; most pages need no column for it.
    shown = [key for key in counts if key != "moved" or any(step.get(key) for step in busy)]
    columns = [
        ("step", "text"),
        ("because", "long"),
        *((key, "number") for key in shown),
        ("items touched", "number"),
        ("such as", "long"),
    ]
    rows = [
        [
            step["name"],
            step["reason"],
            *(step.get(key) for key in shown),
            step.get("items"),
            ", ".join(map(str, step.get("examples") or ())),
        ]
        for step in busy
    ]
    parts = [table(columns, rows)] if rows else [paragraph("No step took anything.")]
    if rows and idle:
        parts.append(paragraph(f"Steps that took nothing: {', '.join(idle)}.", "quiet"))
    return Markup("\n".join(parts))


def _merges(parts_told: list[Mapping[str, Any]]) -> Markup:
    return Markup("\n".join(_one_review(told) for told in parts_told))


def _one_review(told: Mapping[str, Any]) -> Markup:
    parts = [
        paragraph(
            f"{told['merged']:,} entities were merged into others; {told['kept_apart']:,} more pairs were "
            "looked at and kept apart. The review file lists every pair."
        )
    ]
    rest = {key: value for key, value in told.items() if key not in ("merged", "kept_apart") and value}
    parts.extend(Markup(f"<h3>{text(key)}</h3>{anything(value)}") for key, value in rest.items())
    return Markup("\n".join(parts))


_FORMS: tuple[tuple[tuple[str, ...], str, Callable[[list[Mapping[str, Any]]], Markup]], ...] = (
    (("rules", "items", "coverage"), EARLY[1], _extraction),
    (("file", "records", "bad"), EARLY[0], _bad_records),
    (("file", "linked", "items"), "Linked graphs", _links),
    (("name", "reason", "triples"), "Pruning", _pruning),
    (("merged", "kept_apart"), "Merged entities", _merges),
)
"""Keys by which a part is known, its heading, and what shows it."""
