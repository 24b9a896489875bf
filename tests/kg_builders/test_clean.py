"""Normal form of text, with examples whose result is known."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.clean import clean_text, fold_case, number_of, spelling_key, stop_words
from kg_builders.dates import year_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  hip \t hop ", "hip hop"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("Caf&eacute; &#39;n&#x27; more", "Café 'n' more"),
        ("AT&T & R&B", "AT&T & R&B"),
        ("Rock&copying", "Rock&copying"),
        ("ＪＡＺＺ ﬁne", "JAZZ fine"),
        ("Cafe\u0301", "Café"),
        ("a\u200bb\x07c", "a b c"),
        ("<p>Soft&nbsp;<br/>cotton</p>", "Soft cotton"),
        ("&lt;b&gt;Bold&lt;/b&gt;", "Bold"),
        ("<style>.a > b {color: red}</style>Red", "Red"),
        ("<3 a < b > c", "<3 a < b > c"),
        ("\u00a0 ", None),
        ("", None),
        (None, None),
    ],
)
def test_clean_text(raw: str | None, clean: str | None) -> None:
    assert clean_text(pl.Series([raw], dtype=pl.Utf8)).to_list() == [clean]


@given(st.lists(TEXT, max_size=6))
@settings(max_examples=80, deadline=None)
def test_clean_values_stay_as_they_are_and_are_tidy(values: list[str]) -> None:
    plain = pl.Series([value.replace("&", "+") for value in values], dtype=pl.Utf8)
    cleaned = clean_text(plain)
    assert clean_text(cleaned).to_list() == cleaned.to_list()
    for value in cleaned.drop_nulls():
        assert value == " ".join(value.split())


@pytest.mark.parametrize(
    "variants",
    [
        ["hip hop", "Hip-Hop", "hiphop", "HIP_HOP", "hip.hop", "'hip hop'"],
        ["drum and bass", "Drum & Bass", "drum&bass"],
        ["rock en español", "Rock en Espanol"],
        ["Straße", "STRASSE"],
    ],
)
def test_variants_share_a_key(variants: list[str]) -> None:
    assert spelling_key(clean_text(pl.Series(variants))).n_unique() == 1


def test_different_things_have_different_keys() -> None:
    different = ["C", "C#", "C++", "<3", "3", "が", "か", "क", "कि", "!!!", "...", "80s", "80"]
    assert spelling_key(clean_text(pl.Series(different))).n_unique() == len(different)
    assert spelling_key(pl.Series(["!!!", None])).to_list() == ["!!!", None]


def test_fold_case_is_that_of_unicode() -> None:
    assert fold_case(pl.Series(["ΣΑΣ", "Straße", None])).to_list() == ["σασ", "strasse", None]


def test_stop_words_are_those_of_scikit_learn() -> None:
    assert {"the", "and", "of"} <= stop_words()
    assert "murder" not in stop_words()


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1995", "1995"), ("1995.0", "1995"), ("2010-01-05", "2010"), ("2010/01/05", "2010"),
        ("2010-01-05T10:00:00Z", "2010"), ("January 5, 2010", "2010"), ("Jan. 5 2010", "2010"),
        ("05 Jan 2010", "2010"), ("01-Jan-1995", "1995"), ("Tuesday, 5th January 2010", "2010"),
        ("May 2010", "2010"), ("5.24.2010", "2010"), ("24/05/2010", "2010"), ("20100524", "2010"),
        ("1262649600", "2010"), ("1262649600000", "2010"), ("1262649600.0", "2010"),
        ("soon", None), ("199", None), ("20012", None), ("5.24.10", None), ("Janitor 2010", None),
        ("20109924", None), (None, None),
        # What programs write where they know no date.
        ("0000", None), ("0001-01-01", None), ("0001-01-01T00:00:00Z", None), ("2999-12-31", None),
        ("3000", None), ("9999", None), ("31.12.9999", None), ("January 1, 9999", None), ("9999999999", None),
        ("0999", None), ("1000", "1000"), ("2100", "2100"), ("2101", None),
        # Days that no calendar has, and those of which only the year is known.
        ("2024-13-45", None), ("2024-02-30", None), ("2024-02-29", "2024"), ("2023-02-29", None),
        ("2024-13-45 10:00", None), ("31/02/2010", None), ("45/13/2010", None), ("January 45, 2010", None),
        ("1995-00-00", "1995"), ("1995-05-00", "1995"), ("1995-96", "1995"), ("1995-1999", "1995"),
    ],
)  # fmt: skip
def test_years_of_dates(text: str | None, year: str | None) -> None:
    table = pl.DataFrame({"date": [text]}, schema={"date": pl.Utf8})
    assert table.select(year_of("date"))["date"].to_list() == [year]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.99", 12.99), ("$12.99", 12.99), ("$1,299.00", 1299.0), ("US$ 5", 5.0), ("20 EUR", 20.0),
        ("-3", -3.0), ("1e3", 1000.0), ("$10.00 - $20.00", None), ("12,34,5", None), ("", None),
        (".a-box-inner{background-color:#fff}", None), ("see price in cart", None), (None, None),
    ],
)  # fmt: skip
def test_numbers_and_prices(text: str | None, number: float | None) -> None:
    assert number_of(pl.Series([text, "$1"], dtype=pl.Utf8)).to_list() == [number, 1.0]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7,50", 7.5), ("-7,50", -7.5), ("1.299,00 €", 1299.0), ("1 299,00", 1299.0),
        ("1\u00a0299,5", 1299.5),
        ("1'299", 1299.0), ("EUR 20", 20.0), ("1.299", 1299.0), ("12", 12.0), ("12.5", None), ("1,2,3", None),
        ("1,299.00", None), ("1e3", None), ("soon", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_numbers_with_a_decimal_comma(text: str | None, number: float | None) -> None:
    assert number_of(pl.Series([text], dtype=pl.Utf8), ",").to_list() == [number]


@given(st.floats(-1e9, 1e9).map(lambda value: round(value, 2)))
def test_both_forms_of_a_number_are_read_alike(value: float) -> None:
    point, comma = f"{value:,.2f}", f"{value:,.2f}".translate(str.maketrans(",.", ".,"))
    assert number_of(pl.Series([point])).to_list() == number_of(pl.Series([comma]), ",").to_list() == [value]
