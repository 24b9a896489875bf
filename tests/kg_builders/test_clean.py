"""Normal form of text, with examples whose result is known."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.clean import clean_text, fold_case, spelling_key, stop_words

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
