"""What runs the extraction: a lazily evaluated table engine behind Narwhals.

Extraction asks three things of an engine. Whoever adds one (DuckDB, Spark) writes these three methods and no
rule again.
"""

from __future__ import annotations

from typing import Any, Protocol

import narwhals as nw
import polars as pl

__all__ = ["Engine", "PolarsEngine"]


class Engine(Protocol):
    """Moves tables in and out of an engine."""

    def lift(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        """Take a local table into the engine."""

    def persist(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a table once that is read several times; it stays in the engine."""

    def collect(self, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
        """Compute a table and bring it here; row order is not promised."""


class PolarsEngine:
    """Polars in this process, the default."""

    def lift(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        """Take a local table into the engine."""
        return nw.from_native(frame.lazy())

    def persist(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a table once that is read several times."""
        return self.lift(self.collect(frame))

    def collect(self, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
        """Compute a table."""
        return frame.collect(backend="polars").to_native()
