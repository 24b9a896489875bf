"""Last.fm 2K: artists with their names, and the tags that listeners gave them.

``artists.dat`` (id, name, url, pictureURL) is tab-separated and holds bare quotation marks;
``lfm2k_text.tsv`` (artistID, text) has an artist's tags, separated by commas. The first is of Cantador et
al. (2011), *HetRec*; the tags by artist come with the multimodal features of RecSys 2025.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kg_builders.sources.bad import MAX_BAD, BadRecords
from kg_builders.sources.delimited import LINE, read_delimited, require_columns
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.staging import keep_first_ids
from kg_builders.sources.streams import Progress

__all__ = ["read_lastfm"]


def read_lastfm(
    folder: str | Path,
    artists: str = "artists.dat",
    tags: str | None = "lfm2k_text.tsv",
    *,
    max_bad: float = MAX_BAD,
    progress: Progress | None = None,
) -> ItemRecords:
    """Read the artists of a folder with their tags.

    Parameters
    ----------
    folder
        Where the files are.
    artists, tags
        Their names; without ``tags``, names alone. Files may be compressed.
    max_bad
        Share of bad records of a file that is tolerated.
    progress
        Is told how far the reading of each file is.

    Returns
    -------
    ItemRecords
        Fields ``name``, ``url`` and ``tags`` (list of texts; null where the artist has none), by the
        original artist id, in the order of ``artists``. Artists with tags but without a name come last.

    Raises
    ------
    InputError
        If a file is missing, empty or lacks a column, or too many of its records are bad: ragged, or
        with an artist id that is empty or repeated.
    """
    folder = Path(folder)
    bad = BadRecords(str(folder / artists), max_bad)
    named = _read(folder / artists, "id", ("name", "url"), bad, progress)
    fields: list[str] = [name for name in ("name", "url") if name in named.columns]
    frame = named.select("id", *fields)
    files: dict[str, str] = dict.fromkeys(fields, artists)
    if tags is not None:
        tag_bad = BadRecords(str(folder / tags), max_bad)
        tagged = _read(folder / tags, "artistID", ("text",), tag_bad, progress)
        tagged = tagged.select("id", tags=pl.col("text").str.split(","))
        order = pl.concat([frame.select("id"), tagged.select("id")]).unique(keep="first", maintain_order=True)
        frame = order.join(frame, on="id", how="left", maintain_order="left").join(
            tagged, on="id", how="left", maintain_order="left"
        )
        files["tags"] = tags
        bad.join(tag_bad)
    return ItemRecords(frame, files, "name", bad)


def _read(
    path: Path, id_column: str, wanted: tuple[str, ...], bad: BadRecords, progress: Progress | None
) -> pl.DataFrame:
    """Read ``id`` and the wanted columns, the first of which must be there."""
    frame = read_delimited(path, "\t", bad=bad, progress=progress)
    require_columns(path, frame, (id_column, wanted[0]))
    kept = frame.select(LINE, *(name for name in wanted if name in frame.columns), id=id_column)
    return keep_first_ids(kept, bad, id_column)
