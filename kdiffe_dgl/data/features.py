"""Item features from ``.npy`` files, checked before anything is built on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kdiffe_dgl.errors import InputError
from kg_builders.encoders.store import read_record_of

__all__ = ["load_features", "load_modalities"]


def load_features(path: Path, n_items: int) -> np.ndarray:
    """Read a feature matrix and widen or narrow it to float32.

    Parameters
    ----------
    path
        A ``.npy`` file ``[items, width]`` of any real type.
    n_items
        Number of rows that are expected.

    Returns
    -------
    numpy.ndarray
        float32 ``[items, width]``.

    Raises
    ------
    InputError
        If the file is missing, truncated or pickled, has no numbers, another number of rows, or NaN
        or infinite values (the first such item row is named).
    """
    if not path.is_file():
        raise InputError(f"{path}: missing file; expected a .npy matrix with a row for each item")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file; expected a .npy matrix with {n_items} rows")
    _refuse_objects(path)
    try:
        matrix = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: truncated or not a .npy file ({error})") from None
    if matrix.dtype.kind not in "fiu":
        raise InputError(f"{path}: values of type {matrix.dtype}; expected numbers")
    if matrix.ndim != 2:
        raise InputError(f"{path}: {matrix.ndim} dimensions; expected a matrix with a row for each item")
    if len(matrix) != n_items:
        raise InputError(f"{path}: {len(matrix)} rows; expected {n_items}, one for each item")
    if not matrix.shape[1]:
        raise InputError(f"{path}: rows without values; expected at least one column")
    _refuse_not_finite(path, matrix, "holds NaN or infinite values")
    with np.errstate(over="ignore"):
        narrowed: np.ndarray = matrix.astype(np.float32)
    _refuse_not_finite(path, narrowed, "holds values beyond the range of 32-bit floats")
    return narrowed


def load_modalities(paths: Mapping[str, Path], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Read one matrix for each modality; see :func:`load_features`.

    Parameters
    ----------
    paths
        Modality to file.
    ids
        Ids of the items, in the order of the rows that are expected. A matrix beside which ``kg-build
        encode`` left a record of its items is compared with it; of others only the number of rows is known.

    Raises
    ------
    InputError
        If a matrix doesn't fit, or was encoded for other items or in another order.
    """
    found = {}
    for name, path in paths.items():
        found[name] = load_features(path, len(ids))
        read_record_of(path, ids, "the data set (its items.parquet)")
    return found


def _refuse_objects(path: Path) -> None:
    """Look at the header alone: an array of Python objects is a pickle in disguise."""
    with path.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read(stream)
        except ValueError as error:
            raise InputError(f"{path}: truncated or not a .npy file ({error})") from None
    if dtype.hasobject:
        raise InputError(f"{path}: holds pickled Python objects, which are not read; expected numbers")


def _refuse_not_finite(path: Path, matrix: np.ndarray, problem: str) -> None:
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise InputError(f"{path}: item row {int(np.argmin(finite))} {problem}; expected finite numbers")
