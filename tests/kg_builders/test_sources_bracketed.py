"""Cells that are a list in brackets: what is read as one, what stays a text, in sources and rules."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import extract_triples, parse_rules
from kg_builders.engines import DuckDBEngine, Engine, PolarsEngine
from kg_builders.sources import ItemRecords, parse_mapping, read_table
from kg_builders.sources.bracketed import bracketed_lists, bracketed_paths

LISTS: dict[str | None, list[str] | None] = {
    "['red', 'blue']": ["red", "blue"],
    '["x","y"]': ["x", "y"],
    " [ 'it''s' , \"it's, [so]\" ] ": None,  # Two strings side by side are no list.
    "['a', \"it's, [so]\"]": ["a", "it's, [so]"],
    "[1, 2.5, -3]": ["1", "2.5", "-3"],
    "[]": [],
    "['a', None]": ["a"],
    "[null, true]": ["true"],
    "[['a', 'b'], ['c']]": ["a", "b", "c"],
    "['two\\nlines']": ["two\nlines"],
    "[sic] words": None,
    "[sic]": None,
    "[Live] [Remastered]": None,
    "['red' 'blue']": None,  # As NumPy writes arrays.
    "[{'a': 1}]": None,
    "[__import__('os').getcwd()]": None,
    "['open": None,
    r"['\ud800']": None,
    '["\\ud83d\\ude00"]': ["\U0001f600"],
    "['a'] and ['b']": None,
    "('a', 'b')": None,
    "red, blue": None,
    "": None,
    None: None,
}


def test_what_is_a_list() -> None:
    read = bracketed_lists(pl.Series("tags", list(LISTS), dtype=pl.Utf8))
    assert dict(zip(LISTS, read.to_list(), strict=True)) == LISTS
    assert (read.name, read.dtype) == ("tags", pl.List(pl.Utf8))
    nothing = bracketed_lists(pl.Series([None, "plain"], dtype=pl.Utf8))
    assert (nothing.to_list(), nothing.dtype) == ([None, None], pl.List(pl.Utf8))
    deep = "[" * 100_000 + "]" * 100_000
    assert bracketed_paths(pl.Series([deep])).to_list() == [None]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.lists(TEXT, max_size=4), max_size=6))
@settings(max_examples=100, deadline=None)
def test_what_pandas_and_json_write_comes_back(rows: list[list[str]]) -> None:
    for write in (str, json.dumps, lambda row: json.dumps(row, ensure_ascii=False)):
        assert bracketed_lists(pl.Series([write(row) for row in rows], dtype=pl.Utf8)).to_list() == rows


CSV = (
    "id,tags,similar,path,paths,price\n"
    "a,\"['red', 'blue']\",\"['b', 'c']\",\"['Books', 'Crime']\",\"[['Books', 'Crime'], ['Gifts']]\",1\n"
    'b,"[""red"", ""sea, green""]",a,Music,[],2\n'
    "c,[sic] words,[],[],,3\n"
)


@pytest.mark.parametrize("delimiter", [None, ", "])
def test_a_mapping_reads_them(tmp_path: Path, delimiter: str | None) -> None:
    path = tmp_path / "items.csv"
    path.write_text(CSV)
    fields = {
        "tags": {"type": "list", "delimiter": delimiter},
        "similar": {"type": "reference", "delimiter": delimiter},
        "path": "path",
        "paths": "path",
    }
    frame = read_table(path, parse_mapping({"fields": fields})).frame
    assert frame["tags"].to_list() == [["red", "blue"], ["red", "sea, green"], ["[sic] words"]]
    assert frame["similar"].to_list() == [["b", "c"], ["a"], None]
    assert frame["path"].to_list() == [[["Books", "Crime"]], [["Music"]], None]
    assert frame["paths"].to_list() == [[["Books", "Crime"], ["Gifts"]], None, None]


@pytest.mark.parametrize("engine", [PolarsEngine, DuckDBEngine])
def test_rules_read_them(engine: type[Engine]) -> None:
    if engine is DuckDBEngine:
        pytest.importorskip("duckdb", reason="DuckDB is not installed (pip install '.[duckdb]')")
    frame = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "tags": [" ['red', 'sea, green']", '["red"]', "red, blue", "[sic], blue", "[]"],
            "also": ["['b', 'c']", "a, c", None, "", "[]"],
        }
    )
    rules = parse_rules(
        [
            {"kind": "list", "field": "tags", "delimiter": ","},
            {"kind": "reference", "field": "also", "delimiter": ", "},
        ]
    )
    with engine() as opened:
        kg = extract_triples(ItemRecords(frame), rules, opened).kg
    found = set(kg.to_named().select("head_id", "relation", "tail_id").rows())
    assert {row[::2] for row in found if row[1] == "tags"} == {
        ("a", "red"), ("a", "sea, green"), ("b", "red"), ("c", "red"), ("c", "blue"), ("d", "[sic]"),
        ("d", "blue"),
    }  # fmt: skip
    assert {row[::2] for row in found if row[1] == "also"} == {("a", "b"), ("a", "c"), ("b", "a"), ("b", "c")}
