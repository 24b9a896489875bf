"""Delimited text with exact complaints: every row knows its line, every error names it.

Polars' own reader fills rows that are too short with nulls and can't say which line is too long, so lines are
counted and split here; it works on whole columns and stays fast.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError

__all__ = ["LINE", "parse_numbers", "read_delimited", "read_text", "require_columns"]

LINE = "__line__"
"""Column with the number of the line, from 1, that a row begins on."""

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar", " ": "space", "::": "'::'"}


def read_text(path: str | Path) -> str:
    """Read a UTF-8 file, a byte-order mark taken off.

    Raises
    ------
    InputError
        If the file is missing, empty, holds NUL bytes or isn't UTF-8, with the line.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    if not data.strip():
        raise InputError(f"{path}: is empty; expected at least one line")
    nul = data.find(b"\0")
    if nul >= 0:
        raise InputError(f"{path}, line {_line_at(data, nul)}: holds a NUL byte; expected UTF-8 text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        raise InputError(
            f"{path}, line {line}: byte {data[error.start]:#04x} isn't UTF-8; expected UTF-8 text"
        ) from error


def read_delimited(
    path: str | Path,
    delimiter: str,
    columns: Sequence[str] | None = None,
    quote: str | None = None,
) -> pl.DataFrame:
    """Read a delimited text file; every value stays a text, an empty one becomes null.

    Parameters
    ----------
    path
        The file; lines end in LF or CRLF, blank lines are skipped.
    delimiter
        What separates the values, one character or more.
    columns
        Names of the columns of a file without a header; without them, the first line names the columns.
    quote
        Character around values that hold a delimiter or a line break; none by default, since many
        published files hold bare quotation marks.

    Returns
    -------
    pl.DataFrame
        The columns, and ``LINE``.

    Raises
    ------
    InputError
        If the file can't be read, the header names a column twice, the delimiter is another one, a
        line has too few or too many values, or there is no line besides the header.
    """
    path = Path(path)
    text = read_text(path)
    if quote is not None and quote in text:
        lines, cells = _split_quoted(path, text, delimiter, quote)
    else:
        lines, cells = _split_plain(text, delimiter)
    if columns is None:
        names = [(name or "").strip() for name in cells[0].to_list()]
        _check_header(path, names, delimiter)
        lines, cells = lines[1:], cells[1:]
    else:
        names = list(columns)
    if not len(cells):
        raise InputError(f"{path}: has a header but no rows; expected at least one")
    widths = cells.list.len()
    ragged = widths != len(names)
    if ragged.any():
        at = int(ragged.arg_max() or 0)
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        hint = _other_delimiter(cells[at][0], delimiter) if widths[at] == 1 else ""
        raise InputError(
            f"{path}, line {lines[at]}: has {_count(int(widths[at]), 'value')} separated by "
            f"{_called(delimiter)}, expected {len(names)} ({shown}){hint}"
        )
    columns_of = pl.DataFrame({"cells": cells}).select(
        pl.col("cells").list.get(index).replace("", None).alias(name) for index, name in enumerate(names)
    )
    return columns_of.with_columns(lines.alias(LINE))


def require_columns(path: str | Path, frame: pl.DataFrame, wanted: Sequence[str]) -> None:
    """Raise ``InputError`` naming the file and the first column that it lacks."""
    names = [column for column in frame.columns if column != LINE]
    for column in wanted:
        if column not in names:
            raise InputError(f"{path}: no column {column!r}{nearest(column, names)}")


def parse_numbers(path: str | Path, frame: pl.DataFrame, column: str) -> pl.Expr:
    """Return the expression that reads a text column as numbers.

    Raises
    ------
    InputError
        Naming file, line and value, where a value isn't a finite number.
    """
    number = pl.col(column).str.strip_chars().cast(pl.Float64, strict=False)
    bad = frame.filter(pl.col(column).is_not_null() & ~number.is_finite().fill_null(False))
    if len(bad):
        line, value = bad.select(LINE, column).row(0)
        raise InputError(f"{path}, line {line}: {column} is {value!r}, expected a number")
    return number.alias(column)


def _split_plain(text: str, delimiter: str) -> tuple[pl.Series, pl.Series]:
    rows = pl.DataFrame({"text": text.split("\n")}).with_row_index("line", offset=1)
    rows = rows.with_columns(pl.col("text").str.strip_suffix("\r")).filter(pl.col("text").str.len_bytes() > 0)
    return rows["line"].cast(pl.Int64), rows["text"].str.split(delimiter)


def _split_quoted(path: Path, text: str, delimiter: str, quote: str) -> tuple[pl.Series, pl.Series]:
    if len(delimiter) != 1:
        raise InputError(
            f"{path}: holds quoted values; expected a delimiter of one character, got {delimiter!r}"
        )
    lines: list[int] = []
    cells: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                lines.append(start)
                cells.append(row)
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {start}: the quotation is broken ({error})") from error
    return pl.Series(lines, dtype=pl.Int64), pl.Series(cells, dtype=pl.List(pl.Utf8))


def _check_header(path: Path, names: list[str], delimiter: str) -> None:
    if len(names) == 1:
        other = _other_delimiter(names[0], delimiter)
        if other:
            raise InputError(f"{path}, line 1: the header has one column, {names[0]!r}{other}")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}, line 1: column {name!r} occurs twice; expected different names")
        seen.add(name)


def _other_delimiter(line: str, delimiter: str) -> str:
    """Return a hint where another usual delimiter would split the line, else nothing."""
    for other, called in DELIMITERS.items():
        if other != delimiter and other in line.strip():
            parts = line.strip().count(other) + 1
            return f"; {called} would split it into {parts}, but {_called(delimiter)} is the delimiter"
    return ""


def _called(delimiter: str) -> str:
    return DELIMITERS.get(delimiter, repr(delimiter))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1
