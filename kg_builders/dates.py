"""Years in the many forms in which catalogues write dates."""

from __future__ import annotations

import polars as pl

__all__ = ["FIRST_YEAR", "LAST_YEAR", "year_of"]

FIRST_YEAR, LAST_YEAR = 1000, 2100
"""Years that a catalogue can mean, from works of the Middle Ages to what is announced far ahead.

0000, 0001, 2999, 3000 and 9999 are what programs write where they know no date. The bounds don't move with
the clock, so that the same file always gives the same graph.
"""

# A year alone, written as a whole or a decimal number (1995.0), or first in a date (1995-03-17).
_LEADING = r"^(\d{4})(?:$|\.0*$|[-/. T])"
# January 5, 2010; Jan 5 2010; 05 Jan 2010; 01-Jan-1995; Jan. 2010
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_NAMED = rf"(?i)^(?:[a-z]+,? )?(?:{_DAY}[-. ]+)?{_MONTH}[-., ]+(?:{_DAY}[-., ]+)?(\d{{4}})\b"
# 5.24.2010, 24/05/2010, 5-24-2010: the year is last, whatever the order of day and month.
_TRAILING = r"^\d{1,2}[-./]\d{1,2}[-./](\d{4})(?:$|[ T])"
# 20100524: eight digits with a month and a day in them
_COMPACT = r"^((?:1[5-9]|20)\d{2})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:$|\.0*$|T)"
# Dates whose month and day are numbers; 00 stands for an unknown one.
_YEAR_FIRST = r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:$|[ T])"
_YEAR_LAST = r"^(\d{1,2})[-./](\d{1,2})[-./](\d{4})(?:$|[ T])"
_SECONDS = r"^(-?\d{9,10})(?:\.\d*)?$"
_MILLISECONDS = r"^(-?\d{12,13})(?:\.\d*)?$"


def year_of(column: str) -> pl.Expr:
    """Return the year, four digits as text, of each cleaned text of a column; null where there is none.

    Forms: a year, ISO dates, dates with the name of the month in English, ``5.24.2010`` and the like,
    ``20100524``, and Unix time in seconds (from 1973) or milliseconds. Of ``1995-00-00``, a date whose month
    and day are not known, the year is taken. Years before ``FIRST_YEAR`` or after ``LAST_YEAR`` and days that
    no calendar has, such as ``2024-13-45``, are none.

    Examples
    --------
    >>> dates = pl.DataFrame({"date": ["January 5, 2010", "5.24.2010", "1262649600", "9999-12-31", "soon"]})
    >>> dates.select(year_of("date"))["date"].to_list()
    ['2010', '2010', '2010', None, None]
    """
    text = pl.col(column)
    seconds = text.str.extract(_SECONDS).cast(pl.Int64, strict=False) * 1000
    milliseconds = text.str.extract(_MILLISECONDS).cast(pl.Int64, strict=False)
    unix = pl.coalesce(seconds, milliseconds).cast(pl.Datetime("ms")).dt.year().cast(pl.Utf8)
    year = pl.coalesce(
        text.str.extract(_LEADING),
        text.str.extract(_NAMED),
        text.str.extract(_TRAILING),
        text.str.extract(_COMPACT),
        unix,
    )
    possible = year.cast(pl.Int64, strict=False).is_between(FIRST_YEAR, LAST_YEAR)
    return pl.when(possible & ~_impossible(text)).then(year)


def _impossible(text: pl.Expr) -> pl.Expr:
    """Whether a text is a date of numbers that no calendar has, whichever is the month."""
    year, month, day = (text.str.extract(_YEAR_FIRST, part) for part in (1, 2, 3))
    one, other, last = (text.str.extract(_YEAR_LAST, part) for part in (1, 2, 3))
    year_first = year.is_not_null() & ~_is_day(year, month, day)
    year_last = last.is_not_null() & ~_is_day(last, one, other) & ~_is_day(last, other, one)
    return year_first | year_last


def _is_day(year: pl.Expr, month: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Whether the calendar has a day; an unknown month or day, 00, is filled by one that there is."""
    parts = [pl.when(part.str.contains("^00?$")).then(pl.lit("01")).otherwise(part) for part in (month, day)]
    return pl.concat_str(year, *parts, separator="-").str.to_date("%Y-%m-%d", strict=False).is_not_null()
