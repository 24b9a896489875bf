"""Normal forms: what spells one name, and what tells two names apart."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.names import name_forms
from kg_builders.resolve import ResolveSettings, resolve_entities
from kg_builders.review import MERGE, Review
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph

BRANDS = ResolveSettings(kinds=("brand",))


def graph(labels: dict[str, int], kind: str = "brand") -> KnowledgeGraph:
    """Make a graph of labels and how many items each has; the id of a label is the label itself."""
    named, item = [], 0
    for label, count in labels.items():
        for _ in range(count):
            named.append((ITEM, f"i{item}", kind, kind, label, label, f"{label}.csv:{kind}:categorical"))
            item += 1
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def decisions(review: Review) -> set[tuple[str, str, str, str]]:
    return set(review.table.select("canonical_label", "merged_label", "method", "decision").rows())


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


def test_legal_forms_are_those_of_names_with_a_capital() -> None:
    labels = {"Dove Inc.": 1, "Dove": 2, "Canon": 3, "Canon Inc.": 2, "canon inc": 1, "CANON, INC": 1}
    tags = {"feel good inc": 1, "feelgood": 2, "new ag": 1, "new": 5, "feel good": 1}
    _, review = resolve_entities(graph(labels | tags), BRANDS)
    assert decisions(review) == {
        ("Dove", "Dove Inc.", "normal form", MERGE), ("Canon", "Canon Inc.", "normal form", MERGE),
        ("Canon", "canon inc", "normal form", MERGE), ("Canon", "CANON, INC", "normal form", MERGE),
        ("feelgood", "feel good", "normal form", MERGE),
    }  # fmt: skip
    # A capital of another kind's name says nothing; an alias is a name of each kind.
    kg = graph({"feel good inc": 1, "feelgood": 2}, "tag").union(graph({"Feel Good Inc": 1}))
    every = ResolveSettings(kinds="all")
    assert resolve_entities(kg, every)[1].merged == 0
    aliases = {"Gorillaz": ("Feel Good Inc",)}
    assert resolve_entities(kg, every.model_copy(update={"aliases": aliases}))[1].merged == 1
    lower = {"hewlett packard inc": ("hp",)}
    known = graph({"HP": 1, "Hewlett Packard Inc.": 1, "Hewlett-Packard": 2})
    assert resolve_entities(known, BRANDS.model_copy(update={"aliases": lower}))[1].merged == 2


def test_a_prefix_is_left_out_before_another_name() -> None:
    labels = {
        "Nike": 3, "by Nike": 1, "by\n    \n    NIKE, Inc.": 1, "The North Face": 2, "by The North Face": 1,
        "by Acme": 1, "By the Sword": 1, "by the sword": 1, "the sword": 2, "by": 1, "Byron": 1, "Ron": 1,
        "By Night": 1, "Night": 1,
    }  # fmt: skip
    _, review = resolve_entities(graph(labels), BRANDS)
    assert {row for row in decisions(review) if row[3] == MERGE} == {
        ("Nike", "by Nike", "normal form", MERGE),
        ("Nike", "by\n    \n    NIKE, Inc.", "normal form", MERGE),
        ("The North Face", "by The North Face", "normal form", MERGE),
        ("By the Sword", "by the sword", "normal form", MERGE),
    }
    other_kind = graph({"by Nike": 1}).union(graph({"Nike": 1}, "store"))
    assert resolve_entities(other_kind, ResolveSettings(kinds="all"))[1].merged == 0
    off = BRANDS.model_copy(update={"prefixes": ()})
    assert resolve_entities(graph({"Nike": 1, "by Nike": 1}), off)[1].merged == 0
    signs = BRANDS.model_copy(update={"prefixes": ("by", "(c)")})
    assert resolve_entities(graph({"Nike": 1, "(c) Nike": 1, "c Nike": 1}), signs)[1].merged == 1
