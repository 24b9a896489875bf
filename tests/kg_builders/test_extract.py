"""Each kind of rule on hand-made records with the exact triples, and the published metadata."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError, KnowledgeGraph
from kg_builders.extract import Extraction, extract_triples
from kg_builders.io import write_knowledge_graph
from kg_builders.rules import load_rules, parse_rules
from kg_builders.sources import ItemRecords, read_lastfm


def run(fields: dict[str, list[Any]], *rules: dict[str, Any], label: str | None = None) -> Extraction:
    count = len(next(iter(fields.values())))
    frame = pl.DataFrame({"id": [str(number + 1) for number in range(count)], **fields})
    records = ItemRecords(frame, dict.fromkeys(fields, "items.csv"))
    return extract_triples(records, parse_rules({"rules": list(rules), "label": label}))


def facts(kg: KnowledgeGraph) -> list[tuple[str, str, str, str]]:
    """Item, relation, entity id and entity label of each triple, sorted."""
    return sorted(kg.to_named().select("head_id", "relation", "tail_id", "tail_label").rows())


def reasons(result: Extraction, rule: int = 0) -> dict[str, tuple[int, int]]:
    return {
        dropped.reason: (dropped.entities, dropped.triples) for dropped in result.report.rules[rule].dropped
    }


def test_categorical_provenance_labels_and_missing_values() -> None:
    result = run(
        {"brand": ["Sony", " sony ", "n/a", None, "Bang &amp; Olufsen"], "title": ["A", None, "C", "D", "E"]},
        {
            "kind": "categorical",
            "field": "brand",
            "relation": "made_by",
            "entity": "brand",
            "missing": ["N/A"],
        },
        label="title",
    )
    assert facts(result.kg) == [
        ("1", "made_by", "sony", "Sony"),
        ("2", "made_by", "sony", "Sony"),
        ("5", "made_by", "bang & olufsen", "Bang & Olufsen"),
    ]
    assert result.kg.entities["label"].to_list() == ["A", "2", "C", "D", "E", "Bang & Olufsen", "Sony"]
    assert result.kg.triples["source"].unique().to_list() == ["items.csv:brand:categorical"]
    report = result.report.rules[0]
    assert (report.records, report.records_with_value, report.entities, report.triples, report.items) == (
        5,
        4,
        2,
        3,
        3,
    )
    assert reasons(result) == {"stands for no value": (1, 1)}
    assert result.report.coverage == pytest.approx(0.6)


def test_numbers_as_categories() -> None:
    result = run({"code": [7, 7, 8]}, {"kind": "categorical", "field": "code"})
    assert facts(result.kg) == [("1", "code", "7", "7"), ("2", "code", "7", "7"), ("3", "code", "8", "8")]


@pytest.mark.parametrize("delimiter", [None, "|"])
def test_list_counts_a_repeated_value_once(delimiter: str | None) -> None:
    rows: list[Any] = [["Drama", "Comedy", "drama"], ["Drama", ""], None, []]
    if delimiter:
        rows = [None if row is None else delimiter.join(row) for row in rows]
    rule: dict[str, Any] = {"kind": "list", "field": "genres", "relation": "genre"}
    result = run({"genres": rows}, rule | ({"delimiter": delimiter} if delimiter else {}))
    assert facts(result.kg) == [
        ("1", "genre", "comedy", "Comedy"),
        ("1", "genre", "drama", "Drama"),
        ("2", "genre", "drama", "Drama"),
    ]
    assert result.report.rules[0].records_with_value == 2


def test_spellings_are_merged_under_the_commonest() -> None:
    tags = [["hip hop", "pop"], ["Hip-Hop"], ["hip hop", "hiphop"], ["rnb"], ["R&B"], ["Rhythm & Blues"]]
    rule = {"kind": "list", "field": "tag", "aliases": {"RnB": ["r&b", "rhythm and blues"]}}
    merged = run({"tag": tags}, rule | {"spelling": "merge"})
    assert facts(merged.kg) == [
        ("1", "tag", "hiphop", "hip hop"),
        ("1", "tag", "pop", "pop"),
        ("2", "tag", "hiphop", "hip hop"),
        ("3", "tag", "hiphop", "hip hop"),
        ("4", "tag", "rnb", "RnB"),
        ("5", "tag", "rnb", "RnB"),
        ("6", "tag", "rnb", "RnB"),
    ]
    report = merged.report.rules[0].merged
    assert [(entry.label, entry.spellings) for entry in report] == [
        ("hip hop", {"hip hop": 2, "Hip-Hop": 1, "hiphop": 1}),
        ("RnB", {"R&B": 1, "Rhythm & Blues": 1, "rnb": 1}),
    ]
    clean = run({"tag": tags}, {"kind": "list", "field": "tag"})
    assert {fact[2] for fact in facts(clean.kg)} == {
        "hip hop",
        "hip-hop",
        "hiphop",
        "pop",
        "rnb",
        "r&b",
        "rhythm & blues",
    }
    exact = run({"tag": [["Pop", "pop "]]}, {"kind": "list", "field": "tag", "spelling": "exact"})
    assert {fact[2] for fact in facts(exact.kg)} == {"Pop", "pop"}


def test_rare_common_excluded_and_long_values_are_dropped_with_the_reason() -> None:
    tags = [["all", "rare", "Seen-Live"], ["all", "some"], ["all", "some", "a tag of many words"], ["all"]]
    result = run(
        {"tag": tags},
        {"kind": "list", "field": "tag", "spelling": "merge", "exclude": ["seen live"], "max_words": 2}
        | {"min_items": 2, "max_share": 0.75},
    )
    assert facts(result.kg) == [("2", "tag", "some", "some"), ("3", "tag", "some", "some")]
    assert reasons(result) == {
        "excluded": (1, 1),
        "more than 2 words": (1, 1),
        "fewer than 2 items": (1, 1),
        "more than 75.0% of the items": (1, 4),
    }


def test_year_and_decade() -> None:
    dates = ["1995", "1995-03-17", "1987.0", "199", "unknown", None, "20012"]
    rule = {"field": "date", "max_bad": 0.4, "missing": ["unknown"]}
    result = run(
        {"date": dates}, rule | {"kind": "year", "relation": "y"}, rule | {"kind": "decade", "relation": "d"}
    )
    assert facts(result.kg) == [
        ("1", "d", "1990", "1990s"), ("1", "y", "1995", "1995"),
        ("2", "d", "1990", "1990s"), ("2", "y", "1995", "1995"),
        ("3", "d", "1980", "1980s"), ("3", "y", "1987", "1987"),
    ]  # fmt: skip
    assert reasons(result) == {"not a year": (2, 2), "stands for no value": (1, 1)}
    with pytest.raises(
        InputError, match=r"items.csv: rule 'y': 2 of 6 values .* are not a year, such as '199', '20012'"
    ):
        run(
            {"date": dates},
            {"kind": "year", "field": "date", "relation": "y", "max_bad": 0.3, "missing": ["unknown"]},
        )
    placeholders = ["1995", "9999-12-31", "0000", "2024-13-45"]
    result = run({"date": placeholders}, rule | {"kind": "year", "max_bad": 1})
    assert reasons(result) == {"not a year": (3, 3)}
    whole = run({"date": [1995, 2001]}, {"kind": "year", "field": "date"})
    assert [fact[2] for fact in facts(whole.kg)] == ["1995", "2001"]


def test_given_bins_of_prices_with_a_decimal_comma() -> None:
    rule = {"kind": "number", "field": "price", "edges": [10], "decimal": ","}
    result = run({"price": ["9,99 €", "1.000,00", "10"]}, rule)
    assert [fact[2] for fact in facts(result.kg)] == ["below 10", "10 and above", "10 and above"]
    with pytest.raises(InputError, match=r"2 of 2 values of field 'price' are not a number"):
        run({"price": ["12.5", "n/a"]}, rule)


def test_given_bins() -> None:
    rule = {"kind": "number", "field": "price", "edges": [10, 20.5]}
    result = run({"price": [3.0, 10.0, 20.0, 20.5, 1e9, None, -1.0]}, rule)
    assert [(fact[0], fact[3]) for fact in facts(result.kg)] == [
        ("1", "below 10"), ("2", "10 to below 20.5"), ("3", "10 to below 20.5"),
        ("4", "20.5 and above"), ("5", "20.5 and above"), ("7", "below 10"),
    ]  # fmt: skip
    text = run({"price": ["3", "12", "x"]}, rule | {"max_bad": 0.5})
    assert [fact[0] for fact in facts(text.kg)] == ["1", "2"]
    assert reasons(text) == {"not a number": (1, 1)}
    with pytest.raises(InputError, match=r"1 of 3 values of field 'price' are not a number, such as 'x'"):
        run({"price": ["3", "12", "x"]}, rule)
    with pytest.raises(InputError, match=r"are not a number, such as 'NaN'"):
        run({"price": [3.0, math.nan]}, rule)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.integers(2, 5))
@settings(max_examples=50, deadline=None)
def test_quantile_bins_keep_order_and_are_even_without_ties(numbers: list[int], bins: int) -> None:
    rule = {"kind": "number", "field": "x", "bins": bins}
    kg = run({"x": numbers}, rule).kg
    named = kg.to_named().select(pl.col("head_id").cast(pl.Int64), "tail_id").sort("head_id")
    by_bin: dict[str, list[int]] = {}
    for item, key in named.rows():
        by_bin.setdefault(key, []).append(numbers[item - 1])
    spans = sorted((min(values), max(values)) for values in by_bin.values())
    assert all(left[1] < right[0] for left, right in pairwise(spans))
    assert sum(map(len, by_bin.values())) == len(numbers)
    distinct = [float(number) for number in np.random.default_rng(len(numbers)).permutation(bins * 4)]
    sizes = Counter(fact[2] for fact in facts(run({"x": distinct}, rule).kg))
    assert list(sizes.values()) == [4] * bins


def test_keywords_of_a_title() -> None:
    titles = [
        "Schindler's List (1993)",
        "The LIST &amp; the Rock&#39;n&#39;Roll, 2",
        "Caf&eacute; Noir: a list",
        None,
    ]
    result = run(
        {"title": titles}, {"kind": "keyword", "field": "title", "relation": "word", "exclude": ["ROCK"]}
    )
    assert facts(result.kg) == [
        ("1", "word", "list", "list"), ("1", "word", "schindler", "schindler"),
        ("2", "word", "list", "list"), ("2", "word", "roll", "roll"),
        ("3", "word", "café", "café"), ("3", "word", "list", "list"), ("3", "word", "noir", "noir"),
    ]  # fmt: skip
    assert reasons(result) == {
        "stop word": (2, 2), "shorter than 3 letters": (2, 2), "a number": (2, 2), "excluded": (1, 1),
    }  # fmt: skip
    kept = run(
        {"title": ["The list of 1993"]},
        {"kind": "keyword", "field": "title", "stop_words": "none", "min_length": 2, "numbers": True},
    )
    assert [fact[2] for fact in facts(kept.kg)] == ["1993", "list", "of", "the"]


@pytest.mark.parametrize("kind", ["keyword", "text"])
def test_programs_and_styles_are_no_words(kind: str) -> None:
    titles = [
        "<style>.box {color: red}</style>Steel<SCRIPT type='x'>\nvar hidden = 1;\n</script >axe",
        "Scripted <scripture> styles, script of an axe",
    ]
    result = run({"title": titles}, {"kind": kind, "field": "title"})
    words = {number: {fact[2] for fact in facts(result.kg) if fact[0] == number} for number in "12"}
    assert words == {"1": {"steel", "axe"}, "2": {"scripted", "styles", "script", "axe"}}


def test_keywords_of_a_list_of_words_equal_those_of_the_text() -> None:
    rule = {"kind": "keyword", "field": "title"}
    titles = ["Toy Story", "Postman, The", "Toy Soldiers"]
    text = run({"title": titles}, rule)
    words = run({"title": [title.split(" ") for title in titles]}, rule)
    assert facts(text.kg) == facts(words.kg)
    assert [fact[2] for fact in facts(text.kg)] == ["story", "toy", "postman", "soldiers", "toy"]


@given(
    st.lists(
        st.lists(st.sampled_from(["Pop", "pop", "P-O-P", "rock", "Rock!", "jazz"]), max_size=5),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=50, deadline=None)
def test_merged_list_agrees_with_a_plain_count(rows: list[list[str]]) -> None:
    result = run(
        {"tag": pl.Series(rows, dtype=pl.List(pl.Utf8))},
        {"kind": "list", "field": "tag", "spelling": "merge", "min_items": 2},
    )  # type: ignore[dict-item]
    plain = [{"".join(filter(str.isalpha, tag)).lower() for tag in row} for row in rows]
    usage = Counter(tag for row in plain for tag in row)
    expected = {(str(number + 1), tag) for number, row in enumerate(plain) for tag in row if usage[tag] >= 2}
    assert {(fact[0], fact[2]) for fact in facts(result.kg)} == expected


def test_bad_fields() -> None:
    fields: dict[str, list[Any]] = {"tags": [["a"]], "name": ["a,b"], "deep": [[["a"]]]}
    for rule, message in [
        (
            {"kind": "list", "field": "tag"},
            r"rule 'tag': no field 'tag' among the item records of items.csv; did you mean 'tags'",
        ),
        (
            {"kind": "list", "field": "name"},
            r"items.csv: rule 'name': field 'name' holds texts; expected lists, or a text and a delimiter",
        ),
        (
            {"kind": "list", "field": "tags", "delimiter": ","},
            r"field 'tags' holds lists; expected no delimiter",
        ),
        (
            {"kind": "categorical", "field": "tags"},
            r"field 'tags' holds lists; expected one value, or a rule of kind list",
        ),
        ({"kind": "list", "field": "deep"}, r"field 'deep' holds List\(List\(String\)\); expected texts"),
    ]:
        with pytest.raises(InputError, match=message):
            run(fields, rule)
    with pytest.raises(InputError, match=r"the label: no field 'nam'.*did you mean 'name'"):
        run(fields, {"kind": "list", "field": "tags"}, label="nam")


def test_an_empty_field_makes_no_triple() -> None:
    result = run({"tag": pl.Series([None, None], dtype=pl.List(pl.Utf8))}, {"kind": "list", "field": "tag"})  # type: ignore[dict-item]
    assert (result.kg.n_triples, result.kg.n_items) == (0, 2)
    assert result.report.coverage == 0.0


def test_same_records_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tags = [
        [f"Tag {number}" if number % 2 else f"tag-{number}" for number in rng.integers(0, 9, 4)]
        for _ in range(50)
    ]
    frame = pl.DataFrame({"id": [f"i{number}" for number in range(50)], "tag": tags})
    rules = parse_rules([{"kind": "list", "field": "tag", "spelling": "merge"}])
    folders = []
    for name, shuffled in (("a", frame), ("b", frame.sample(fraction=1.0, shuffle=True, seed=1))):
        kg = extract_triples(ItemRecords(shuffled, {"tag": "t.csv"}), rules).kg.align_items(
            frame.select("id", label="id")
        )
        write_knowledge_graph(kg, tmp_path / name)
        folders.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert folders[0] == folders[1]


def test_published_lastfm_tags(shared_data: Path) -> None:
    lines = (shared_data / "lfm2k" / "lfm2k_og_ids.inter").read_text().splitlines()[1:]
    ids = sorted({line.split("\t")[1] for line in lines}, key=int)
    result = extract_triples(read_lastfm(shared_data / "lfm2k").select_items(ids), load_rules("lfm2k"))
    assert result.kg.n_items == 1_425
    assert result.report.coverage > 0.99
    usage = Counter(fact[3] for fact in facts(result.kg))
    raw = pl.read_csv(
        shared_data / "lfm2k" / "lfm2k_text.tsv", separator="\t", quote_char=None, infer_schema=False
    )
    tagged = raw.filter(pl.col("artistID").is_in(ids))["text"].to_list()
    spellings = {"hip-hop", "hip hop", "hiphop", "hip hop/rap", "hip-hop/rap"}
    assert usage["hip-hop"] == sum(bool(spellings & set(text.split(","))) for text in tagged)
    assert min(usage.values()) >= 5
    assert not {"seen live", "awesome", "favorites", "<3"} & set(usage)


def test_report_tells_what_was_done() -> None:
    from rich.console import Console

    result = run(
        {"tag": [["Pop", "pop-"], ["rare"]]},
        {"kind": "list", "field": "tag", "spelling": "merge", "exclude": ["rare"]},
    )
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result.report.table())
    text = console.export_text()
    console.file.close()
    assert "items.csv:tag:list" in text
    assert "left out, excluded: rare" in text
    assert "Pop = pop-" in text
    assert result.report.to_dict()["rules"][0]["dropped"][0]["reason"] == "excluded"
