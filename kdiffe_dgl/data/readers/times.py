"""Times of interactions as logs write them: numbers since 1970, ISO 8601, or a column of a type of time."""

from __future__ import annotations

import polars as pl

from kdiffe_dgl.data.readers.delimited import Table

__all__ = ["TIME_UNITS", "seconds", "seconds_of_iso"]

TIME_UNITS = {"s": 1, "ms": 1_000}
_DATE = r"^\d{4}-\d{2}-\d{2}"
_ZONE = r"(?:[+-]\d{2}:?\d{2}|[+-]\d{2})$"


def seconds(table: Table, column: str, unit: str = "s") -> pl.Series:
    """Return a column of times as whole seconds since 1970, missing ones null.

    Parameters
    ----------
    table
        The table.
    column
        Its column: of a type of time (Parquet), numbers, or texts in ISO 8601 such as ``2020-01-31``,
        ``2020-01-31 10:30``, ``2020-01-31T10:30:00.5Z``. What the first value looks like, all have to.
        Times without a zone are taken for UTC.
    unit
        Of numbers, a key of ``TIME_UNITS``.

    Raises
    ------
    InputError
        If a value is none of these.
    """
    table.require([column])
    values = table.frame[column]
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("us")).dt.epoch("s")
    if values.dtype == pl.Utf8 and values.drop_nulls().head(1).str.strip_chars().str.contains(_DATE).any():
        return table.checked(
            column,
            seconds_of_iso(values),
            "a time such as 2020-01-31 or 2020-01-31T10:30:00Z",
            required=False,
        )
    return (table.numbers(column) / TIME_UNITS[unit]).floor().cast(pl.Int64)


def seconds_of_iso(values: pl.Series) -> pl.Series:
    """Return texts in ISO 8601 as whole seconds since 1970; null where they are none.

    Examples
    --------
    >>> times = ["1970-01-02", "1970-01-01 00:01", "1970-01-01T02:00:00.9+02:00", "soon"]
    >>> seconds_of_iso(pl.Series(times)).to_list()
    [86400, 60, 0, None]
    """
    text = pl.col("text")
    zone = pl.when(text.str.contains(":") & text.str.contains(_ZONE)).then(text.str.extract(f"({_ZONE})"))
    parts = (
        pl.DataFrame({"text": values.str.strip_chars().str.replace(r"[zZ]$", "+00:00")})
        .with_columns(
            zone=zone.fill_null("+00:00"),
            local=pl.when(zone.is_null()).then(text).otherwise(text.str.replace(_ZONE, "")),
        )
        .with_columns(pl.col("local").str.replace(r"[ tT]", "T").str.replace(r"(:\d{2})[.,]\d+$", "$1"))
    )
    local = pl.col("local")
    whole = (
        pl.when(local.str.contains(r"^[^T]+$"))
        .then(local + "T00:00:00")
        .when(local.str.contains(r"T\d{2}:\d{2}$"))
        .then(local + ":00")
        .otherwise(local)
    )
    parsed = (whole + pl.col("zone")).str.to_datetime("%Y-%m-%dT%H:%M:%S%#z", time_zone="UTC", strict=False)
    return parts.select(parsed.dt.epoch("s").alias(values.name)).to_series()
