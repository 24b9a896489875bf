"""Tables of the readers: every complaint names the file and the line (or row) that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kdiffe_dgl.errors import InputError
from kg_builders.sources.delimited import LINE, require_columns
from kg_builders.sources.delimited import read_delimited as read_lines
from kg_builders.sources.encodings import check_encoding

__all__ = ["DELIMITERS", "Table", "read_table", "require_file"]

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}


@dataclass(frozen=True)
class Table:
    """A table as it was read, which can say where a value stands in its file.

    Parameters
    ----------
    path
        The file.
    frame
        Its columns, in the order of the file; with ``LINE`` where it is a text file.
    """

    path: Path
    frame: pl.DataFrame

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the file."""
        return [column for column in self.frame.columns if column != LINE]

    def require(self, columns: Iterable[str]) -> None:
        """Raise ``InputError`` naming the first of ``columns`` that the table lacks."""
        require_columns(self.path, self.frame, list(columns))

    def where(self, row: int) -> str:
        """Return the file and the place of a row in it, such as ``"x.inter, line 7"``."""
        if LINE in self.frame.columns:
            return f"{self.path}, line {self.frame[LINE][row]}"
        return f"{self.path}, row {row + 1}"

    def texts(self, column: str) -> pl.Series:
        """Return a column as text without spaces around it; ``InputError`` at the first missing value."""
        values = self._cast(column, pl.Utf8).str.strip_chars()
        return self.checked(column, values.set(values == "", None), "a value", required=True)

    def integers(self, column: str) -> pl.Series:
        """Return a column as whole numbers from 0; ``InputError`` at the first other value."""
        values = self._cast(column, pl.Int64)
        return self.checked(column, values.set(values < 0, None), "a whole number from 0", required=True)

    def numbers(self, column: str) -> pl.Series:
        """Return a column as finite float64, missing ones null; ``InputError`` at the first other value."""
        values = self._cast(column, pl.Float64)
        return self.checked(column, values.set(~values.is_finite(), None), "a number", required=False)

    def unique_texts(self, column: str) -> pl.Series:
        """Return a column of ids as text; ``InputError`` at the first that occurred before."""
        values = self.texts(column)
        repeated = ~values.is_first_distinct()
        if repeated.any():
            row = int(repeated.arg_max() or 0)
            raise InputError(
                f"{self.where(row)}: {column} {values[row]!r} occurs a second time; expected unique ids"
            )
        return values

    def _cast(self, column: str, dtype: type[pl.DataType]) -> pl.Series:
        self.require([column])
        values = self.frame[column]
        try:
            return values.cast(dtype, strict=False)
        except pl.exceptions.PolarsError:
            raise InputError(
                f"{self.path}: column {column!r} has the type {values.dtype}; expected plain values"
            ) from None

    def checked(self, column: str, values: pl.Series, expected: str, required: bool) -> pl.Series:
        """Return values read from a column; ``InputError`` at the first that is null.

        Parameters
        ----------
        column
            Its name.
        values
            What was read, null where it is not as expected.
        expected
            What was expected, for the message.
        required
            Whether missing values are refused as well.
        """
        bad = values.is_null()
        if not required:
            bad &= self.frame[column].is_not_null()
        if bad.any():
            row = int(bad.arg_max() or 0)
            value = self.frame[column][row]
            shown = "missing" if value is None else repr(value)
            raise InputError(f"{self.where(row)}: {column} is {shown}; expected {expected}")
        return values


def read_table(
    path: Path,
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Table:
    """Read delimited text; all values stay text.

    Parameters
    ----------
    path
        The file.
    delimiter
        The character between fields; None: the one of comma, tab, semicolon and vertical bar that
        occurs most often in the first line. Quotes are understood only with commas and semicolons.
    columns
        Names of the columns of a file without a header; None: the first line is the header.
    encoding
        That of the text, such as ``cp1252``.

    Raises
    ------
    InputError
        If the file is missing, empty, no text of that encoding, has no such delimiter, repeats a column name,
        holds no row, or has a line with another number of fields; or the encoding is not read.
    """
    require_file(path)
    try:
        check_encoding(encoding)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    separator = _sniffed(path, encoding) if delimiter is None else delimiter
    if separator not in DELIMITERS:
        names = ", ".join(DELIMITERS.values())
        raise InputError(f"delimiter {separator!r} is not supported; expected one of {names}")
    return Table(
        path, read_lines(path, separator, columns, '"' if separator in ",;" else None, encoding=encoding)
    )


def require_file(path: Path) -> None:
    """Raise ``InputError`` if ``path`` is no file or an empty one."""
    if not path.is_file():
        raise InputError(f"{path}: missing file; expected a table with delimiters")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file; expected at least one row")


def _sniffed(path: Path, encoding: str) -> str:
    with path.open("rb") as stream:
        head = stream.readline(1 << 20).decode(encoding, errors="replace").lstrip("\ufeff").rstrip("\r\n")
    best = max(DELIMITERS, key=head.count)
    if best not in head:
        raise InputError(
            f"{path}, line 1: wrong delimiter, {head[:60]!r} has none of {', '.join(DELIMITERS.values())}; "
            "expected columns separated by one of them"
        )
    return best
