"""From item records or files to features on disk, in one call that can be interrupted and goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from kg_builders.encoders.base import Encoder, Progress
from kg_builders.encoders.inputs import (
    Inputs,
    files_from_field,
    files_of_folder,
    ids_hash,
    texts_of_fields,
)
from kg_builders.encoders.registry import create_encoder
from kg_builders.encoders.store import (
    FeatureRecord,
    Problem,
    fill_missing,
    publish_features,
    read_features_record,
    refuse_strange_matrix,
)
from kg_builders.errors import InputError
from kg_builders.sources import ItemRecords

__all__ = ["EncodeResult", "encode_inputs", "encode_items"]

CHECKPOINT_SECONDS = 10.0
"""How often a long run notes how far it is."""

_QUOTED = 10


@dataclass(frozen=True)
class EncodeResult:
    """What ``encode_items`` did.

    Parameters
    ----------
    path
        Of the matrix.
    record
        What stands beside it.
    skipped
        Whether the same had been encoded before, so that nothing was done.
    resumed
        Items that an interrupted run had encoded before.
    """

    path: Path
    record: FeatureRecord
    skipped: bool = False
    resumed: int = 0

    def sentence(self) -> str:
        """Say what was encoded and what is missing."""
        record = self.record
        text = f"{self.path}: {record.items:,} items x {record.width} by {record.encoder['encoder']}"
        if self.skipped:
            text += ", encoded before"
        elif self.resumed:
            text += f", {self.resumed:,} of them by an interrupted run before"
        if record.missing:
            first = record.problems[0]
            filled = "the mean of the others" if record.fill == "mean" else "zeros"
            text += (
                f"; {record.missing:,} items without are filled with {filled} "
                f"(first: {first.id!r}, {first.reason})"
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the list of all missing rows."""
        record = self.record.model_dump(mode="json", exclude={"missing_rows"})
        return {"path": str(self.path), "skipped": self.skipped, "resumed": self.resumed, "record": record}


def encode_items(
    records: ItemRecords | pl.DataFrame | None,
    ids: Sequence[str] | None,
    encoder: Encoder[Any] | str,
    out: str | Path,
    *,
    fields: Sequence[str] | None = None,
    folder: str | Path | None = None,
    path_field: str | None = None,
    base: str | Path = ".",
    fill: Literal["mean", "zeros"] = "mean",
    force: bool = False,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> EncodeResult:
    """Encode what is known of items, and store the matrix with a record of what was encoded.

    Exactly one of ``fields``, ``folder`` and ``path_field`` says what the inputs are.

    Parameters
    ----------
    records
        Item records, or a table with column ``id``; not needed with ``folder``.
    ids
        Items in the order of the rows; by default those of the records.
    encoder
        An encoder, or the name of one, with its default settings.
    out
        Path of the ``.npy`` file, or of a folder for ``<modality>.npy``.
    fields
        Text fields.
    folder
        Folder with a picture or a sound an item, named by its id.
    path_field, base
        Field that holds the path of a picture or a sound, and where the paths begin.
    fill
        What to put where an item has no input or one that can't be read.
    force
        Whether to encode again what has been encoded before.
    progress
        Called with the number of items done and of all.
    overwrite
        Whether a matrix that no encoder wrote, or that was changed since, may be replaced.

    Returns
    -------
    EncodeResult

    Raises
    ------
    InputError
        If the inputs are not there, none can be encoded, a library or a model is missing, or ``out`` is a
        matrix that no encoder wrote and ``overwrite`` isn't set.
    """
    chosen = create_encoder(encoder) if isinstance(encoder, str) else encoder
    table = ItemRecords(records) if isinstance(records, pl.DataFrame) else records
    if ids is None:
        if table is None:
            raise InputError("encode: neither item records nor item ids; expected one of them")
        ids = table.scan().select("id").collect()["id"].to_list()
    ids = [str(item) for item in ids]
    if sum(given is not None for given in (fields, folder, path_field)) != 1:
        raise InputError("encode: expected exactly one of text fields, a folder and a field of paths")
    wants = "texts" if chosen.modality == "text" else "files"
    if (fields is not None) != (chosen.modality == "text"):
        given = "text fields" if fields is not None else "files"
        raise InputError(f"encoder {chosen.name!r} encodes {wants}; expected these and not {given}")
    problems: dict[int, str] = {}
    if folder is not None:
        inputs = files_of_folder(folder, ids, chosen.modality)
    elif table is None:
        raise InputError("encode: no item records; expected them for their fields")
    elif fields is not None:
        inputs = texts_of_fields(table, ids, fields)
    else:
        assert path_field is not None
        inputs, problems = files_from_field(table, ids, path_field, base)
    return encode_inputs(inputs, ids, chosen, out, fill, force, progress, problems, overwrite)


def encode_inputs(
    inputs: Inputs,
    ids: Sequence[str],
    encoder: Encoder[Any],
    out: str | Path,
    fill: Literal["mean", "zeros"] = "mean",
    force: bool = False,
    progress: Progress | None = None,
    known_problems: dict[int, str] | None = None,
    overwrite: bool = False,
) -> EncodeResult:
    """Encode inputs that are already gathered; ``encode_items`` explains the rest.

    A run of more than a few seconds notes beside ``out`` how far it is (``.<modality>.partial.*``).
    The next call with the same inputs, encoder and settings goes on from there.

    Parameters
    ----------
    known_problems
        Position of an input that is ``None`` to the reason.
    """
    if not len(inputs):
        raise InputError("encode: there are no items; expected at least one")
    out = Path(out)
    path = out if out.suffix == ".npy" else out / f"{encoder.modality}.npy"
    record = FeatureRecord(
        modality=path.stem,
        encoder=encoder.describe(),
        source=dict(inputs.source),
        inputs_hash=inputs.content_hash(),
        ids_hash=ids_hash(ids),
        fill=fill,
    )
    if not force and (before := _same_before(path, record)) is not None:
        return EncodeResult(path, before, skipped=True)
    if not overwrite:
        refuse_strange_matrix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(path, record, encoder.batch_size, len(inputs))
    if force:
        partial.discard()
    resumed = partial.open_existing()
    try:
        encoder.prepare(inputs.values)
        for start, part in encoder.batches(inputs.values, resumed):
            partial.add(start, part.matrix, part.problems)
            if progress is not None:
                progress(start + len(part.matrix), len(inputs))
        problems = partial.problems | (known_problems or {})
        if len(problems) == len(inputs):
            raise InputError(
                f"encode: none of the {len(inputs):,} items could be encoded; "
                f"the first, {ids[0]!r}: {problems[0]}"
            )
        rows = sorted(problems)
        missing = np.zeros(len(inputs), dtype=bool)
        missing[rows] = True
        fill_missing(partial.matrix, missing, fill)
        written = partial.close()
        record = record.model_copy(
            update={
                "missing": len(rows),
                "missing_rows": tuple(rows),
                "problems": tuple(Problem(id=ids[row], reason=problems[row]) for row in rows[:_QUOTED]),
            }
        )
        record = publish_features(written, path, record)
    except BaseException as error:
        # What a later run can go on from stays; bad input can't be gone on from.
        if isinstance(error, InputError) or not partial.noted:
            partial.discard()
        raise
    partial.discard()
    return EncodeResult(path, record, resumed=resumed)


def _same_before(path: Path, record: FeatureRecord) -> FeatureRecord | None:
    """Return the record of the same run, if its matrix is there as it was written."""
    try:
        before = read_features_record(path, verify=True)
    except InputError:
        return None
    return before if before is not None and _key(before) == _key(record) else None


def _key(record: FeatureRecord) -> str:
    decides = record.model_dump(
        mode="json", include={"modality", "encoder", "source", "inputs_hash", "ids_hash", "fill"}
    )
    return json.dumps(decides, sort_keys=True)


class _Partial:
    """A matrix that is being written, and the note of how far it is.

    The note is written after the rows, and rows after it are written again, so that it is never ahead.
    """

    def __init__(self, path: Path, record: FeatureRecord, batch_size: int, items: int) -> None:
        self._matrix_path = path.with_name(f".{path.stem}.partial.npy")
        self._note_path = path.with_name(f".{path.stem}.partial.json")
        self._key = hashlib.sha256(f"{_key(record)} {batch_size}".encode()).hexdigest()
        self._items = items
        self._matrix: Any = None
        self._noted_at = time.monotonic()
        self.problems: dict[int, str] = {}
        self.noted = False

    @property
    def matrix(self) -> Any:
        """The memory-mapped matrix [items, width]."""
        assert self._matrix is not None
        return self._matrix

    def open_existing(self) -> int:
        """Return how many items an interrupted run of the same has encoded."""
        try:
            note = json.loads(self._note_path.read_text(encoding="utf-8"))
            matrix = np.load(self._matrix_path, mmap_mode="r+", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return 0
        same = (
            isinstance(note, dict)
            and note.get("key") == self._key
            and matrix.ndim == 2
            and len(matrix) == self._items
        )
        if not same:
            # A note must never stand beside another run's rows.
            del matrix
            self.discard()
            return 0
        self._matrix = matrix
        self.problems = {int(row): str(reason) for row, reason in note["problems"]}
        self.noted = True
        return int(note["done"])

    def add(self, start: int, rows: np.ndarray, problems: Any) -> None:
        """Write the rows of a batch, and every few seconds the note."""
        if self._matrix is None:
            shape = (self._items, rows.shape[1])
            self._matrix = np.lib.format.open_memmap(self._matrix_path, "w+", np.float32, shape)
        if rows.shape[1] != self._matrix.shape[1]:
            raise InputError(
                f"encode: items {start} and after have {rows.shape[1]} numbers, those before "
                f"{self._matrix.shape[1]}; expected as many for each"
            )
        self._matrix[start : start + len(rows)] = rows
        self.problems.update({start + row: reason for row, reason in problems.items()})
        done = start + len(rows)
        if done < self._items and time.monotonic() - self._noted_at >= CHECKPOINT_SECONDS:
            self._matrix.flush()
            note = {"key": self._key, "done": done, "problems": sorted(self.problems.items())}
            temporary = self._note_path.with_suffix(".new")
            temporary.write_text(json.dumps(note), encoding="utf-8")
            temporary.replace(self._note_path)
            self.noted, self._noted_at = True, time.monotonic()

    def close(self) -> Path:
        """Return the path of the finished matrix, and drop the note."""
        self.matrix.flush()
        self._matrix = None
        self._note_path.unlink(missing_ok=True)
        self.noted = False
        return self._matrix_path

    def discard(self) -> None:
        """Remove both files."""
        self._matrix = None
        self._matrix_path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)
