"""Options that several ``kg-build`` commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
import yaml

from kg_builders.cli.shell import PATH, out_option
from kg_builders.errors import InputError
from kg_builders.formats.atomic import refuse_existing, staged_file
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.delimited import LINE, read_delimited
from kg_builders.sources.tabular import parquet_blocks

if TYPE_CHECKING:
    from kg_builders.pruning.settings import PruneSettings

__all__ = [
    "FORCE",
    "OUT",
    "SOURCES",
    "check_interactions",
    "parse_assignments",
    "pruning_options",
    "read_pairs",
    "read_table_file",
    "write_text",
]

OUT = out_option("out", "Folder or file to make.", required=True)
FORCE = click.option("--overwrite", is_flag=True, help="Replace what is already there.")
SOURCES = click.Choice(["amazon", "lastfm", "movielens", "recbole", "table"])
"""Layouts of item metadata."""

_PRUNING = (
    click.option("--k-core", type=int, help="Drop entities outside the k-core."),
    click.option("--min-degree", type=int, help="Drop entities with fewer neighbours."),
    click.option(
        "--max-share", type=float, help="Drop entities joined to more than this share of the items."
    ),
    click.option(
        "--useful",
        "keep_relations",
        flag_value="useful",
        help="Drop relations that tell no more of choices than chance.",
    ),
    click.option(
        "--interactions",
        type=PATH,
        help="Training interactions for choosing relations: CSV, TSV or Parquet with columns user and item; "
        "with a column split, only its rows of train are used.",
    ),
)


def pruning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of pruning, named as ``PruneSettings`` does, and ``--interactions``."""
    for option in reversed(_PRUNING):
        command = option(command)
    return command


def check_interactions(interactions: Path | None, settings: PruneSettings) -> None:
    """Refuse interactions that nothing would be chosen by.

    Raises
    ------
    InputError
        If there are some and useful relations aren't asked for.
    """
    if interactions is not None and settings.keep_relations != "useful":
        raise InputError("--interactions choose relations with --useful; expected it beside them")


def parse_assignments(settings: Sequence[str]) -> dict[str, Any]:
    """Return the values of options of the form ``KEY=VALUE``; a value is read as YAML.

    Raises
    ------
    InputError
        If one has another form.
    """
    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise InputError(f"--set {setting}: expected KEY=VALUE")
        try:
            values[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"--set {setting}: the value can't be read; expected a plain value") from error
    return values


def read_table_file(path: Path) -> pl.DataFrame:
    """Read a small table whose values stay texts: CSV, TSV or Parquet.

    Raises
    ------
    InputError
        If the file can't be read, has no rows or is of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"{path}: unknown kind of table {suffix!r}; expected .csv, .tsv or .parquet")
    if suffix == ".parquet":
        frame = pl.concat(list(parquet_blocks(path, None, BadRecords(str(path), max_bad=0.0), None)))
    else:
        frame = read_delimited(path, "," if suffix == ".csv" else "\t", quote='"')
    return frame.drop(LINE)


def read_pairs(path: Path) -> pl.DataFrame:
    """Read training interactions: columns ``user`` and ``item``.

    Rows that a column ``split`` gives to validation or test are left out: what is chosen by them would make
    figures on them worthless.

    Raises
    ------
    InputError
        If the file can't be read or lacks a column.
    """
    frame = read_table_file(path)
    for column in ("user", "item"):
        if column not in frame.columns:
            raise InputError(f"{path}: no column {column!r}; expected user and item")
    if "split" in frame.columns:
        frame = frame.filter(pl.col("split").cast(pl.Utf8) == "train")
    if frame.is_empty():
        raise InputError(f"{path}: holds no training interaction; expected some")
    return frame.select(pl.col(name).cast(pl.Utf8) for name in ("user", "item"))


def write_text(path: Path, text: str, overwrite: bool) -> None:
    """Write a small file whole or not at all.

    Raises
    ------
    InputError
        If it exists already and may not be replaced, or can't be written.
    """
    refuse_existing(path, overwrite, "a file", Path.is_file)
    with staged_file(path) as file:
        file.write_text(text, encoding="utf-8")
