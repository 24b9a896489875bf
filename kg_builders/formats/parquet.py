"""A knowledge graph as a folder of three Parquet files, the native format, which holds all of it.

The folder holds ``entities.parquet``, ``relations.parquet`` and ``triples.parquet``, and beside them what a
build tells of itself. It is written beside its destination and renamed, so a half-written one never exists,
and the same graph gives the same bytes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from kg_builders.errors import InputError
from kg_builders.formats.atomic import refuse_existing, staged_folder, writing
from kg_builders.schema import KnowledgeGraph

__all__ = [
    "BUILD_FILE",
    "RECIPE_FILE",
    "REMOVED_FILE",
    "REPORT_FILE",
    "REPORT_PAGE",
    "REVIEW_FILE",
    "SIDE_FILES",
    "TABLES",
    "is_graph_folder",
    "link_review_file",
    "read_knowledge_graph",
    "staged_knowledge_graph",
    "write_knowledge_graph",
]

TABLES = ("entities", "relations", "triples")

BUILD_FILE = "build.json"
"""What each part of the build gave and lost."""
RECIPE_FILE = "recipe.yaml"
"""What the graph was built from."""
REMOVED_FILE = "removed.parquet"
"""Triples that were pruned, with the step and the reason."""
REPORT_FILE = "report.json"
"""Description of the graph."""
REPORT_PAGE = "report.html"
"""The same as a page."""
REVIEW_FILE = "review.csv"
"""Merges of entities, for a person to look at and edit."""
SIDE_FILES = (BUILD_FILE, RECIPE_FILE, REMOVED_FILE, REPORT_FILE, REPORT_PAGE, REVIEW_FILE)

_LINK_REVIEW = re.compile(r"link_review(_[0-9]+)?\.csv")

ROW_GROUP = 1 << 20
"""Rows of a row group: readers that stream take one at a time."""

# Columns that hold few different texts, often.
_DICTIONARY = {"entities": ["kind"], "relations": False, "triples": ["source"]}


def write_knowledge_graph(kg: KnowledgeGraph, path: str | Path, overwrite: bool = False) -> None:
    """Write a knowledge graph to a folder.

    Parameters
    ----------
    path
        The folder; its parents are made where missing.
    overwrite
        Replace a folder that already holds a knowledge graph, with what a build wrote beside it, which
        wouldn't be true of this graph; only ``review.csv`` and ``link_review.csv`` stay, since a person may
        have edited them.

    Raises
    ------
    InputError
        If ``path`` exists and ``overwrite`` is false, or ``path`` holds something else than a
        knowledge graph, or can't be written.
    """
    with staged_knowledge_graph(kg, path, overwrite):
        pass


@contextmanager
def staged_knowledge_graph(kg: KnowledgeGraph, path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a knowledge graph and yield its folder, which is still beside ``path``, for side files.

    The folder takes its place when the block ends, and vanishes if it fails; so the graph and what is told
    of it appear together. For parameters and errors see :func:`write_knowledge_graph`.

    Raises
    ------
    ValueError
        If the block leaves a file that isn't one of ``SIDE_FILES``: the folder couldn't be overwritten.

    Examples
    --------
    >>> with staged_knowledge_graph(kg, "graph") as folder:  # doctest: +SKIP
    ...     (folder / BUILD_FILE).write_text("{}")
    """
    path = Path(path)
    refuse_existing(path, overwrite, "a knowledge graph folder", is_graph_folder)
    with staged_folder(path) as folder:
        with writing(path):
            for table in TABLES:
                _write_table(getattr(kg, table), table, folder / f"{table}.parquet")
        yield folder
        if not is_graph_folder(folder):
            raise ValueError(f"{path}: holds files besides {', '.join(SIDE_FILES)}")
        for review in sorted(path.glob("*.csv")) if path.is_dir() else ():
            if not (folder / review.name).exists():
                shutil.copyfile(review, folder / review.name)


def read_knowledge_graph(path: str | Path) -> KnowledgeGraph:
    """Read a knowledge graph from a folder.

    Raises
    ------
    InputError
        If the folder or one of its files is missing, truncated or not Parquet, or the tables don't
        make a valid graph.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; expected a knowledge graph ({', '.join(TABLES)}.parquet)")
    frames = {table: _read_table(path / f"{table}.parquet") for table in TABLES}
    try:
        return KnowledgeGraph(**frames)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def is_graph_folder(path: Path) -> bool:
    """Tell whether a folder holds a knowledge graph and what belongs to it, and nothing else."""
    known = {f"{table}.parquet" for table in TABLES} | set(SIDE_FILES)
    return path.is_dir() and all(
        (entry.name in known or _LINK_REVIEW.fullmatch(entry.name)) and entry.is_file()
        for entry in path.iterdir()
    )


def link_review_file(number: int) -> str:
    """Return the name of the table of links by label of the given graph of this number, from 1."""
    return "link_review.csv" if number == 1 else f"link_review_{number}.csv"


def _write_table(frame: pl.DataFrame, name: str, path: Path) -> None:
    # In one chunk and with fixed settings: the bytes depend on the rows alone. Arrow writes twice as fast
    # as Polars here, as numbers needn't go by a dictionary.
    pq.write_table(
        frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()),
        path,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=_DICTIONARY[name],
        store_schema=False,
    )


def _read_table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a table of a knowledge graph")
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(
            f"{path}: can't be read as Parquet; the file is truncated or of another kind"
        ) from error
