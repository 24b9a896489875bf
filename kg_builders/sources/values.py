"""Columns of texts read as dates or numbers; what can't be read is null, and counted where that is asked."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from kg_builders.clean import Decimal, number_of
from kg_builders.dates import FIRST_YEAR, LAST_YEAR
from kg_builders.sources.bad import BadRecords

__all__ = ["DATE_FORMATS", "dates_iso", "finite", "numbers", "tell_unread"]

DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%B %d, %Y",
    "%b %d, %Y",
    "%b. %d, %Y",
    "%d %B %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d.%m.%Y",
)
"""Forms of dates that are tried in turn; those in which day and month could be mistaken aren't among them."""

_TIME = r"^(\d{4}-\d{2}-\d{2})[T ]\d{2}:.*$"
_YEAR = r"^[12]\d{3}(?:-(?:0[1-9]|1[0-2]))?$"


def dates_iso(values: pl.Series, formats: Sequence[str] = DATE_FORMATS) -> pl.Series:
    """Return dates as YYYY-MM-DD, and years and months as they are.

    What lies before ``FIRST_YEAR`` or after ``LAST_YEAR`` stands for an unknown date and is null.

    Examples
    --------
    >>> dates_iso(pl.Series(["October 4, 2016", "2016-10-04T09:00:00Z", "1999", "5 star"])).to_list()
    ['2016-10-04', '2016-10-04', '1999', None]
    """
    if values.null_count() == len(values):
        return values
    text = pl.col("text")
    tried = [text.str.to_date(form, strict=False, exact=True).dt.to_string("%Y-%m-%d") for form in formats]
    cleaned = values.alias("text").str.strip_chars().str.replace(_TIME, "$1")
    # Dates repeat, and trying many formats is slow.
    distinct = pl.DataFrame({"text": cleaned.unique().drop_nulls()})
    short = pl.when(text.str.contains(_YEAR)).then(text)
    read = distinct.with_columns(date=pl.coalesce(*tried, short))
    year = pl.col("date").str.slice(0, 4).cast(pl.Int64, strict=False)
    read = read.with_columns(pl.when(year.is_between(FIRST_YEAR, LAST_YEAR)).then("date").alias("date"))
    found = pl.DataFrame({"text": cleaned}).join(read, on="text", how="left", maintain_order="left")
    return found["date"].alias(values.name)


def numbers(values: pl.Series, decimal: Decimal = ".") -> pl.Series:
    """Return texts as numbers, in the forms that a number rule reads; what isn't a finite one is null."""
    return finite(number_of(values.str.strip_chars(), decimal))


def finite(values: pl.Series) -> pl.Series:
    """Return numbers with null in place of infinity and NaN."""
    return values.set(~values.is_finite(), None) if len(values) else values


def tell_unread(lines: pl.Series, given: pl.Series, read: pl.Series, bad: BadRecords, what: str) -> None:
    """Count the texts of ``given`` that could not be read, so that ``read`` is null."""
    unread = given.is_not_null() & read.is_null()
    if unread.any():
        at = int(unread.arg_max() or 0)
        bad.add_value(given.name, what, int(lines[at]), str(given[at]), int(unread.sum()))
