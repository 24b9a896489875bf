"""Normal forms: what spells one name, and what tells two names apart."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.names import name_forms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sony", "SONY Corp."),
        ("Bosch", "Bosch GmbH & Co. KG"),
        ("Nestlé", "NESTLE S.A."),
        ("Black & Decker", "Black and Decker, Inc."),
        ("The Beatles", "beatles"),
        ("Hip-Hop", "hip hop"),
        ("\uff21\uff23\uff2d\uff25", "A.C.M.E."),
        ("Sony\u2122", "Sony"),
        ("80's", "80s"),
        ("Straße", "STRASSE"),
        ("1990–2000", "1990-2000"),
    ],
)  # fmt: skip
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    keys = name_forms(pl.Series([one, other]))["key"]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C#", "C"), ("C++", "C"), ("50%", "50"), ("1.5 l", "15 l"), ("1 2", "12"), ("16:9", "169"),
        ("-5 C", "5 C"), ("1-2 kg", "12 kg"), ('5"', "5'"), ("GmbH", ""), ("Ёлка", "Елка"),
        ("12 3", "1 23"), ("1,000", "1.000"),
    ],
)  # fmt: skip
def test_names_of_different_things_have_different_keys(one: str, other: str) -> None:
    keys = name_forms(pl.Series([one, other]))["key"]
    assert keys[0] != keys[1]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=8))
def test_a_key_never_depends_on_the_order_of_the_names_and_is_never_empty(labels: list[str]) -> None:
    forms = name_forms(pl.Series(labels, dtype=pl.Utf8))
    backwards = name_forms(pl.Series(labels[::-1], dtype=pl.Utf8))
    assert forms.equals(backwards.reverse())
    seen = [any(letter.isalnum() for letter in label) for label in labels]
    assert all(key for key, visible in zip(forms["key"], seen, strict=True) if visible)
