"""What all readers share: threshold, duplicates, numbering, split and provenance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.features import load_modalities
from kdiffe_dgl.data.readers.delimited import read_table
from kdiffe_dgl.data.split import DEFAULT_RATIOS, split_interactions
from kdiffe_dgl.data.storage import sha256_file
from kdiffe_dgl.errors import InputError
from kg_builders.clean import clean_text

__all__ = ["ImportOptions", "assemble", "numbered", "read_labels", "source_files"]


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """Choices that every reader offers.

    Parameters
    ----------
    min_rating
        Interactions rated lower (or not at all) are left out; None keeps all.
    split
        A strategy of ``split_interactions``; None: ``"given"`` where the layout brings a split,
        else ``"ratio"``.
    ratios
        Shares of training, validation and test.
    seed
        Seeds the split.
    """

    min_rating: float | None = None
    split: str | None = None
    ratios: tuple[float, float, float] = DEFAULT_RATIOS
    seed: int = 0


def assemble(
    name: str,
    raw: pl.DataFrame,
    *,
    options: ImportOptions,
    source: str,
    users: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
    features: Mapping[str, Path] | None = None,
    reader: str,
    files: Sequence[Path] = (),
) -> RecDataset:
    """Turn the rows of a reader into a data set.

    Parameters
    ----------
    name
        Name of the data set.
    raw
        Columns ``user_id`` and ``item_id`` (text), and where known ``split``, ``rating`` and
        ``timestamp`` (seconds).
    options
        Threshold and split. The threshold comes first, then duplicates are merged: of several rows
        of one user and item the latest stays, or the first where no time is known.
    source
        What messages call the interactions: the file or folder.
    users, items
        Columns ``id`` and ``label``: everyone there is, in the order of the numbering, with or
        without interactions. Those met only in ``raw`` follow. None: those in ``raw``, sorted.
    features
        Modality -> ``.npy`` file with one row for each item, in the order of ``items``.
    reader, files
        Name of the reader and the files that it read, for provenance.

    Raises
    ------
    InputError
        If no interaction is left, splits overlap, there is no rating to compare, or a feature file
        doesn't fit.
    """
    n_rows = len(raw)
    kept = _above_threshold(raw, options.min_rating, source)
    unrated = 0 if options.min_rating is None else raw["rating"].null_count()
    below = n_rows - len(kept) - unrated
    kept, merged = _merge_duplicates(kept, source)
    if kept.is_empty():
        raise InputError(f"{source}: no interaction is left of {n_rows} rows; expected at least one")
    user_table = _number(users, kept["user_id"], "user")
    item_table = _number(items, kept["item_id"], "item")
    optional = [column for column in ("split", "rating", "timestamp") if column in kept.columns]
    numbered_rows = kept.join(user_table.select("user", user_id="id"), on="user_id").join(
        item_table.select("item", item_id="id"), on="item_id"
    )
    strategy = options.split or ("given" if "split" in optional else "ratio")
    interactions = split_interactions(
        numbered_rows.select("user", "item", *optional), strategy, options.seed, options.ratios
    )
    paths = features or {}
    matrices: Mapping[str, np.ndarray] = load_modalities(paths, item_table["id"].to_list())
    facts = {
        "reader": reader,
        "files": source_files(*files, *paths.values()),
        "rows_read": n_rows,
        "min_rating": options.min_rating,
        "rows_below_min_rating": below,
        "rows_without_rating": unrated,
        "duplicates_merged": merged,
        "split": split_facts(strategy, options.seed, options.ratios),
        "features": {modality: path.name for modality, path in paths.items()},
    }
    return RecDataset(name, user_table, item_table, interactions, None, matrices, facts)


def split_facts(strategy: str, seed: int, ratios: Sequence[float]) -> dict[str, Any]:
    """Return what provenance records about a split."""
    facts: dict[str, Any] = {"strategy": strategy}
    if strategy in ("ratio", "time"):
        facts["ratios"] = list(ratios)
    if strategy in ("ratio", "leave_one_out"):
        facts["seed"] = seed
    return facts


def numbered(count: int, labels: pl.DataFrame | None = None, ids: pl.Series | None = None) -> pl.DataFrame:
    """Return ``id`` and ``label`` of things that a layout numbers from 0.

    Parameters
    ----------
    count
        How many there are.
    labels
        Columns ``id`` and ``label``, joined by id.
    ids
        Original ids in order of number; None: the numbers themselves.
    """
    names = pl.Series("id", range(count), dtype=pl.Int64).cast(pl.Utf8) if ids is None else ids.alias("id")
    frame = pl.DataFrame([names])
    if labels is None:
        return frame.with_columns(pl.lit(None, dtype=pl.Utf8).alias("label"))
    return frame.join(labels, on="id", how="left", maintain_order="left")


def read_labels(
    path: Path,
    id_column: str | None = None,
    label_column: str | None = None,
    encoding: str = "utf-8",
) -> pl.DataFrame:
    """Read a delimited table that names items; by default its first column is the id, its second the label.

    Tags and entities of HTML are taken out of labels, as they are out of the metadata of a graph.

    Returns
    -------
    polars.DataFrame
        Columns ``id`` and ``label``, in the order of the file.

    Raises
    ------
    InputError
        If a column is missing, an id is empty or occurs twice.
    """
    table = read_table(path, encoding=encoding)
    if len(table.columns) < 2 and (id_column is None or label_column is None):
        raise InputError(f"{path}: one column; expected ids and labels")
    id_column = id_column or table.columns[0]
    label_column = label_column or table.columns[1]
    table.require([id_column, label_column])
    labels = table.frame[label_column].cast(pl.Utf8)
    # Other labels stay as they are, to the last character.
    labels = clean_text(labels).zip_with(labels.str.contains("[<&]").fill_null(False), labels)
    return pl.DataFrame({"id": table.unique_texts(id_column), "label": labels})


def source_files(*paths: Path, relative_to: Path | None = None) -> dict[str, str]:
    """Return path -> SHA-256 for provenance; the path as given, or relative to a folder."""
    return {
        str(path if relative_to is None else path.relative_to(relative_to)): sha256_file(path)
        for path in paths
    }


def _above_threshold(raw: pl.DataFrame, min_rating: float | None, source: str) -> pl.DataFrame:
    if min_rating is None:
        return raw
    if "rating" not in raw.columns:
        raise InputError(f"{source}: no rating column to compare with the minimum {min_rating:g}")
    return raw.filter(pl.col("rating") >= min_rating)


def _merge_duplicates(raw: pl.DataFrame, source: str) -> tuple[pl.DataFrame, int]:
    pair = ["user_id", "item_id"]
    if "split" in raw.columns:
        overlap = raw.group_by(pair, maintain_order=True).agg(pl.col("split").unique().sort())
        overlap = overlap.filter(pl.col("split").list.len() > 1)
        if len(overlap):
            row = overlap.row(0, named=True)
            raise InputError(
                f"{source}: splits overlap in {len(overlap)} pairs: user {row['user_id']!r} and item "
                f"{row['item_id']!r} are in {' and '.join(map(str, row['split']))}; "
                "expected each pair in one split"
            )
    ordered = raw
    if "timestamp" in raw.columns:
        ordered = raw.sort("timestamp", descending=True, nulls_last=True, maintain_order=True)
    merged = ordered.unique(pair, keep="first", maintain_order=True)
    return merged, len(raw) - len(merged)


def _number(given: pl.DataFrame | None, met: pl.Series, key: str) -> pl.DataFrame:
    """Give numbers to the given ids in their order, then those met elsewhere, in order of number or text."""
    ids = pl.DataFrame([met.unique().alias("id")]).with_columns(
        pl.lit(None, dtype=pl.Utf8).alias("label"),
        pl.col("id").cast(pl.Int64, strict=False).alias("number"),
    )
    by = ["id"] if ids["number"].null_count() else ["number", "id"]
    table = ids.sort(by).select("id", "label")
    if given is not None:
        given = given.select(pl.col("id", "label").cast(pl.Utf8))
        table = pl.concat([given, table.join(given, on="id", how="anti", maintain_order="left")])
    return (
        table.with_columns(pl.col("label").fill_null(pl.col("id")))
        .with_row_index(key)
        .with_columns(pl.col(key).cast(pl.Int64))
    )
