"""Values of any form as HTML, for parts of a report that no section knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kg_builders.reporting.markup import Markup, listing, number, table, text

__all__ = ["anything", "records_table"]

DEEPEST = 6
MOST_POINTS = 50


def anything(value: Any, depth: int = 0) -> Markup:
    """Show a value: a mapping as pairs, a list of mappings as a table, another list as points."""
    if depth > DEEPEST:
        return text("…")
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, (list, tuple)):
        return _sequence(value, depth)
    return number(value) if _is_number(value) else text(value)


def records_table(named: Sequence[tuple[Any, Mapping[Any, Any]]], depth: int = 0) -> Markup:
    """Show mappings as the rows of a table; a first column has their names, if they have any."""
    rows = [(name, {str(key): value for key, value in row.items()}) for name, row in named]
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    names = [("", "text")] if any(name != "" for name, _ in rows) else []
    kinds = {key: _kind([row.get(key) for _, row in rows]) for key in keys}
    return table(
        [*names, *((key.replace("_", " "), kinds[key]) for key in keys)],
        [
            [
                *([name] if names else []),
                *(
                    row.get(key) if kinds[key] == "number" else anything(row.get(key), depth + 1)
                    for key in keys
                ),
            ]
            for name, row in rows
        ],
    )


def _mapping(value: Mapping[Any, Any], depth: int) -> Markup:
    if value and all(isinstance(inner, Mapping) for inner in value.values()):
        return records_table(list(value.items()), depth)
    pairs = (f"<dt>{text(key)}</dt><dd>{anything(inner, depth + 1)}</dd>" for key, inner in value.items())
    return Markup(f"<dl>{''.join(pairs)}</dl>")


def _sequence(value: Sequence[Any], depth: int) -> Markup:
    if not value:
        return text("none")
    if all(isinstance(inner, Mapping) for inner in value):
        return records_table([("", inner) for inner in value], depth)
    more = [f"{len(value) - MOST_POINTS:,} more"] if len(value) > MOST_POINTS else []
    return listing([*(anything(inner, depth + 1) for inner in value[:MOST_POINTS]), *more])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    return "number" if known and all(_is_number(value) for value in known) else "text"
