"""Polars in this process, the default."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.engines.base import Engine
from kg_builders.sources.records import ItemRecords

__all__ = ["PolarsEngine"]


class PolarsEngine(Engine):
    """Polars in this process: staged records are read in batches, what several steps need is in memory."""

    def scan(self, records: ItemRecords) -> nw.LazyFrame[Any]:
        """Return the records with ``row``, ``id`` and the fields."""
        return nw.from_native(records.scan())

    def lift(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        """Take a local table into the engine."""
        return nw.from_native(frame.lazy())

    def persist(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a table once that is read several times."""
        return self.lift(self.collect(frame))

    def collect(self, frame: nw.LazyFrame[Any], large: bool = False) -> pl.DataFrame:
        """Compute a table."""
        return frame.to_native().collect(engine="streaming")

    def release(self) -> None:
        """Do nothing: tables go when nobody uses them."""

    def split(self, column: nw.Expr, delimiter: str) -> nw.Expr:
        """Split a text at each occurrence of the delimiter."""
        return column.str.split(delimiter)

    def join_list(self, frame: nw.LazyFrame[Any], column: str, separator: str) -> nw.LazyFrame[Any]:
        """Turn lists of texts into texts with the separator between them."""
        joined = pl.col(column).cast(pl.List(pl.Utf8)).list.join(separator, ignore_nulls=True)
        return nw.from_native(frame.to_native().with_columns(joined))

    def explode_numbered(self, frame: nw.LazyFrame[Any], column: str, position: str) -> nw.LazyFrame[Any]:
        """Make a row of each element of a column of lists, with its place in it."""
        native = frame.to_native().filter(pl.col(column).list.len() > 0)
        places = pl.int_ranges(pl.col(column).list.len().cast(pl.Int64)).alias(position)
        return nw.from_native(native.with_columns(places).explode(column, position))
