"""What runs the extraction: a lazily evaluated table engine behind Narwhals.

Polars is embedded and the default; DuckDB and Spark are extras. All give the same graph.
"""

from __future__ import annotations

from kg_builders.config import nearest
from kg_builders.engines.base import Engine
from kg_builders.engines.duckdb_engine import DuckDBEngine
from kg_builders.engines.polars_engine import PolarsEngine
from kg_builders.engines.spark_engine import SparkEngine
from kg_builders.errors import InputError

__all__ = ["ENGINES", "DuckDBEngine", "Engine", "PolarsEngine", "SparkEngine", "open_engine"]

ENGINES = ("polars", "duckdb", "spark")
"""Names of the engines."""


def open_engine(name: str = "polars", master: str | None = None) -> Engine:
    """Return an engine by its name.

    Parameters
    ----------
    name
        One of ``ENGINES``.
    master
        Address of a Spark cluster; by default, Spark runs in this machine.

    Raises
    ------
    InputError
        If there is no engine of that name, what it needs is not installed, or ``master`` is given to
        another engine than Spark.
    """
    if name not in ENGINES:
        raise InputError(f"engine: unknown name {name!r}{nearest(name, ENGINES)}")
    if master is not None and name != "spark":
        raise InputError(f"engine {name}: has no master; expected the engine spark")
    if name == "spark":
        return SparkEngine() if master is None else SparkEngine(master)
    return DuckDBEngine() if name == "duckdb" else PolarsEngine()
