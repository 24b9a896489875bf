"""MovieLens: movies with titles, years, genres, and where the release has them tags and links.

100K has ``u.item`` and ``u.genre``; 1M and 10M ``movies.dat`` (10M also ``tags.dat``); 20M, 25M, 32M and
latest ``movies.csv``, ``tags.csv`` and ``links.csv``. See Harper and Konstan (2015), *The MovieLens Datasets:
History and Context*.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kg_builders.errors import InputError
from kg_builders.sources.bad import MAX_BAD, BadRecords
from kg_builders.sources.columns import TEXTS
from kg_builders.sources.delimited import LINE, read_delimited, require_columns
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.staging import keep_first_ids
from kg_builders.sources.streams import Progress, read_lines
from kg_builders.sources.values import dates_iso

__all__ = ["read_movielens", "split_titles"]

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""Of 100K, in the order of its flags."""

_FILES = ("u.item", "movies.dat", "movies.csv")
_ENDINGS = ("", ".gz", ".zst")
_NONE = ("unknown", "(no genres listed)")
_ARTICLES = (
    "The|A|An|Le|La|Les|L'|Un|Une|Das|Der|Die|Den|Det|De|Het|Een|Ein|Eine|"
    "El|Los|Las|Lo|Il|I|Gli|Una|Uno|O|Os|As"
)
_YEAR = r"\s*\((\d{4})(?:\s*[-–]\s*(?:\d{4})?)?\)\s*$"
_OTHER_TITLE = r"(\S)\s*\(([^()]*)\)\s*$"


def read_movielens(
    path: str | Path, *, max_bad: float = MAX_BAD, progress: Progress | None = None
) -> ItemRecords:
    """Read the movies of a MovieLens release.

    Parameters
    ----------
    path
        Folder of the release, or its file of movies; tags and links are taken from beside it if they are
        there. Files may be compressed.
    max_bad
        Share of bad records of a file that is tolerated.
    progress
        Is told how far the reading of the movies is.

    Returns
    -------
    ItemRecords
        Fields ``title`` ("The Matrix"), ``other_titles``, ``year`` and ``genres``, and as the release has
        them ``release_date``, ``imdb_url``, ``tags`` (the commonest first), ``imdb`` (as "tt0114709") and
        ``tmdb``; by the original movie id.

    Raises
    ------
    InputError
        If there is no file of movies, it can't be read, or too many of its records are bad.
    """
    file = _movies_file(Path(path))
    bad = BadRecords(str(file), max_bad)
    if file.name.startswith("u.item"):
        movies = _read_100k(file, bad, progress)
    elif ".dat" in file.suffixes:
        movies = read_delimited(
            file, "::", ("id", "title", "genres"), bad=bad, encoding=_encoding(file), progress=progress
        )
        movies = movies.with_columns(_split_genres())
    else:
        movies = read_delimited(file, ",", quote='"', bad=bad, progress=progress)
        require_columns(file, movies, ("movieId", "title", "genres"))
        movies = movies.select(LINE, "title", _split_genres(), id="movieId")
    frame = keep_first_ids(movies, bad, "movie id")
    frame = pl.concat(
        [frame.select("id"), split_titles(frame["title"]), frame.drop("id", "title")], how="horizontal"
    )
    files = dict.fromkeys([name for name in frame.columns if name != "id"], file.name)
    for extra, name in ((_tags(file, max_bad), "tags"), (_links(file, max_bad), "links")):
        if extra is not None:
            frame = frame.join(extra, on="id", how="left", maintain_order="left")
            suffix = ".dat" if ".dat" in file.suffixes else ".csv"
            files |= dict.fromkeys([column for column in extra.columns if column != "id"], f"{name}{suffix}")
    return ItemRecords(frame, files, "title", bad)


def split_titles(titles: pl.Series) -> pl.DataFrame:
    """Split "City of Lost Children, The (Cité des enfants perdus, La) (1995)" into its parts.

    Returns
    -------
    pl.DataFrame
        Columns ``title`` ("The City of Lost Children"), ``other_titles`` (["La Cité des enfants perdus"])
        and ``year`` (1995), null where there is none.

    Examples
    --------
    >>> split_titles(pl.Series(["Matrix, The (1999)"])).row(0)
    ('The Matrix', None, 1999)
    """
    text = titles.str.strip_chars()
    year = text.str.extract(_YEAR).cast(pl.Int64)
    text = text.str.replace(_YEAR, "")
    others = []
    # A title has up to two other ones behind it, in parentheses of their own.
    for _ in range(2):
        others.append(
            _natural_order(text.str.extract(_OTHER_TITLE, 2).str.replace(r"^(?:a\.k\.a\.|aka)\s+", ""))
        )
        text = text.str.replace(_OTHER_TITLE, "$1")
    frame = pl.DataFrame({"title": _natural_order(text), "year": year, "first": others[1], "last": others[0]})
    listed = pl.concat_list("first", "last").list.drop_nulls()
    return frame.select(
        pl.when(pl.col("title") != "").then(pl.col("title")).alias("title"),
        pl.when(listed.list.len() > 0).then(listed).cast(TEXTS).alias("other_titles"),
        "year",
    )


def _natural_order(titles: pl.Series) -> pl.Series:
    """Put the article that stands behind a title before it."""
    return (
        titles.str.strip_chars().str.replace(rf"^(.*), ({_ARTICLES})$", "$2 $1").str.replace(r"^(L') ", "$1")
    )


def _movies_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    names = [f"{name}{ending}" for name in _FILES for ending in _ENDINGS]
    for name in names:
        if (path / name).is_file():
            return path / name
    raise InputError(f"{path}: no file of movies; expected one of {', '.join(_FILES)}")


def _beside(file: Path, name: str) -> Path | None:
    """Return a file in the same folder, perhaps compressed."""
    return next((found for end in _ENDINGS if (found := file.parent / f"{name}{end}").is_file()), None)


def _read_100k(file: Path, bad: BadRecords, progress: Progress | None) -> pl.DataFrame:
    genre_file = _beside(file, "u.genre")
    genres = list(GENRES)
    if genre_file is not None:
        listed = read_delimited(genre_file, "|", ("name", "number"), encoding="latin-1")
        genres = listed.sort(pl.col("number").cast(pl.Int64, strict=False))["name"].to_list()
    columns = ("id", "title", "release_date", "video_date", "imdb_url", *genres)
    frame = read_delimited(file, "|", columns, bad=bad, encoding="latin-1", progress=progress)
    named = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in genres if genre not in _NONE]
    listed_genres = pl.concat_list(named).list.drop_nulls()
    return frame.select(
        LINE,
        "id",
        "title",
        pl.when(listed_genres.list.len() > 0).then(listed_genres).alias("genres"),
        dates_iso(frame["release_date"]),
        "imdb_url",
    )


def _split_genres() -> pl.Expr:
    genres = pl.col("genres")
    return pl.when(~genres.is_in(_NONE)).then(genres.str.split("|")).alias("genres")


def _encoding(file: Path) -> str:
    """Tell UTF-8, as in 10M, from the Latin-1 of 1M."""
    try:
        for block in read_lines(file):
            for line in block.lines:
                line.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _tags(file: Path, max_bad: float) -> pl.DataFrame | None:
    """Return columns ``id`` and ``tags``: what people called a movie, the commonest tag first."""
    if ".dat" in file.suffixes:
        path = _beside(file, "tags.dat")
        columns: tuple[str, ...] | None = ("userId", "movieId", "tag", "timestamp")
        delimiter, quote = "::", None
    else:
        path = _beside(file, "tags.csv")
        columns, delimiter, quote = None, ",", '"'
    if path is None or file.name.startswith("u.item"):
        return None
    frame = read_delimited(path, delimiter, columns, quote, bad=BadRecords(str(path), max_bad))
    require_columns(path, frame, ("movieId", "tag"))
    counted = frame.drop_nulls(["movieId", "tag"]).group_by("movieId", "tag").len()
    ordered = counted.sort(["movieId", "len", "tag"], descending=[False, True, False])
    return ordered.group_by("movieId", maintain_order=True).agg("tag").select(id="movieId", tags="tag")


def _links(file: Path, max_bad: float) -> pl.DataFrame | None:
    """Return columns ``id``, ``imdb`` and ``tmdb``."""
    path = _beside(file, "links.csv")
    if path is None or ".csv" not in file.suffixes:
        return None
    frame = read_delimited(path, ",", quote='"', bad=BadRecords(str(path), max_bad))
    require_columns(path, frame, ("movieId", "imdbId", "tmdbId"))
    links = frame.select(id="movieId", imdb=pl.lit("tt") + pl.col("imdbId").str.zfill(7), tmdb="tmdbId")
    return links.drop_nulls("id").unique("id", keep="first", maintain_order=True)
