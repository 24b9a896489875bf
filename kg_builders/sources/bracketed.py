"""Lists that stand in a cell as text, in brackets: ``['red', 'blue']`` as pandas writes them, or JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import polars as pl

from kg_builders.sources.coerce import as_paths, as_texts
from kg_builders.sources.columns import PATHS, TEXTS
from kg_builders.sources.literals import count_strings, parse_literal

__all__ = ["bracketed_lists", "bracketed_paths"]

_BRACKETS = r"(?s)^\s*\[.*\]\s*$"


def bracketed_lists(texts: pl.Series) -> pl.Series:
    """Read the texts that are a list as a whole; any other is null, and ``[]`` is an empty list.

    A list holds texts, numbers, truth values, null, or such lists. What only looks like one stays a text.

    Examples
    --------
    >>> cells = pl.Series(["['red', 'blue']", '["x", 2]', "[sic] words", "['red' 'blue']", "red"])
    >>> bracketed_lists(cells).to_list()
    [['red', 'blue'], ['x', '2'], None, None, None]
    """
    return _read(texts, as_texts, TEXTS)


def bracketed_paths(texts: pl.Series) -> pl.Series:
    """Read the texts that are a list as a whole as paths: a list of lists as several, any other as one.

    Examples
    --------
    >>> cells = pl.Series(["['Books', 'Crime']", "[['Books', 'Crime'], ['Gifts']]", "Books"])
    >>> bracketed_paths(cells).to_list()
    [[['Books', 'Crime']], [['Books', 'Crime'], ['Gifts']], None]
    """
    return _read(texts, as_paths, PATHS)


def _read(texts: pl.Series, form: Callable[[Any], Any], dtype: pl.DataType | Any) -> pl.Series:
    # Cells repeat, and reading them is slow.
    distinct = texts.filter(texts.str.contains(_BRACKETS).fill_null(False)).unique()
    if distinct.is_empty():
        return pl.Series(texts.name, [None] * len(texts), dtype=dtype)
    decoded = [_decode(text) for text in distinct.to_list()]
    lists = [None if values is None else form(values) or [] for values in decoded]
    read = pl.DataFrame({"text": distinct, "list": pl.Series(lists, dtype=dtype)})
    found = texts.alias("text").to_frame().join(read, on="text", how="left", maintain_order="left")
    return found["list"].alias(texts.name)


def _decode(text: str) -> list[Any] | None:
    values: Any
    try:
        values = msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            values = parse_literal(text.encode())
        except ValueError:
            return None
        # Python joins texts without a comma between them, as NumPy writes its arrays, into one.
        if isinstance(values, list) and count_strings(text) != _texts_in(values):
            return None
    return values if isinstance(values, list) and _is_plain(values) else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        # Half a surrogate pair is no character.
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, (bool, int, float))


def _texts_in(values: list[Any]) -> int:
    return sum(_texts_in(value) if isinstance(value, list) else isinstance(value, str) for value in values)
