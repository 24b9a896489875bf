"""Delimited text: exact rows, and complaints that name file and line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.delimited import LINE, parse_record, read_delimited
from kg_builders.sources.streams import MAX_LINE

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=6)


@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_quoted_values_survive(rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("quoted") / "t.csv"
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    path.write_bytes(buffer.getvalue().encode())
    frame = read_delimited(path, ",", quote='"')
    assert frame.select("a", "b").rows() == [tuple(cell or None for cell in row) for row in rows]


def test_bare_quotation_marks_blank_lines_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes('\ufeffid\tname\r\n1\t"Weird Al" Yankovic\r\n\r\n2\t\r\n3\tRoyce da 5\'9"'.encode())
    frame = read_delimited(path, "\t")
    assert frame.columns == ["id", "name", LINE]
    assert frame.rows() == [("1", '"Weird Al" Yankovic', 2), ("2", None, 4), ("3", "Royce da 5'9\"", 5)]


def test_lines_are_counted_across_quoted_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,"two\nlines"\n2,b\n3\n')
    with pytest.raises(
        InputError, match=r"t.csv, line 5: has 1 value separated by comma, expected 2 \(id, text\)"
    ):
        read_delimited(path, ",", quote='"')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.txt: is empty"),
        (b" \n\n", "t.txt: is empty"),
        (b"id\tname\n", "t.txt: has a header but no rows"),
        (b"id\tname\n1\ta\n2\tb\tc\n", "line 3: has 3 values separated by tab, expected 2"),
        (b"id\tname\n1\n", "line 2: has 1 value separated by tab, expected 2"),
        (
            b"id,name,year\n1,a,2\n",
            "line 1: the header has one column, 'id,name,year'; comma would split it into 3",
        ),
        (b"id\tname\n1,a\n", "line 2: has 1 value .*; comma would split it into 2, but tab is the delimiter"),
        (b"id\tid\n1\t2\n", "line 1: column 'id' occurs twice"),
        (b"id\tname\n1\t\xff\n", "line 2: byte 0xff isn't UTF-8"),
        (b"id\tname\n1\ta\n2\t\0\n", "line 3: holds a NUL byte"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_delimited(path, "\t")


def test_missing_file_folder_and_broken_quotation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent.csv: can't be read \(No such file"):
        read_delimited(tmp_path / "absent.csv", ",")
    with pytest.raises(InputError, match=r"can't be read"):
        read_delimited(tmp_path, ",")
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,2\n3,"four\n')
    with pytest.raises(InputError, match=r"t.csv, line 3: the quotation is broken"):
        read_delimited(path, ",", quote='"')
    path.write_text('a::b\n1::"2"\n')
    with pytest.raises(InputError, match=r"expected a delimiter of one character, got '::'"):
        read_delimited(path, "::", quote='"')
    assert read_delimited(path, "::").select("a", "b").rows() == [("1", '"2"')]


def test_line_breaks_in_quoted_values_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b'id,name\r\n1,"a\r\nb"\r\n2,"c\nd"\r\n3,e\r\n4,"f"\r\n')
    frame = read_delimited(path, ",", quote='"')
    assert frame["name"].to_list() == ["a\r\nb", "c\nd", "e", "f"]
    assert frame[LINE].to_list() == [2, 4, 6, 7]


@given(st.text('a,";\n\r', max_size=12))
@settings(max_examples=400, deadline=None)
def test_a_record_is_split_as_by_csv(record: str) -> None:
    try:
        rows = list(csv.reader(io.StringIO(record, newline=""), strict=True))
    except csv.Error:
        rows = []
    # The end of a record is no part of it.
    if record and not record.endswith(("\n", "\r")):
        assert parse_record(record, ",", '"') == (rows[0] if len(rows) == 1 else None)


def test_long_quoted_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    long = 'x"y,z' * 100_000 + "\n" * 3 + "end"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], ["1", long], ["2", "c"]])
    assert read_delimited(path, ",", quote='"').select("a", "b").rows() == [("1", long), ("2", "c")]


@pytest.mark.parametrize(
    ("line", "count", "reason"),
    [
        ("y\n", 3_000, "it doesn't end within 1,000 lines"),
        ("y" * (MAX_LINE // 8) + "\n", 9, "it doesn't end within 16 MiB"),
    ],
)
def test_a_stray_quotation_mark_takes_its_line_alone(
    tmp_path: Path, line: str, count: int, reason: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n" + '"stray\n' + line * count + '"end"\n')
    bad = BadRecords("t.csv", max_bad=0.5)
    frame = read_delimited(path, ",", quote='"', bad=bad)
    assert len(frame) == count + 2
    assert frame["a"][0] == "1"
    assert frame["a"][-1] == "end"
    assert [(record.line, record.reason) for record in bad.first] == [
        (3, f"the quotation is broken: {reason}")
    ]
