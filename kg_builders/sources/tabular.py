"""Any table of items: CSV, TSV, JSON lines or Parquet, with a field that holds the ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.sources.delimited import LINE, parse_numbers, read_delimited, read_text, require_columns
from kg_builders.sources.recbole import check_ids
from kg_builders.sources.records import ItemRecords

__all__ = ["FORMATS", "read_tabular"]

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def read_tabular(
    path: str | Path,
    id_field: str = "id",
    *,
    label: str | None = None,
    lists: Mapping[str, str] | None = None,
    numbers: Sequence[str] = (),
    delimiter: str | None = None,
    kind: str | None = None,
) -> ItemRecords:
    """Read items from a table.

    Parameters
    ----------
    path
        The file.
    id_field
        Field that holds the item ids.
    label
        Field that names an item for people.
    lists
        Field to the delimiter of the values in it, such as ``{"genres": "|"}``. Lists of JSON and
        Parquet need no entry.
    numbers
        Fields of a CSV or TSV file that hold numbers.
    delimiter
        Of a CSV (default a comma) or TSV file (default a tab).
    kind
        ``csv``, ``tsv``, ``jsonl`` or ``parquet``; without it, by the file's ending.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, ragged or of another format, a field is missing, an
        id is missing or repeated, or a number isn't one; with file and line where there are lines.
    """
    path = Path(path)
    kind = kind or FORMATS.get(path.suffix.lower(), path.suffix.lstrip("."))
    if kind not in FORMATS.values():
        raise InputError(
            f"{path}: unknown kind of table {kind!r}{nearest(kind, sorted(set(FORMATS.values())))}"
        )
    if kind == "parquet":
        frame = _read_parquet(path)
    elif kind == "jsonl":
        frame = _read_json_lines(path)
    else:
        frame = read_delimited(path, delimiter or ("," if kind == "csv" else "\t"), quote='"')
    wanted = [id_field, *([label] if label else []), *(lists or {}), *numbers]
    require_columns(path, frame, wanted)
    check_ids(path, frame, id_field)
    if kind in ("csv", "tsv"):
        frame = frame.with_columns([parse_numbers(path, frame, name) for name in numbers])
    frame = _split_lists(path, frame, lists or {})
    frame = frame.rename({id_field: "id"}) if id_field != "id" else frame
    fields = [name for name in frame.columns if name not in ("id", LINE)]
    return ItemRecords(
        frame.select(pl.col("id").cast(pl.Utf8), *fields), dict.fromkeys(fields, path.name), label
    )


def _read_parquet(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a Parquet table")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(
            f"{path}: can't be read as Parquet; the file is truncated or of another kind"
        ) from error
    if frame.is_empty():
        raise InputError(f"{path}: has no rows; expected at least one item")
    return frame.with_row_index(LINE, offset=1).with_columns(pl.col(LINE).cast(pl.Int64))


def _read_json_lines(path: Path) -> pl.DataFrame:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: isn't valid JSON ({error})") from error
        if not isinstance(record, dict):
            raise InputError(
                f"{path}, line {number}: is a JSON {type(record).__name__}; expected an object with fields"
            )
        records.append({**record, LINE: number})
    try:
        return pl.DataFrame(records, infer_schema_length=None, strict=True)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: {_mixed_field(records)}") from error


def _mixed_field(records: list[dict[str, Any]]) -> str:
    """Say which field changes its type, and where."""
    types: dict[str, str] = {}
    for record in records:
        for name, value in record.items():
            if value is None:
                continue
            kind = "number" if isinstance(value, (int, float)) else type(value).__name__
            if types.setdefault(name, kind) != kind:
                return (
                    f"line {record[LINE]}: field {name!r} is a {kind} but a {types[name]} above; "
                    "expected the same type on each line"
                )
    return "a field holds values of different types; expected the same type on each line"


def _split_lists(path: Path, frame: pl.DataFrame, lists: Mapping[str, str]) -> pl.DataFrame:
    for name, delimiter in lists.items():
        if isinstance(frame.schema[name], pl.List):
            raise InputError(f"{path}: field {name!r} holds lists already; expected no delimiter for it")
        if frame.schema[name] != pl.Utf8:
            raise InputError(f"{path}: field {name!r} holds {frame.schema[name]}; expected text to split")
        if not delimiter:
            raise InputError(
                f"{path}: the delimiter of field {name!r} is empty{nearest('', ['|', ',', ';'])}"
            )
        parts = pl.col(name).str.split(delimiter).list.eval(pl.element().str.strip_chars())
        frame = frame.with_columns(parts.list.eval(pl.element().filter(pl.element().str.len_bytes() > 0)))
    return frame
