"""The folder that a data set is on disk, and how it is written and read.

``dataset.json`` (schema version, counts, provenance, content hashes), ``interactions.parquet``,
``users.parquet``, ``items.parquet``, ``kg/*.parquet`` and ``features/<modality>.npy``. Other folders
(raw metadata, a planted truth) may lie beside them; they are hashed too, but nothing here reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kg_builders.errors import InputError
from kg_builders.formats.atomic import staged_folder
from kg_builders.io import read_knowledge_graph, write_knowledge_graph
from kg_builders.schema import KnowledgeGraph

__all__ = [
    "INDEX",
    "SCHEMA_VERSION",
    "copy_sidecars",
    "read_folder",
    "require_free",
    "sha256_file",
    "verify_folder",
    "write_folder",
]

SCHEMA_VERSION = 1
INDEX = "dataset.json"
TABLES = ("users", "items", "interactions")
GRAPH_TABLES = ("entities", "relations", "triples")
_OWN = {INDEX, "kg", "features", *(f"{table}.parquet" for table in TABLES)}


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_free(path: Path, overwrite: bool) -> None:
    """Refuse a target that must not be replaced.

    Raises
    ------
    InputError
        If ``path`` exists and ``overwrite`` is false, or holds something other than a data set.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise InputError(
            f"{path}: already exists; expected a new folder, or permission to replace it (--overwrite)"
        )
    if not path.is_dir() or (any(path.iterdir()) and not (path / INDEX).is_file()):
        raise InputError(f"{path}: is not a data set folder ({INDEX} is missing), so it is not replaced")


def write_folder(
    path: str | os.PathLike[str],
    *,
    name: str,
    tables: Mapping[str, pl.DataFrame],
    kg: KnowledgeGraph | None,
    features: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
    fingerprint: str,
    overwrite: bool = False,
    sidecars: Callable[[Path], None] | None = None,
) -> None:
    """Write a data set so that the folder is either complete or not there.

    All files go to a temporary folder beside the target, which is then renamed.

    Parameters
    ----------
    sidecars
        Called with the temporary folder before the hashes are taken; may add files of its own, in
        folders that the format does not use.

    Raises
    ------
    InputError
        If the target must not be replaced or can't be written.
    """
    target = Path(path)
    require_free(target, overwrite)
    with staged_folder(target) as temporary:
        for table, frame in tables.items():
            frame.write_parquet(temporary / f"{table}.parquet")
        if kg is not None:
            write_knowledge_graph(kg, temporary / "kg")
        if features:
            (temporary / "features").mkdir()
            for modality, matrix in features.items():
                np.save(temporary / "features" / f"{modality}.npy", matrix, allow_pickle=False)
        if sidecars is not None:
            sidecars(temporary)
        index = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "counts": {table: len(frame) for table, frame in tables.items()}
            | ({} if kg is None else {table: len(getattr(kg, table)) for table in GRAPH_TABLES}),
            "features": {modality: list(matrix.shape) for modality, matrix in features.items()},
            "has_kg": kg is not None,
            "fingerprint": fingerprint,
            "provenance": dict(provenance),
            "sha256": {
                file.relative_to(temporary).as_posix(): sha256_file(file)
                for file in sorted(temporary.rglob("*"))
                if file.is_file()
            },
        }
        (temporary / INDEX).write_text(
            json.dumps(index, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_folder(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the parts of a data set; features are memory-mapped.

    The hashes of the tables are checked; those of the features only by :func:`verify_folder`, since
    that reads all of them.

    Returns
    -------
    dict
        ``name``, ``users``, ``items``, ``interactions``, ``kg``, ``features`` and ``provenance``.

    Raises
    ------
    InputError
        If a file is missing, can't be read, or has another content than the recorded one.
    """
    folder = Path(path)
    index = _read_index(folder)
    parts: dict[str, Any] = {"name": index["name"], "provenance": index["provenance"]}
    for table in TABLES:
        parts[table] = _read_table(folder, f"{table}.parquet", index["sha256"])
    parts["kg"] = None
    if index["has_kg"]:
        for table in GRAPH_TABLES:
            relative = f"kg/{table}.parquet"
            _check_hash(folder, relative, index["sha256"].get(relative))
        parts["kg"] = read_knowledge_graph(folder / "kg")
    parts["features"] = {
        modality: _map_features(folder / "features" / f"{modality}.npy", shape)
        for modality, shape in index["features"].items()
    }
    return parts


def verify_folder(path: str | os.PathLike[str]) -> None:
    """Compare every file of a data set with its recorded hash, features and raw files too.

    Raises
    ------
    InputError
        At the first file that is missing or differs.
    """
    folder = Path(path)
    for relative, expected in _read_index(folder)["sha256"].items():
        _check_hash(folder, relative, expected)


def copy_sidecars(source: str | os.PathLike[str]) -> Callable[[Path], None]:
    """Return a function that copies what lies beside the format's own files to another folder."""
    folder = Path(source)

    def copy(target: Path) -> None:
        for entry in sorted(folder.iterdir()):
            if entry.name not in _OWN and entry.is_dir():
                shutil.copytree(entry, target / entry.name)

    return copy


def _read_index(folder: Path) -> dict[str, Any]:
    file = folder / INDEX
    if not file.is_file():
        raise InputError(
            f"{folder}: no data set here, {INDEX} is missing; expected a folder written by kdiffe"
        )
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file}: is not valid JSON ({error})") from None
    version = index.get("schema_version") if isinstance(index, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(f"{file}: schema version {version!r}; expected {SCHEMA_VERSION}")
    kinds = {"name": str, "provenance": dict, "sha256": dict, "features": dict, "has_kg": bool}
    for key, kind in kinds.items():
        if not isinstance(index.get(key), kind):
            raise InputError(f"{file}: field {key!r} is missing or not a {kind.__name__}")
    return index


def _check_hash(folder: Path, relative: str, expected: str | None) -> Path:
    file = folder / relative
    if not file.is_file():
        raise InputError(f"{file}: missing file; {INDEX} lists it")
    if expected is None or sha256_file(file) != expected:
        raise InputError(
            f"{file}: content differs from the hash in {INDEX}; expected the file as it was written "
            "(it is truncated or was changed)"
        )
    return file


def _read_table(folder: Path, relative: str, hashes: Mapping[str, str]) -> pl.DataFrame:
    file = _check_hash(folder, relative, hashes.get(relative))
    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file}: is not a readable Parquet file ({str(error).splitlines()[0]})") from None


def _map_features(file: Path, shape: list[int]) -> np.ndarray:
    if not file.is_file():
        raise InputError(f"{file}: missing file; {INDEX} lists it")
    try:
        matrix = np.load(file, mmap_mode="r" if all(shape) else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{file}: is not a complete .npy file ({error})") from None
    if list(matrix.shape) != list(shape):
        raise InputError(f"{file}: has shape {list(matrix.shape)}; {INDEX} says {list(shape)}")
    return matrix
