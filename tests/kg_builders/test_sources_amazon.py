"""Amazon metadata: hand-made records of the three layouts with their traps, and what isn't one."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.sources import ItemRecords, detect_version, read_amazon
from kg_builders.sources.amazon import AMAZON_FIELDS
from kg_builders.sources.amazon_fields import parse_prices
from kg_builders.sources.literals import parse_literal
from kg_builders.sources.values import dates_iso

OLD = [
    {
        "asin": "0000031852",
        "title": 'Girls\' Ballet "Tutu"',
        "price": 3.17,
        "imUrl": "http://ecx.images-amazon.com/images/I/51.jpg",
        "related": {"also_bought": ["B00", "B01"], "bought_together": ["B02"]},
        "salesRank": {"Toys & Games": 211836},
        "brand": "Coxlures",
        "categories": [["Sports", "Dance"], ["Toys", "Dress Up", ""]],
    },
    {
        "asin": "0000031853",
        "title": "No\tlists\\ of é",
        "description": "One text",
        "categories": [[]],
        "price": None,
    },
]

MIDDLE: list[dict[str, Any]] = [
    {
        "asin": "B1",
        "title": "Shoe",
        "feature": ["Leather", "", "Rubber"],
        "description": [""],
        "price": "$1,299.00",
        "also_buy": ["B2", "B3"],
        "also_view": [],
        "rank": "1,234,567inClothing,ShoesJewelry(",
        "brand": "Clarks",
        "category": ["Clothing", "Men", "Shoes", "</span></span></span>", "100% Polyester"],
        "main_cat": "Clothing",
        "date": "October 4, 2016",
        "details": {"Product Dimensions: \n": "5 x 2", "Shipping Weight:": "", "ASIN:": "B1"},
        "imageURLHighRes": ["http://x/1.jpg"],
    },
    {
        "asin": "B2",
        "title": ["Odd", "title"],
        "feature": "One text",
        "price": ".a-box-inner{background-color:#fff}#alohaBuyBoxWidget .selected",
        "rank": [">#12,345 in Cell Phones & Accessories (See top 100)", ">#5 in Cases"],
        "category": "Phones",
        "date": "5 star",
        "details": [],
    },
]

NEW: list[dict[str, Any]] = [
    {
        "parent_asin": "P1",
        "main_category": "Musical Instruments",
        "title": "Strings",
        "average_rating": 4.5,
        "rating_number": 12,
        "features": ["Nickel"],
        "description": [],
        "price": 10,
        "images": [
            {"thumb": "t.jpg", "large": "l.jpg", "variant": "MAIN", "hi_res": None},
            {"thumb": "t2.jpg", "large": "l2.jpg", "variant": "PT01", "hi_res": "h2.jpg"},
        ],
        "videos": [],
        "store": "Ernie Ball",
        "categories": ["Musical Instruments", "Strings"],
        "details": {
            "Brand": "Ernie",
            "Is Discontinued": False,
            "Colors": ["Red", "Blue"],
            "Best Sellers Rank": {"Musical Instruments": 99, "Strings": 3},
            "Date First Available": "March 5, 2011",
            "Weight": 2.0,
        },
        "bought_together": None,
    },
    {"parent_asin": "P2", "price": "from 14.99", "images": [], "details": {}, "store": None, "title": ""},
]


def write(path: Path, records: list[Any], form: Any = json.dumps) -> Path:
    path.write_text("".join(f"{form(record)}\n" for record in records))
    return path


def rows(records: ItemRecords) -> list[dict[str, Any]]:
    """Return the values that aren't null."""
    return [
        {name: value for name, value in row.items() if value is not None} for row in records.frame.to_dicts()
    ]


EXPECTED_OLD = [
    {
        "id": "0000031852",
        "title": 'Girls\' Ballet "Tutu"',
        "brand": "Coxlures",
        "categories": [["Sports", "Dance"], ["Toys", "Dress Up"]],
        "price": 3.17,
        "also_buy": ["B00", "B01"],
        "bought_together": ["B02"],
        "image_urls": ["http://ecx.images-amazon.com/images/I/51.jpg"],
        "rank": 211836.0,
        "rank_category": "Toys & Games",
    },
    {"id": "0000031853", "title": "No\tlists\\ of é", "description": ["One text"]},
]


@pytest.mark.parametrize("form", [repr, ascii, json.dumps])
def test_2014(tmp_path: Path, form: Any) -> None:
    path = write(tmp_path / "meta.json", OLD, form)
    assert detect_version(path) == "2014"
    records = read_amazon(path)
    assert rows(records) == EXPECTED_OLD
    assert records.schema == {"id": pl.Utf8(), **AMAZON_FIELDS}
    assert records.label == "title"


def test_2018(tmp_path: Path) -> None:
    path = tmp_path / "meta.json.gz"
    path.write_bytes(gzip.compress("".join(f"{json.dumps(record)}\n" for record in MIDDLE).encode()))
    assert detect_version(path) == "2018"
    records = read_amazon(path)
    assert rows(records) == [
        {
            "id": "B1",
            "title": "Shoe",
            "brand": "Clarks",
            "main_category": "Clothing",
            "categories": [["Clothing", "Men", "Shoes"]],
            "features": ["Leather", "Rubber"],
            "price": 1299.0,
            "date": "2016-10-04",
            "details": [{"key": "Product Dimensions", "value": "5 x 2"}, {"key": "ASIN", "value": "B1"}],
            "also_buy": ["B2", "B3"],
            "image_urls": ["http://x/1.jpg"],
            "rank": 1234567.0,
            "rank_category": "Clothing,ShoesJewelry",
        },
        {
            "id": "B2",
            "title": "Odd",
            "categories": [["Phones"]],
            "features": ["One text"],
            "rank": 12345.0,
            "rank_category": "Cell Phones & Accessories",
        },
    ]
    assert records.bad is not None
    assert records.bad.sentences() == [
        f"{path}: category holds a piece of a web page, the path cut there in 1 of 2 records, "
        "first on line 1: '</span></span></span>'"
    ]


def test_2023(tmp_path: Path) -> None:
    path = write(tmp_path / "meta.jsonl", NEW)
    assert detect_version(path) == "2023"
    assert rows(read_amazon(path)) == [
        {
            "id": "P1",
            "title": "Strings",
            "brand": "Ernie Ball",
            "main_category": "Musical Instruments",
            "categories": [["Musical Instruments", "Strings"]],
            "features": ["Nickel"],
            "price": 10.0,
            "date": "2011-03-05",
            "details": [
                {"key": "Brand", "value": "Ernie"},
                {"key": "Is Discontinued", "value": "false"},
                {"key": "Colors", "value": "Red"},
                {"key": "Colors", "value": "Blue"},
                {"key": "Best Sellers Rank", "value": "Musical Instruments: 99"},
                {"key": "Best Sellers Rank", "value": "Strings: 3"},
                {"key": "Date First Available", "value": "March 5, 2011"},
                {"key": "Weight", "value": "2"},
            ],
            "image_urls": ["l.jpg", "h2.jpg"],
            "rank": 99.0,
            "rank_category": "Musical Instruments",
            "average_rating": 4.5,
            "rating_number": 12.0,
        },
        {"id": "P2", "price": 14.99},
    ]
    some = read_amazon(path, fields=["price", "brand"])
    assert some.frame.rows() == [("P1", 10.0, "Ernie Ball"), ("P2", 14.99, None)]
    assert some.label is None
    assert some.files == {"price": "meta.jsonl", "brand": "meta.jsonl"}


def test_a_stream_of_parts_is_the_same_as_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [NEW[0] | {"parent_asin": f"P{index % 40}", "title": f"t{index}"} for index in range(50)]
    path = write(tmp_path / "meta.jsonl", records)
    whole = read_amazon(path, max_bad=0.2)
    monkeypatch.setattr("kg_builders.sources.staging.PART_BYTES", 1000)
    monkeypatch.setattr("kg_builders.sources.streams.BLOCK", 5000)
    staged = read_amazon(path, max_bad=0.2, scratch=tmp_path)
    assert staged.bad is not None
    assert staged.bad.count == 10
    assert staged.frame.equals(whole.frame)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"parent_asin": "X", "price": ', "isn't valid JSON"),
        (b"[1, 2]", "is a JSON list; expected an object"),
        (b'{"title": "no id"}', "parent_asin is empty"),
        (b'{"parent_asin": " ", "title": "no id"}', "parent_asin is empty"),
        (b'{"parent_asin": "P1 "}', "parent_asin, after normalisation 'P1', repeats that of line 1"),
        (b'{"parent_asin": "X", "title": "\xff"}', "byte 0xff isn't UTF-8"),
        (b'{"parent_asin": "X", "title": "\x00"}', "holds a NUL byte"),
        (b'{"parent_asin": "X", "details": ' + b'{"a":' * 100_000 + b"}" * 100_001, "nested too deeply"),
        (b'{"parent_asin": "X", "other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"parent_asin": "X", "title": "\\ud800"}', "holds what can't be read"),
    ],
)
def test_bad_records(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "meta.jsonl"
    good = [json.dumps(record).encode() for record in NEW]
    path.write_bytes(b"\n".join([good[0], line, b"", good[1]]))
    records = read_amazon(path, max_bad=0.4)
    assert records.bad is not None
    assert (records.bad.count, records.bad.total, records.bad.first[0].line) == (1, 3, 2)
    assert reason in records.bad.first[0].reason
    assert records.frame["id"].to_list() == ["P1", "P2"]
    with pytest.raises(InputError, match=r"meta.jsonl, line 2: .*1 of 3 records is bad, more than the 1.0%"):
        read_amazon(path)


def test_values_that_vary_dont_make_a_record_bad(tmp_path: Path) -> None:
    odd = {
        "parent_asin": 7,
        "title": None,
        "categories": [["A", "B"], ["C"]],
        "features": {"a": 1},
        "price": float("nan"),
        "images": {"hi_res": ["x"]},
        "details": "none",
        "average_rating": "4.5",
        "rating_number": "1,200",
        "store": 3.5,
    }
    path = write(tmp_path / "meta.jsonl", [NEW[0], odd])
    records = read_amazon(path)
    assert records.bad is not None
    assert records.bad.count == 0
    assert rows(records)[1] == {
        "id": "7",
        "brand": "3.5",
        "categories": [["A", "B", "C"]],
        "features": ['{"a":1}'],
        "average_rating": 4.5,
        "rating_number": 1200.0,
    }


def test_bombs(tmp_path: Path) -> None:
    path = tmp_path / "meta.jsonl"
    many = json.dumps({"parent_asin": "M", "categories": [f"c{index}" for index in range(1_000_000)]})
    with path.open("w") as file:
        file.write(f'{json.dumps(NEW[0])}\n{{"parent_asin": "L", "title": "')
        for _ in range(50):
            file.write("x" * (1 << 20))
        file.write(f'"}}\n{many}\n')
    records = read_amazon(path, max_bad=0.4)
    assert records.frame["id"].to_list() == ["P1", "M"]
    assert records.bad is not None
    assert str(records.bad.first[0]).startswith('line 2: is longer than 16 MiB (\'{"parent_asin"')
    assert len(records.frame["categories"][1][0]) == 10_000
    assert records.bad.sentences()[1].endswith(
        "categories holds more than 10,000 values, the rest cut in 1 of 3 records, first on line 3: "
        "'1,000,000 values'"
    )


@pytest.mark.parametrize(
    "inner",
    [{str(index): "v" for index in range(12_000)}, list(range(12_000))],
    ids=["mapping", "list"],
)
def test_details_within_details_are_bounded(tmp_path: Path, inner: Any) -> None:
    path = write(tmp_path / "meta.jsonl", [NEW[0], {"parent_asin": "D", "details": {"x": inner, "y": "z"}}])
    records = read_amazon(path)
    assert len(records.frame["details"][1]) == 10_000
    assert records.bad is not None
    assert records.bad.sentences() == [
        f"{path}: details holds more than 10,000 values, the rest cut in 1 of 2 records, first on line 2: "
        "'12,001 values'"
    ]


def test_what_is_no_amazon_metadata(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write(path, [{"id": 1}])
    with pytest.raises(InputError, match=r"isn't Amazon metadata as line 1 has neither asin nor parent_asin"):
        read_amazon(path)
    path.write_text("id,title\n1,a\n")
    with pytest.raises(InputError, match=r"isn't Amazon metadata as line 2 isn't a Python literal"):
        read_amazon(path)
    write(path, NEW)
    with pytest.raises(InputError, match=r"no field 'colour' in Amazon metadata"):
        read_amazon(path, fields=["colour"])
    with pytest.raises(
        InputError, match=r"unknown version '2019' of Amazon metadata; did you mean '2014'|'2018'"
    ):
        read_amazon(path, "2019")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"items.jsonl, line 1: asin is empty"):
        read_amazon(path, "2018")


LITERAL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=4), LITERAL, max_size=4), form=st.sampled_from([repr, ascii]))
@settings(max_examples=80, deadline=None)
def test_literals_mean_what_python_means(value: dict[str, Any], form: Any) -> None:
    line = form(value).encode("utf-8")
    if b"\0" not in line:
        assert parse_literal(line) == ast.literal_eval(line.decode()) == value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("__import__('os').system('true')", "it holds more than values"),
        ("{'a': open('x')}", "it holds more than values"),
        ("{'a': " + "[" * 5000 + "]" * 5000 + "}", "isn't a Python literal"),
        ("-" * 100_000 + "1", "isn't a Python literal"),
        ("{'a': " + "9" * 5000 + "}", "isn't a Python literal"),
        ("{'a': (" + "'x'," * 300_000 + ")}", "isn't simple and longer than 1 MiB"),
        ("{'a': 'unended}", "isn't a Python literal"),
        ("{'a': '\0'}", "holds a NUL byte"),
    ],
)
def test_literals_that_are_refused(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_literal(line.encode())


def test_prices() -> None:
    given_prices = {
        "$12.99": 12.99,
        " 12 ": 12.0,
        "$1,299.00": 1299.0,
        "from $5.99": 5.99,
        "$5.99 - $12.99": 5.99,
        "US$3": 3.0,
        "1,2": None,
        "—": None,
        "$12.99 & free shipping": None,
        "": None,
    }
    assert parse_prices(pl.Series(list(given_prices))).to_list() == list(given_prices.values())


def test_dates() -> None:
    given_dates = {
        "October 4, 2016": "2016-10-04",
        "Oct 4, 2016": "2016-10-04",
        "4 October 2016": "2016-10-04",
        "01-Jan-1995": "1995-01-01",
        "2016/10/04": "2016-10-04",
        "2016-10-04 09:30:00": "2016-10-04",
        "2016-10": "2016-10",
        "1999": "1999",
        "10/04/2016": None,
        "2016-13-04": None,
        "5 star": None,
    }
    assert dates_iso(pl.Series("d", list(given_dates))).to_list() == list(given_dates.values())
    assert dates_iso(pl.Series("d", ["04/10/2016"]), ("%d/%m/%Y",)).to_list() == ["2016-10-04"]


@pytest.mark.parametrize("end", [b"", b"\\", b"'x"])
def test_a_string_without_an_end_costs_no_more_than_its_length(end: bytes) -> None:
    # Searched anew from each of its quotation marks, this would take hours.
    with pytest.raises(ValueError, match="literal"):
        parse_literal(b"{'a': 1} " + b"\\'" * 400_000 + end)
