"""Files that are written whole or not at all, and whose faults are told in one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import safetensors.numpy
import yaml
from safetensors import SafetensorError

from kdiffe_dgl.errors import InputError
from kg_builders.formats.atomic import staged_file

__all__ = [
    "atomic_file",
    "read_json",
    "read_table",
    "read_tensors",
    "read_yaml",
    "write_json",
    "write_table",
    "write_tensors",
    "write_yaml",
]

_MOST_DIGITS = 20
"""Of whole numbers in JSON: those of 64 bits have no more, with their sign."""


@contextmanager
def atomic_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file beside the target, and rename it to the target if the block succeeds.

    Readers see the old file or the new one, never a part; a failure leaves no temporary file.

    Raises
    ------
    InputError
        If the folder does not exist or can't be written to.
    """
    path = Path(target)
    if not path.parent.is_dir():
        raise InputError(f"{path}: can't be written (no such folder); expected a writable folder")
    with staged_file(path) as temporary:
        yield temporary


def _require(file: Path, hint: str) -> None:
    if not file.is_file():
        raise InputError(f"{file}: missing file; {hint}")


def write_json(file: Path, value: Any) -> None:
    """Write a value as JSON; NaN and infinity are refused with ``ValueError``."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(file: Path, kind: type, hint: str) -> Any:
    """Read a JSON file whose top level is of a type (dict or list)."""
    _require(file, hint)
    try:
        value = json.loads(file.read_text(encoding="utf-8"), parse_int=_whole_number)
    except ValueError as error:
        raise InputError(f"{file}: is not valid JSON ({error})") from None
    except RecursionError:
        raise InputError(f"{file}: is not valid JSON (nested too deeply to be read)") from None
    if not isinstance(value, kind):
        expected = "an object" if kind is dict else "a list"
        raise InputError(f"{file}: holds {type(value).__name__}; expected {expected}")
    return value


def _whole_number(digits: str) -> int:
    """Read a whole number of JSON; those that fit no column and no float are refused."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def write_yaml(file: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping of plain types as YAML, in its own order."""
    text = yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_yaml(file: Path, hint: str) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping."""
    _require(file, hint)
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: is not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise InputError(f"{file}: is not valid YAML (nested too deeply to be read)") from None
    if not isinstance(value, dict):
        raise InputError(f"{file}: holds {type(value).__name__}; expected keys and values")
    return value


def write_table(file: Path, frame: pl.DataFrame) -> None:
    """Write a frame as Parquet."""
    with atomic_file(file) as temporary:
        frame.write_parquet(temporary)


def read_table(file: Path, schema: Mapping[str, Any], hint: str) -> pl.DataFrame:
    """Read the columns of a schema from a Parquet file, without missing values."""
    _require(file, hint)
    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file}: is not a readable Parquet file ({str(error).splitlines()[0]})") from None
    for column, dtype in schema.items():
        if column not in frame.columns:
            raise InputError(f"{file}: lacks the column {column!r}; expected {', '.join(schema)}")
        if frame.schema[column] != dtype:
            raise InputError(f"{file}: column {column!r} is {frame.schema[column]}; expected {dtype}")
        if frame[column].null_count():
            row = frame[column].is_null().arg_max()
            raise InputError(f"{file}: row {row} has no {column!r}; expected a value in every row")
    return frame.select(list(schema))


def write_tensors(file: Path, tensors: Mapping[str, Any]) -> None:
    """Write arrays, or torch tensors on any device, as safetensors."""
    arrays = {name: _array(tensor) for name, tensor in tensors.items()}
    with atomic_file(file) as temporary:
        safetensors.numpy.save_file(arrays, temporary)


def _array(tensor: Any) -> np.ndarray:
    # Asking the tensor itself keeps torch out of the imports of those who only read.
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(tensor, order="C")


def read_tensors(file: Path, hint: str) -> dict[str, np.ndarray]:
    """Read a safetensors file as NumPy arrays."""
    _require(file, hint)
    try:
        return safetensors.numpy.load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: is not a complete safetensors file ({error})") from None
