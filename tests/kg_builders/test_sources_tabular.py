"""Tables by a mapping: every type from CSV, JSON lines and Parquet, bad records, and the settings."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.sources import (
    TableMapping,
    load_mapping,
    parse_mapping,
    read_delimited,
    read_table,
    read_tabular,
)

MAPPING: dict[str, Any] = {
    "id": "sku",
    "label": "name",
    "fields": {
        "name": "text",
        "genres": {"type": "list", "delimiter": "|"},
        "category": {"type": "path", "delimiter": ">", "paths": ";"},
        "price": "number",
        "released": {"type": "date", "format": "%d/%m/%Y"},
        "similar": {"type": "reference", "delimiter": " ", "column": "also"},
        "specs": {"type": "key-value", "delimiter": ";"},
    },
}
CSV = (
    "sku,name,genres,category,price,released,also,specs,unused\n"
    'A1," Good, Bad ",Drama| Comedy |,Books > Fiction;Gifts,3.5,04/10/2016,A2 A3,'
    "Colour: red; Size: 5:6;none,x\n"
    "A2,Other,,,,,,,x\n"
)
EXPECTED = [
    {
        "id": "A1",
        "name": "Good, Bad",
        "genres": ["Drama", "Comedy"],
        "category": [["Books", "Fiction"], ["Gifts"]],
        "price": 3.5,
        "released": "2016-10-04",
        "similar": ["A2", "A3"],
        "specs": [{"key": "Colour", "value": "red"}, {"key": "Size", "value": "5:6"}],
    },
    {
        "id": "A2",
        "name": "Other",
        **dict.fromkeys(["genres", "category", "price", "released", "similar", "specs"]),
    },
]


def test_every_type_from_csv(tmp_path: Path) -> None:
    mapping = parse_mapping(MAPPING)
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    records = read_table(path, mapping)
    assert records.frame.to_dicts() == EXPECTED
    assert records.label == "name"
    assert records.files == dict.fromkeys(records.fields, "items.csv.gz")
    some = read_table(path, mapping, fields=["price"])
    assert some.frame.to_dicts() == [
        {"id": "A1", "name": "Good, Bad", "price": 3.5},
        {"id": "A2", "name": "Other", "price": None},
    ]
    with pytest.raises(InputError, match=r"no field 'prices' in the mapping; did you mean 'price'"):
        read_table(path, mapping, fields=["prices"])


@pytest.mark.parametrize("kind", ["texts", "lists"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_every_type_from_json_and_parquet(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"items.{suffix}"
    if kind == "texts":
        cells = [line.split(",") for line in CSV.replace('" Good, Bad "', "Good").splitlines()]
        rows = [dict(zip(cells[0], [cell or None for cell in row], strict=True)) for row in cells[1:]]
        expected = [EXPECTED[0] | {"name": "Good"}, EXPECTED[1]]
    else:
        rows = [
            {
                "sku": "A1",
                "name": "Good, Bad",
                "genres": ["Drama", " Comedy ", ""],
                "category": [["Books", "Fiction"], ["Gifts"]],
                "price": 3.5,
                "released": "04/10/2016",
                "also": ["A2", "A3"],
                "specs": {"Colour": "red", "Size": "5:6"},
            },
            {"sku": "A2", "name": "Other"},
        ]
        expected = EXPECTED
    if suffix == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        pl.DataFrame(rows).write_parquet(path)
    assert read_table(path, parse_mapping(MAPPING)).frame.to_dicts() == expected


def test_mapping_files(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("1;Café;2\n".encode("latin-1"))
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "id: nr\nencoding: latin-1\ndelimiter: ;\ncolumns: [nr, name, n]\nfields: {name: text, n: number}\n"
    )
    assert read_table(path, mapping).frame.rows() == [("1", "Café", 2.0)]
    assert load_mapping(mapping).column_of("name") == "name"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": {"x": "texts"}}, "unknown value 'texts'; did you mean 'text'"),
        ({"fields": {"x": {"type": "text", "delimiter": ","}}}, "a field of type text isn't split"),
        ({"fields": {"x": {"type": "list", "format": "%Y"}}}, "format is for fields of type date"),
        ({"fields": {"x": {"type": "list", "paths": ";"}}}, "paths is for fields of type path"),
        ({"fields": {"row": "text"}}, "a field is called 'row'"),
        ({"fields": {"x": "text"}, "label": "y"}, "label 'y' is not among the fields x"),
        ({"fields": {"x": {"type": "text", "decimal": ","}}}, "decimal is for fields of type number"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        ({"encoding": "utf-16"}, "encoding 'utf-16' isn't read, since its lines .* save the file as UTF-8"),
        ({"encoding": "utf-32-le"}, "encoding 'utf-32-le' isn't read"),
        ({"encoding": "cp037"}, "encoding 'cp037' isn't read"),
        ({"encoding": "hex"}, "unknown encoding 'hex'"),
        ({"fild": {}}, "unknown key 'fild'; did you mean 'fields'"),
    ],
)
def test_bad_mappings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"mapping: .*{message}"):
        parse_mapping(change)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "iso8859-15", "big5"])
def test_encodings_that_keep_ascii(encoding: str) -> None:
    assert parse_mapping({"encoding": encoding}).encoding == encoding


def test_numbers_and_placeholder_dates(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(
        'id,de,us,date\na,"1.299,50 €","$1,299.50",2020-02-29\nb,"7,5",EUR 7.5,9999-12-31\n'
        "c,7.5,axe,0001-01-01\n"
    )
    fields = {"de": {"type": "number", "decimal": ","}, "us": "number", "date": "date"}
    records = read_table(path, parse_mapping({"fields": fields}), max_bad=1.0)
    assert records.frame.drop("id").rows() == [
        (1299.5, 1299.5, "2020-02-29"), (7.5, 7.5, None), (None, None, None),
    ]  # fmt: skip
    assert records.bad is not None
    assert {name: problem.count for name, problem in records.bad.values.items()} == {
        "de isn't a number": 1, "us isn't a number": 1, "date isn't a date": 2,
    }  # fmt: skip


def test_bad_records_are_skipped_up_to_the_share(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    lines = [f"i{index},name {index},{index}" for index in range(300)]
    lines[10] = "i10,too,many,values"
    lines[20] = "i19,repeated,1"
    lines[30] = "i30,not a number,many"
    path.write_text("id,name,n\n" + "\n".join(lines) + "\n")
    records = read_tabular(path, numbers=["n"])
    assert len(records) == 298
    assert records.bad is not None
    assert [str(record) for record in records.bad.first] == [
        "line 12: has 4 values separated by comma, expected 3 (id, name, n)",
        "line 22: id repeats that of line 21 ('i19')",
    ]
    assert (
        records.bad.sentences()[1]
        == f"{path}: n isn't a number in 1 of 300 records, first on line 32: 'many'"
    )
    with pytest.raises(InputError, match=r"items.csv, line 12: has 4 values .*; 2 of 300 records are bad"):
        read_tabular(path, max_bad=0.005)
    with pytest.raises(
        InputError, match=r"items.csv, line 12: has 4 values separated by comma, expected 3 \(id, name, n\)$"
    ):
        read_tabular(path, max_bad=0)


def test_a_file_that_is_wrong_throughout_fails_soon(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    with path.open("w") as file:
        for index in range(40_000):
            file.write(f"not JSON {index} {'x' * 1000}\n")
    done: list[int] = []
    with pytest.raises(InputError, match=r"items.jsonl, line 1: isn't valid JSON .*more than the 1.0%"):
        read_table(path, TableMapping(fields={}), progress=lambda *step: done.append(step[2]))
    assert max(done) < 40_000


def test_files_that_are_not_what_their_ending_says(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    pl.DataFrame({"id": [1]}).write_parquet(path)
    with pytest.raises(InputError, match=r"items.csv: is a Parquet table; expected UTF-8 text"):
        read_tabular(path)
    path = tmp_path / "items.parquet"
    path.write_text("id,name\n1,a\n")
    with pytest.raises(InputError, match=r"items.parquet: can't be read as Parquet"):
        read_tabular(path)
    path = tmp_path / "items.jsonl"
    path.write_text("id,name\n1,a\n")
    with pytest.raises(InputError, match=r"items.jsonl, line 1: isn't valid JSON"):
        read_tabular(path)
    with pytest.raises(InputError, match=r"is a folder"):
        read_tabular(tmp_path, kind="csv")
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"items.jsonl: is empty"):
        read_tabular(path)


def test_reserved_names(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("sku,row\n1,a\n")
    with pytest.raises(InputError, match=r"column 'row' is called as what records have of their own"):
        read_tabular(path, "sku")
    mapping = parse_mapping({"id": "sku", "fields": {"shelf": {"column": "row"}}})
    assert read_table(path, mapping).frame.rows() == [("1", "a")]


def test_json_fields_that_come_late_or_never(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": 1, "o": {"a": 1, "b": [2, 3]}, "p": [["x", "y"], []]}\n{"id": 2, "late": true}\n')
    assert read_tabular(path).frame.to_dicts() == [
        {
            "id": "1",
            "o": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}, {"key": "b", "value": "3"}],
            "p": [["x", "y"]],
            "late": None,
        },
        {"id": "2", "o": None, "p": None, "late": "true"},
    ]
    with pytest.raises(InputError, match=r"items.jsonl: no column 'lat'; did you mean 'late'"):
        read_table(path, parse_mapping({"fields": {"lat": "text"}}))
    with pytest.raises(InputError, match=r"items.jsonl: no column 'ids'; did you mean 'id'"):
        read_tabular(path, "ids")


def test_stray_quotation_marks_cost_one_line(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    good = "".join(f"{index},name {index}\n" for index in range(2, 3000))
    path.write_text(f'id,name\n0,5\'9" tall\n1,"never closed\n{good}')
    records = read_tabular(path)
    assert records.bad is not None
    assert [str(record) for record in records.bad.first] == [
        "line 3: the quotation is broken: it doesn't end within 1,000 lines ('1,\"never closed')"
    ]
    assert len(records) == 2999
    assert records.frame.row(0) == ("0", "5'9\" tall")


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=5)


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12), block=st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_quoted_values_survive_any_block(
    rows: list[tuple[str, str]], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import csv
    import io
    from unittest.mock import patch

    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = tmp_path_factory.mktemp("blocks") / "t.csv"
    path.write_bytes(buffer.getvalue().encode())
    with patch("kg_builders.sources.streams.BLOCK", block):
        frame = read_delimited(path, ",", quote='"')
    assert frame.select("a", "b").rows() == [(a or None, b or None) for a, b in rows]
