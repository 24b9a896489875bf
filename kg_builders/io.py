"""A knowledge graph as a folder of three Parquet files, the native format.

The folder holds ``entities.parquet``, ``relations.parquet`` and ``triples.parquet``. It is written beside
its destination and renamed, so a half-written one never exists, and the same graph gives the same bytes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import networkx as nx
import polars as pl

from kg_builders.errors import InputError
from kg_builders.schema import KnowledgeGraph

__all__ = ["read_knowledge_graph", "to_networkx", "write_knowledge_graph"]

TABLES = ("entities", "relations", "triples")


def write_knowledge_graph(kg: KnowledgeGraph, path: str | Path, overwrite: bool = False) -> None:
    """Write a knowledge graph to a folder.

    Parameters
    ----------
    path
        The folder; its parents are made where missing.
    overwrite
        Replace a folder that already holds a knowledge graph.

    Raises
    ------
    InputError
        If ``path`` exists and ``overwrite`` is false, or ``path`` holds something else than a
        knowledge graph, or can't be written.
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise InputError(f"{path}: exists already; expected a new folder, or permission to overwrite")
        foreign = not path.is_dir() or any(
            entry.name not in {f"{table}.parquet" for table in TABLES} for entry in path.iterdir()
        )
        if foreign:
            raise InputError(f"{path}: isn't a knowledge graph folder, so it is not overwritten")
    with _staged(path) as folder:
        for table in TABLES:
            # One row group and fixed settings: the bytes depend on the graph alone.
            frame: pl.DataFrame = getattr(kg, table)
            frame.write_parquet(
                folder / f"{table}.parquet",
                compression="zstd",
                compression_level=3,
                row_group_size=max(len(frame), 1),
            )


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


def to_networkx(kg: KnowledgeGraph) -> nx.MultiDiGraph:
    """Return the graph for NetworkX: nodes are entity numbers, edges carry the relation's name as key."""
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(
        (entity, {"id": id_, "label": label, "kind": kind})
        for entity, id_, label, kind in kg.entities.iter_rows()
    )
    named = kg.triples.join(kg.relations.select("relation", "name"), on="relation", maintain_order="left")
    graph.add_edges_from(
        (head, tail, name, {"source": source})
        for head, tail, name, source in named.select("head", "tail", "name", "source").iter_rows()
    )
    return graph


def _read_table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a table of a knowledge graph")
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(
            f"{path}: can't be read as Parquet; the file is truncated or of another kind"
        ) from error


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of ``path`` when the block ends, and vanishes if it fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror})") from error
    try:
        folder.chmod(0o755)
        yield folder
        if path.is_dir():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            os.replace(path, retired)
            os.replace(folder, path)
            shutil.rmtree(retired)
        else:
            os.replace(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
