"""Last.fm 2K: artists with their names, and the tags that listeners gave them.

``artists.dat`` (id, name, url, pictureURL) is tab-separated and holds bare quotation marks;
``lfm2k_text.tsv`` (artistID, text) has an artist's tags, separated by commas. The first is of Cantador et
al. (2011), *HetRec*; the tags by artist come with the multimodal features of RecSys 2025.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kg_builders.sources.delimited import read_delimited, require_columns
from kg_builders.sources.recbole import check_ids
from kg_builders.sources.records import ItemRecords

__all__ = ["read_lastfm"]


def read_lastfm(
    folder: str | Path, artists: str = "artists.dat", tags: str | None = "lfm2k_text.tsv"
) -> ItemRecords:
    """Read the artists of a folder with their tags.

    Parameters
    ----------
    folder
        Where the files are.
    artists, tags
        Their names; without ``tags``, names alone.

    Returns
    -------
    ItemRecords
        Fields ``name``, ``url`` and ``tags`` (list of texts; null where the artist has none), by the
        original artist id, in the order of ``artists``. Artists with tags but without a name come last.

    Raises
    ------
    InputError
        If a file is missing, empty, ragged or lacks a column, or an artist id is empty or repeated.
    """
    folder = Path(folder)
    named = _read(folder / artists, "id", ("id", "name"))
    fields: list[str] = [name for name in ("name", "url") if name in named.columns]
    frame = named.select("id", *fields)
    files: dict[str, str] = dict.fromkeys(fields, artists)
    if tags is not None:
        tagged = _read(folder / tags, "artistID", ("artistID", "text")).select(
            id="artistID", tags=pl.col("text").str.split(",")
        )
        order = pl.concat([frame.select("id"), tagged.select("id")]).unique(keep="first", maintain_order=True)
        frame = order.join(frame, on="id", how="left", maintain_order="left").join(
            tagged, on="id", how="left", maintain_order="left"
        )
        files["tags"] = tags
    return ItemRecords(frame, files, "name")


def _read(path: Path, id_column: str, wanted: tuple[str, ...]) -> pl.DataFrame:
    frame = read_delimited(path, "\t")
    require_columns(path, frame, wanted)
    check_ids(path, frame, id_column)
    return frame
