"""Features on disk: ``<modality>.npy`` and beside it ``<modality>.json``, what was encoded and how."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kg_builders.config import StrictModel, parse_settings
from kg_builders.encoders.inputs import ids_hash
from kg_builders.errors import InputError

__all__ = [
    "FeatureRecord",
    "Problem",
    "fill_missing",
    "matrix_hash",
    "publish_features",
    "read_features_record",
    "read_record_of",
    "record_path",
    "refuse_strange_matrix",
    "write_features",
]

_BLOCK = 1 << 20
_ROWS = 16_384


class Problem(StrictModel):
    """An item that could not be encoded."""

    id: str
    reason: str


class FeatureRecord(StrictModel):
    """What stands beside a matrix of features."""

    format: Literal[1] = 1
    modality: str
    items: int = Field(default=0, ge=0)
    width: int = Field(default=0, ge=0)
    encoder: dict[str, Any]
    """Its name, version, settings, model and libraries: ``Encoder.describe()``."""
    source: dict[str, Any]
    """Fields or folder of the inputs."""
    inputs_hash: str
    """SHA-256 of the texts or of the files' contents."""
    ids_hash: str
    """SHA-256 of the item ids in their order."""
    matrix_hash: str = ""
    """SHA-256 of the ``.npy`` file."""
    fill: Literal["mean", "zeros"]
    """What stands in the rows of items that could not be encoded."""
    missing: int = Field(default=0, ge=0)
    """Number of these items."""
    missing_rows: tuple[int, ...] = ()
    """Their rows."""
    problems: tuple[Problem, ...] = ()
    """The first few of them."""

    def missing_mask(self) -> NDArray[np.bool_]:
        """Return [items], true where the row is a filled one."""
        mask = np.zeros(self.items, dtype=bool)
        mask[list(self.missing_rows)] = True
        return mask


def record_path(path: str | Path) -> Path:
    """Return the record's path of a matrix's."""
    return Path(path).with_suffix(".json")


def matrix_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fill_missing(
    matrix: NDArray[np.float32], missing: NDArray[np.bool_], fill: Literal["mean", "zeros"]
) -> None:
    """Fill rows in place: with the mean of the others, or with zeros; in blocks of bounded memory."""
    filling = np.zeros(matrix.shape[1], dtype=np.float32)
    if fill == "mean" and missing.any() and not missing.all():
        total = np.zeros(matrix.shape[1])
        for start in range(0, len(matrix), _ROWS):
            block = matrix[start : start + _ROWS]
            total += block[~missing[start : start + _ROWS]].sum(axis=0, dtype=np.float64)
        filling = (total / (~missing).sum()).astype(np.float32)
    matrix[np.flatnonzero(missing)] = filling


def write_features(path: str | Path, matrix: NDArray[np.floating], record: FeatureRecord) -> FeatureRecord:
    """Write a matrix and its record; either both are there in the end or what was there before.

    Parameters
    ----------
    path
        Of the ``.npy`` file, or of the folder for ``<modality>.npy``.
    matrix
        [items, width], filled where something is missing.
    record
        Its shape and hash are put in.

    Returns
    -------
    FeatureRecord
        The one that was written.
    """
    path = Path(path)
    path = path if path.suffix == ".npy" else path / f"{record.modality}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".npy")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, np.ascontiguousarray(matrix, dtype=np.float32), allow_pickle=False)
        return publish_features(Path(name), path, record)
    finally:
        Path(name).unlink(missing_ok=True)


def publish_features(written: Path, path: Path, record: FeatureRecord) -> FeatureRecord:
    """Move a written matrix to its place and put its record beside it."""
    shape = np.load(written, mmap_mode="r", allow_pickle=False).shape
    record = record.model_copy(
        update={"items": shape[0], "width": shape[1], "matrix_hash": matrix_hash(written)}
    )
    text = json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    beside = record_path(path)
    temporary = beside.with_name(f".{beside.name}.{os.getpid()}")
    mask = os.umask(0)
    os.umask(mask)
    try:
        temporary.write_text(text, encoding="utf-8")
        written.chmod(0o666 & ~mask)
        # In between there is no record rather than one of another matrix.
        beside.unlink(missing_ok=True)
        written.replace(path)
        temporary.replace(beside)
    finally:
        temporary.unlink(missing_ok=True)
    return record


def refuse_strange_matrix(path: str | Path) -> None:
    """Refuse to replace a matrix, or a file beside it, that no encoder wrote.

    Raises
    ------
    InputError
        If there is a file in the matrix's place or its record's, and they don't fit together.
    """
    path, beside = Path(path), record_path(path)
    if not any(file.exists() or file.is_symlink() for file in (path, beside)):
        return
    try:
        # A record whose matrix is gone is an encoder's too.
        record = read_features_record(path, verify=path.exists())
    except InputError:
        record = None
    if record is None:
        file = path if path.exists() else beside
        raise InputError(
            f"{file}: exists already, and not as an encoder wrote it; expected a new name, or permission to "
            "replace it (--overwrite)"
        )


def read_features_record(path: str | Path, verify: bool = False) -> FeatureRecord | None:
    """Read what stands beside a matrix.

    Parameters
    ----------
    path
        Of the ``.npy`` file.
    verify
        Whether to compare the matrix with its hash.

    Returns
    -------
    FeatureRecord or None
        ``None`` if there is no record.

    Raises
    ------
    InputError
        If the record is not valid, or is not that of the matrix.
    """
    beside = record_path(path)
    try:
        data = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{beside}: can't be read as JSON; expected the record of {Path(path).name}"
        ) from error
    record = parse_settings(FeatureRecord, data, str(beside))
    if any(not 0 <= row < record.items for row in record.missing_rows):
        raise InputError(
            f"{beside}: names a row beyond its {record.items} items; expected the record as written"
        )
    if verify:
        try:
            found = matrix_hash(path)
        except OSError as error:
            raise InputError(
                f"{path}: can't be read ({error.strerror}); expected features as .npy"
            ) from error
        if found != record.matrix_hash:
            raise InputError(
                f"{path}: is not the matrix that {beside.name} describes; expected the one encoded"
            )
    return record


def read_record_of(path: str | Path, ids: Sequence[str], whose: str) -> FeatureRecord | None:
    """Read what stands beside a matrix, and refuse a matrix that was encoded for other items.

    Parameters
    ----------
    path
        Of the ``.npy`` file.
    ids
        Ids of the items, in the order of the rows that are expected.
    whose
        What the items are those of, for the message.

    Returns
    -------
    FeatureRecord or None
        ``None`` if there is no record: of such a matrix only the number of rows is known.

    Raises
    ------
    InputError
        If the record is not valid, is not that of the matrix, or names other items or another order.
    """
    record = read_features_record(path, verify=True)
    if record is not None and record.ids_hash != ids_hash(ids):
        raise InputError(
            f"{path}: encoded for other items, or in another order; expected the items of {whose}, in their "
            "order (kg-build encode --items)"
        )
    return record
