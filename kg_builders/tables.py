"""The columns of the tables that make up a knowledge graph, their checks and row numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from kg_builders.errors import InputError

__all__ = [
    "ENTITY_SCHEMA",
    "NAMED_SCHEMA",
    "OPTIONAL_RELATION_SCHEMA",
    "RELATION_SCHEMA",
    "TRIPLE_SCHEMA",
    "conform",
    "number_rows",
    "refuse_duplicates",
    "refuse_nulls",
]

ENTITY_SCHEMA = {"entity": pl.Int64, "id": pl.Utf8, "label": pl.Utf8, "kind": pl.Utf8}
RELATION_SCHEMA = {"relation": pl.Int64, "name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean}
OPTIONAL_RELATION_SCHEMA = {"inverse_label": pl.Utf8}
TRIPLE_SCHEMA = {"head": pl.Int64, "relation": pl.Int64, "tail": pl.Int64, "source": pl.Utf8}
NAMED_SCHEMA = {
    "head_kind": pl.Utf8,
    "head_id": pl.Utf8,
    "relation": pl.Utf8,
    "tail_kind": pl.Utf8,
    "tail_id": pl.Utf8,
    "tail_label": pl.Utf8,
    "source": pl.Utf8,
}


def conform(
    frame: pl.DataFrame,
    schema: Mapping[str, type[pl.DataType]],
    what: str,
    optional: Mapping[str, type[pl.DataType]] | None = None,
) -> pl.DataFrame:
    """Return the columns of ``schema``, and those of ``optional`` that are there, in their order and types.

    Raises
    ------
    InputError
        If a column is missing, or holds values that its type can't.
    """
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise InputError(
            f"knowledge graph: {what} lack the column {missing[0]!r}; expected {', '.join(schema)}"
        )
    there = {column: dtype for column, dtype in (optional or {}).items() if column in frame.columns}
    schema = {**schema, **there}
    try:
        return frame.select([pl.col(column).cast(dtype) for column, dtype in schema.items()])
    except pl.exceptions.PolarsError as error:
        types = ", ".join(f"{column} {dtype.__name__}" for column, dtype in schema.items())
        raise InputError(
            f"knowledge graph: {what} have a column of another type; expected {types}"
        ) from error


def number_rows(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Put a first column in front that counts the rows from 0."""
    return frame.select(pl.int_range(pl.len(), dtype=pl.Int64).alias(column), pl.all())


def refuse_nulls(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ``InputError`` naming the first row without a value in one of ``columns``."""
    for column in columns:
        if frame[column].null_count():
            row = frame[column].is_null().arg_max()
            raise InputError(f"knowledge graph: {what} {row} has no {column}; expected a text")


def refuse_duplicates(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ``InputError`` naming the first value of ``columns`` that occurs more than once."""
    if len(frame.unique(list(columns), keep="any")) < len(frame):
        repeated = frame.filter(pl.struct(columns).is_duplicated())
        value = " ".join(str(part) for part in repeated.select(columns).row(0))
        raise InputError(f"knowledge graph: {what} {value!r} occurs more than once; expected unique ids")
