"""A mapping says what the fields of a table are: which is the id, and how each is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field, model_validator

from kg_builders.clean import Decimal
from kg_builders.config import StrictModel, load_yaml, parse_settings
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.bracketed import bracketed_lists, bracketed_paths
from kg_builders.sources.columns import (
    DETAILS,
    PATHS,
    TEXTS,
    cut_long_column,
    details_column,
    each_in_list,
)
from kg_builders.sources.delimited import LINE
from kg_builders.sources.encodings import check_encoding
from kg_builders.sources.values import dates_iso, numbers, tell_unread

__all__ = ["FieldMapping", "TableMapping", "load_mapping", "map_fields", "parse_mapping"]

FieldType = Literal["text", "list", "path", "number", "date", "reference", "key-value"]


class FieldMapping(StrictModel):
    """How one field is read.

    Numbers and dates that can't be read so are left out, counted and quoted; if they are more than the share
    ``max_bad`` of the records, the build stops.
    """

    type: FieldType = "text"
    """What the field becomes:

    - ``text``: a text as it stands; the values of a list are joined by spaces.
    - ``list``: a list of texts.
    - ``reference``: the same; the texts are ids of other items, for rules of kind ``reference``.
    - ``path``: a list of category paths, for rules of kind ``path``.
    - ``number``: a number, also of a price with its currency.
    - ``date``: a date as YYYY-MM-DD, or a year, or a year and a month. Unix times are not read: leave such a
      field a ``text``, of which rules of kind ``year`` and ``decade`` take the year.
    - ``key-value``: pairs of key and value, for rules of kind ``details``.

    For ``list``, ``reference`` and ``path``, a text that is a list in brackets, such as ``['red', 'blue']``
    or ``["red", "blue"]``, is read as that list."""
    column: str | None = None
    """Its name in the file, if that is another: two fields may read one column."""
    delimiter: str | None = Field(default=None, min_length=1)
    """Between the values of a list or a reference, the levels of a path, or the pairs of a key-value field,
    where the file has a text."""
    paths: str | None = Field(default=None, min_length=1)
    """Between several paths in one text, for type ``path``: with ``;`` and the delimiter ``>``, the text
    ``Books > War; Books > Poetry`` is two paths."""
    separator: str = Field(default=":", min_length=1)
    """Between key and value of a pair, for type ``key-value``."""
    format: str | None = None
    """Of a date, such as ``%d/%m/%Y`` for 25/03/2015. Without it, the forms are tried in which day and month
    can't be mistaken: 2015-03-25, 2015/03/25, 25.03.2015, 25-Mar-2015, March 25, 2015 and the like."""
    decimal: Decimal | None = None
    """What stands before the decimals of a number: a full stop, as by default, or a comma."""

    @model_validator(mode="after")
    def _check_options(self) -> FieldMapping:
        if self.paths is not None and self.type != "path":
            raise ValueError(f"paths is for fields of type path; this one is of type {self.type}")
        if self.format is not None and self.type != "date":
            raise ValueError(f"format is for fields of type date; this one is of type {self.type}")
        if self.decimal is not None and self.type != "number":
            raise ValueError(f"decimal is for fields of type number; this one is of type {self.type}")
        if self.delimiter is not None and self.type in ("text", "number", "date"):
            raise ValueError(
                f"a field of type {self.type} isn't split; expected no delimiter, or type list, path, "
                "reference or key-value"
            )
        return self


class TableMapping(StrictModel):
    """A mapping file: what the columns of a table mean."""

    id: str = Field(default="id", min_length=1)
    """Column of the item ids."""
    label: str | None = None
    """Field that names an item for people; it must be among the fields, where these are given."""
    fields: dict[str, FieldMapping] | None = None
    """Field to how it is read (:class:`FieldMapping`), or to its type alone, as in ``title: text``. Columns
    that no field reads are left out. Without ``fields``, all columns are read as they are."""
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    """By default, by the file's ending."""
    delimiter: str | None = Field(default=None, min_length=1)
    """Between the columns of a CSV (default a comma) or TSV file (default a tab), such as ``;``."""
    quote: Literal['"', "'"] | None = '"'
    """Around values of a CSV or TSV file that hold the delimiter or a line break; null if there is none."""
    encoding: str = "utf-8"
    """Of a CSV or TSV file: ``utf-8``, or any that keeps ASCII as it is, such as ``cp1252``."""
    columns: tuple[str, ...] | None = None
    """Names of the columns of a CSV or TSV file whose first line is no header."""

    @model_validator(mode="before")
    @classmethod
    def _accept_types(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("fields"), Mapping):
            fields = {
                name: {"type": value} if isinstance(value, str) else {} if value is None else value
                for name, value in data["fields"].items()
            }
            return {**data, "fields": fields}
        return data

    @model_validator(mode="after")
    def _check_names(self) -> TableMapping:
        for name in self.fields or {}:
            if name in ("id", "row", LINE):
                raise ValueError(
                    f"a field is called {name!r}, which has a meaning of its own; use another name"
                )
        if self.fields is not None and self.label is not None and self.label not in self.fields:
            raise ValueError(f"label {self.label!r} is not among the fields {', '.join(self.fields)}")
        check_encoding(self.encoding)
        return self

    def column_of(self, name: str) -> str:
        """Return the name that a field has in the file."""
        given = (self.fields or {}).get(name)
        return name if given is None or given.column is None else given.column


def parse_mapping(data: Any, where: str = "mapping") -> TableMapping:
    """Validate a mapping given as plain Python values; ``where`` names it in messages."""
    return parse_settings(TableMapping, data, where)


def load_mapping(path: str | Path) -> TableMapping:
    """Load a mapping from a YAML file."""
    return parse_mapping(load_yaml(path), str(path))


def map_fields(
    frame: pl.DataFrame,
    id_column: str,
    fields: Mapping[str, tuple[str, FieldMapping | None]],
    bad: BadRecords,
) -> pl.DataFrame:
    """Make fields from the columns of a table.

    Parameters
    ----------
    frame
        ``LINE``, the id column and the columns of the fields, each as the file has it.
    fields
        Field to its column and how that is read; None leaves it as it is, but for types that records
        don't have: dates and truth values become texts, objects pairs of key and value.

    Returns
    -------
    pl.DataFrame
        ``LINE``, ``id`` (text) and the fields. Values that can't be read are null, and counted.
    """
    columns = [frame[LINE], _to_text(frame[id_column]).alias("id")]
    for name, (column, field) in fields.items():
        given = frame[column] if column in frame.columns else pl.Series(column, [None] * len(frame), pl.Utf8)
        columns.append(
            (_plain(given, frame, bad) if field is None else _read(given, field, frame, bad)).alias(name)
        )
    return pl.DataFrame(columns)


def _plain(given: pl.Series, frame: pl.DataFrame, bad: BadRecords) -> pl.Series:
    dtype = given.dtype
    if isinstance(dtype, pl.Struct):
        given = details_column(given.to_list()).alias(given.name)
    if isinstance(given.dtype, pl.List):
        return cut_long_column(given.name, given, frame[LINE], bad)
    if dtype.is_integer():
        return given.cast(pl.Int64, strict=False)
    if dtype.is_numeric():
        return given.cast(pl.Float64)
    return _as_texts(given)


def _read(given: pl.Series, field: FieldMapping, frame: pl.DataFrame, bad: BadRecords) -> pl.Series:
    if field.type == "text":
        return _as_texts(given)
    if field.type in ("number", "date"):
        return _read_single(given, field, frame, bad)
    if field.type == "path":
        lists = _as_paths(given, field)
    elif field.type == "key-value":
        lists = _as_pairs(given, field)
    else:
        lists = _as_lists(given, field.delimiter)
    return cut_long_column(given.name, lists, frame[LINE], bad)


def _read_single(given: pl.Series, field: FieldMapping, frame: pl.DataFrame, bad: BadRecords) -> pl.Series:
    texts = _as_texts(given)
    if field.type == "number":
        read = given.cast(pl.Float64) if given.dtype.is_numeric() else numbers(texts, field.decimal or ".")
    else:
        read = dates_iso(texts) if field.format is None else dates_iso(texts, (field.format,))
    tell_unread(frame[LINE], texts, read, bad, f"isn't a {field.type}")
    return read


def _as_texts(given: pl.Series) -> pl.Series:
    """Return texts; the values of a list are joined by a space."""
    if isinstance(given.dtype, pl.List):
        joined = given.cast(TEXTS, strict=False).list.join(" ", ignore_nulls=True)
        return pl.select(pl.when(joined != "").then(joined)).to_series()
    texts = _to_text(given).str.strip_chars()
    return pl.select(pl.when(texts != "").then(texts)).to_series()


def _to_text(given: pl.Series) -> pl.Series:
    if given.dtype == pl.Boolean:
        return given.replace_strict([True, False], ["true", "false"], default=None, return_dtype=pl.Utf8)
    return given.cast(pl.Utf8)


def _as_lists(given: pl.Series, delimiter: str | None) -> pl.Series:
    if isinstance(given.dtype, pl.List):
        if isinstance(given.dtype.inner, pl.List):
            given = given.list.eval(pl.element().explode())
        lists = given.cast(TEXTS)
    else:
        texts = _to_text(given)
        split = texts.str.split(delimiter) if delimiter else each_in_list(texts)
        written = bracketed_lists(texts)
        lists = written.zip_with(written.is_not_null(), split)
    return _tidy(lists)


def _as_paths(given: pl.Series, field: FieldMapping) -> pl.Series:
    """Return lists of paths: a list of lists as it is, a list as one path, a text split.

    A text that is a list in brackets is taken as that list.
    """
    if given.dtype == PATHS:
        paths = given
    elif isinstance(given.dtype, pl.List) and field.delimiter is None:
        paths = each_in_list(_tidy(given.cast(TEXTS)))
    else:
        texts = given if isinstance(given.dtype, pl.List) else _as_lists(given, field.paths)
        paths = texts.cast(TEXTS).list.eval(pl.element().str.split(field.delimiter or "\0"))
        if field.delimiter is None:
            written = bracketed_paths(_to_text(given))
            paths = written.zip_with(written.is_not_null(), paths)
    levels = pl.element().str.strip_chars()
    tidy = pl.element().list.eval(levels).list.eval(pl.element().filter(pl.element().str.len_bytes() > 0))
    paths = paths.list.eval(tidy).list.eval(pl.element().filter(pl.element().list.len() > 0))
    return _none_if_empty(paths)


def _as_pairs(given: pl.Series, field: FieldMapping) -> pl.Series:
    """Return ``{key, value}`` pairs of texts such as ``Colour: red; Size: 5``."""
    if isinstance(given.dtype, pl.Struct):
        return details_column(given.to_list())
    if isinstance(given.dtype, pl.List) and isinstance(given.dtype.inner, pl.Struct):
        return given.cast(DETAILS)
    parts = _as_lists(given, field.delimiter)
    halves = pl.element().str.splitn(field.separator, 2)
    key = halves.struct.field("field_0").str.strip_chars()
    value = halves.struct.field("field_1").str.strip_chars()
    pairs = parts.list.eval(
        pl.struct(key=key, value=value).filter((key.str.len_bytes() > 0) & (value.str.len_bytes() > 0))
    )
    return _none_if_empty(pairs)


def _tidy(lists: pl.Series) -> pl.Series:
    stripped = lists.list.eval(pl.element().str.strip_chars())
    return _none_if_empty(stripped.list.eval(pl.element().filter(pl.element().str.len_bytes() > 0)))


def _none_if_empty(lists: pl.Series) -> pl.Series:
    return lists.set(lists.list.len() == 0, None) if len(lists) else lists
