"""Python values of decoded records into Polars columns, by way of Arrow, which is the quick way.

A column of lists is laid out flat with offsets; so a million lists cost a few list operations each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from kg_builders.sources.bad import BadRecords
from kg_builders.sources.coerce import text_of

__all__ = [
    "DETAILS",
    "MAX_VALUES",
    "PATHS",
    "TEXTS",
    "cut_long_column",
    "cut_long_lists",
    "details_column",
    "each_in_list",
    "id_column",
    "number_column",
    "paths_column",
    "text_column",
    "texts_column",
]

TEXTS = pl.List(pl.Utf8)
PATHS = pl.List(pl.List(pl.Utf8))
DETAILS = pl.List(pl.Struct({"key": pl.Utf8, "value": pl.Utf8}))

MAX_VALUES = 10_000
"""Values of one field of one record that are kept; the rest is cut and told."""

_CUT = f"holds more than {MAX_VALUES:,} values, the rest cut"

_AROUND_KEYS = " \t\r\n:\u00a0\u200e\u200f"


def text_column(values: Sequence[str | None]) -> pl.Series:
    """Return texts as a column, without spaces around them; empty ones are null."""
    return _series(
        pa.array([value.strip() or None if value else None for value in values], pa.large_string())
    )


def id_column(values: Sequence[str | None]) -> pl.Series:
    """Return texts as a column, exactly as they are; ids are normalised, and that is told, further on."""
    return _series(pa.array(values, pa.large_string()))


def number_column(values: Sequence[float | None]) -> pl.Series:
    """Return numbers as a column of Float64; what isn't finite is null."""
    column = _series(pa.array(values, pa.float64()))
    finite = column.is_finite()
    return column if finite.all() else column.set(~finite, None)


def texts_column(values: Sequence[Sequence[str] | None]) -> pl.Series:
    """Return lists of texts as a column; empty texts are left out, and an empty list is null."""
    return _series(_list_array(*_texts(values)))


def paths_column(values: Sequence[Sequence[Sequence[str]] | None]) -> pl.Series:
    """Return lists of paths as a column; empty levels and paths are left out, and none at all is null."""
    flat = list(chain.from_iterable(filter(None, values)))
    if not all(flat) or "" in chain.from_iterable(flat):
        tidied = ([[level for level in path if level] for path in paths] if paths else () for paths in values)
        values = [[path for path in paths if path] for paths in tidied]
        flat = list(chain.from_iterable(filter(None, values)))
    return _series(_list_array(_counts(values), _list_array(*_texts(flat))))


def details_column(values: Sequence[Mapping[str, Any] | None]) -> pl.Series:
    """Return mappings as a column of lists of ``{key, value}``.

    Keys lose spaces and a colon at their end. A list gives an entry each; a mapping within gives entries
    ``inner key: value``; what is deeper is written as JSON.
    """
    keys: list[str] = []
    texts: list[str] = []
    counts: list[int] = []
    for mapping in values:
        before = len(keys)
        if mapping:
            given = list(mapping.values())
            try:
                # Joining is the quickest way to see that all are texts.
                "".join(given)
            except TypeError:
                for key, value in mapping.items():
                    parts = _parts(value)
                    keys.extend([key] * len(parts))
                    texts.extend(parts)
            else:
                keys.extend(mapping)
                texts.extend(given)
        counts.append(len(keys) - before)
    pairs = pl.DataFrame(
        {
            "key": _series(pa.array(keys, pa.large_string())).str.strip_chars(_AROUND_KEYS),
            "value": _series(pa.array(texts, pa.large_string())).str.strip_chars(),
        }
    )
    empty = pairs.select((pl.col("key") == "") | (pl.col("value") == "")).to_series()
    kept = np.asarray(counts, dtype=np.int64)
    if empty.any():
        owner = np.repeat(np.arange(len(kept)), kept)
        kept = np.bincount(owner[~empty.to_numpy()], minlength=len(kept)).astype(np.int64)
        pairs = pairs.filter(~empty)
    return _series(_list_array(kept, pairs.to_struct().to_arrow()))


def each_in_list(values: pl.Series) -> pl.Series:
    """Return a column of lists that hold one value each; null where there is none."""
    alone = _list_array((~values.is_null()).to_numpy().astype(np.int64), values.drop_nulls().to_arrow())
    return _series(alone)


def cut_long_lists(
    name: str,
    values: list[Any],
    lines: Sequence[int],
    bad: BadRecords,
) -> None:
    """Cut the lists that hold more than ``MAX_VALUES``, in place, and tell of it."""
    if max(map(len, filter(None, values)), default=0) <= MAX_VALUES:
        return
    for index, value in enumerate(values):
        if value and len(value) > MAX_VALUES:
            bad.add_cut(name, _CUT, lines[index], f"{len(value):,} values")
            values[index] = list(value[:MAX_VALUES])


def cut_long_column(
    name: str, lists: pl.Series, lines: Sequence[int] | pl.Series, bad: BadRecords
) -> pl.Series:
    """Return a column of lists with at most ``MAX_VALUES`` in each, and tell of those that were cut."""
    counts = lists.list.len()
    long = (counts > MAX_VALUES).fill_null(False)
    if not long.any():
        return lists
    at = int(long.arg_max() or 0)
    bad.add_cut(name, _CUT, int(lines[at]), f"{counts[at]:,} values", int(long.sum()))
    return lists.list.head(MAX_VALUES)


def _parts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for part in value if (text := text_of(part))]
    if isinstance(value, dict):
        return [f"{key}: {text}" for key, part in value.items() if (text := text_of(part))]
    text = text_of(value)
    return [text] if text else []


def _texts(values: Sequence[Sequence[str] | None]) -> tuple[np.ndarray, pa.Array]:
    """Return the number of texts of each list, and all of them, empty ones left out."""
    flat = list(chain.from_iterable(filter(None, values)))
    if "" in flat:
        values = [[text for text in texts if text] if texts else None for texts in values]
        flat = list(chain.from_iterable(filter(None, values)))
    return _counts(values), pa.array(flat, pa.large_string())


def _counts(values: Sequence[Sequence[Any] | None]) -> np.ndarray:
    return np.fromiter((len(value) if value else 0 for value in values), np.int64, len(values))


def _list_array(counts: np.ndarray, flat: pa.Array) -> pa.Array:
    """Return lists of these lengths over the flat values; an empty one is null."""
    offsets = pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]))
    return pa.LargeListArray.from_arrays(offsets, flat, mask=pa.array(counts == 0))


def _series(array: pa.Array) -> pl.Series:
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series
