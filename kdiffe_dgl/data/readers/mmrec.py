"""The layout of MMRec: one ``.inter`` table whose ``x_label`` is the split, and ``.npy`` features.

Users and items are numbered from 0; feature rows follow the item numbers. The original ids come from
``*_og_ids.inter`` (the same rows with other ids) or from ``u_id_mapping.csv`` / ``i_id_mapping.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from kdiffe_dgl.data.dataset import SPLITS, RecDataset
from kdiffe_dgl.data.readers.assemble import ImportOptions, assemble, numbered
from kdiffe_dgl.data.readers.delimited import Table, read_table
from kdiffe_dgl.errors import InputError

__all__ = ["read_mmrec"]

USER, ITEM, SPLIT = "userID", "itemID", "x_label"
ORIGINAL = "_og_ids.inter"
MAPPINGS = {USER: "u_id_mapping.csv", ITEM: "i_id_mapping.csv"}


def read_mmrec(
    folder: Path,
    *,
    name: str | None = None,
    features: Mapping[str, Path] | None = None,
    labels: pl.DataFrame | None = None,
    options: ImportOptions | None = None,
) -> RecDataset:
    """Read a folder in the MMRec layout.

    Parameters
    ----------
    folder
        Holds one ``<name>.inter`` with the columns ``userID``, ``itemID``, ``x_label`` (0 training,
        1 validation, 2 test) and perhaps ``rating`` and ``timestamp``.
    name
        Name of the data set; None: that of the ``.inter`` file.
    features
        Modality -> ``.npy`` file; None: every ``.npy`` of the folder, named after the file without
        a final ``_feat``.
    labels
        Columns ``id`` (the original item id) and ``label``.
    options
        Threshold and split; by default as given.

    Raises
    ------
    InputError
        If a file or column is missing, an id is no whole number from 0, the two ``.inter`` files
        disagree, or features don't fit.
    """
    path = _inter_file(folder)
    table = read_table(path, "\t")
    table.require([USER, ITEM, SPLIT])
    user, item, label = (table.integers(column) for column in (USER, ITEM, SPLIT))
    unknown = label >= len(SPLITS)
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise InputError(f"{table.where(row)}: {SPLIT} is {label[row]}; expected 0, 1 or 2")
    raw = {
        "user_id": user,
        "item_id": item,
        "split": label.cast(pl.Utf8).replace_strict({str(code): split for code, split in enumerate(SPLITS)}),
    }
    if "rating" in table.columns:
        raw["rating"] = table.numbers("rating").cast(pl.Float32)
    if "timestamp" in table.columns:
        raw["timestamp"] = table.numbers("timestamp").cast(pl.Int64)
    originals, files = _originals(folder, table, {USER: user, ITEM: item})
    keys = {"user_id": originals[USER], "item_id": originals[ITEM]}
    frame = pl.DataFrame(raw).with_columns(
        pl.col(column).cast(pl.Utf8) if ids is None else pl.Series(column, ids.gather(raw[column]))
        for column, ids in keys.items()
    )
    if features is None:
        features = {file.stem.removesuffix("_feat"): file for file in sorted(folder.glob("*.npy"))}
    return assemble(
        name or path.stem,
        frame,
        options=options or ImportOptions(),
        source=str(path),
        users=numbered(_count(user), ids=originals[USER]),
        items=numbered(_count(item), labels, originals[ITEM]),
        features=features,
        reader="mmrec",
        files=(
            path,
            *files,
        ),
    )


def _inter_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: missing folder; expected one with a .inter file")
    found = [path for path in sorted(folder.glob("*.inter")) if not path.name.endswith(ORIGINAL)]
    if len(found) != 1:
        raise InputError(f"{folder}: {len(found)} .inter files; expected one, besides *{ORIGINAL}")
    return found[0]


def _count(numbers: pl.Series) -> int:
    return int(numbers.to_numpy().max()) + 1


def _originals(
    folder: Path, table: Table, numbers: Mapping[str, pl.Series]
) -> tuple[dict[str, pl.Series | None], list[Path]]:
    """Return the original ids in order of number, where the folder tells them, and the files used."""
    ids: dict[str, pl.Series | None] = dict.fromkeys(numbers)
    twin = table.path.with_name(table.path.stem + ORIGINAL)
    if twin.exists():
        other = read_table(twin, "\t")
        if len(other.frame) != len(table.frame):
            raise InputError(
                f"{twin}: {len(other.frame)} rows; expected {len(table.frame)}, those of {table.path.name}"
            )
        for column, values in numbers.items():
            ids[column] = _from_twin(other, column, values)
        return ids, [twin]
    used = []
    for column, values in numbers.items():
        path = folder / MAPPINGS[column]
        if path.exists():
            ids[column] = _from_mapping(read_table(path, "\t"), column, _count(values))
            used.append(path)
    return ids, used


def _from_twin(other: Table, column: str, values: pl.Series) -> pl.Series:
    rows = pl.DataFrame({"number": values, "id": other.texts(column)}).with_row_index("row")
    pairs = rows.unique(["number", "id"], keep="first", maintain_order=True)
    clash = pairs.filter(~pl.col("number").is_first_distinct() | ~pl.col("id").is_first_distinct())
    if len(clash):
        first = clash.row(0, named=True)
        raise InputError(
            f"{other.where(first['row'])}: {column} {first['id']!r} and number {first['number']} are paired "
            "otherwise before; expected one original id for each number"
        )
    return _dense(pairs.select("number", "id"), _count(values))


def _from_mapping(table: Table, column: str, count: int) -> pl.Series:
    table.require([column])
    original = next((name for name in table.columns if name != column), None)
    if original is None:
        raise InputError(f"{table.path}: one column; expected original ids and {column}")
    table.unique_texts(column)
    return _dense(pl.DataFrame({"number": table.integers(column), "id": table.unique_texts(original)}), count)


def _dense(pairs: pl.DataFrame, count: int) -> pl.Series:
    """Order ids by number; a number without an original id keeps itself, marked as such."""
    every = pl.DataFrame({"number": pl.Series(range(count), dtype=pl.Int64)})
    joined = every.join(pairs, on="number", how="left", maintain_order="left")
    return joined.select(pl.col("id").fill_null(pl.format("number {}", "number")))["id"]
