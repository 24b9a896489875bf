"""RecBole's atomic files: tab-separated, with a header of ``name:type``.

Types are ``token`` (text), ``token_seq`` (texts separated by a space), ``float`` and ``float_seq``. See Zhao
et al. (2021), *RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation
Algorithms*. Item metadata are in ``.item``, a knowledge graph in ``.kg`` and its link to the items in
``.link``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.sources.bad import MAX_BAD, BadRecords
from kg_builders.sources.delimited import LINE, parse_numbers, read_delimited, require_columns
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.staging import keep_first_ids
from kg_builders.sources.streams import Progress
from kg_builders.sources.triples import ExternalTriples, unique_links

__all__ = ["read_atomic", "read_recbole_items", "read_recbole_kg"]

TYPES = ("token", "token_seq", "float", "float_seq")


def read_atomic(
    path: str | Path,
    required: Sequence[str] = (),
    delimiter: str = "\t",
    sequence_delimiter: str = " ",
    *,
    bad: BadRecords | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Read an atomic file.

    Parameters
    ----------
    required
        Columns that the file must have, without their types.
    sequence_delimiter
        What separates the parts of a ``token_seq`` or ``float_seq``.
    bad
        Takes the lines that can't be read and are left out; without it, none may be.
    progress
        Is told how far the reading is.

    Returns
    -------
    pl.DataFrame
        Columns named without their types: ``token`` is text, ``float`` Float64, a sequence a list of
        those; empty values are null; ``LINE`` is the line of each row.

    Raises
    ------
    InputError
        If the file can't be read, lacks a type or a required column, a line is ragged, or a float
        isn't a number.
    """
    path = Path(path)
    raw = read_delimited(path, delimiter, bad=bad, progress=progress)
    names: dict[str, str] = {}
    for header in raw.columns:
        if header == LINE:
            continue
        name, colon, kind = header.rpartition(":")
        if not colon or kind not in TYPES:
            choice = nearest(kind, TYPES) if colon else "; expected name:type, such as item_id:token"
            raise InputError(f"{path}, line 1: column {header!r} has no valid type{choice}")
        if name in names:
            raise InputError(f"{path}, line 1: column {name!r} occurs twice; expected different names")
        names[name] = kind
    frame = raw.rename({f"{name}:{kind}": name for name, kind in names.items()})
    require_columns(path, frame, required)
    typed = [_typed(path, frame, name, kind, sequence_delimiter) for name, kind in names.items()]
    return frame.select(*typed, LINE)


def read_recbole_items(
    path: str | Path,
    id_field: str = "item_id",
    label: str | None = None,
    *,
    max_bad: float = MAX_BAD,
    progress: Progress | None = None,
) -> ItemRecords:
    """Read the item metadata of a ``.item`` file, which may be compressed.

    Parameters
    ----------
    id_field
        Column of the item ids.
    label
        Column that names an item for people.
    max_bad
        Share of bad records that is tolerated: ragged lines, and ids that are empty or repeated.
    progress
        Is told how far the reading is.
    """
    path = Path(path)
    bad = BadRecords(str(path), max_bad)
    required = [id_field] if label is None else [id_field, label]
    frame = read_atomic(path, required, bad=bad, progress=progress)
    fields = [name for name in frame.columns if name not in (id_field, LINE)]
    frame = keep_first_ids(frame.select(LINE, *fields, id=pl.col(id_field).cast(pl.Utf8)), bad, id_field)
    return ItemRecords(frame.select("id", *fields), dict.fromkeys(fields, path.name), label, bad)


def read_recbole_kg(kg: str | Path, link: str | Path) -> ExternalTriples:
    """Read a ``.kg`` file with its ``.link`` file."""
    kg, link = Path(kg), Path(link)
    triples = read_atomic(kg, ("head_id", "relation_id", "tail_id"))
    links = read_atomic(link, ("item_id", "entity_id"))
    triples = triples.select(head="head_id", relation="relation_id", tail="tail_id", line=LINE)
    return ExternalTriples(
        triples,
        unique_links(link, links.select(item="item_id", entity="entity_id", line=LINE)),
        kg.name,
        link.name,
    )


def _typed(path: Path, frame: pl.DataFrame, name: str, kind: str, separator: str) -> pl.Expr:
    column = pl.col(name)
    if kind == "float":
        return parse_numbers(path, frame, name)
    if kind == "token":
        return column
    parts = column.str.split(separator).list.eval(pl.element().filter(pl.element().str.len_bytes() > 0))
    if kind == "float_seq":
        cells = frame.select(LINE, parts.alias(name)).explode(name)
        parse_numbers(path, cells, name)
        return parts.cast(pl.List(pl.Float64)).alias(name)
    return parts.alias(name)
