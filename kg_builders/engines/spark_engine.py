"""Apache Spark, for a catalogue that outgrows one machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.engines.base import Engine
from kg_builders.errors import InputError, install_hint
from kg_builders.sources.records import ItemRecords

__all__ = ["SparkEngine"]

SMALL = 20_000
"""Tables of at most so many rows go into Spark with the query, larger ones as files."""


class SparkEngine(Engine):
    """Spark, in this machine or on a cluster.

    Staged records and large tables go in and out as Parquet files, which Spark reads and writes itself.

    Parameters
    ----------
    master
        Address of the cluster, such as ``spark://host:7077``, or ``local[2]`` for two threads here. A
        session that runs already is used as it is.
    folder
        Where tables that go in and out are put, in a folder of its own that is removed at the end. The
        machines of a cluster must all reach it under this name; staged records too.
    settings
        Settings of the session, such as ``spark.executor.memory``.

    Raises
    ------
    InputError
        If PySpark is not installed, Java is missing, or there is no such cluster.
    """

    def __init__(
        self,
        master: str = "local[*]",
        folder: str | Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        # pyspark warns of pandas 3 as it is imported; nothing here goes through pandas.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
            try:
                from pyspark.errors import PySparkException  # noqa: PLC0415
                from pyspark.sql import SparkSession  # noqa: PLC0415
            except ImportError as error:
                raise InputError(
                    f"engine spark: PySpark is not installed; expected {install_hint('spark')}"
                ) from error
            if not _has_java():
                raise InputError("engine spark: no Java on this machine; expected Java 17 or newer")
            builder = SparkSession.builder.appName("kg_builders").master(master)
            defaults = {
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
                "spark.sql.session.timeZone": "UTC",
            }
            if master.startswith("local"):
                # 200, Spark's default, is meant for a cluster; here it is 200 tiny tasks a join.
                defaults["spark.sql.shuffle.partitions"] = str(2 * (os.cpu_count() or 1))
            for key, value in {**defaults, **(settings or {})}.items():
                builder = builder.config(key, value)
            try:
                self._owned = SparkSession.getActiveSession() is None
                self._session = builder.getOrCreate()
            except (PySparkException, OSError, RuntimeError) as error:
                first = str(error).strip().split("\n")[0]
                raise InputError(
                    f"engine spark: no session at master {master!r} ({first}); expected a Spark master"
                ) from error
        self._session.sparkContext.setLogLevel("ERROR")
        self._folder = Path(tempfile.mkdtemp(prefix="kg_builders_spark_", dir=folder))
        self._cached: list[Any] = []
        self._count = 0

    def close(self) -> None:
        """Remove the folder, and stop the session if it was started here."""
        self.release()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._owned:
            self._session.stop()

    def scan(self, records: ItemRecords) -> nw.LazyFrame[Any]:
        """Return the records with ``row``, ``id`` and the fields; staged ones are read by Spark itself."""
        if not records.parquet_files:
            return self.lift(records.scan().collect())
        return self._read(records.parquet_files)

    def lift(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        """Take a local table into the engine."""
        if len(frame) <= SMALL:
            return nw.from_native(self._session.createDataFrame(frame.to_arrow()))
        path = self._new_path()
        frame.write_parquet(path, compression="zstd")
        return self._read([path])

    def persist(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a table once that is read several times."""
        cached = frame.to_native().cache()
        self._cached.append(cached)
        return nw.from_native(cached)

    def collect(self, frame: nw.LazyFrame[Any], large: bool = False) -> pl.DataFrame:
        """Compute a table and bring it here; a large one through Parquet files, which Spark writes."""
        native = frame.to_native()
        if not large:
            return nw.from_native(native.toArrow()).to_polars()
        path = self._new_path()
        native.write.parquet(path.as_uri())
        table = pl.concat([pl.read_parquet(part) for part in sorted(path.glob("*.parquet"))])
        shutil.rmtree(path)
        return table

    def release(self) -> None:
        """Forget what was cached."""
        for table in self._cached:
            table.unpersist()
        self._cached.clear()

    def split(self, column: nw.Expr, delimiter: str) -> nw.Expr:
        """Split a text at each occurrence of the delimiter."""
        # Spark splits at a Java regular expression; between these marks each character is itself.
        return column.str.split("\\Q" + delimiter.replace("\\E", "\\E\\\\E\\Q") + "\\E")

    def join_list(self, frame: nw.LazyFrame[Any], column: str, separator: str) -> nw.LazyFrame[Any]:
        """Turn lists of texts into texts with the separator between them."""
        from pyspark.sql import functions  # noqa: PLC0415

        native = frame.to_native()
        return nw.from_native(native.withColumn(column, functions.array_join(native[column], separator)))

    def explode_numbered(self, frame: nw.LazyFrame[Any], column: str, position: str) -> nw.LazyFrame[Any]:
        """Make a row of each element of a column of lists, with its place in it."""
        from pyspark.sql import functions  # noqa: PLC0415

        native = frame.to_native()
        others = [native[name] for name in native.columns if name != column]
        exploded = native.select(*others, functions.posexplode(native[column]).alias(position, column))
        return nw.from_native(exploded.withColumn(position, exploded[position].cast("bigint")))

    def _read(self, files: Sequence[Path]) -> nw.LazyFrame[Any]:
        return nw.from_native(self._session.read.parquet(*[file.absolute().as_uri() for file in files]))

    def _new_path(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.parquet"


def _has_java() -> bool:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java") is not None or (home is not None and (Path(home) / "bin" / "java").exists())
