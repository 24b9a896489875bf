"""MovieLens in its three layouts, titles taken apart, and the bad records of each."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from kg_builders import InputError
from kg_builders.sources import read_movielens
from kg_builders.sources.movielens import GENRES, split_titles


def flags(*genres: str) -> str:
    return "|".join("1" if genre in genres else "0" for genre in GENRES)


def test_100k(tmp_path: Path) -> None:
    rows = [
        f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M?Toy%20Story|{flags('Animation', 'Comedy')}",
        f"267|unknown||||{flags('unknown')}",
        f"3|Misérables, Les (1995)|01-Jan-1995|||{flags('Drama')}",
    ]
    (tmp_path / "u.item").write_bytes("\n".join(rows).encode("latin-1"))
    records = read_movielens(tmp_path)
    assert records.frame.select("id", "title", "year", "genres", "release_date").rows() == [
        ("1", "Toy Story", 1995, ["Animation", "Comedy"], "1995-01-01"),
        ("267", "unknown", None, None, None),
        ("3", "Les Misérables", 1995, ["Drama"], "1995-01-01"),
    ]
    assert records.files == dict.fromkeys(records.fields, "u.item")
    assert records.labels()["label"].to_list() == ["Toy Story", "unknown", "Les Misérables"]
    names = [*GENRES[:-1], "Cowboys"]
    (tmp_path / "u.genre").write_text("".join(f"{name}|{place}\n" for place, name in enumerate(names)))
    (tmp_path / "u.item").write_bytes(f"1|A (1995)||||{flags('Western')}\n".encode())
    assert read_movielens(tmp_path / "u.item").frame["genres"].to_list() == [["Cowboys"]]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_1m_and_10m(tmp_path: Path, encoding: str) -> None:
    text = "1::Toy Story (1995)::Animation|Children's\n2::Cité des enfants perdus, La (1995)::Drama\n"
    (tmp_path / "movies.dat").write_bytes(text.encode(encoding))
    (tmp_path / "tags.dat").write_bytes("9::2::fun::1\n8::2::dark::2\n7::2::dark::3\n".encode(encoding))
    records = read_movielens(tmp_path)
    assert records.frame.select("id", "title", "genres", "tags").rows() == [
        ("1", "Toy Story", ["Animation", "Children's"], None),
        ("2", "La Cité des enfants perdus", ["Drama"], ["dark", "fun"]),
    ]
    assert records.files["tags"] == "tags.dat"


def test_latest(tmp_path: Path) -> None:
    (tmp_path / "movies.csv.gz").write_bytes(
        gzip.compress(
            b"movieId,title,genres\n1,Toy Story (1995),Adventure|Animation\n"
            b'2,"American President, The (1995)",(no genres listed)\n3,"Broken "x",y\n1,Again (1999),Drama\n'
        )
    )
    (tmp_path / "tags.csv").write_text(
        'userId,movieId,tag,timestamp\n1,1,fun,5\n2,1,"a, b",6\n3,1,fun,7\n3,99,x,7\n'
    )
    (tmp_path / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114709,862\n2,112346,\n")
    records = read_movielens(tmp_path, max_bad=0.6)
    assert records.frame.rows() == [
        ("1", "Toy Story", None, 1995, ["Adventure", "Animation"], ["fun", "a, b"], "tt0114709", "862"),
        ("2", "The American President", None, 1995, None, None, "tt0112346", None),
    ]
    assert records.frame.columns[1:] == ["title", "other_titles", "year", "genres", "tags", "imdb", "tmdb"]
    assert records.bad is not None
    assert [str(record) for record in records.bad.first] == [
        'line 4: the quotation is broken (\'3,"Broken "x",y\')',
        "line 5: movie id repeats that of line 2 ('1')",
    ]
    with pytest.raises(InputError, match=r"movies.csv.gz, line 4: the quotation is broken .* of .* records"):
        read_movielens(tmp_path)


def test_titles() -> None:
    given = {
        "Matrix, The (1999)": ("The Matrix", None, 1999),
        "City of Lost Children, The (Cité des enfants perdus, La) (1995)": (
            "The City of Lost Children",
            ["La Cité des enfants perdus"],
            1995,
        ),
        "Seven (a.k.a. Se7en) (1995)": ("Seven", ["Se7en"], 1995),
        "Shall We Dance? (Shall We Dansu?) (1996) ": ("Shall We Dance?", ["Shall We Dansu?"], 1996),
        "Old (A) (B, The) (1990)": ("Old", ["A", "The B"], 1990),
        "(500) Days of Summer (2009)": ("(500) Days of Summer", None, 2009),
        "Big Bang Theory, The (2007-)": ("The Big Bang Theory", None, 2007),
        "Avventura, L' (1960)": ("L'Avventura", None, 1960),
        "2001: A Space Odyssey": ("2001: A Space Odyssey", None, None),
        "(M)": ("(M)", None, None),
        "Sun, Sea (1990)": ("Sun, Sea", None, 1990),
    }
    assert split_titles(pl.Series(list(given))).rows() == list(given.values())


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no file of movies; expected one of u.item, movies.dat, movies.csv"
    ):
        read_movielens(tmp_path)
    (tmp_path / "movies.csv").write_text("movieId,name,genres\n1,a,b\n")
    with pytest.raises(InputError, match=r"movies.csv: no column 'title'"):
        read_movielens(tmp_path)
