"""Delimited text with exact complaints: every row knows its line, every error names it.

Polars' own reader fills rows that are too short with nulls and can't say which line is too long, so lines are
counted and split here, by whole columns a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.encodings import decode_lines
from kg_builders.sources.streams import MAX_LINE, LineBlock, Progress, read_lines

__all__ = [
    "LINE",
    "Rows",
    "delimited_blocks",
    "parse_numbers",
    "parse_record",
    "read_delimited",
    "read_text",
    "require_columns",
]

LINE = "__line__"
"""Column with the number of the line, from 1, that a row begins on."""

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar", " ": "space", "::": "'::'"}
_QUOTED_LINES = 1_000


def read_delimited(
    path: str | Path,
    delimiter: str,
    columns: Sequence[str] | None = None,
    quote: str | None = None,
    *,
    bad: BadRecords | None = None,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Read a delimited text file; every value stays a text, an empty one becomes null.

    Parameters
    ----------
    path
        The file, plain or compressed; lines end in LF or CRLF, blank lines are skipped.
    delimiter
        What separates the values, one character or more.
    columns
        Names of the columns of a file without a header; without them, the first line names the columns.
    quote
        Character around values that hold a delimiter or a line break; none by default, since many
        published files hold bare quotation marks.
    bad
        Takes the lines that can't be read and are left out; without it, none may be.
    encoding
        That of the text, such as ``latin-1``.
    progress
        Is told how far the reading is.

    Returns
    -------
    pl.DataFrame
        The columns, and ``LINE``.

    Raises
    ------
    InputError
        If the file can't be read, the header names a column twice, the delimiter is another one, more
        lines than ``bad`` tolerates have too few or too many values or aren't text, or there is no line
        besides the header.
    """
    bad = bad if bad is not None else BadRecords(str(path), max_bad=0.0)
    blocks = delimited_blocks(path, delimiter, columns, quote, bad=bad, encoding=encoding, progress=progress)
    frame = pl.concat(list(blocks))
    bad.check(final=True)
    return frame


def delimited_blocks(
    path: str | Path,
    delimiter: str,
    columns: Sequence[str] | None = None,
    quote: str | None = None,
    *,
    bad: BadRecords,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> Iterator[pl.DataFrame]:
    """Read a delimited text file in blocks; see :func:`read_delimited`."""
    if quote is not None and len(delimiter) != 1:
        raise InputError(
            f"{path}: values may be quoted; expected a delimiter of one character, got {delimiter!r}"
        )
    rows = Rows(bad, delimiter, quote, encoding)
    names = None if columns is None else list(columns)
    found = False
    for block in _with_end(read_lines(path, progress)):
        lines, cells = rows.take(block)
        if names is None and len(cells):
            names = [(name or "").strip() for name in cells[0].to_list()]
            bad.total -= 1
            _check_header(path, names, delimiter, int(lines[0]))
            lines, cells = lines[1:], cells[1:]
        if names is not None and len(cells):
            frame = _columns(lines, cells, names, delimiter, bad)
            found = True
            bad.check()
            yield frame
    if names is None:
        bad.check(final=True)
        raise InputError(f"{path}: is empty; expected at least one line")
    if not found:
        bad.check(final=True)
        raise InputError(f"{path}: has a header but no rows; expected at least one")


def read_text(path: str | Path) -> str:
    """Read a small UTF-8 file whole, plain or compressed, a byte-order mark taken off.

    Raises
    ------
    InputError
        If the file can't be read, is empty, holds NUL bytes or isn't UTF-8, with the line.
    """
    bad = BadRecords(str(path), max_bad=0.0)
    lines: list[str] = []
    for block in read_lines(path):
        lines += decode_lines(block, bad)
        bad.check()
    return "\n".join(lines)


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


@dataclass
class Rows:
    """Splits lines into values; a quoted value may go on over lines, and over the end of a block."""

    bad: BadRecords
    delimiter: str
    quote: str | None
    encoding: str
    _open: list[tuple[int, str]] = field(default_factory=list)

    def take(self, block: LineBlock | None) -> tuple[pl.Series, pl.Series]:
        """Return the line numbers and the lists of values of a block; None is the end of the file."""
        keep = self.quote is not None
        texts = [] if block is None else decode_lines(block, self.bad, self.encoding, keep)
        first = 1 if block is None else block.first
        if self._open or any(map(self._quoted, texts)):
            lines, cells = self._split_quoted(list(enumerate(texts, start=first)), end=block is None)
            result = pl.Series(lines, dtype=pl.Int64), pl.Series(cells, dtype=pl.List(pl.Utf8))
        else:
            rows = pl.DataFrame({"text": texts}, schema={"text": pl.Utf8})
            if keep:
                rows = rows.with_columns(pl.col("text").str.strip_suffix("\r"))
            rows = rows.with_row_index("line", offset=first)
            rows = rows.filter(pl.col("text").str.len_bytes() > 0)
            result = rows["line"].cast(pl.Int64), rows["text"].str.split(self.delimiter)
        self.bad.total += len(result[0])
        return result

    def _quoted(self, text: str) -> bool:
        """Whether a value begins with a quotation mark; within one, marks are what they are."""
        quote = self.quote
        return (
            quote is not None and quote in text and (text.startswith(quote) or self.delimiter + quote in text)
        )

    def _split_quoted(self, texts: list[tuple[int, str]], end: bool) -> tuple[list[int], list[list[str]]]:
        assert self.quote is not None
        lines: list[int] = []
        cells: list[list[str]] = []
        waiting = [*self._open, *texts]
        self._open = []
        at = 0
        while at < len(waiting):
            number, text = waiting[at]
            stop, unended = self._end_of_record(waiting, at)
            if stop is None and not unended and not end:
                self._open = waiting[at:]
                break
            record = None
            if stop is not None:
                record = "\n".join(part for _, part in waiting[at:stop]).removesuffix("\r")
            row = None if record is None else self._values(record)
            if row is None:
                # Only its first line is given up, or a stray quotation mark would swallow the file.
                self.bad.total += 1
                self.bad.add(number, text, f"the quotation is broken{unended}")
                at += 1
                continue
            if row:
                lines.append(number)
                cells.append(row)
            at = stop or at + 1
        return lines, cells

    def _end_of_record(self, waiting: list[tuple[int, str]], at: int) -> tuple[int | None, str]:
        """Return the place after the record's last line: where its quotation marks are even in number.

        Where there is none among the lines, it may be in those to come; the second value says why not, if so.
        """
        if not self._quoted(waiting[at][1]):
            return at + 1, ""
        marks = length = 0
        for stop in range(at, len(waiting)):
            text = waiting[stop][1]
            marks += text.count(self.quote or "")
            length += len(text) + 1
            if length > MAX_LINE + 1:
                return None, f": it doesn't end within {MAX_LINE >> 20} MiB"
            if marks % 2 == 0:
                return stop + 1, ""
            if stop + 1 - at == _QUOTED_LINES:
                return None, f": it doesn't end within {_QUOTED_LINES:,} lines"
        return None, ""

    def _values(self, record: str) -> list[str] | None:
        if self.quote is not None and self._quoted(record):
            return parse_record(record, self.delimiter, self.quote)
        return record.split(self.delimiter) if record else []


def parse_record(record: str, delimiter: str, quote: str) -> list[str] | None:
    """Split a record into values; None where a quotation is broken.

    The ``csv`` module would refuse values past 128 KiB, a limit that only a whole process can change.

    Examples
    --------
    >>> parse_record('1,"a ""b"", c"', ",", '"')
    ['1', 'a "b", c']
    """
    cells: list[str] = []
    at = 0
    while True:
        if record.startswith(quote, at):
            end = _closing(record, quote, at + 1)
            if end is None:
                return None
            cells.append(record[at + 1 : end].replace(quote * 2, quote))
            end += 1
        else:
            end = record.find(delimiter, at)
            end = len(record) if end < 0 else end
            cells.append(record[at:end])
            if "\n" in cells[-1] or "\r" in cells[-1]:
                return None
        if end == len(record):
            return cells
        if record[end] != delimiter:
            return None
        at = end + 1


def _closing(record: str, quote: str, at: int) -> int | None:
    """Return the place of the quotation mark that ends a value; two side by side are one within it."""
    while (end := record.find(quote, at)) >= 0:
        if not record.startswith(quote, end + 1):
            return end
        at = end + 2
    return None


def _with_end(blocks: Iterator[LineBlock]) -> Iterator[LineBlock | None]:
    yield from blocks
    yield None


def _columns(
    lines: pl.Series, cells: pl.Series, names: list[str], delimiter: str, bad: BadRecords
) -> pl.DataFrame:
    """Return the columns of the rows that have as many values as names; the others are bad."""
    widths = cells.list.len()
    ragged = widths != len(names)
    if ragged.any():
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        for line, row in zip(lines.filter(ragged), cells.filter(ragged), strict=True):
            values = row.to_list()
            hint = _other_delimiter(values[0], delimiter) if len(values) == 1 else ""
            bad.add(
                line,
                "",
                f"has {_count(len(values), 'value')} separated by {_called(delimiter)}, "
                f"expected {len(names)} ({shown}){hint}",
            )
        lines, cells = lines.filter(~ragged), cells.filter(~ragged)
    frame = pl.DataFrame({"cells": cells}).select(
        pl.col("cells").list.get(index).replace("", None).alias(name) for index, name in enumerate(names)
    )
    return frame.with_columns(lines.alias(LINE))


def _check_header(path: str | Path, names: list[str], delimiter: str, line: int) -> None:
    if len(names) == 1:
        other = _other_delimiter(names[0], delimiter)
        if other:
            raise InputError(f"{path}, line {line}: the header has one column, {names[0]!r}{other}")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}, line {line}: column {name!r} occurs twice; expected different names")
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
