"""Years in the many forms in which catalogues write dates."""

from __future__ import annotations

import polars as pl

__all__ = ["year_of"]

# A year alone, written as a whole or a decimal number (1995.0), or first in a date (1995-03-17).
_LEADING = r"^(\d{4})(?:$|\.0*$|[-/. T])"
# January 5, 2010; Jan 5 2010; 05 Jan 2010; 01-Jan-1995; Jan. 2010
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_NAMED = rf"(?i)^(?:[a-z]+,? )?(?:{_DAY}[-. ]+)?{_MONTH}[-., ]+(?:{_DAY}[-., ]+)?(\d{{4}})\b"
# 5.24.2010, 24/05/2010, 5-24-2010: the year is last, whatever the order of day and month.
_TRAILING = r"^\d{1,2}[-./]\d{1,2}[-./](\d{4})(?:$|[ T])"
# 20100524: eight digits with a month and a day in them
_COMPACT = r"^((?:1[5-9]|20)\d{2})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:$|\.0*$|T)"
_SECONDS = r"^(-?\d{9,10})(?:\.\d*)?$"
_MILLISECONDS = r"^(-?\d{12,13})(?:\.\d*)?$"


def year_of(column: str) -> pl.Expr:
    """Return the year, four digits as text, of each cleaned text of a column; null where there is none.

    Forms: a year, ISO dates, dates with the name of the month in English, ``5.24.2010`` and the like,
    ``20100524``, and Unix time in seconds (from 1973) or milliseconds.

    Examples
    --------
    >>> dates = pl.DataFrame({"date": ["January 5, 2010", "5.24.2010", "1262649600", "soon"]})
    >>> dates.select(year_of("date"))["date"].to_list()
    ['2010', '2010', '2010', None]
    """
    text = pl.col(column)
    seconds = text.str.extract(_SECONDS).cast(pl.Int64, strict=False) * 1000
    milliseconds = text.str.extract(_MILLISECONDS).cast(pl.Int64, strict=False)
    unix = pl.coalesce(seconds, milliseconds).cast(pl.Datetime("ms")).dt.year().cast(pl.Utf8)
    return pl.coalesce(
        text.str.extract(_LEADING),
        text.str.extract(_NAMED),
        text.str.extract(_TRAILING),
        text.str.extract(_COMPACT),
        unix,
    )
