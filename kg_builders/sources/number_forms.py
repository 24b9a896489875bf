"""How a column writes its numbers and dates, judged by all its values together.

One value can be read in several ways: "1,234" is a thousand or a decimal, "03/05/2015" is in March or in May.
Among all values of a column, mostly one way is left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from kg_builders.clean import number_of
from kg_builders.sources.values import dates_iso, finite, numbers

__all__ = [
    "date_options",
    "decimal_comma",
    "has_currency",
    "is_one_value",
    "is_unix_time",
    "mean_of",
    "plain_numbers",
    "share_read",
]

_DAY_AND_MONTH = r"^\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?:[ T]\d{1,2}:\d{2}.*)?$"
_WHOLE_YEAR = r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
_ORDERS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%d{0}%m{0}%y", "%m{0}%d{0}%y")
# Letters before digits are mostly the beginning of a part number, so the currencies are named.
_CODES = (
    "AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NOK|NZD|PHP|PLN|RON|RUB|SEK|SGD|THB"
    "|TRY|TWD|UAH|USD|VND|ZAR"
)
_CURRENCIES = rf"[$€£¥₹]|(?:^|[^\p{{L}}])(?:{_CODES})(?:$|[^\p{{L}}])"
_DECIMAL_COMMA = r"\d,\d"
_TIME_NAMES = r"(?i)date|time|stamp|released|published|created|updated|added"
_SECONDS = (10**8, 4_102_444_800)  # from 1973, of as many digits as rules read, to 2100
_MOST = 0.95


def plain_numbers(values: pl.Series) -> pl.Series:
    """Return the texts that are a number and nothing else; no currency, no mark between thousands."""
    return finite(values.str.strip_chars().cast(pl.Float64, strict=False))


def decimal_comma(values: pl.Series) -> bool:
    """Whether nearly all texts of a column are numbers, but only if a comma stands before the decimals.

    Examples
    --------
    >>> decimal_comma(pl.Series(["7,50", "1.299,00"])), decimal_comma(pl.Series(["1,234", "2,500"]))
    (True, False)
    """
    return share_read(numbers(values)) < _MOST <= share_read(numbers(values, ","))


def has_currency(values: pl.Series) -> pl.Series:
    """Return which texts name a currency."""
    return values.str.contains(_CURRENCIES)


def date_options(values: pl.Series) -> Mapping[str, str] | None:
    """Return how a mapping reads a column of dates of numbers with the year last; None if it holds none.

    Where day and month can't be told apart by any value, the field stays a text, of which rules of kind year
    and decade take the year. An empty mapping says that not even the year can be told.

    Examples
    --------
    >>> date_options(pl.Series(["03/05/2015", "03/25/2015"]))
    {'type': 'date', 'format': '%m/%d/%Y'}
    >>> date_options(pl.Series(["03/05/2015", "04/05/2015"]))
    {'type': 'text'}
    """
    texts = values.str.strip_chars()
    if mean_of(texts.str.contains(_DAY_AND_MONTH)) < _MOST:
        return None
    formats = [order.format(mark) for mark in ("/", "-", ".") for order in _ORDERS]
    read = [form for form in formats if share_read(dates_iso(texts, (form,))) >= _MOST]
    if len(read) == 1:
        return {"type": "date", "format": read[0]}
    return {"type": "text"} if mean_of(texts.str.contains(_WHOLE_YEAR)) >= _MOST else {}


def is_one_value(values: pl.Series) -> pl.Series:
    """Return which texts are a number or a date as a whole, so that no mark in them separates values."""
    texts = values.str.strip_chars()
    comma = texts.str.contains(_DECIMAL_COMMA) & number_of(texts, ",").is_not_null()
    thousands = texts.str.contains(_DECIMAL_COMMA) & number_of(texts).is_not_null()
    return comma | thousands | texts.str.contains(_DAY_AND_MONTH)


def is_unix_time(values: pl.Series) -> bool:
    """Whether a column of numbers holds seconds or milliseconds since 1970: as its name says, and its range.

    Article numbers are as long, so that the range alone says nothing.

    Examples
    --------
    >>> times = [1262649600, 1283299200]
    >>> is_unix_time(pl.Series("released", times)), is_unix_time(pl.Series("barcode", times))
    (True, False)
    """
    if re.search(_TIME_NAMES, values.name) is None:
        return False
    numeric = values.cast(pl.Float64)
    return any(
        mean_of(numeric.is_between(_SECONDS[0] * unit, _SECONDS[1] * unit)) >= _MOST for unit in (1, 1000)
    )


def share_read(values: pl.Series) -> float:
    """Return the share of the values that are not null; 0 of none."""
    return 1 - values.null_count() / len(values) if len(values) else 0.0


def mean_of(values: pl.Series) -> float:
    """Return the mean of numbers or truth values; 0 of none."""
    mean = values.cast(pl.Float64).mean()
    return mean if isinstance(mean, float) else 0.0
