"""The review of proposed merges: a table that a person reads, edits and feeds back.

Every pair of names that is taken for one thing, or nearly, is a row with a decision. A decision of a review
that is fed back wins over the proposal, so the file is both the record of what was merged and the way to
undo it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.errors import InputError
from kg_builders.sources.delimited import LINE, parse_numbers, read_delimited, require_columns
from kg_builders.tables import conform

__all__ = ["KEEP", "MERGE", "REVIEW_SCHEMA", "Review", "read_review", "write_review"]

MERGE, KEEP = "merge", "keep"
"""The decisions: the two are one thing, or stay two."""

REVIEW_SCHEMA = {
    "kind": pl.Utf8,
    "canonical_id": pl.Utf8,
    "canonical_label": pl.Utf8,
    "canonical_items": pl.Int64,
    "merged_id": pl.Utf8,
    "merged_label": pl.Utf8,
    "merged_items": pl.Int64,
    "method": pl.Utf8,
    "score": pl.Float64,
    "decision": pl.Utf8,
}
PAIR = ("kind", "canonical_id", "merged_id")
ORDER = ("kind", "canonical_label", "canonical_id", "merged_label", "merged_id")
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema=REVIEW_SCHEMA)


@dataclass(frozen=True)
class Review:
    """Proposed merges, each with its decision.

    Parameters
    ----------
    table
        Columns of ``REVIEW_SCHEMA``: the kind, id, label and number of items of the name that stays and of
        the one that goes, the method that proposed the pair, the similarity in [0, 1], and the decision.
        Labels, numbers of items, method and score may be null. It is sorted by kind, label and id.
    stale
        Rows of the review that was fed back which name an entity that there is none of.
    external
        Whether the merged ids are those of another graph, so that the same id there is another thing.

    Raises
    ------
    InputError
        If a row lacks an id or has another decision than ``merge`` or ``keep``, a pair is decided twice, an
        entity is merged into two, into itself or in a circle, or two are kept apart but both merged into one;
        of another graph, if two of its entities are merged into one.
    """

    table: pl.DataFrame
    stale: pl.DataFrame = field(default_factory=_no_rows)
    external: bool = False

    def __post_init__(self) -> None:
        table = conform(self.table, REVIEW_SCHEMA, "reviewed merges")
        refuse_contradictions(table, lambda row: f"review, row {row}", self.external)
        object.__setattr__(self, "table", table.sort(ORDER, nulls_last=True))

    @classmethod
    def empty(cls) -> Review:
        """Return a review without rows."""
        return cls(_no_rows())

    def union(self, *others: Review) -> Review:
        """Join reviews of different kinds, or of different pairs; a row that several have is taken once."""
        every = (self, *others)
        return Review(
            pl.concat([review.table for review in every]).unique(maintain_order=True),
            pl.concat([review.stale for review in every]).unique(maintain_order=True),
            self.external,
        )

    def counts(self) -> pl.DataFrame:
        """Count the rows of each ``kind``, ``method`` and ``decision``."""
        counted = self.table.group_by("kind", "method", "decision").agg(pl.len().cast(pl.Int64).alias("rows"))
        return counted.sort("kind", "method", "decision", nulls_last=True)

    @property
    def merged(self) -> int:
        """Number of entities that were merged into another."""
        return int((self.table["decision"] == MERGE).sum())

    def warnings(self) -> list[str]:
        """Say which rows of the review that was fed back were of no use."""
        if self.stale.is_empty():
            return []
        pairs = self.stale.select(pl.col("kind"), pl.col("canonical_id"), pl.col("merged_id")).rows()
        shown = ", ".join(f"{kind} {merged!r} into {canonical!r}" for kind, canonical, merged in pairs[:3])
        rows = "1 row" if len(pairs) == 1 else f"{len(pairs):,} rows"
        return [
            f"{rows} of the review name entities that are not here (or of a kind that is not resolved): "
            f"{shown}{', ...' if len(pairs) > 3 else ''}"
        ]

    def sentence(self) -> str:
        """Say it in a line."""
        methods = self.table.filter(pl.col("decision") == MERGE).group_by("method").len().sort("method")
        by = ", ".join(f"{count:,} by {method}" for method, count in methods.rows())
        return (
            f"{self.merged:,} entities merged into others{f' ({by})' if by else ''}; "
            f"{len(self.table) - self.merged:,} more pairs listed and kept apart"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "merged": self.merged,
            "kept_apart": len(self.table) - self.merged,
            "counts": self.counts().to_dicts(),
            "stale": len(self.stale),
        }


def write_review(review: Review, path: str | Path) -> None:
    """Write a review as ``.csv`` or ``.tsv``; an older file is replaced at once, never half.

    Raises
    ------
    InputError
        If the ending is another one, or the file can't be written.
    """
    path = Path(path)
    delimiter = _delimiter(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            review.table.write_csv(stream, separator=delimiter)
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror})") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def read_review(path: str | Path, external: bool = False) -> Review:
    """Read a review that a person may have edited.

    The columns ``kind``, ``canonical_id``, ``merged_id`` and ``decision`` are needed; the others may be
    empty or missing, so that a row can be added by hand. Columns of other names are left out.

    Raises
    ------
    InputError
        If the file can't be read, lacks a column or has a broken row, with file and line; see ``Review``.
    """
    path = Path(path)
    delimiter = _delimiter(path)
    needed = [*PAIR, "decision"]
    # A header alone is what is written where nothing was proposed; other complaints are the reader's.
    header = path.read_bytes().strip() if path.is_file() else b""
    if header and b"\n" not in header:
        names = header.decode("utf-8-sig", "replace").split(delimiter)
        require_columns(path, pl.DataFrame(schema=dict.fromkeys(names, pl.Utf8)), needed)
        return Review(_no_rows(), external=external)
    frame = read_delimited(path, delimiter, quote='"')
    require_columns(path, frame, needed)
    frame = frame.with_columns(
        pl.lit(None, pl.Utf8).alias(column) for column in REVIEW_SCHEMA if column not in frame.columns
    )
    frame = frame.with_columns(pl.col("decision").str.strip_chars().str.to_lowercase())
    numbers = [name for name, dtype in REVIEW_SCHEMA.items() if dtype in (pl.Int64, pl.Float64)]
    frame = frame.with_columns([parse_numbers(path, frame, name) for name in numbers])
    table = conform(frame, REVIEW_SCHEMA, "reviewed merges")
    lines = frame[LINE]
    refuse_contradictions(table, lambda row: f"{path}, line {lines[row]}", external)
    return Review(table, external=external)


def refuse_contradictions(table: pl.DataFrame, place: Callable[[int], str], external: bool = False) -> None:
    """Refuse a row that is broken or says the opposite of another.

    Parameters
    ----------
    table
        Columns of ``REVIEW_SCHEMA``.
    place
        From the number of a row to where it stands, for the message.
    external
        Whether the merged ids are those of another graph.

    Raises
    ------
    InputError
        See ``Review``.
    """
    rows = table.with_row_index("row")
    for column in PAIR:
        empty = rows.filter(pl.col(column).is_null())
        if len(empty):
            raise InputError(f"{place(empty['row'][0])}: {column} is empty; expected a text")
    odd = rows.filter(~pl.col("decision").is_in([MERGE, KEEP]).fill_null(False))
    if len(odd):
        raise InputError(
            f"{place(odd['row'][0])}: decision {odd['decision'][0] or ''!r}; expected {MERGE} or {KEEP}"
        )
    twice = rows.filter(~pl.struct(PAIR).is_first_distinct())
    if len(twice):
        raise InputError(
            f"{place(twice['row'][0])}: {twice['merged_id'][0]!r} and {twice['canonical_id'][0]!r} are "
            "decided a second time; expected one row a pair"
        )
    merges = rows.filter(pl.col("decision") == MERGE)
    torn = merges.filter(~pl.struct("kind", "merged_id").is_first_distinct())
    if len(torn):
        raise InputError(
            f"{place(torn['row'][0])}: {torn['merged_id'][0]!r} is merged into {torn['canonical_id'][0]!r} "
            "and, in a row above, into another; expected one"
        )
    if external:
        shared = merges.filter(~pl.struct("kind", "canonical_id").is_first_distinct())
        if len(shared):
            raise InputError(
                f"{place(shared['row'][0])}: {shared['canonical_id'][0]!r} is linked to "
                f"{shared['merged_id'][0]!r} and, in a row above, to another; expected one"
            )
        return
    itself = rows.filter(pl.col("canonical_id") == pl.col("merged_id"))
    if len(itself):
        raise InputError(
            f"{place(itself['row'][0])}: {itself['merged_id'][0]!r} is paired with itself; expected two"
        )
    canonical, merged, n_nodes = _numbered(rows)
    merging = (rows["decision"] == MERGE).to_numpy()
    roots = follow(canonical[merging], merged[merging], n_nodes)
    circular = np.flatnonzero(roots[merged] < 0)
    if len(circular):
        row = int(circular[0])
        raise InputError(
            f"{place(row)}: {table['merged_id'][row]!r} is merged in a circle; expected one that stays"
        )
    clash = np.flatnonzero(~merging & (roots[canonical] == roots[merged]))
    if len(clash):
        row = int(clash[0])
        raise InputError(
            f"{place(row)}: {table['merged_id'][row]!r} is kept apart from {table['canonical_id'][row]!r}, "
            "but other rows merge the two; expected one decision"
        )


def follow(canonical: NDArray[np.int64], merged: NDArray[np.int64], n_nodes: int) -> NDArray[np.int64]:
    """Return [nodes], where merging leads from each node in the end; -1 where it goes in a circle.

    Parameters
    ----------
    canonical, merged
        Ends of each merge; a node is merged at most once.
    n_nodes
        Nodes are numbered from 0.
    """
    parent = np.arange(n_nodes, dtype=np.int64)
    parent[merged] = canonical
    step = parent
    # Pointer doubling: a path of n steps is followed in log2(n) rounds.
    for _ in range(max(n_nodes, 1).bit_length() + 1):
        step = step[step]
    return np.where(parent[step] == step, step, -1)


def _numbered(rows: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the numbers of the entities in both columns of a review, and how many there are."""
    ends = pl.concat([rows.select("kind", id="canonical_id"), rows.select("kind", id="merged_id")])
    numbers = ends.select(pl.struct("kind", "id").rank("dense")).to_series().to_numpy().astype(np.int64) - 1
    count = int(numbers.max()) + 1 if len(numbers) else 0
    return numbers[: len(rows)], numbers[len(rows) :], count


def _delimiter(path: Path) -> str:
    if path.suffix.lower() not in DELIMITERS:
        raise InputError(f"{path}: unknown ending {path.suffix!r}; expected .csv or .tsv")
    return DELIMITERS[path.suffix.lower()]
