"""Texts made safe for formats that can't hold every character: the others as ``%XX``, and back.

A percent sign is always encoded itself, so that decoding gives the text back exactly. Bytes are those of
UTF-8, as of RFC 3986, section 2.1.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import polars as pl

__all__ = ["IN_IRI", "IN_LABEL", "IN_TOKEN", "percent_decode", "percent_encode"]

# Written with the characters themselves, which Python's expressions and those of Polars read alike.
_CONTROLS = "\0-\x1f\x7f-\x9f"
_SPACES = " \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
# Outside of "ucschar" in RFC 3987: private use and code points that are no characters.
_NO_IRI = "\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff" + "".join(
    f"{chr((plane << 16) + 0xFFFE)}{chr((plane << 16) + 0xFFFF)}" for plane in range(1, 15)
) + "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"  # fmt: skip

IN_TOKEN = f'[{_CONTROLS}{_SPACES}"%]'
"""What a token between spaces or tabs can't hold."""
IN_LABEL = f'[{_CONTROLS}\u2028\u2029\ufeff"%]'
"""What a line of tab-separated labels can't hold; spaces may be."""
IN_IRI = rf"""[{_CONTROLS}{_SPACES}{_NO_IRI}"%<>{{}}|\^`\\/?#\[\]]"""
"""What a segment of an IRI can't hold."""


def percent_encode(texts: pl.Series, unsafe: str) -> pl.Series:
    """Encode what matches ``unsafe``, one of the expressions of this module, which holds the percent sign."""
    found = texts.str.contains(unsafe)
    pattern = re.compile(unsafe)
    # A loop over the entities that need it, never over triples.
    encoded = [pattern.sub(_encode, text) for text in texts.filter(found)]
    return _put(texts, found, encoded)


def percent_decode(texts: pl.Series) -> pl.Series:
    """Undo :func:`percent_encode`.

    Raises
    ------
    UnicodeDecodeError
        If encoded bytes aren't UTF-8.
    """
    found = texts.str.contains("%", literal=True)
    return _put(texts, found, [unquote(text, errors="strict") for text in texts.filter(found)])


def _encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8"))


def _put(texts: pl.Series, where: pl.Series, values: list[str]) -> pl.Series:
    if not values:
        return texts
    rows = where.fill_null(False).arg_true()
    return texts.clone().scatter(rows, pl.Series(values, dtype=pl.Utf8))
