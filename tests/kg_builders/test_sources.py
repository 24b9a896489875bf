"""Each raw format on a tiny file of its real layout, on the published files, and with bad input."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from kg_builders import InputError
from kg_builders.sources import (
    ExternalTriples,
    ItemRecords,
    read_atomic,
    read_item_links,
    read_lastfm,
    read_recbole_items,
    read_recbole_kg,
    read_tabular,
    read_triples,
)

ITEM_FILE = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n"
    "267\tunkonwn\tunkonwn\tunknown\n"
    "544\tMisérables, Les\t\tDrama  Musical\n"
)


@pytest.fixture
def movies(tmp_path: Path) -> Path:
    (tmp_path / "m.item").write_text(ITEM_FILE)
    (tmp_path / "m.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\nm.1\tfilm.film.actor\tm.9\n"
    )
    (tmp_path / "m.link").write_text("item_id:token\tentity_id:token\n1\tm.1\n1\tm.1\n")
    return tmp_path


def test_recbole_items(movies: Path) -> None:
    records = read_recbole_items(movies / "m.item", label="movie_title")
    assert records.frame.rows() == [
        ("1", ["Toy", "Story"], "1995", ["Animation", "Children's", "Comedy"]),
        ("267", ["unkonwn"], "unkonwn", ["unknown"]),
        ("544", ["Misérables,", "Les"], None, ["Drama", "Musical"]),
    ]
    assert records.files == dict.fromkeys(["movie_title", "release_year", "class"], "m.item")
    assert records.labels().rows() == [("1", "Toy Story"), ("267", "unkonwn"), ("544", "Misérables, Les")]
    assert records.labels("release_year")["label"].to_list() == ["1995", "unkonwn", "544"]


def test_recbole_kg(movies: Path) -> None:
    given = read_recbole_kg(movies / "m.kg", movies / "m.link")
    assert given.triples.rows() == [("m.1", "film.film.actor", "m.9", 2)]
    assert given.links.rows() == [("1", "m.1", 2)]
    assert (given.file, given.link_file) == ("m.kg", "m.link")


def test_atomic_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.user"
    path.write_text("id:token\tage:float\tvector:float_seq\n1\t2.5\t1 2e1\n2\t\t\n")
    frame = read_atomic(path, ["id", "age"])
    assert frame.select("id", "age", "vector").rows() == [("1", 2.5, [1.0, 20.0]), ("2", None, None)]
    path.write_text("id:token\tage:float\tvector:float_seq\n1\t2.5\t1\n2\tnan\t1\n")
    with pytest.raises(InputError, match=r"a.user, line 3: age is 'nan', expected a number"):
        read_atomic(path)
    path.write_text("id:token\tage:float\tvector:float_seq\n1\t2.5\t1 two\n")
    with pytest.raises(InputError, match=r"a.user, line 2: vector is 'two', expected a number"):
        read_atomic(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_id\tname:token\n1\ta\n", "line 1: column 'item_id' has no valid type; expected name:type"),
        ("item_id:tokn\tname:token\n1\ta\n", "column 'item_id:tokn' has no valid type; did you mean 'token'"),
        ("itemid:token\tname:token\n1\ta\n", "no column 'item_id'; did you mean 'itemid'"),
        ("item_id:token\titem_id:float\n1\t2\n", "line 1: column 'item_id' occurs twice"),
        ("item_id:token\tname:token\n1\ta\n1\tb\n", "line 3: item_id repeats that of line 2 \\('1'\\)"),
        ("item_id:token\tname:token\n1\ta\n\tb\n", "line 3: item_id is empty"),
        ("item_id:token,name:token\n1,a\n", "line 1: the header has one column.*comma would split"),
    ],
)
def test_bad_recbole_items(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.item"
    path.write_text(content)
    with pytest.raises(InputError, match=f"bad.item.*{message}"):
        read_recbole_items(path)


def test_lastfm(tmp_path: Path) -> None:
    (tmp_path / "artists.dat").write_text(
        'id\tname\turl\tpictureURL\n2\t"Weird Al" Yankovic\thttp://x\t\n1\tBjörk\thttp://y\thttp://z\n'
    )
    (tmp_path / "lfm2k_text.tsv").write_text("artistID\ttext\n1\thip hop,hip-hop\n7\tnoise\n")
    records = read_lastfm(tmp_path)
    assert records.frame.rows() == [
        ("2", '"Weird Al" Yankovic', "http://x", None),
        ("1", "Björk", "http://y", ["hip hop", "hip-hop"]),
        ("7", None, None, ["noise"]),
    ]
    assert records.files == {"name": "artists.dat", "url": "artists.dat", "tags": "lfm2k_text.tsv"}
    assert records.labels()["label"].to_list() == ['"Weird Al" Yankovic', "Björk", "7"]
    assert read_lastfm(tmp_path, tags=None).fields == ["name", "url"]
    (tmp_path / "lfm2k_text.tsv").write_text("artist\ttext\n1\tpop\n")
    with pytest.raises(InputError, match=r"lfm2k_text.tsv: no column 'artistID'; did you mean 'artist'"):
        read_lastfm(tmp_path)
    with pytest.raises(InputError, match=r"names.dat: can't be read"):
        read_lastfm(tmp_path, artists="names.dat")


def test_published_lastfm_files(shared_data: Path) -> None:
    folder = shared_data / "lfm2k"
    records = read_lastfm(folder)
    assert len(records) == 18_022
    assert records.frame["name"].null_count() == 390
    assert records.frame["tags"].is_not_null().sum() == 12_523
    tags = records.frame.select(pl.col("tags").explode().drop_nulls())["tags"]
    assert tags.n_unique() == 9_749
    assert (tags == "rock").sum() == 2_283
    assert records.frame.row(by_predicate=pl.col("id") == "1686", named=True)["name"] == '"Weird Al" Yankovic'
    triples = read_triples(folder / "kg.txt")
    assert triples.height == 15_518
    assert triples.row(0) == ("2086", "music.artist.origin", "3846", 1)
    links = read_item_links(folder / "item_index2entity_id.txt")
    assert links.height == 3_846
    assert links.row(-1)[1] == "3845"


def test_triples_and_links(tmp_path: Path) -> None:
    path = tmp_path / "kg.txt"
    path.write_bytes(b"1\torigin\t5\r\n2\torigin\t5\r\n")
    assert read_triples(path).rows() == [("1", "origin", "5", 1), ("2", "origin", "5", 2)]
    path.write_bytes(b"1 origin 5\n")
    with pytest.raises(InputError, match=r"kg.txt, line 1: has 1 value .*space would split it into 3"):
        read_triples(path)
    path.write_bytes(b"1\torigin\t5\n2\torigin\n")
    with pytest.raises(
        InputError, match=r"kg.txt, line 2: has 2 values .*expected 3 \(head, relation, tail\)"
    ):
        read_triples(path)
    path.write_bytes(b"1\t\t5\n")
    links = tmp_path / "map.txt"
    links.write_text("9\t1\n")
    with pytest.raises(InputError, match=r"kg.txt, line 1: the relation is empty"):
        ExternalTriples(read_triples(path), read_item_links(links), "kg.txt", "map.txt")
    links.write_text("9\t1\n9\t2\n")
    with pytest.raises(
        InputError, match=r"map.txt, line 2: item '9' is linked to entity '2' and also to '1'"
    ):
        read_item_links(links)


CSV = 'id,title,genres,price\n1,"Good, Bad",Drama| Comedy |,3.5\n2,Other,,\n'


def test_tabular_csv(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(CSV)
    records = read_tabular(path, label="title", lists={"genres": "|"}, numbers=["price"])
    assert records.frame.rows() == [
        ("1", "Good, Bad", ["Drama", "Comedy"], 3.5),
        ("2", "Other", None, None),
    ]
    path.write_text(CSV.replace("3.5", "3 axes"))
    with pytest.raises(InputError, match=r"items.csv, line 2: price isn't a number, got '3 axes'"):
        read_tabular(path, numbers=["price"])
    with pytest.raises(InputError, match=r"items.csv: no column 'genre'; did you mean 'genres'"):
        read_tabular(path, lists={"genre": "|"})
    with pytest.raises(
        InputError, match=r"unknown kind of table 'xls'; expected one of csv, jsonl, parquet, tsv"
    ):
        read_tabular(tmp_path / "items.xls")
    path.write_text(CSV.replace(",", ";"))
    with pytest.raises(InputError, match=r"semicolon would split it into 4, but comma is the delimiter"):
        read_tabular(path)


def test_tabular_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    rows = [{"asin": 7, "genres": ["a", "b"], "price": 3}, {"asin": 8, "price": 2.5, "note": "new field"}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    records = read_tabular(path, "asin")
    assert records.frame.rows() == [("7", ["a", "b"], 3.0, None), ("8", None, 2.5, "new field")]
    path.write_text('{"id": 1}\n{"id": \n')
    with pytest.raises(InputError, match=r"items.jsonl, line 2: isn't valid JSON"):
        read_tabular(path)
    path.write_text('{"id": 1}\n[1]\n')
    with pytest.raises(InputError, match=r"items.jsonl, line 2: is a JSON list; expected an object"):
        read_tabular(path)
    path.write_text('{"id": 1, "tags": ["a"]}\n{"id": 2, "tags": "a"}\n')
    with pytest.raises(InputError, match=r"line 2: field 'tags' is a text but a list above"):
        read_tabular(path)
    path.write_text('{"id": 1}\n{"name": "x"}\n')
    with pytest.raises(InputError, match=r"items.jsonl, line 2: id is empty"):
        read_tabular(path)


def test_tabular_parquet(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"id": [1, 2], "genres": [["a"], None]}).write_parquet(path)
    assert read_tabular(path).frame.rows() == [("1", ["a"]), ("2", None)]
    with pytest.raises(InputError, match=r"field 'genres' holds lists already"):
        read_tabular(path, lists={"genres": "|"})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"items.parquet: can't be read as Parquet; the file is truncated"):
        read_tabular(path)
    pl.DataFrame({"id": []}).write_parquet(path)
    with pytest.raises(InputError, match=r"items.parquet: has no rows"):
        read_tabular(path)
    with pytest.raises(InputError, match=r"absent.parquet: can't be read .No such file"):
        read_tabular(tmp_path / "absent.parquet")


def test_records_select_and_validate() -> None:
    records = ItemRecords(pl.DataFrame({"id": [1, 2, 3], "x": ["a", "b", None]}), {"x": "f.csv"}, "x")
    chosen = records.select_items(["3", "9", "1"])
    assert chosen.frame.rows() == [("3", None), ("9", None), ("1", "a")]
    assert chosen.labels().rows() == [("3", "3"), ("9", "9"), ("1", "a")]
    with pytest.raises(InputError, match=r"no field 'y' among the item records of f.csv; expected one of x"):
        records.labels("y")
    with pytest.raises(InputError, match=r"id '1' occurs more than once"):
        ItemRecords(pl.DataFrame({"id": ["1", "1"]}))
    with pytest.raises(InputError, match=r"record 1 has no id"):
        ItemRecords(pl.DataFrame({"id": ["1", ""]}))
    with pytest.raises(InputError, match=r"no column 'id'"):
        ItemRecords(pl.DataFrame({"item": ["1"]}))
