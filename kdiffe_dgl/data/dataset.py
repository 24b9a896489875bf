"""The data set that everything downstream reads: interactions, knowledge graph and features."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from kdiffe_dgl.data import storage
from kdiffe_dgl.errors import InputError
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["SPLITS", "RecDataset"]

SPLITS = ("train", "validation", "test")

USER_SCHEMA = {"user": pl.Int64, "id": pl.Utf8, "label": pl.Utf8}
ITEM_SCHEMA = {"item": pl.Int64, "id": pl.Utf8, "label": pl.Utf8}
INTERACTION_SCHEMA = {"user": pl.Int64, "item": pl.Int64, "split": pl.Utf8}
OPTIONAL_SCHEMA = {"rating": pl.Float32, "timestamp": pl.Int64}
_MODALITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_BLOCK = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class RecDataset:
    """Users, items, interactions and, where there are any, a knowledge graph and item features.

    Parameters
    ----------
    name
        Name of the data set, as runs and reports show it.
    users, items
        Columns ``user`` / ``item`` (dense, 0-based, in row order), ``id`` (the original id, unique)
        and ``label`` (for people; null becomes the id).
    interactions
        Columns ``user``, ``item`` and ``split`` (one of ``SPLITS``; null: not split yet), and where
        known ``rating`` and ``timestamp`` (seconds since 1970). A pair of user and item occurs once.
        Kept sorted by user and item.
    kg
        Knowledge graph whose entity ``i`` is item ``i``; see ``KnowledgeGraph.align_items``.
    features
        Modality -> matrix ``[items, width]``, finite; kept as float32, memory-mapped after
        :meth:`load`.
    provenance
        JSON-able facts: where the data come from, the reader and its options, merged duplicates.

    Raises
    ------
    InputError
        If a table breaks one of these rules. Users and items without training interactions are
        allowed.
    """

    name: str
    users: pl.DataFrame
    items: pl.DataFrame
    interactions: pl.DataFrame
    kg: KnowledgeGraph | None = None
    features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if not self.name:
            raise InputError("data set: the name is empty")
        set_field(self, "users", _identities(self.users, USER_SCHEMA, "user"))
        set_field(self, "items", _identities(self.items, ITEM_SCHEMA, "item"))
        set_field(self, "interactions", _interactions(self.interactions, self.n_users, self.n_items))
        set_field(
            self,
            "features",
            {name: _feature_matrix(name, matrix, self.n_items) for name, matrix in self.features.items()},
        )
        if self.kg is not None:
            _require_aligned(self.kg, self.items)

    @property
    def n_users(self) -> int:
        """Number of users, those without interactions included."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items, those without interactions included."""
        return len(self.items)

    def pairs(self, split: str) -> np.ndarray:
        """Return the interactions of one split.

        Returns
        -------
        numpy.ndarray
            int64 ``[n, 2]``: user and item, sorted by both.

        Raises
        ------
        InputError
            If ``split`` is not one of ``SPLITS``.
        """
        _require_split(split)
        chosen = self.interactions.filter(pl.col("split") == split)
        return np.ascontiguousarray(chosen.select("user", "item").to_numpy().astype(np.int64, copy=False))

    def matrix(self, *splits: str) -> sparse.csr_matrix:
        """Return the interactions of the given splits as a binary matrix.

        Without splits: all interactions, also those that are not split yet.

        Returns
        -------
        scipy.sparse.csr_matrix
            float32 ``[users, items]``, ones, column indices sorted in each row.

        Raises
        ------
        InputError
            If a split is not one of ``SPLITS``.
        """
        for split in splits:
            _require_split(split)
        chosen = self.interactions
        if splits:
            chosen = chosen.filter(pl.col("split").is_in(list(splits)))
        user, item = chosen["user"].to_numpy(), chosen["item"].to_numpy()
        matrix = sparse.csr_matrix(
            (np.ones(len(user), dtype=np.float32), (user, item)), shape=(self.n_users, self.n_items)
        )
        matrix.sort_indices()
        return matrix

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, interactions, knowledge graph and features, as hexadecimal digits.

        Labels, the name and the provenance don't count: they change nothing that a model learns.
        """
        digest = hashlib.sha256()
        _hash_frame(digest, self.users.select("id"))
        _hash_frame(digest, self.items.select("id"))
        _hash_frame(digest, self.interactions)
        if self.kg is not None:
            _hash_frame(digest, self.kg.entities.select("kind", "id"))
            _hash_frame(digest, self.kg.relations.select("name", "symmetric"))
            triples = self.kg.triples.select("head", "relation", "tail")
            _hash_frame(digest, triples.sort("head", "relation", "tail"))
        for name in sorted(self.features):
            matrix = self.features[name]
            digest.update(f"feature {name} {matrix.shape}".encode())
            for start in range(0, len(matrix), _BLOCK):
                digest.update(np.ascontiguousarray(matrix[start : start + _BLOCK], dtype="<f4").tobytes())
        return digest.hexdigest()

    def replace(self, **changes: Any) -> RecDataset:
        """Return a copy with some fields changed, validated again."""
        return dataclasses.replace(self, **changes)

    def _repr_html_(self) -> str:
        """Show in a notebook what the data set holds."""
        from kdiffe_dgl.data.describe import describe, summary_tables  # noqa: PLC0415
        from kdiffe_dgl.display import tables_html  # noqa: PLC0415

        return tables_html(*summary_tables(describe(self)))

    def save(
        self,
        path: str | os.PathLike[str],
        overwrite: bool = False,
        sidecars: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the data set as a folder, all of it or nothing.

        Parameters
        ----------
        path
            The folder to make.
        overwrite
            Replace a data set that is already there.
        sidecars
            Adds files that lie beside the data set, such as raw metadata, given the folder in
            which it is being written.

        Raises
        ------
        InputError
            If ``path`` exists and must not be replaced.
        """
        storage.write_folder(
            path,
            name=self.name,
            tables={"users": self.users, "items": self.items, "interactions": self.interactions},
            kg=self.kg,
            features=self.features,
            provenance=self.provenance,
            fingerprint=self.fingerprint,
            overwrite=overwrite,
            sidecars=sidecars,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RecDataset:
        """Read a folder that :meth:`save` wrote.

        Raises
        ------
        InputError
            If a file is missing or damaged, or a table's content differs from its recorded hash.
        """
        return cls(**storage.read_folder(path))

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> None:
        """Compare every file of a saved data set, features included, with its recorded hash.

        Raises
        ------
        InputError
            At the first file that is missing or differs.
        """
        storage.verify_folder(path)


def _conform(frame: pl.DataFrame, schema: Mapping[str, Any], what: str) -> pl.DataFrame:
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise InputError(f"data set: {what} lack the column {missing[0]!r}; expected {', '.join(schema)}")
    try:
        return frame.select([pl.col(column).cast(dtype) for column, dtype in schema.items()])
    except pl.exceptions.PolarsError as error:
        raise InputError(f"data set: {what} hold a wrong value ({str(error).splitlines()[0]})") from None


def _identities(frame: pl.DataFrame, schema: Mapping[str, Any], key: str) -> pl.DataFrame:
    frame = _conform(frame, schema, f"{key}s").with_columns(pl.col("label").fill_null(pl.col("id")))
    if not frame[key].equals(pl.Series(key, range(len(frame)), dtype=pl.Int64)):
        raise InputError(f"data set: {key} ids must be 0, 1, 2, ... in row order")
    if frame["id"].null_count():
        raise InputError(f"data set: {key} {frame['id'].is_null().arg_max()} has no original id")
    repeated = frame.filter(pl.col("id").is_duplicated())
    if len(repeated):
        raise InputError(f"data set: {key} {repeated['id'][0]!r} occurs more than once; expected unique ids")
    return frame


def _interactions(frame: pl.DataFrame, n_users: int, n_items: int) -> pl.DataFrame:
    optional = {column: dtype for column, dtype in OPTIONAL_SCHEMA.items() if column in frame.columns}
    frame = _conform(frame, INTERACTION_SCHEMA | optional, "interactions")
    for column, bound in (("user", n_users), ("item", n_items)):
        value = pl.col(column)
        bad = frame.filter(value.is_null() | (value < 0) | (value >= bound))
        if len(bad):
            raise InputError(
                f"data set: an interaction refers to unknown {column} {bad[column][0]}; "
                f"expected an id from 0 to {bound - 1}"
            )
    unknown = frame.filter(pl.col("split").is_not_null() & ~pl.col("split").is_in(list(SPLITS)))
    if len(unknown):
        raise InputError(
            f"data set: an interaction is in the split {unknown['split'][0]!r}; expected {', '.join(SPLITS)}"
        )
    frame = frame.sort("user", "item")
    repeated = frame.filter(pl.struct("user", "item").is_duplicated())
    if len(repeated):
        user, item = repeated["user"][0], repeated["item"][0]
        splits = repeated.filter((pl.col("user") == user) & (pl.col("item") == item))["split"].unique().sort()
        if len(splits) > 1:
            raise InputError(
                f"data set: the splits overlap: user {user} and item {item} are in "
                f"{' and '.join(str(split) for split in splits)}; expected each pair in one split"
            )
        raise InputError(
            f"data set: user {user} and item {item} occur together more than once; expected merged duplicates"
        )
    return frame


def _feature_matrix(name: str, matrix: np.ndarray, n_items: int) -> np.ndarray:
    if not _MODALITY.fullmatch(name):
        raise InputError(
            f"data set: modality {name!r} is not a plain name; expected letters, digits, '_', '-'"
        )
    if matrix.ndim != 2:
        raise InputError(f"features {name!r}: {matrix.ndim} dimensions; expected a matrix [items, width]")
    if matrix.dtype.kind not in "fiu":
        raise InputError(f"features {name!r}: type {matrix.dtype}; expected numbers")
    if len(matrix) != n_items:
        raise InputError(f"features {name!r}: {len(matrix)} rows; expected {n_items}, one for each item")
    if matrix.dtype != np.float32:
        with np.errstate(over="ignore"):
            matrix = matrix.astype(np.float32)
    for start in range(0, n_items, _BLOCK):
        finite = np.isfinite(matrix[start : start + _BLOCK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise InputError(
                f"features {name!r}: row {row} holds NaN or infinite values; expected finite numbers"
            )
    return matrix


def _require_aligned(kg: KnowledgeGraph, items: pl.DataFrame) -> None:
    first = kg.entities.head(len(items))
    if not first["id"].equals(items["id"]) or not (first["kind"] == ITEM).all():
        raise InputError(
            "data set: the knowledge graph is not aligned with the items; expected entity i to be item i"
        )


def _require_split(split: str) -> None:
    if split not in SPLITS:
        raise InputError(f"split {split!r} is unknown; expected {', '.join(SPLITS)}")


def _hash_frame(digest: hashlib._Hash, frame: pl.DataFrame) -> None:
    """Add a frame's content to a digest, independent of how Polars keeps it in memory."""
    for column in frame.columns:
        series = frame[column]
        digest.update(f"column {column} {len(series)}".encode())
        digest.update(np.packbits(series.is_null().to_numpy()).tobytes())
        if series.dtype == pl.Utf8:
            filled = series.fill_null("")
            digest.update(filled.str.len_bytes().to_numpy().astype("<i8").tobytes())
            digest.update("".join(filled.to_list()).encode())
        elif series.dtype == pl.Float32:
            digest.update(series.fill_null(0.0).to_numpy().astype("<f4").tobytes())
        else:
            digest.update(series.cast(pl.Int64).fill_null(0).to_numpy().astype("<i8").tobytes())
