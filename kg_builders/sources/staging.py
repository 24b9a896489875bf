"""Tables that needn't fit in memory: Parquet parts in a scratch folder, written and numbered as they come."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
import polars as pl

from kg_builders.errors import InputError
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.delimited import LINE

__all__ = ["ROW", "SeenIds", "StageWriter", "StagedTable", "concat_records", "keep_first_ids", "unify_types"]

ROW = "row"
"""Column that counts the records from 0."""

PART_ROWS = 100_000
PART_BYTES = 128 << 20


class StagedTable:
    """A folder of Parquet parts with one schema; the order of the records is that of the parts.

    Parameters
    ----------
    folder
        Where the parts are. It is removed when the table is closed, is no longer used, or the
        interpreter ends.
    files
        The parts, in order. Their first column is ``row`` (Int64), which counts on from part to part.
    """

    def __init__(self, folder: str | Path, files: Sequence[Path]) -> None:
        self.folder = Path(folder)
        self.files = list(files)
        self.schema = pl.Schema(
            {name: dtype for name, dtype in pl.read_parquet_schema(self.files[0]).items() if name != ROW}
        )
        self._length = int(self.scan().select(pl.len()).collect().item())
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, True)

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> StagedTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scan(self) -> pl.LazyFrame:
        """Return ``row`` and the columns of the schema, lazily; keep this object while it is used."""
        return pl.scan_parquet(self.files)

    def close(self) -> None:
        """Remove the folder; a second time does nothing."""
        self._finalizer()


class SeenIds:
    """Which ids occurred already, and on which line first, in 16 bytes an id.

    Ids are told apart by 64-bit hashes: among 10 million, two different ones are taken for the same with
    a probability of 3e-6. The hashes lie in a few sorted arrays, each at least twice as long as the
    next, which are merged as they grow; so that n ids cost O(n log n).
    """

    def __init__(self) -> None:
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def first_lines(self, ids: pl.Series, lines: pl.Series) -> np.ndarray:
        """Take in ids, and return for each the line that it occurred on before, or 0 [ids]."""
        hashes = ids.hash(seed=17).to_numpy()
        numbers = lines.to_numpy()
        found = np.zeros(len(hashes), dtype=np.int64)
        for known, known_lines in self._runs:
            at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            found = np.where(known[at] == hashes, known_lines[at], found)
        # np.unique gives the first place of each hash.
        distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        earlier = first[inverse] != np.arange(len(hashes))
        found = np.where((found == 0) & earlier, numbers[first[inverse]], found)
        new = found[first] == 0
        self._merge(distinct[new], numbers[first][new])
        return found

    def _merge(self, hashes: np.ndarray, lines: np.ndarray) -> None:
        if not len(hashes):
            return
        while self._runs and len(self._runs[-1][0]) < 2 * len(hashes):
            other, other_lines = self._runs.pop()
            hashes, lines = np.concatenate([other, hashes]), np.concatenate([other_lines, lines])
            order = np.argsort(hashes, kind="stable")
            hashes, lines = hashes[order], lines[order]
        self._runs.append((hashes, lines))


class StageWriter:
    """Takes item records in chunks, checks their ids, and writes them as Parquet parts.

    Ids are freed of spaces around them and brought into Unicode's normal form C. A record without an id is
    bad, and so is one whose id occurred before: the first is kept. What fits in one part stays in memory.

    Parameters
    ----------
    bad
        Takes the bad records. The caller counts ``total``.
    id_name
        What the source calls the id, for messages.
    scratch
        Where to make the folder; by default, the system's folder for temporary files.
    part_rows
        Number of records of a part.
    schema
        Columns to have; by default, all that occur, in the order in which they come up.
    """

    def __init__(
        self,
        bad: BadRecords,
        id_name: str = "id",
        scratch: str | Path | None = None,
        part_rows: int = PART_ROWS,
        schema: Mapping[str, pl.DataType | type[pl.DataType]] | None = None,
    ) -> None:
        self._bad = bad
        self._id_name = id_name
        self._scratch = scratch
        self._part_rows = part_rows
        self._schema = None if schema is None else pl.Schema(schema)
        self._seen = SeenIds()
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._parts: list[Path] = []
        self._schemas: list[pl.Schema] = []
        self._folder: Path | None = None
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def append(self, frame: pl.DataFrame) -> None:
        """Take records: columns ``LINE``, ``id`` (text) and the fields.

        Raises
        ------
        InputError
            If by now too many records are bad, or a field changes its type.
        """
        frame = self._check_ids(frame).drop(LINE)
        self._bad.check()
        if frame.is_empty():
            return
        self._waiting.append(frame)
        rows = sum(len(part) for part in self._waiting)
        if rows >= self._part_rows or sum(part.estimated_size() for part in self._waiting) >= PART_BYTES:
            self._write()

    def finish(self) -> pl.DataFrame | StagedTable:
        """Return the table: ``id`` and the fields.

        Raises
        ------
        InputError
            If too many records are bad, or none is left.
        """
        try:
            self._bad.check(final=True)
            if not self._rows and not self._waiting:
                raise InputError(f"{self._bad.file}: no record is left; expected at least one item")
            if not self._parts:
                return self._gather()
            if self._waiting:
                self._write()
            self._settle()
            self._pool.shutdown()
            final = _union(self._schemas)
            for path, given in zip(self._parts, self._schemas, strict=True):
                if given != final:
                    part = pl.read_parquet(path)
                    _save(
                        pl.concat([part.select(ROW), _conform(part.drop(ROW), final)], how="horizontal"), path
                    )
            assert self._folder is not None
            return StagedTable(self._folder, self._parts)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what was written."""
        self._pool.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> StageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()

    def _write(self) -> None:
        """Write a part while the next is read; at most one is on its way."""
        frame = self._gather()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="kg_builders-", dir=self._scratch))
        path = self._folder / f"part-{len(self._parts):05d}.parquet"
        numbered = frame.with_row_index(ROW, offset=self._rows).with_columns(pl.col(ROW).cast(pl.Int64))
        self._settle()
        self._writing = self._pool.submit(_save, numbered, path)
        self._rows += len(frame)
        self._parts.append(path)
        self._schemas.append(frame.schema)

    def _settle(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _gather(self) -> pl.DataFrame:
        frame = concat_records(self._waiting, self._schema)
        self._waiting = []
        return frame

    def _check_ids(self, frame: pl.DataFrame) -> pl.DataFrame:
        raw = frame["id"]
        ids = raw.str.strip_chars().str.normalize("NFC")
        missing = (ids.is_null() | (ids == "")).fill_null(True)
        for line in frame[LINE].filter(missing).to_list():
            self._bad.add(line, "", f"{self._id_name} is empty")
        frame = frame.with_columns(ids).filter(~missing)
        raw = raw.filter(~missing)
        found = pl.Series("first", self._seen.first_lines(frame["id"], frame[LINE]))
        again = found > 0
        if again.any():
            repeats = zip(
                frame[LINE].filter(again),
                raw.filter(again),
                frame["id"].filter(again),
                found.filter(again),
                strict=True,
            )
            for line, given, normal, first in repeats:
                spelled = "" if given == normal else f", after normalisation {normal!r},"
                self._bad.add(line, given, f"{self._id_name}{spelled} repeats that of line {first}")
            frame = frame.filter(~again)
        return frame


def keep_first_ids(frame: pl.DataFrame, bad: BadRecords, id_name: str = "id") -> pl.DataFrame:
    """Return a small table, columns ``id`` and those of ``frame`` but ``LINE``, as :class:`StageWriter` does.

    Raises
    ------
    InputError
        If too many of the records are bad, or none is left.
    """
    writer = StageWriter(bad, id_name, part_rows=len(frame) + 1)
    writer.append(frame)
    table = writer.finish()
    return table if isinstance(table, pl.DataFrame) else table.scan().drop(ROW).collect()


def unify_types(name: str, one: pl.DataType, other: pl.DataType) -> pl.DataType:
    """Return the type that holds both.

    Raises
    ------
    InputError
        If there is none, naming the field.
    """
    if other in (one, pl.Null):
        return one
    if one == pl.Null:
        return other
    if {one, other} == {pl.Int64(), pl.Float64()}:
        return pl.Float64()
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        return pl.List(unify_types(name, _inner(one), _inner(other)))
    raise InputError(f"field {name!r} holds {one} and {other}; expected one type")


def _inner(dtype: pl.List) -> pl.DataType:
    inner = dtype.inner
    return inner() if isinstance(inner, type) else inner


def _union(schemas: Sequence[pl.Schema]) -> pl.Schema:
    types: dict[str, pl.DataType] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            types[name] = unify_types(name, types[name], dtype) if name in types else dtype
    return pl.Schema(types)


def _conform(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return the columns of ``schema``; those that the frame lacks are null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in schema.items()
    )


def concat_records(frames: Sequence[pl.DataFrame], schema: pl.Schema | None = None) -> pl.DataFrame:
    """Put tables below each other; by default they get all the columns, and types that hold all values.

    Raises
    ------
    InputError
        If a column has types that nothing holds both of.
    """
    schema = _union([frame.schema for frame in frames]) if schema is None else schema
    return pl.concat([frame if frame.schema == schema else _conform(frame, schema) for frame in frames])


def _save(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
