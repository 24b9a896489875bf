"""A given knowledge graph with its item-id map: ``kg.txt`` and ``item_index2entity_id.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kg_builders.errors import InputError
from kg_builders.sources.delimited import LINE, read_delimited

__all__ = ["ExternalTriples", "read_item_links", "read_triples", "unique_links"]


@dataclass(frozen=True)
class ExternalTriples:
    """Triples of a given knowledge graph in its own ids, and which items they are about.

    Parameters
    ----------
    triples
        Columns ``head``, ``relation`` and ``tail`` (texts, none null) and ``line``.
    links
        Columns ``item`` (original item id) and ``entity`` (id in the triples), and ``line``.
    file, link_file
        Names of the files, for provenance and messages.

    Raises
    ------
    InputError
        If a value of a triple or link is empty, with file and line.
    """

    triples: pl.DataFrame
    links: pl.DataFrame
    file: str
    link_file: str

    def __post_init__(self) -> None:
        for frame, columns, name in (
            (self.triples, ("head", "relation", "tail"), self.file),
            (self.links, ("item", "entity"), self.link_file),
        ):
            for column in columns:
                bad = frame.filter(pl.col(column).is_null())
                if len(bad):
                    raise InputError(
                        f"{name}, line {bad['line'][0]}: the {column} is empty; expected {' '.join(columns)}"
                    )


def read_triples(path: str | Path, delimiter: str = "\t") -> pl.DataFrame:
    """Read a headerless file of triples.

    Returns
    -------
    pl.DataFrame
        Columns ``head``, ``relation``, ``tail`` (texts) and ``line``.

    Raises
    ------
    InputError
        If the file can't be read or a line doesn't hold three values, with its number.
    """
    frame = read_delimited(path, delimiter, ("head", "relation", "tail"))
    return frame.select(pl.col("head", "relation", "tail").str.strip_chars(), line=LINE)


def read_item_links(path: str | Path, delimiter: str = "\t") -> pl.DataFrame:
    """Read a headerless file of item id and entity id, one pair a line.

    Returns
    -------
    pl.DataFrame
        Columns ``item``, ``entity`` (texts) and ``line``.

    Raises
    ------
    InputError
        If the file can't be read or a line doesn't hold two values, with its number.
    """
    frame = read_delimited(path, delimiter, ("item", "entity"))
    return unique_links(Path(path), frame.select(pl.col("item", "entity").str.strip_chars(), line=LINE))


def unique_links(path: Path, links: pl.DataFrame) -> pl.DataFrame:
    """Return the links, repeated ones once.

    Raises
    ------
    InputError
        If an item is linked to two entities, with file and line: one of them must be wrong.
    """
    links = links.unique(["item", "entity"], keep="first", maintain_order=True)
    twice = links.filter(pl.col("item").is_not_null() & ~pl.col("item").is_first_distinct())
    if len(twice):
        item, entity, line = twice.select("item", "entity", "line").row(0)
        first = links.filter(pl.col("item") == item)["entity"][0]
        raise InputError(
            f"{path}, line {line}: item {item!r} is linked to entity {entity!r} and also to {first!r}; "
            "expected one entity an item"
        )
    return links
