"""The forms in which Amazon's metadata write a field, and the columns that they become.

For each form: the type that nearly all values have, which is decoded quickly; what any other value is
coerced to; and how the values become a column. The traps are those of the published files: a text where
others have a list, prices and dates that are pieces of a web page, ranks as mappings, lists and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import polars as pl

from kg_builders.sources.bad import BadRecords
from kg_builders.sources.coerce import as_mapping, as_number, as_paths, as_text, as_texts, text_of
from kg_builders.sources.columns import (
    cut_long_column,
    cut_long_lists,
    details_column,
    each_in_list,
    number_column,
    paths_column,
    text_column,
    texts_column,
)
from kg_builders.sources.values import dates_iso

__all__ = [
    "Picture",
    "Raw",
    "date",
    "date_of_details",
    "details",
    "number",
    "parse_prices",
    "path",
    "paths",
    "pictures",
    "price",
    "rank",
    "rank_category",
    "rank_category_of_details",
    "rank_of_details",
    "related",
    "text",
    "texts",
]

# "$12.99", "12.99", "$1,299.00", "from $5.99" and "$5.99 - $12.99"; nothing else may stand there.
_AMOUNT = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_PRICE = rf"^\s*(?:from\s+)?(?:US)?\$?\s*({_AMOUNT})\s*(?:-\s*\$?\s*(?:{_AMOUNT})\s*)?$"
# "1,234,567 in Books (", ">#12,345 in Cell Phones & Accessories (See top 100)"
_RANK = r"^[>\s]*#?\s*([\d,]+)\s*in\s*([^()\[>]+)"
_RANK_KEYS = ("Best Sellers Rank", "Amazon Best Sellers Rank")
_DATE_KEYS = ("Date First Available", "Publication date", "Release date", "Date first listed on Amazon")

Column = Callable[[list[Any], str, Sequence[int], BadRecords], pl.Series]


@dataclass(frozen=True)
class Raw:
    """How a raw field is read.

    Parameters
    ----------
    field
        Its name.
    kind
        Type annotation of its usual values.
    coerce
        Brings any other value into that type, or to None.
    column
        Makes a column of the values; takes them, the name, the line numbers, and who counts what is cut.
    """

    field: str
    kind: Any
    coerce: Callable[[Any], Any]
    column: Column


class Picture(msgspec.Struct, gc=False):
    """A picture of 2023 in its sizes."""

    hi_res: str | None = None
    large: str | None = None
    thumb: str | None = None


def _as_pictures(value: Any) -> list[Picture] | None:
    if not isinstance(value, list):
        return None
    pictures = []
    for part in value:
        if isinstance(part, str):
            pictures.append(Picture(large=part))
        elif isinstance(part, dict):
            pictures.append(
                Picture(
                    *(
                        url if isinstance(url := part.get(size), str) else None
                        for size in ("hi_res", "large", "thumb")
                    )
                )
            )
    return pictures


def _same(value: Any) -> Any:
    return value


def text(field: str) -> Raw:
    """Read one text."""
    return Raw(field, str, as_text, lambda values, *_: text_column(values))


def texts(field: str) -> Raw:
    """Read several texts."""

    def column(values: list[Any], name: str, lines: Sequence[int], bad: BadRecords) -> pl.Series:
        cut_long_lists(name, values, lines, bad)
        return texts_column(values)

    return Raw(field, tuple[str, ...], as_texts, column)


def paths(field: str) -> Raw:
    """Read several category paths."""

    def column(values: list[Any], name: str, lines: Sequence[int], bad: BadRecords) -> pl.Series:
        cut_long_lists(name, values, lines, bad)
        for value, line in zip(values, lines, strict=True):
            if value:
                cut_long_lists(name, value, [line] * len(value), bad)
        return paths_column(values)

    return Raw(field, tuple[tuple[str, ...], ...], as_paths, column)


def path(field: str) -> Raw:
    """Read one category path, a list of its levels; it ends where a piece of a web page begins."""

    def column(values: list[Any], name: str, lines: Sequence[int], bad: BadRecords) -> pl.Series:
        cut_long_lists(name, values, lines, bad)
        if "</" in "\n".join(chain.from_iterable(filter(None, values))):
            for index, value in enumerate(values):
                at = next((place for place, level in enumerate(value or ()) if "</" in level), None)
                if at is not None:
                    what = "holds a piece of a web page, the path cut there"
                    bad.add_cut(name, what, lines[index], value[at])
                    values[index] = value[:at]
        return each_in_list(texts_column(values))

    return Raw(field, tuple[str, ...], as_texts, column)


def number(field: str) -> Raw:
    """Read one number."""
    return Raw(field, float, as_number, lambda values, *_: number_column(values))


def price(field: str) -> Raw:
    """Read a price in dollars, a number or a text; what isn't one is null."""

    def column(values: list[Any], *_: Any) -> pl.Series:
        numbers = number_column([value if value.__class__ is float else None for value in values])
        if not any(value.__class__ is str for value in values):
            return numbers
        parsed = parse_prices(text_column([value if value.__class__ is str else None for value in values]))
        return pl.select(pl.coalesce(numbers, parsed)).to_series()

    def coerce(value: Any) -> Any:
        return value if isinstance(value, str) else as_number(value)

    return Raw(field, float | str, coerce, column)


def parse_prices(values: pl.Series) -> pl.Series:
    """Read prices in dollars; of a range, the lower one; what isn't a price is null.

    Examples
    --------
    >>> parse_prices(pl.Series(["$1,299.00", "$5.99 - $7", ".a-box-inner{width:5px}"])).to_list()
    [1299.0, 5.99, None]
    """
    return values.str.extract(_PRICE).str.replace_all(",", "", literal=True).cast(pl.Float64)


def date(field: str) -> Raw:
    """Read a date as people write it; what isn't one is null."""
    return Raw(field, str, as_text, lambda values, *_: dates_iso(text_column(values)))


def details(field: str) -> Raw:
    """Read key-value details; ranks and dates that have fields of their own stay among them."""

    def column(values: list[Any], name: str, lines: Sequence[int], bad: BadRecords) -> pl.Series:
        # Counted as entries: lists and mappings within give several each.
        return cut_long_column(name, details_column(values), lines, bad)

    return Raw(field, dict[str, Any], as_mapping, column)


def date_of_details(field: str) -> Raw:
    """Read the date among the details."""

    def column(values: list[Any], *_: Any) -> pl.Series:
        return dates_iso(text_column([as_text(_first_of(value, _DATE_KEYS)) for value in values]))

    return Raw(field, dict[str, Any], as_mapping, column)


def related(field: str, key: str) -> Raw:
    """Read the related items of one sort, from a mapping of sorts to lists."""

    def column(values: list[Any], name: str, lines: Sequence[int], bad: BadRecords) -> pl.Series:
        chosen = [as_texts(value.get(key)) if value else None for value in values]
        cut_long_lists(f"{name}.{key}", chosen, lines, bad)
        return texts_column(chosen)

    return Raw(field, dict[str, Any], as_mapping, column)


def pictures(field: str) -> Raw:
    """Read the best size of each picture."""

    def column(values: list[Any], name: str, lines: Sequence[int], bad: BadRecords) -> pl.Series:
        cut_long_lists(name, values, lines, bad)
        urls = [
            [url for picture in value if (url := picture.hi_res or picture.large or picture.thumb)]
            if value
            else None
            for value in values
        ]
        return texts_column(urls)

    return Raw(field, tuple[Picture, ...], _as_pictures, column)


def rank(field: str) -> Raw:
    """Read the sales rank, the first of several."""
    return Raw(field, Any, _same, lambda values, *_: _rank_numbers(_rank_texts(values)))


def rank_category(field: str) -> Raw:
    """Read the category that the sales rank is of."""
    return Raw(field, Any, _same, lambda values, *_: _rank_categories(_rank_texts(values)))


def rank_of_details(field: str) -> Raw:
    """Read the sales rank among the details."""

    def column(values: list[Any], *_: Any) -> pl.Series:
        return _rank_numbers(_rank_texts([_first_of(value, _RANK_KEYS) for value in values]))

    return Raw(field, dict[str, Any], as_mapping, column)


def rank_category_of_details(field: str) -> Raw:
    """Read the category that the sales rank among the details is of."""

    def column(values: list[Any], *_: Any) -> pl.Series:
        return _rank_categories(_rank_texts([_first_of(value, _RANK_KEYS) for value in values]))

    return Raw(field, dict[str, Any], as_mapping, column)


def _first_of(mapping: dict[str, Any] | None, keys: Sequence[str]) -> Any:
    if mapping:
        for key in keys:
            if key in mapping:
                return mapping[key]
    return None


def _rank_texts(values: list[Any]) -> pl.Series:
    """Return each rank as a text ``1,234 in Category``."""
    return text_column([_rank_text(value) if value else None for value in values])


def _rank_text(value: Any) -> str | None:
    if isinstance(value, dict):
        category, number = next(iter(value.items()))
        return f"{text_of(number)} in {category}"
    return as_text(value)


def _rank_numbers(values: pl.Series) -> pl.Series:
    return values.str.extract(_RANK, 1).str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)


def _rank_categories(values: pl.Series) -> pl.Series:
    return values.str.extract(_RANK, 2).str.strip_chars().replace("", None)
