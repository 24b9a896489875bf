"""Staged records: the same as in memory, whatever the size of the parts; ids checked across parts."""

from __future__ import annotations

import gc
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError
from kg_builders.sources import ItemRecords
from kg_builders.sources.bad import BadRecords, shorten
from kg_builders.sources.delimited import LINE
from kg_builders.sources.staging import StagedTable, StageWriter


def chunk(rows: list[tuple[int, str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, {LINE: pl.Int64, "id": pl.Utf8, "name": pl.Utf8}, orient="row")


def stage(rows: list[tuple[int, str | None, str | None]], step: int, scratch: Path, bad: BadRecords):
    writer = StageWriter(bad, scratch=scratch, part_rows=step)
    for start in range(0, len(rows), step):
        bad.total += len(rows[start : start + step])
        writer.append(chunk(rows[start : start + step]))
    return writer.finish()


IDS = st.one_of(
    st.none(), st.sampled_from(["", " ", "a", " a", "b", "é", "é", "1", "2 "]), st.text(max_size=2)
)


@given(ids=st.lists(IDS, max_size=30), step=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_first_record_of_an_id_is_kept(
    ids: list[str | None], step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import unicodedata

    first: dict[str, int] = {}
    repeats = []
    for line, given_id in enumerate(ids, start=1):
        stripped = pl.Series([given_id], dtype=pl.Utf8).str.strip_chars()[0]
        normal = unicodedata.normalize("NFC", stripped or "")
        if not normal:
            repeats.append((line, "id is empty"))
        elif normal in first:
            repeats.append((line, f"repeats that of line {first[normal]}"))
        else:
            first[normal] = line
    rows = [(line, given_id, f"n{line}") for line, given_id in enumerate(ids, start=1)]
    scratch = tmp_path_factory.mktemp("scratch")
    bad = BadRecords("f", max_bad=1.0)
    if not first:
        with pytest.raises(InputError, match="f: no record is left"):
            stage(rows, step, scratch, bad)
        assert not list(scratch.iterdir())
        return
    records = ItemRecords(stage(rows, step, scratch, bad), {"name": "f"}, "name")
    assert records.frame["id"].to_list() == list(first)
    assert records.frame["name"].to_list() == [f"n{line}" for line in first.values()]
    assert (bad.count, bad.total) == (len(repeats), len(ids))
    by_line = dict(repeats)
    assert all(record.reason.endswith(by_line[record.line]) for record in bad.first)


def test_staged_and_in_memory_are_the_same(tmp_path: Path) -> None:
    rows = [(line, f"i{line}", None if line % 3 else f"n{line}") for line in range(1, 24)]
    small = stage(rows, 100, tmp_path, BadRecords("f"))
    parts = stage(rows, 5, tmp_path, BadRecords("f"))
    assert isinstance(small, pl.DataFrame)
    assert isinstance(parts, StagedTable)
    memory, staged = ItemRecords(small, {}, "name"), ItemRecords(parts, {}, "name")
    assert len(memory) == len(staged) == 23
    assert memory.schema == staged.schema == {"id": pl.Utf8, "name": pl.Utf8}
    assert memory.frame.equals(staged.frame)
    assert memory.scan().collect().equals(staged.scan().collect())
    assert staged.scan().collect()["row"].to_list() == list(range(23))
    assert memory.labels().equals(staged.labels())
    chosen = ["i9", "zz", "i1"]
    assert memory.select_items(chosen).frame.equals(staged.select_items(chosen).frame)
    assert memory.parquet_files == []
    assert len(staged.parquet_files) == 5
    assert pl.read_parquet(staged.parquet_files).equals(staged.scan().collect())
    with pytest.raises(InputError, match=r"no field 'nam' .*did you mean 'name'"):
        staged.require("nam", "rule")


def test_the_folder_goes_with_the_table(tmp_path: Path) -> None:
    rows = [(line, f"i{line}", None) for line in range(1, 9)]
    records = ItemRecords(stage(rows, 3, tmp_path, BadRecords("f")))
    assert len(list(tmp_path.iterdir())) == 1
    del records
    gc.collect()
    assert not list(tmp_path.iterdir())
    table = stage(rows, 3, tmp_path, BadRecords("f"))
    assert isinstance(table, StagedTable)
    with table:
        assert len(table) == 8
    assert not list(tmp_path.iterdir())
    table.close()


def test_parts_get_one_schema(tmp_path: Path) -> None:
    writer = StageWriter(BadRecords("f"), scratch=tmp_path, part_rows=1)
    writer.append(pl.DataFrame({LINE: [1], "id": ["a"], "n": [1], "x": [None]}))
    writer.append(pl.DataFrame({LINE: [2], "id": ["b"], "n": [2.5], "tags": [["t"]], "x": ["y"]}))
    writer.append(pl.DataFrame({LINE: [3], "id": ["c"], "n": [None]}))
    records = ItemRecords(writer.finish())
    assert records.frame.rows() == [("a", 1.0, None, None), ("b", 2.5, "y", ["t"]), ("c", None, None, None)]
    assert {pl.read_parquet_schema(path)["n"] for path in records.parquet_files} == {pl.Float64()}
    writer = StageWriter(BadRecords("f"))
    writer.append(pl.DataFrame({LINE: [1], "id": ["a"], "n": ["x"]}))
    writer.append(pl.DataFrame({LINE: [2], "id": ["b"], "n": [1]}))
    with pytest.raises(InputError, match="field 'n' holds String and Int64"):
        writer.finish()


def test_too_many_bad_records_end_the_reading() -> None:
    bad = BadRecords("f.jsonl", max_bad=0.01)
    bad.total = 1000
    for line in range(1, 11):
        bad.add(line, "x" * 200, "isn't JSON")
    bad.check()
    bad.check(final=True)
    assert bad.first[0].text == shorten("x" * 200) == repr("x" * 80 + "...")
    assert len(bad.first) == 5
    bad.add(11, "y", "isn't JSON")
    bad.check()
    message = (
        r"f.jsonl, line 1: isn't JSON \('x+...'\); 11 of 1,000 records are bad, more than the 1.0% that "
        r"max_bad allows; also line 2: isn't JSON .*; line 3: isn't JSON"
    )
    with pytest.raises(InputError, match=message):
        bad.check(final=True)
    for line in range(12, 52):
        bad.add(line, "y", "isn't JSON")
    with pytest.raises(InputError, match=r"f.jsonl, line 1: .* 51 of 1,000 records are bad"):
        bad.check()
    bad.add(0, "z", "comes first")
    assert [record.line for record in bad.first] == [0, 1, 2, 3, 4]
    none = BadRecords("g", max_bad=0.0, total=10_000, count=0)
    none.check(final=True)
    none.add(7, "", "id is empty")
    with pytest.raises(InputError, match=r"^g, line 7: id is empty$"):
        none.check(final=True)
    with pytest.raises(InputError, match=r"max_bad is 2; expected a share"):
        BadRecords("g", max_bad=2)


def test_bad_values_and_cuts_are_told() -> None:
    bad = BadRecords("f.csv", max_bad=0.1, total=100)
    bad.add_value("price", "isn't a number", 4, "$3", count=10)
    bad.add_cut("tags", "past 5 left out", 9, "a, b", count=90)
    bad.check(final=True)
    assert bad.sentences() == [
        "f.csv: price isn't a number in 10 of 100 records, first on line 4: '$3'",
        "f.csv: tags past 5 left out in 90 of 100 records, first on line 9: 'a, b'",
    ]
    assert bad.to_dict()["values"]["price isn't a number"]["count"] == 10
    bad.add_value("price", "isn't a number", 5, "$4")
    with pytest.raises(
        InputError, match=r"f.csv, line 4: price isn't a number, got '\$3'; 11 of 100 records"
    ):
        bad.check(final=True)
