"""A planted data set as files: the data set, its raw material in ``raw/`` and its truth in ``truth/``."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import polars as pl
from PIL import Image

from kdiffe_dgl.data.synthetic import Planted

__all__ = ["save_planted"]


def save_planted(planted: Planted, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a planted data set.

    ``raw/`` holds ``items.jsonl`` (metadata, a JSON object a line), ``interactions.csv`` and
    ``pictures/*.png``: what a person would start from. ``truth/`` holds ``truth.json`` (relations and
    parameters), ``triples.parquet``, ``preferences.parquet`` and ``interactions.parquet``; the columns
    are those of :class:`~kdiffe_dgl.data.synthetic.Planted`.

    Raises
    ------
    InputError
        If ``path`` exists and must not be replaced.
    """

    def beside(folder: Path) -> None:
        _write_raw(planted, folder / "raw")
        _write_truth(planted, folder / "truth")

    planted.dataset.save(path, overwrite, beside)


def _write_raw(planted: Planted, folder: Path) -> None:
    (folder / "pictures").mkdir(parents=True)
    planted.metadata.write_ndjson(folder / "items.jsonl")
    dataset = planted.dataset
    dataset.interactions.select(
        dataset.users["id"].gather(dataset.interactions["user"]).alias("user"),
        dataset.items["id"].gather(dataset.interactions["item"]).alias("item"),
        "timestamp",
        "split",
    ).write_csv(folder / "interactions.csv")
    for name, picture in zip(planted.metadata["image"], planted.pictures, strict=True):
        Image.fromarray(picture).save(folder / name)


def _write_truth(planted: Planted, folder: Path) -> None:
    folder.mkdir()
    tables: dict[str, pl.DataFrame] = {
        "triples": planted.triples,
        "preferences": planted.preferences,
        "interactions": planted.causes,
    }
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    truth = {
        "relevant_relations": list(planted.config.relevant),
        "noise_relations": list(planted.config.noise_relations),
        "config": dataclasses.asdict(planted.config),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
