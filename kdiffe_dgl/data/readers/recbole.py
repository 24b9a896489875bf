"""RecBole's atomic files: tab-separated tables whose header fields are ``name:type``."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.readers.assemble import ImportOptions, assemble
from kdiffe_dgl.data.readers.delimited import Table
from kdiffe_dgl.errors import InputError
from kg_builders.sources.recbole import read_atomic

__all__ = ["atomic_files", "read_recbole"]


def atomic_files(path: Path) -> dict[str, Path]:
    """Return the atomic files of a data set by suffix, such as ``{"inter": ..., "item": ...}``.

    Parameters
    ----------
    path
        A folder with one ``.inter`` file, or that file.

    Raises
    ------
    InputError
        If there is no ``.inter`` file or more than one.
    """
    if path.is_dir():
        found = sorted(path.glob("*.inter"))
        if len(found) != 1:
            raise InputError(f"{path}: {len(found)} .inter files; expected one (or name the file itself)")
        path = found[0]
    elif not path.exists():
        raise InputError(f"{path}: missing file; expected a folder with a .inter file, or that file")
    suffixes = ("inter", "user", "item", "kg", "link")
    files = {suffix: path.with_name(f"{path.stem}.{suffix}") for suffix in suffixes}
    return {suffix: file for suffix, file in files.items() if file.is_file()} | {"inter": path}


def read_recbole(
    path: Path,
    *,
    user_column: str = "user_id",
    item_column: str = "item_id",
    rating_column: str = "rating",
    timestamp_column: str = "timestamp",
    item_label: str | None = None,
    name: str | None = None,
    features: Mapping[str, Path] | None = None,
    labels: pl.DataFrame | None = None,
    options: ImportOptions | None = None,
) -> RecDataset:
    """Read RecBole's atomic files.

    Parameters
    ----------
    path
        A folder with one ``.inter`` file, or that file; ``.item`` is read from beside it.
    user_column, item_column
        Names of the id fields.
    rating_column, timestamp_column
        Names of optional fields, read where the file has them.
    item_label
        How ``.item`` fields make a label, such as ``"{movie_title} ({release_year})"``; None: the
        first field of type ``token_seq``.
    name
        Name of the data set; None: that of the ``.inter`` file.
    features
        Modality -> ``.npy`` file whose rows follow ``.item`` (or ``labels`` where there is none).
    labels
        Columns ``id`` and ``label``; take the place of ``item_label``.
    options
        Threshold and split.

    Raises
    ------
    InputError
        If a file, field or value is not what the layout says.
    """
    files = atomic_files(path)
    table = Table(files["inter"], read_atomic(files["inter"], [user_column, item_column]))
    raw = {"user_id": table.texts(user_column), "item_id": table.texts(item_column)}
    if rating_column in table.columns:
        raw["rating"] = table.numbers(rating_column).cast(pl.Float32)
    if timestamp_column in table.columns:
        raw["timestamp"] = table.numbers(timestamp_column).floor().cast(pl.Int64)
    items = _items(files["item"], item_column, item_label) if "item" in files else None
    if labels is not None:
        items = (
            labels
            if items is None
            else items.drop("label").join(labels, on="id", how="left", maintain_order="left")
        )
    if features and items is None:
        raise InputError(f"{path}: features need a .item file that tells which row is whose")
    return assemble(
        name or files["inter"].stem,
        pl.DataFrame(raw),
        options=options or ImportOptions(),
        source=str(files["inter"]),
        items=items,
        features=features,
        reader="recbole",
        files=tuple(files.values()),
    )


def _items(path: Path, item_column: str, template: str | None) -> pl.DataFrame:
    table = Table(path, read_atomic(path, [item_column]))
    sequences = [name for name in table.columns if table.frame[name].dtype == pl.List(pl.Utf8)]
    if template is not None:
        label = _fill(template, table)
    else:
        label = _text(table, sequences[0]) if sequences else pl.lit(None, dtype=pl.Utf8)
    return table.frame.select(table.unique_texts(item_column).alias("id"), label.alias("label"))


def _text(table: Table, field: str) -> pl.Expr:
    dtype = table.frame[field].dtype
    if isinstance(dtype, pl.List):
        return pl.col(field).cast(pl.List(pl.Utf8)).list.join(" ")
    return pl.col(field).cast(pl.Utf8)


def _fill(template: str, table: Table) -> pl.Expr:
    """Turn ``"{title} ({year})"`` into an expression; a missing field makes the whole label missing."""
    try:
        parts = [(text, field) for text, field, _, _ in string.Formatter().parse(template)]
    except ValueError as error:
        raise InputError(f"item label {template!r}: {error}; expected fields in braces") from None
    table.require(field for _, field in parts if field is not None)
    pieces = [
        piece
        for text, field in parts
        for piece in ([pl.lit(text)] if text else []) + ([_text(table, field)] if field is not None else [])
    ]
    return pl.concat_str(pieces) if pieces else pl.lit(None, dtype=pl.Utf8)
