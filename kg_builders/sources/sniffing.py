"""What kind of delimited text an unknown file is: its encoding, delimiter, quotes and header.

Lines are split into records as the reader does it, so that what is found here is what reading then gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kg_builders.sources.bad import BadRecords
from kg_builders.sources.delimited import Rows
from kg_builders.sources.streams import LineBlock

__all__ = ["Dialect", "sniff_dialect"]

_DELIMITERS = ("\t", "::", ";", "|", ",")
_SAME_WIDTH = 0.8
_CONTROL = frozenset(range(0x80, 0xA0))


@dataclass(frozen=True)
class Dialect:
    """How a delimited text is written.

    Parameters
    ----------
    encoding
        Of the text.
    delimiter
        Between the values.
    quote
        Around values that hold the delimiter or a line break, if there is such a character.
    columns
        Names for the columns of a file without a header; None if its first record is one.
    """

    encoding: str
    delimiter: str
    quote: str | None
    columns: tuple[str, ...] | None


def sniff_dialect(lines: Sequence[bytes], whole: bool) -> Dialect | None:
    """Tell by its first lines how a delimited text is written.

    Parameters
    ----------
    lines
        The lines, without their line feeds.
    whole
        Whether these are all lines of the file; otherwise the last record may go on.

    Returns
    -------
    Dialect or None
        None if no delimiter splits the records into the same number of values.
    """
    encoding = _encoding(lines)
    best: tuple[str, str | None, list[list[str]]] | None = None
    most = 1
    for delimiter in _DELIMITERS:
        # Where both readings fit as well, quotation marks around values are no part of them.
        quotes: tuple[str | None, ...] = ('"', None) if len(delimiter) == 1 else (None,)
        readings = [(quote, *_rows(lines, delimiter, quote, encoding, whole)) for quote in quotes]
        quote, rows, unread = max(readings, key=lambda reading: _preferred(*reading[1:]))
        width, share = _fit(rows, unread)
        # A delimiter that the first record lacks stands within values, beside line breaks in quotes, say. A
        # comma is frequent in texts, so that it has to split into more than the others do.
        if width > most and share >= _SAME_WIDTH and len(rows[0]) > 1:
            best, most = (delimiter, quote, rows), width
    if best is None:
        return None
    delimiter, quote, rows = best
    return Dialect(encoding, delimiter, quote, _columns(rows))


def _encoding(lines: Sequence[bytes]) -> str:
    """Return the encoding in which most of the lines that are not ASCII can be read.

    Text of another encoding is hardly ever UTF-8 by chance. Windows-1252 and Latin-1 differ in the bytes 80
    to 9f alone: here signs such as the euro, there control characters, which no text has.
    """
    foreign = [line for line in lines if not line.isascii()]
    if sum(_decodes(line, "utf-8") for line in foreign) * 2 >= len(foreign):
        return "utf-8"
    telling = [line for line in foreign if not _CONTROL.isdisjoint(line)]
    windows = sum(_decodes(line, "cp1252") for line in telling) * 2 > len(telling)
    return "cp1252" if windows else "latin-1"


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _rows(
    lines: Sequence[bytes], delimiter: str, quote: str | None, encoding: str, whole: bool
) -> tuple[list[list[str]], int]:
    """Return the records, and the number of lines that can't be read as one."""
    bad = BadRecords("sample", max_bad=1.0)
    splitter = Rows(bad, delimiter, quote, encoding)
    rows: list[list[str]] = splitter.take(LineBlock(1, list(lines)))[1].to_list()
    if whole:
        rows += splitter.take(None)[1].to_list()
    return [row for row in rows if len(row) > 1 or row[0].strip()], bad.count


def _fit(rows: list[list[str]], unread: int) -> tuple[int, float]:
    """Return how many values most records have, and the share of the records that have as many."""
    counts = Counter(map(len, rows))
    if not counts:
        return 0, 0.0
    width, times = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
    return width, times / (len(rows) + unread)


def _preferred(rows: list[list[str]], unread: int) -> tuple[bool, float]:
    """Order readings: those that split the records at all, and among them the one that fits most records."""
    width, share = _fit(rows, unread)
    return width > 1, share


def _columns(rows: list[list[str]]) -> tuple[str, ...] | None:
    """Return names for the columns of records without a header; None if the first one is it.

    A header has different, filled values, none of which is a number or an address.
    """
    first = [value.strip() for value in rows[0]]
    names = all(first) and len(set(first)) == len(first)
    data = any(value.replace(".", "", 1).replace("-", "", 1).isdigit() or "://" in value for value in first)
    recurs = len(rows) > 1 and any(
        sum(row[place] == value for row in rows[1:] if len(row) > place) > len(rows) / 10
        for place, value in enumerate(first)
    )
    if names and not data and not recurs:
        return None
    return tuple(f"column_{place}" for place in range(1, len(first) + 1))
