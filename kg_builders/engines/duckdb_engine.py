"""DuckDB in this process: tables that outgrow memory spill to disk."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.engines.base import Engine
from kg_builders.errors import InputError, install_hint
from kg_builders.sources.records import ItemRecords

__all__ = ["DuckDBEngine"]


class DuckDBEngine(Engine):
    """DuckDB in this process.

    Parameters
    ----------
    threads
        Number of threads; as DuckDB chooses, by default.
    memory_limit
        Such as ``4GB``; past it, tables go to disk.

    Raises
    ------
    InputError
        If DuckDB is not installed.
    """

    def __init__(self, threads: int | None = None, memory_limit: str | None = None) -> None:
        try:
            import duckdb  # noqa: PLC0415
        except ImportError as error:
            raise InputError(
                f"engine duckdb: DuckDB is not installed; expected {install_hint('duckdb')}"
            ) from error
        settings: dict[str, str | bool | int | float | list[str]] = {}
        if threads is not None:
            settings["threads"] = threads
        if memory_limit is not None:
            settings["memory_limit"] = memory_limit
        self._connection = duckdb.connect(":memory:", config=settings)
        self._connection.execute("SET preserve_insertion_order = false")
        self._tables: list[str] = []
        self._count = 0

    def close(self) -> None:
        """Close the connection with all its tables."""
        self._connection.close()

    def scan(self, records: ItemRecords) -> nw.LazyFrame[Any]:
        """Return the records with ``row``, ``id`` and the fields; staged ones are read by DuckDB itself."""
        if not records.parquet_files:
            return self.lift(records.scan().collect())
        files = [str(path) for path in records.parquet_files]
        return nw.from_native(self._connection.read_parquet(files))

    def lift(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        """Take a local table into the engine."""
        return self._store(self._connection.from_arrow(frame.to_arrow()))

    def persist(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a table once that is read several times."""
        return self._store(frame.to_native())

    def collect(self, frame: nw.LazyFrame[Any], large: bool = False) -> pl.DataFrame:
        """Compute a table and bring it here."""
        return frame.collect(backend="polars").to_native()

    def release(self) -> None:
        """Drop the tables that were made."""
        for name in self._tables:
            self._connection.execute(f"DROP TABLE {name}")
        self._tables.clear()

    def split(self, column: nw.Expr, delimiter: str) -> nw.Expr:
        """Split a text at each occurrence of the delimiter."""
        return column.str.split(delimiter)

    def join_list(self, frame: nw.LazyFrame[Any], column: str, separator: str) -> nw.LazyFrame[Any]:
        """Turn lists of texts into texts with the separator between them."""
        return self._replace(frame, column, f"array_to_string({_quoted(column)}, {_literal(separator)})")

    def explode_numbered(self, frame: nw.LazyFrame[Any], column: str, position: str) -> nw.LazyFrame[Any]:
        """Make a row of each element of a column of lists, with its place in it."""
        name = _quoted(column)
        others = ", ".join(_quoted(other) for other in frame.collect_schema().names() if other != column)
        relation = frame.to_native().filter(f"len({name}) > 0")
        # Two unnest of one row run side by side.
        return nw.from_native(
            relation.project(
                f"{others}, unnest({name}) AS {name}, unnest(range(len({name}))) AS {_quoted(position)}"
            )
        )

    def _replace(self, frame: nw.LazyFrame[Any], column: str, expression: str) -> nw.LazyFrame[Any]:
        columns = [
            f"{expression} AS {_quoted(name)}" if name == column else _quoted(name)
            for name in frame.collect_schema().names()
        ]
        return nw.from_native(frame.to_native().project(", ".join(columns)))

    def _store(self, relation: Any) -> nw.LazyFrame[Any]:
        self._count += 1
        name = f"kg_builders_{self._count}"
        relation.create(name)
        self._tables.append(name)
        return nw.from_native(self._connection.table(name))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
