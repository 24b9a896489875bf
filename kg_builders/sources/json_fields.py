"""JSON lines of any fields into columns: with a mapping only what it names, without one all that occurs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from kg_builders.sources.bad import BadRecords
from kg_builders.sources.coerce import as_mapping, as_number, as_paths, as_text, as_texts
from kg_builders.sources.columns import (
    details_column,
    id_column,
    number_column,
    paths_column,
    text_column,
    texts_column,
)
from kg_builders.sources.delimited import LINE
from kg_builders.sources.jsonlines import JsonLines, parse_json
from kg_builders.sources.mapping import FieldMapping, TableMapping
from kg_builders.sources.streams import Progress, read_lines, sniff_lines

_ODD_NAME = re.compile(r'[\x00-\x1f"\\]')

__all__ = ["all_json_fields", "json_keys", "mapped_json"]


def json_keys(path: str | Path) -> list[str]:
    """Return the names of the fields of the first records, in the order in which they come up."""
    seen: dict[str, None] = {}
    for line in sniff_lines(path, 1000).lines:
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            seen.update(dict.fromkeys(record))
    return list(seen)


def mapped_json(
    path: str | Path, mapping: TableMapping, bad: BadRecords, progress: Progress | None
) -> Iterator[pl.DataFrame]:
    """Read the columns that a mapping names, as texts, numbers, lists or pairs as the records have them."""
    columns = {mapping.column_of(name): field for name, field in (mapping.fields or {}).items()}
    names = [mapping.id, *(name for name in columns if name != mapping.id)]
    # msgspec knows no fields of such names, so that all are decoded then.
    odd = any(_ODD_NAME.search(name) for name in names)
    decoder = JsonLines({} if odd else dict.fromkeys(names, Any), {})
    for block in read_lines(path, progress):
        lines, records = decoder.decode_any(block, bad) if odd else decoder.decode(block, bad)
        frame = {LINE: pl.Series(LINE, lines, dtype=pl.Int64)}
        for name in names:
            values = [record.get(name) for record in records] if odd else decoder.column(records, name)
            if name == mapping.id:
                frame[name] = id_column([as_text(value) for value in values])
            else:
                frame[name] = _column(values, columns[name])
        yield pl.DataFrame(frame)


def _column(values: list[Any], field: FieldMapping) -> pl.Series:
    if field.type == "number":
        if any(value.__class__ is str for value in values):
            return text_column([as_text(value) for value in values])
        return number_column([as_number(value) for value in values])
    texts_only = all(value is None or value.__class__ is str for value in values)
    if field.type in ("text", "date") or texts_only:
        joined = (
            " ".join(as_texts(value) or ()) if value.__class__ is list else as_text(value) for value in values
        )
        return text_column(list(joined))
    if field.type == "key-value":
        return details_column([as_mapping(value) for value in values])
    if field.delimiter is not None:
        values = [value.split(field.delimiter) if value.__class__ is str else value for value in values]
    if field.type == "path":
        return paths_column([as_paths(value) for value in values])
    return texts_column([as_texts(value) for value in values])


def all_json_fields(
    path: str | Path, id_field: str | None, bad: BadRecords, progress: Progress | None
) -> Iterator[pl.DataFrame]:
    """Read every field; its first value says whether it is a text, a number, a list or an object.

    The ids are texts whatever they are. A record in which a field is something else is bad.
    """
    kinds: dict[str, str] = {} if id_field is None else {id_field: "text"}
    decoder = JsonLines({}, {})
    for block in read_lines(path, progress):
        numbers, parsed = decoder.decode_any(block, bad)
        lines: list[int] = []
        records: list[dict[str, Any]] = []
        for number, record in zip(numbers, parsed, strict=True):
            reason = _misfit(record, kinds, id_field)
            if reason is None:
                lines.append(number)
                records.append(record)
            else:
                bad.add(number, "", reason)
        columns = {LINE: pl.Series(LINE, lines, dtype=pl.Int64)}
        for name, kind in kinds.items():
            values = [record.get(name) for record in records]
            if name == id_field:
                columns[name] = id_column([as_text(value) for value in values])
            else:
                columns[name] = _column_of_kind(values, kind)
        yield pl.DataFrame(columns)


_KINDS = {str: "text", int: "number", float: "number", bool: "text", list: "list", dict: "object"}


def _misfit(record: dict[str, Any], kinds: dict[str, str], id_field: str | None) -> str | None:
    """Say which field is of another kind than above; new fields are noted if all others fit."""
    new: dict[str, str] = {}
    for name, value in record.items():
        if value is None or value in ([], {}):
            continue
        kind = _KINDS[value.__class__]
        if kind == "list" and isinstance(value[0], list):
            kind = "list of lists"
        known = kinds.get(name)
        if known is None:
            new[name] = kind
        elif kind != known and not (name == id_field and kind == "number"):
            return f"field {name!r} is a {kind} but a {known} above; expected the same on each line"
    kinds.update(new)
    return None


def _column_of_kind(values: list[Any], kind: str) -> pl.Series:
    if kind == "number":
        if all(value is None or (value.__class__ is int and abs(value) < 2**63) for value in values):
            return pl.Series(values, dtype=pl.Int64)
        return number_column([as_number(value) for value in values])
    if kind == "text":
        return text_column([as_text(value) for value in values])
    if kind == "object":
        return details_column(values)
    if kind == "list of lists":
        return paths_column([as_paths(value) for value in values])
    return texts_column([as_texts(value) for value in values])
