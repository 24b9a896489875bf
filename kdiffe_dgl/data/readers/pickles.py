"""Published pickles of sparse matrices, read without running anything that is in them.

A pickle is a program; the standard reader imports and calls whatever it names. The reader here knows
a fixed list of names, compared as a whole, and maps them to NumPy's array constructors and to empty
shells in place of SciPy's classes. Any other name is refused before it is imported. The matrix is
then built anew from the shell's plain arrays, so no method of a foreign object is ever called.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from kdiffe_dgl.data.readers.delimited import require_file
from kdiffe_dgl.errors import InputError

__all__ = ["load_sparse_pickle"]

_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
)


class _Shell:
    """Takes the state of a pickled SciPy matrix and does nothing with it."""

    layout = ""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("the state of a sparse matrix is not a dictionary")
        self.state = state


class _Coordinate(_Shell):
    layout = "coo"


class _CompressedRow(_Shell):
    layout = "csr"


class _CompressedColumn(_Shell):
    layout = "csc"


class _Object:
    """Stands for Python's ``object``, which protocols 0 and 1 name as the base of a class."""


def _reconstructor(kind: Any, base: Any, state: Any) -> _Shell:
    """Stand in for ``copyreg._reconstructor``, with which protocols 0 and 1 make an empty object."""
    if not (isinstance(kind, type) and issubclass(kind, _Shell) and base is _Object and state is None):
        raise pickle.UnpicklingError("an object of a foreign class")
    return kind()


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, with which old protocols store bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes stored as {encoding!r}")
    return text.encode("latin-1")


def _from_buffer(buffer: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Stand in for NumPy's ``_frombuffer``, with which protocol 5 stores arrays."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(kind: Any, shape: Any, dtype: Any) -> np.ndarray:
    """Stand in for NumPy's ``_reconstruct``: an empty array, to be filled by its state."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("an array of a foreign class")
    return np.ndarray(shape, dtype)


def _admitted() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
    }
    # Python 3 writes the names that Python 2 had into protocols 0 to 2; both may occur.
    for copyreg, builtins in (("copyreg", "builtins"), ("copy_reg", "__builtin__")):
        names[copyreg, "_reconstructor"] = _reconstructor
        names[builtins, "object"] = _Object
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        names[f"{core}.numeric", "_frombuffer"] = _from_buffer
    shells: dict[str, type[_Shell]] = {
        "coo": _Coordinate,
        "csr": _CompressedRow,
        "csc": _CompressedColumn,
    }
    for layout, shell in shells.items():
        for module in (f"scipy.sparse.{layout}", f"scipy.sparse._{layout}"):
            for kind in ("matrix", "array"):
                names[module, f"{layout}_{kind}"] = shell
    return names


_ADMITTED = _admitted()


class _ArrayUnpickler(pickle.Unpickler):
    """Resolves the admitted names and no other; ``copyreg`` extension codes come through here too."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            found: Callable[..., Any] = _ADMITTED[module, name]
        except KeyError:
            raise _ForeignClassError(f"{module}.{name}") from None
        return found


class _ForeignClassError(InputError):
    """A pickle names something that is not admitted."""


def load_sparse_pickle(path: Path) -> sparse.coo_matrix:
    """Read a pickled SciPy sparse matrix (COO, CSR or CSC, matrix or array, of any SciPy version).

    Parameters
    ----------
    path
        The pickle, of any protocol.

    Returns
    -------
    scipy.sparse.coo_matrix
        ``[rows, columns]``, duplicates not summed, explicit zeros kept.

    Raises
    ------
    InputError
        If the file is missing or damaged, names anything but NumPy and SciPy array classes, or
        holds something other than one consistent numeric sparse matrix.
    """
    require_file(path)
    try:
        with path.open("rb") as stream:
            shell = _ArrayUnpickler(stream, encoding="latin1").load()
    except _ForeignClassError as error:
        raise InputError(
            f"{path}: the pickle names {error}, so it is refused and nothing in it was run; "
            "expected only NumPy and SciPy array classes"
        ) from None
    except _DAMAGE as error:
        raise InputError(f"{path}: not a complete pickle of a sparse matrix ({error})") from None
    if not isinstance(shell, _Shell) or not isinstance(getattr(shell, "state", None), dict):
        raise InputError(f"{path}: holds no SciPy sparse matrix (COO, CSR or CSC)")
    return _build(shell, path)


def _build(shell: _Shell, path: Path) -> sparse.coo_matrix:
    state = shell.state
    shape = state.get("_shape", state.get("shape"))
    if (
        not isinstance(shape, tuple)
        or len(shape) != 2
        or not all(isinstance(n, int) and n >= 0 for n in shape)
    ):
        raise InputError(f"{path}: the sparse matrix has no shape of two dimensions")
    data = _vector(state, "data", "fiub", path)
    if shell.layout == "coo":
        if isinstance(state.get("coords"), tuple) and len(state["coords"]) == 2:
            state = state | {"row": state["coords"][0], "col": state["coords"][1]}
        row, column = _vector(state, "row", "iu", path), _vector(state, "col", "iu", path)
    else:
        minor, pointer = _vector(state, "indices", "iu", path), _vector(state, "indptr", "iu", path)
        n_major = shape[0] if shell.layout == "csr" else shape[1]
        pointer = pointer.astype(np.int64)
        steps = pointer[1:] - pointer[:-1]
        if len(pointer) != n_major + 1 or pointer[0] != 0 or (steps < 0).any() or pointer[-1] != len(minor):
            raise InputError(f"{path}: the sparse matrix has inconsistent row pointers")
        major = np.repeat(np.arange(n_major), steps)
        row, column = (major, minor) if shell.layout == "csr" else (minor, major)
    if not len(row) == len(column) == len(data):
        raise InputError(f"{path}: the sparse matrix has {len(row)} rows but {len(data)} values")
    for name, index, bound in (("row", row, shape[0]), ("column", column, shape[1])):
        wrong = (index < 0) | (index >= bound)
        if wrong.any():
            raise InputError(
                f"{path}: {name} {index[np.argmax(wrong)]} is outside the matrix; "
                f"expected a whole number from 0 to {bound - 1}"
            )
    return sparse.coo_matrix((data, (row.astype(np.int64), column.astype(np.int64))), shape=shape)


def _vector(state: dict[str, Any], key: str, kinds: str, path: Path) -> np.ndarray:
    value = state.get(key)
    if type(value) is not np.ndarray or value.ndim != 1 or value.dtype.kind not in kinds:
        raise InputError(f"{path}: the sparse matrix has no numeric array {key!r}")
    return value
