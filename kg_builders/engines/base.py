"""What extraction asks of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

import narwhals as nw
import polars as pl

from kg_builders.sources.records import ItemRecords

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Engine"]

EngineT = TypeVar("EngineT", bound="Engine")


class Engine(ABC):
    """Moves tables in and out of an engine, and does the few things that Narwhals has no word for.

    As a context manager, it is closed at the end of the block.
    """

    def __enter__(self: EngineT) -> EngineT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all that the engine holds; it can't be used any more."""
        self.release()

    @abstractmethod
    def scan(self, records: ItemRecords) -> nw.LazyFrame[Any]:
        """Return the records with ``row`` (their number, from 0), ``id`` and the fields."""

    @abstractmethod
    def lift(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        """Take a local table into the engine."""

    @abstractmethod
    def persist(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a table once that is read several times; it stays in the engine."""

    @abstractmethod
    def collect(self, frame: nw.LazyFrame[Any], large: bool = False) -> pl.DataFrame:
        """Compute a table and bring it here; row order is not promised.

        A ``large`` one, of millions of rows, may be written as Parquet by the engine and read from there.
        """

    @abstractmethod
    def release(self) -> None:
        """Let go of all tables that ``lift`` and ``persist`` made since the last time."""

    @abstractmethod
    def split(self, column: nw.Expr, delimiter: str) -> nw.Expr:
        """Split a text at each occurrence of the delimiter, taken literally."""

    @abstractmethod
    def join_list(self, frame: nw.LazyFrame[Any], column: str, separator: str) -> nw.LazyFrame[Any]:
        """Turn a column of lists of texts into texts with the separator between them; nulls are left out."""

    @abstractmethod
    def explode_numbered(self, frame: nw.LazyFrame[Any], column: str, position: str) -> nw.LazyFrame[Any]:
        """Make a row of each element of a column of lists, with its place from 0 in column ``position``.

        Empty lists and nulls make no row.
        """
