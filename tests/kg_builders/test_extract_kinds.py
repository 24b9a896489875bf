"""Rules for paths, references, details and text: exact triples of hand-made records, and oracles."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from kg_builders import InputError, KnowledgeGraph
from kg_builders.extract import Extraction, extract_triples
from kg_builders.rules import load_rules, parse_rules
from kg_builders.schema import ITEM, NAMED_SCHEMA
from kg_builders.sources import ItemRecords

DETAILS = pl.List(pl.Struct({"key": pl.Utf8, "value": pl.Utf8}))


def run(fields: dict[str, Any], *rules: dict[str, Any]) -> Extraction:
    count = len(next(iter(fields.values())))
    frame = pl.DataFrame({"id": [str(number + 1) for number in range(count)], **fields})
    return extract_triples(ItemRecords(frame, dict.fromkeys(fields, "f")), parse_rules(list(rules)))


def facts(kg: KnowledgeGraph) -> set[tuple[str, str, str]]:
    """Head, relation and tail of each triple, by their ids."""
    named = kg.to_named()
    assert named.height == named.unique().height
    return set(named.select("head_id", "relation", "tail_id").rows())


def reasons(result: Extraction, rule: int = 0) -> dict[str, tuple[int, int]]:
    return {
        dropped.reason: (dropped.entities, dropped.triples) for dropped in result.report.rules[rule].dropped
    }


PATHS = [
    [["Home", "Kitchen", "Accessories"], ["Toys"]],
    [["Home", " kitchen"], ["Home", "Bath", "Accessories"]],
    None,
    [[], ["Home", None, "Bath"]],
]


def test_levels_of_paths_are_entities_below_their_parents() -> None:
    result = run({"c": PATHS}, {"kind": "path", "field": "c", "relation": "in", "entity": "category"})
    assert facts(result.kg) == {
        ("1", "in", "home > kitchen > accessories"), ("1", "in", "toys"),
        ("2", "in", "home > kitchen"), ("2", "in", "home > bath > accessories"),
        ("4", "in", "home > bath"),
        ("home > kitchen", "broader", "home"), ("home > bath", "broader", "home"),
        ("home > kitchen > accessories", "broader", "home > kitchen"),
        ("home > bath > accessories", "broader", "home > bath"),
    }  # fmt: skip
    labels = dict(result.kg.entities.select("id", "label").rows())
    assert labels["home > kitchen"] == "Kitchen"
    assert labels["home > bath > accessories"] == labels["home > kitchen > accessories"] == "Accessories"
    broader = result.kg.relations.filter(pl.col("name") == "broader")
    assert broader.select("label", "inverse_label").rows() == [("broader", "narrower")]
    report = result.report.rules[0]
    assert (report.records_with_value, report.entities, report.triples, report.items) == (3, 6, 9, 3)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        (["Home>Kitchen", "Home>Bath>Home>Tub", None], {"delimiter": ">"}),
        ([["Home", "Kitchen"], ["Home", "Bath", "Home", "Tub"], None], {}),
        ([["Home>Kitchen"], ["Home>Bath>Home>Tub"], None], {"delimiter": ">"}),
    ],
)
def test_forms_of_paths_and_a_level_that_is_above_itself(field: list[Any], options: dict[str, str]) -> None:
    result = run({"c": field}, {"kind": "path", "field": "c", "relation": "in", **options})
    assert {fact for fact in facts(result.kg) if fact[1] == "in"} == {
        ("1", "in", "home > kitchen"),
        ("2", "in", "home > bath > tub"),
    }
    assert reasons(result) == {"level that is above itself": (1, 1)}


def test_all_levels_skipped_levels_and_deep_paths() -> None:
    deep = {"c": [["All", "A", "B", "C", "D"], ["All"]]}
    rule = {"kind": "path", "field": "c", "relation": "in", "broader": False}
    result = run(deep, rule | {"link": "all", "skip_levels": 1, "max_levels": 2})
    assert facts(result.kg) == {("1", "in", "a"), ("1", "in", "a > b")}
    assert reasons(result) == {"below 2 levels": (2, 2)}
    # Only what is linked is an entity.
    leaves = run(deep, rule | {"skip_levels": 1})
    assert leaves.kg.entities.filter(pl.col("kind") != ITEM)["id"].to_list() == ["a > b > c > d"]


def test_where_a_level_is_left_out_its_ends_are_joined() -> None:
    paths = [
        ["All", "Home", "Rare"],
        ["All", "Home", "Bath"],
        ["All", "Toys", "Bath"],
        ["All", "Home", "Bath"],
    ]
    result = run(
        {"c": paths}, {"kind": "path", "field": "c", "relation": "in", "min_items": 2, "max_share": 0.9}
    )
    assert facts(result.kg) == {
        ("1", "in", "all > home"), ("2", "in", "all > home > bath"), ("4", "in", "all > home > bath"),
        ("all > home > bath", "broader", "all > home"),
    }  # fmt: skip
    assert reasons(result) == {"fewer than 2 items": (3, 3), "more than 90.0% of the items": (1, 4)}
    skipped = run({"c": paths}, {"kind": "path", "field": "c", "relation": "in", "exclude": ["home"]})
    assert ("1", "in", "all > rare") in facts(skipped.kg)
    assert ("all > rare", "broader", "all") in facts(skipped.kg)


@given(st.lists(st.lists(st.lists(st.sampled_from("abcd"), max_size=4), max_size=3), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_paths_agree_with_a_plain_walk(rows: list[list[list[str]]]) -> None:
    field = pl.Series(rows, dtype=pl.List(pl.List(pl.Utf8)))
    result = run({"c": field}, {"kind": "path", "field": "c", "relation": "in"})
    expected = set()
    for number, row in enumerate(rows):
        for path in row:
            levels = list(dict.fromkeys(path))
            whole = [" > ".join(levels[: depth + 1]) for depth in range(len(levels))]
            if whole:
                expected.add((str(number + 1), "in", whole[-1]))
            expected |= {(lower, "broader", upper) for upper, lower in pairwise(whole)}
    assert facts(result.kg) == expected


REFERENCES = {"also": [["2", "9", "1"], ["1", "3", "3"], ["8", "9"], None]}


def test_references_are_joined_and_unknown_ones_counted() -> None:
    result = run(REFERENCES, {"kind": "reference", "field": "also", "inverse_label": "was also"})
    assert facts(result.kg) == {("1", "also", "2"), ("2", "also", "1"), ("2", "also", "3")}
    assert reasons(result) == {"the item itself": (1, 1), "not among the items": (2, 3)}
    report = result.report.rules[0]
    assert (report.records_with_value, report.values, report.triples, report.items) == (3, 5, 3, 2)
    assert result.kg.relations["inverse_label"].to_list() == ["was also"]
    assert result.kg.n_entities == 4
    backwards = run(REFERENCES, {"kind": "reference", "field": "also", "direction": "to_item"})
    assert facts(backwards.kg) == {("2", "also", "1"), ("1", "also", "2"), ("3", "also", "2")}


def test_symmetric_references_and_kept_unknown_ones() -> None:
    result = run(
        REFERENCES,
        {"kind": "reference", "field": "also", "symmetric": True, "unknown": "keep", "min_items": 2},
    )
    ids = {frozenset((head, tail)) for head, _, tail in facts(result.kg)}
    assert ids == {frozenset("12"), frozenset("23"), frozenset("19"), frozenset("39")}
    assert result.kg.entities.row(4) == (4, "9", "9", "outside_item")
    assert reasons(result)["not among the items, and named by fewer than 2"] == (1, 1)
    report = result.report.rules[0]
    assert (report.entities, report.triples, report.items) == (1, 4, 3)
    text = run({"also": ["2|3", None, "1|2"]}, {"kind": "reference", "field": "also", "delimiter": "|"})
    assert facts(text.kg) == {("1", "also", "2"), ("1", "also", "3"), ("3", "also", "1"), ("3", "also", "2")}


def details(*rows: dict[str, str | None] | None) -> pl.Series:
    values = [
        None if row is None else [{"key": key, "value": value} for key, value in row.items()] for row in rows
    ]
    return pl.Series(values, dtype=DETAILS)


def test_frequent_keys_become_relations_and_part_numbers_do_not() -> None:
    rows = details(
        {"Colour": "Red", "Part Number": "1", "Weight": None},
        {"colour:": "red", "Part Number": "2", "Weight": "1 kg"},
        {"Colour": "Blue", "Part Number": "3"},
        {"Colour": "Blue", "Part Number": "4", "Origin": ""},
        None,
    )
    rule = {"kind": "details", "field": "d", "relation": "detail"}
    result = run({"d": rows}, rule | {"max_distinct": 0.8})
    assert facts(result.kg) == {
        ("1", "detail.colour", "red"), ("2", "detail.colour", "red"),
        ("3", "detail.colour", "blue"), ("4", "detail.colour", "blue"),
    }  # fmt: skip
    assert result.kg.relations.select("name", "label").rows() == [("detail.colour", "Colour")]
    assert result.kg.entities["kind"].unique().sort().to_list() == ["detail.colour", "item"]
    assert reasons(result) == {
        "key with different values for more than 80% of its items": (1, 4),
        "key of fewer than 2 items": (1, 1),
    }
    asked = run({"d": rows}, rule | {"keys": ["part number"], "exclude": ["2"]})
    assert facts(asked.kg) == {(item, "detail.partnumber", item) for item in "134"}
    few = run({"d": rows}, rule | {"max_keys": 1, "max_distinct": 1.0, "exclude_keys": ["COLOUR"]})
    assert {fact[1] for fact in facts(few.kg)} == {"detail.partnumber"}
    limited = run({"d": rows}, rule | {"max_keys": 1, "max_distinct": 1.0})
    assert reasons(limited)["key past the 1 most used"] == (1, 4)


WORDS = ["Lamp", "lamp", "table", "the", "oak", "Oak", "bed", "of", "desk", "sofa", "ox"]


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8), min_size=1, max_size=10), st.booleans())
@settings(max_examples=40, deadline=None)
def test_words_of_the_highest_tf_idf_are_those_of_scikit_learn(rows: list[list[str]], pairs: bool) -> None:
    texts = [" ".join(row) for row in rows]
    options = {"top": 2, "stop_words": "none", "min_length": 1, "min_items": 2, "pairs": pairs}
    result = run(
        {"t": pl.Series(texts, dtype=pl.Utf8)}, {"kind": "text", "field": "t", "relation": "about", **options}
    )
    found = defaultdict(set)
    for head, _, tail in facts(result.kg):
        found[head].add(tail)
    vectorizer = TfidfVectorizer(min_df=2, ngram_range=(1, 2 if pairs else 1), token_pattern=r"\S+")
    try:
        weights = vectorizer.fit_transform(texts).toarray()
    except ValueError:  # no word in two texts
        assert not found
        return
    # min_items also bounds what is left: a word that is among the best of one text only is left out.
    terms = vectorizer.get_feature_names_out()
    best: dict[str, list[str]] = {}
    for number, row in enumerate(weights):
        order = sorted(range(len(terms)), key=lambda term: (-round(row[term], 9), terms[term]))
        best[str(number + 1)] = [terms[term] for term in order[:2] if row[term] > 0]
    usage = Counter(term for chosen in best.values() for term in chosen)
    expected = {
        item: {term for term in chosen if usage[term] >= 2}
        for item, chosen in best.items()
        if any(usage[term] >= 2 for term in chosen)
    }
    assert found == expected


def test_tf_idf_skips_stop_words_and_markup_and_lists_are_one_text() -> None:
    rule = {"kind": "text", "field": "t", "relation": "about", "top": 2}
    texts = ["The <b>oak</b> lamp of oak", "A lamp&amp;more: 42 lamp's"]
    result = run({"t": texts}, rule)
    assert facts(result.kg) == {
        ("1", "about", "oak"), ("1", "about", "lamp"), ("2", "about", "lamp"), ("2", "about", "lamp&more"),
    }  # fmt: skip
    listed = run({"t": [["The <b>oak</b>", "lamp of oak"], ["A lamp&amp;more: 42", "lamp's"]]}, rule)
    assert facts(listed.kg) == facts(result.kg)
    # Words of two texts of a list are not side by side, nor are words with a stop word between them.
    two = {"t": [["oak", "lamp"], ["oak", "lamp"], ["oak of lamp"]]}
    assert {tail for _, _, tail in facts(run(two, rule | {"pairs": True}).kg)} == {"oak", "lamp"}
    one = {"t": ["oak lamp", "Oak Lamp", "lamp"]}
    assert ("1", "about", "oak lamp") in facts(run(one, rule | {"pairs": True}).kg)


def test_phrases_of_a_vocabulary_are_found_as_whole_words(tmp_path: Path) -> None:
    texts = ["Lord of the Rings: the lord", "the ring lord of the", "LORD of the rings' lord", None]
    phrases = ["lord of the rings", "Lord", "the ring", "ringsx"]
    rule = {"kind": "text", "field": "t", "relation": "about"}
    expected = {
        ("1", "about", "lord of the rings"), ("1", "about", "lord"), ("2", "about", "lord"),
        ("2", "about", "the ring"), ("3", "about", "lord"), ("3", "about", "lord of the rings"),
    }  # fmt: skip
    result = run({"t": texts}, rule | {"vocabulary": phrases})
    assert facts(result.kg) == expected
    assert result.kg.entities.filter(pl.col("id") == "lord")["label"].to_list() == ["Lord"]
    assert reasons(result) == {"phrase in no text": (1, 0)}
    (tmp_path / "phrases.txt").write_text("# films\nlord of the rings\nLord\n\nthe ring\n")
    (tmp_path / "rules.yaml").write_text(
        "rules: [{kind: text, field: t, relation: about, vocabulary_file: phrases.txt}]"
    )
    frame = pl.DataFrame({"id": list("1234"), "t": texts})
    from_file = extract_triples(ItemRecords(frame), load_rules(tmp_path / "rules.yaml"))
    assert facts(from_file.kg) == expected
    (tmp_path / "phrases.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match=r"phrases.txt: holds no phrase; expected one a line"):
        load_rules(tmp_path / "rules.yaml")


def test_direction_and_labels_of_both_directions() -> None:
    rule = {"kind": "categorical", "field": "b", "relation": "makes", "entity": "brand"}
    kg = run(
        {"b": ["Sony", "Sony", None]},
        rule | {"direction": "to_item", "relation_label": "makes", "inverse_label": "is made by"},
    ).kg
    assert facts(kg) == {("sony", "makes", "1"), ("sony", "makes", "2")}
    assert kg.relations.rows() == [(0, "makes", "makes", False, "is made by")]
    assert kg.entities.row(3) == (3, "sony", "Sony", "brand")


def test_tables_are_those_of_from_named() -> None:
    """The same facts by their names give the same tables as by numbers that an engine gave."""
    fields = {
        "tags": [["Ä", "b"], ["aa", "aaa", "ab"], [], ["€", "b", "𝄞", ""]],
        "other": ["b", None, "zz", "b"],
        "also": [["3", "x9"], ["x1"], None, ["1"]],
    }
    rules = [
        {"kind": "list", "field": "tags", "relation": "tag", "entity": "word"},
        {"kind": "categorical", "field": "other", "relation": "tag", "entity": "word"},
        {"kind": "reference", "field": "also", "symmetric": True, "unknown": "keep", "entity": "Zoo"},
    ]
    kg = run(fields, *rules).kg
    rows = [
        (ITEM, str(item + 1), "tag", "word", tag.lower(), tag, "f:tags:list")
        for item, tags in enumerate(fields["tags"])
        for tag in tags or []
        if tag
    ]
    rows += [
        (ITEM, str(item + 1), "tag", "word", tag, tag, "f:other:categorical")
        for item, tag in enumerate(fields["other"])
        if tag
    ]
    rows += [
        (ITEM, "3", "also", ITEM, "1", None, "f:also:reference"),
        (ITEM, "4", "also", ITEM, "1", None, "f:also:reference"),
    ]
    rows += [
        (ITEM, "1", "also", "Zoo", "x9", None, "f:also:reference"),
        (ITEM, "2", "also", "Zoo", "x1", None, "f:also:reference"),
    ]
    named = pl.DataFrame(rows, schema=NAMED_SCHEMA, orient="row")
    items = pl.DataFrame({"id": list("1234"), "label": list("1234")})
    relations = pl.DataFrame({"name": ["also"], "label": ["also"], "symmetric": [True]})
    expected = KnowledgeGraph.from_named(named, items, relations)
    assert kg.entities.equals(expected.entities)
    assert kg.relations.equals(expected.relations)
    assert kg.triples.equals(expected.triples)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "path", "field": "name"}, r"holds texts; expected lists of levels, or a text and a delim"),
        ({"kind": "path", "field": "deep", "delimiter": ">"}, r"expected no delimiter"),
        ({"kind": "path", "field": "number", "delimiter": ">"}, r"holds Int64; expected texts, or lists of"),
        ({"kind": "details", "field": "tags"}, r"f: rule 'tags': field 'tags' holds lists; expected lists"),
        ({"kind": "reference", "field": "tags", "delimiter": ","}, r"expected no delimiter"),
        ({"kind": "reference", "field": "deep"}, r"expected texts, numbers or lists"),
        ({"kind": "text", "field": "deep"}, r"expected texts, numbers or lists"),
    ],
)  # fmt: skip
def test_fields_of_another_type(rule: dict[str, str], message: str) -> None:
    fields = {"tags": [["a"]], "name": ["a"], "deep": [[["a"]]], "number": [1]}
    with pytest.raises(InputError, match=message):
        run(fields, rule)


def test_bombs_are_bounded() -> None:
    deep = run({"c": [["x" + str(level) for level in range(20_000)]]}, {"kind": "path", "field": "c"})
    assert deep.kg.n_entities == 11
    wide = run({"c": [[[str(number)] for number in range(50_000)]]}, {"kind": "path", "field": "c"})
    assert wide.report.rules[0].triples == 50_000


def test_an_optional_field_may_be_missing() -> None:
    fields = {"title": ["Oak"]}
    result = run(fields, {"kind": "list", "field": "tags", "optional": True})
    assert (result.kg.n_items, result.kg.n_triples) == (1, 0)
    assert reasons(result) == {"no such field": (0, 0)}
    with pytest.raises(InputError, match=r"rule 'tags': no field 'tags'"):
        run(fields, {"kind": "list", "field": "tags"})
