"""Plain tables of interactions: CSV, TSV or Parquet with columns that the caller names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from kdiffe_dgl.data.dataset import SPLITS, RecDataset
from kdiffe_dgl.data.readers.assemble import ImportOptions, assemble
from kdiffe_dgl.data.readers.delimited import Table, read_table, require_file
from kdiffe_dgl.data.readers.times import TIME_UNITS, seconds
from kdiffe_dgl.errors import InputError

__all__ = ["read_tabular"]


def read_tabular(
    path: Path,
    *,
    user_column: str = "user",
    item_column: str = "item",
    rating_column: str | None = None,
    timestamp_column: str | None = None,
    split_column: str | None = None,
    time_unit: str = "s",
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    name: str | None = None,
    features: Mapping[str, Path] | None = None,
    labels: pl.DataFrame | None = None,
    options: ImportOptions | None = None,
) -> RecDataset:
    """Read one table with an interaction a row.

    Parameters
    ----------
    path
        A ``.parquet`` file, or delimited text.
    user_column, item_column, rating_column, timestamp_column, split_column
        Names of the columns; optional ones are not read if None. Splits are called ``train``,
        ``validation`` and ``test``.
    time_unit
        ``"s"`` or ``"ms"`` since 1970, of times that are numbers; others need none.
    delimiter
        Of delimited text; None: found in the first line.
    columns
        Names for the columns of delimited text that has no header.
    encoding
        Of delimited text.
    name
        Name of the data set; None: that of the file.
    features
        Modality -> ``.npy`` file whose rows follow ``labels``.
    labels
        Columns ``id`` and ``label``: the catalogue. Items are numbered in its order.
    options
        Threshold and split.

    Raises
    ------
    InputError
        If the file or a column is missing, one column is to name users and items, a value is none of what it
        should be, or there are features but no catalogue that tells the order of their rows.
    """
    if time_unit not in TIME_UNITS:
        raise InputError(f"time unit {time_unit!r} is unknown; expected {' or '.join(TIME_UNITS)}")
    if features and labels is None:
        raise InputError(
            f"{path}: features need a list of the items that tells which row is whose (--item-labels)"
        )
    if user_column == item_column:
        raise InputError(
            f"{path}: column {user_column!r} can't name users and items both; expected a column for each"
        )
    table = _read(path, delimiter, columns, encoding)
    wanted = (user_column, item_column, rating_column, timestamp_column, split_column)
    table.require(column for column in wanted if column is not None)
    raw = {"user_id": table.texts(user_column), "item_id": table.texts(item_column)}
    if rating_column is not None:
        raw["rating"] = table.numbers(rating_column).cast(pl.Float32)
    if timestamp_column is not None:
        raw["timestamp"] = seconds(table, timestamp_column, time_unit)
    if split_column is not None:
        raw["split"] = _splits(table, split_column)
    return assemble(
        name or path.name.split(".")[0],
        pl.DataFrame(raw),
        options=options or ImportOptions(),
        source=str(path),
        items=labels,
        features=features,
        reader="table",
        files=(path,),
    )


def _read(path: Path, delimiter: str | None, columns: Sequence[str] | None, encoding: str) -> Table:
    if path.suffix != ".parquet":
        return read_table(path, delimiter, columns, encoding)
    require_file(path)
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: truncated or not a Parquet file ({reason})") from None
    if frame.is_empty():
        raise InputError(f"{path}: no rows; expected at least one")
    return Table(path, frame)


def _splits(table: Table, column: str) -> pl.Series:
    values = table.texts(column)
    unknown = ~values.is_in(list(SPLITS))
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise InputError(f"{table.where(row)}: {column} is {values[row]!r}; expected {', '.join(SPLITS)}")
    return values
