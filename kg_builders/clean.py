"""Text normalisation: one way to write a value, so that the same thing gives the same entity.

Each function works on a column of distinct values; the values of a catalogue repeat, so this is cheap.
"""

from __future__ import annotations

import html
import re
from typing import Literal

import polars as pl

__all__ = ["HIDDEN", "TAG", "Decimal", "clean_text", "fold_case", "number_of", "spelling_key", "stop_words"]

Decimal = Literal[".", ","]
"""What stands before the decimals of a number."""

# Only entities that end properly: "&copy" in "Rock&copying" is no entity.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
TAG = r"<[a-zA-Z/!][^<>]*>"
"""An HTML tag or comment; a text such as "<3" or "a < b" holds none."""

HIDDEN = r"(?is)<script(?:[\s/][^>]*)?>.*?</script\s*>|<style(?:[\s/][^>]*)?>.*?</style\s*>"
"""What HTML doesn't show: a program or a style, with its tags; to be taken out before ``TAG``."""

_CURRENCY = r"(?:[$€£¥₹]|[A-Z]{2,3}\$|[A-Z]{3})"
_PRICE = rf"^(?:{_CURRENCY}\s*)?(-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?)(?:\s*{_CURRENCY})?$"
# The same with a decimal comma; between thousands may be a full stop, a space or an apostrophe.
_COMMA_PRICE = rf"^(?:{_CURRENCY}\s*)?(-?(?:\d{{1,3}}(?:[.\s'’]\d{{3}})+|\d+)(?:,\d+)?)(?:\s*{_CURRENCY})?$"
_CONTROL = r"[\p{Cc}\p{Cf}]"
_LATIN_MARKS = r"(\p{Latin})[\x{0300}-\x{036F}]+"
# Punctuation and separators, but not "#", which tells "C#" from "C". Symbols such as "+" or "<" stay.
_SEPARATORS = r"[[\p{P}\p{Z}]--[#]]+"


def clean_text(values: pl.Series) -> pl.Series:
    r"""Decode HTML entities, apply Unicode NFKC, turn tags, control characters and spaces into one space.

    Returns
    -------
    pl.Series
        Same length; null where nothing is left.

    Examples
    --------
    >>> clean_text(pl.Series(["  Rock &amp;\u00a0<b>Roll</b> ", "\uff2a-Pop", " "])).to_list()
    ['Rock & Roll', 'J-Pop', None]
    """
    return (
        _drop_tags(_decode_entities(values.cast(pl.Utf8)).str.normalize("NFKC"))
        .str.replace_all(_CONTROL, " ")
        .str.replace_all(r"\s+", " ")
        .str.strip_chars()
        .replace("", None)
    )


def fold_case(values: pl.Series) -> pl.Series:
    """Fold case as Unicode says, which is more than lower case: "STRASSE" and "Straße" become one."""
    folded = [None if value is None else value.casefold() for value in values.to_list()]
    return pl.Series(values.name, folded, dtype=pl.Utf8)


def spelling_key(values: pl.Series) -> pl.Series:
    """Return what spelling variants of cleaned values have in common.

    Case, spaces, punctuation and Latin accents are left out and "&" is read as "and", so that "hip hop",
    "Hip-Hop" and "hiphop" agree. Accents of other scripts tell letters apart and stay. A value of
    nothing but punctuation is its own key.

    Examples
    --------
    >>> spelling_key(pl.Series(["Hip-Hop", "drum & bass", "Café", "C#", "!!!"])).to_list()
    ['hiphop', 'drumandbass', 'cafe', 'c#', '!!!']
    """
    folded = fold_case(values)
    keys = (
        folded.str.replace_all("&", "and", literal=True)
        .str.normalize("NFKD")
        .str.replace_all(_LATIN_MARKS, "$1")
        .str.normalize("NFC")
        .str.replace_all(_SEPARATORS, "")
    )
    return (
        pl.select(pl.when(keys.str.len_bytes() > 0).then(keys).otherwise(folded))
        .to_series()
        .alias(values.name)
    )


def number_of(values: pl.Series, decimal: Decimal = ".") -> pl.Series:
    """Read numbers, also prices with their currency and marks between thousands; null for anything else.

    Parameters
    ----------
    decimal
        What stands before the decimals. With a comma, thousands may have a full stop, a space or an
        apostrophe between them; with a full stop, a comma.

    Examples
    --------
    >>> number_of(pl.Series(["12.5", "$1,299.00", "20 EUR", "1e3", "see price in cart"])).to_list()
    [12.5, 1299.0, 20.0, 1000.0, None]
    >>> number_of(pl.Series(["12,5", "1.299,00 €", "20 EUR", "12.5"]), decimal=",").to_list()
    [12.5, 1299.0, 20.0, None]
    """
    if decimal == ",":
        amount = values.cast(pl.Utf8).str.extract(_COMMA_PRICE)
        plain = amount.str.replace_all(r"[.\s'’]", "").str.replace(",", ".", literal=True)
        return plain.cast(pl.Float64, strict=False)
    plain = values.cast(pl.Float64, strict=False)
    if plain.null_count() == values.null_count():
        return plain
    price = values.str.extract(_PRICE).str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
    return plain.zip_with(plain.is_not_null(), price)


def stop_words() -> frozenset[str]:
    """Return scikit-learn's English stop words."""
    # Imported here: it takes seconds, and only the keyword rule needs it.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # noqa: PLC0415

    return frozenset(ENGLISH_STOP_WORDS)


def _drop_tags(values: pl.Series) -> pl.Series:
    if not values.str.contains("<", literal=True).any():
        return values
    return values.str.replace_all(HIDDEN, " ").str.replace_all(TAG, " ")


def _decode_entities(values: pl.Series) -> pl.Series:
    holds = values.str.contains("&", literal=True).fill_null(False)
    if not holds.any():
        return values
    decoded = [_decode(value) for value in values.filter(holds).to_list()]
    return values.scatter(holds.arg_true(), decoded)


def _decode(text: str) -> str:
    # Twice, since catalogues hold "&amp;amp;" and "&amp;quot;".
    for _ in range(2):
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    return text
