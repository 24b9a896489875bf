"""What is encoded of each item: its text fields, or a file that is named by its id or by a field."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from kg_builders.clean import clean_text
from kg_builders.encoders.base import RawInput
from kg_builders.errors import InputError
from kg_builders.sources import ItemRecords

__all__ = ["Inputs", "files_from_field", "files_of_folder", "ids_hash", "texts_of_fields"]

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    "sound": (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".opus"),
}
"""Endings of the files of a modality, in lower case."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Inputs:
    """The raw inputs of all items, in item order.

    Parameters
    ----------
    values
        Texts or paths; ``None`` where an item has none.
    source
        Where they are from, as plain values for the record.
    are_files
        Whether the values are paths.
    """

    values: Sequence[RawInput]
    source: Mapping[str, Any]
    are_files: bool

    def __len__(self) -> int:
        return len(self.values)

    def content_hash(self) -> str:
        """Return the SHA-256 over the texts or the contents of the files, in item order, as hex digits.

        Names of files do not matter; a file that can't be read counts as missing.
        """
        digest = hashlib.sha256()
        for value in self.values:
            part = None if value is None else _file_digest(Path(value)) if self.are_files else _bytes(value)
            # The length stands before each part, so that no two lists of inputs look alike.
            digest.update(b"-" if part is None else b"%d:" % len(part))
            digest.update(part or b"")
        return digest.hexdigest()


def ids_hash(ids: Sequence[str]) -> str:
    """Return the SHA-256 of the item ids in their order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for item in ids:
        encoded = _bytes(item)
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()


def texts_of_fields(records: ItemRecords, ids: Sequence[str], fields: Sequence[str]) -> Inputs:
    """Join fields of item records into a text an item.

    Values are cleaned; those of lists are joined by commas, those of key-value details as "key: value",
    and the fields by full stops. Items without a record or a value have no text.

    Raises
    ------
    InputError
        If no field is named, or one isn't among the records.
    """
    if not fields:
        raise InputError("encode: no text field is named; expected at least one")
    for name in fields:
        records.require(name, "encode")
    texts = [_as_text(pl.col(name), records.schema[name]).alias(f"text{n}") for n, name in enumerate(fields)]
    frame = _in_item_order(records.scan().select("id", *texts), ids)
    cleaned = frame.select(clean_text(frame[column]) for column in frame.columns if column != "id")
    joined = cleaned.select(pl.concat_str(pl.all(), separator=". ", ignore_nulls=True)).to_series()
    values = _Texts(joined.replace("", None))
    return Inputs(values, {"fields": list(fields), "files": _files_of(records, fields)}, are_files=False)


def files_of_folder(folder: str | Path, ids: Sequence[str], modality: str) -> Inputs:
    """Find the file of each item in a folder, by its name without the ending.

    An id with characters that file names can't hold is looked for percent-encoded, too.

    Raises
    ------
    InputError
        If there is no such folder, two files are for one item, or no file is for any.
    """
    folder = Path(folder)
    found: dict[str, str] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(
            f"{folder}: can't be read ({error.strerror}); expected a folder of files named by item ids"
        ) from error
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUFFIXES[modality]:
            continue
        if stem in found:
            raise InputError(
                f"{folder}: both {found[stem]} and {name} are for item {stem!r}; expected one file"
            )
        found[stem] = name
    values = [_of_item(item, found, folder) for item in ids]
    if all(value is None for value in values):
        example = f"{ids[0]}{SUFFIXES[modality][0]}" if len(ids) else "none"
        raise InputError(
            f"{folder}: none of its {len(names):,} files is named by an item id; "
            f"expected such as {example} (endings {', '.join(SUFFIXES[modality])})"
        )
    return Inputs(values, {"folder": folder.name}, are_files=True)


def files_from_field(
    records: ItemRecords, ids: Sequence[str], field: str, base: str | Path = "."
) -> tuple[Inputs, dict[int, str]]:
    """Take the file of each item from a field that holds its path.

    Parameters
    ----------
    base
        Folder where the paths begin, and which they may not leave.

    Returns
    -------
    Inputs
        Paths; of a list field the first.
    dict
        Position of an item to the reason why what its field holds isn't used.
    """
    records.require(field, "encode")
    base = Path(base).resolve()
    if not base.is_dir():
        raise InputError(f"{base}: no such folder; expected where the paths of field {field!r} begin")
    dtype = records.schema[field]
    path = pl.col(field).list.drop_nulls().list.first() if isinstance(dtype, pl.List) else pl.col(field)
    if (dtype.inner if isinstance(dtype, pl.List) else dtype) != pl.Utf8:
        raise InputError(f"encode: field {field!r} holds {dtype}; expected paths")
    frame = _in_item_order(records.scan().select("id", path.str.strip_chars().replace("", None)), ids)
    values: list[RawInput] = []
    problems: dict[int, str] = {}
    for row, text in enumerate(frame[field].to_list()):
        value: Path | None = None
        if text is not None and "://" in text:
            problems[row] = "is a URL; expected a local file"
        elif text is not None and "\0" in text:
            problems[row] = "is no path"
        elif text is not None:
            value = base / text
            if not value.resolve().is_relative_to(base):
                problems[row], value = f"lies outside {base.name}", None
        values.append(value)
    if all(value is None for value in values):
        reason = f", the first because it {next(iter(problems.values()))}" if problems else ""
        raise InputError(f"encode: field {field!r} gives no item a file{reason}; expected local paths")
    source = {"path_field": field, "files": _files_of(records, [field])}
    return Inputs(values, source, are_files=True), problems


class _Texts(Sequence[RawInput]):
    """Texts in one compact column; slices of it are lists."""

    def __init__(self, column: pl.Series) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: Any) -> Any:
        chosen = self._column[index]
        return chosen.to_list() if isinstance(index, slice) else chosen

    def __iter__(self) -> Any:
        for start in range(0, len(self), 65_536):
            yield from self[start : start + 65_536]


def _as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Struct):
        parts = [_as_text(value.struct.field(field.name), field.dtype) for field in dtype.fields]  # type: ignore[arg-type]
        return pl.concat_str(parts, separator=": ", ignore_nulls=True)
    if isinstance(dtype, pl.List):
        element = _as_text(pl.element(), dtype.inner)  # type: ignore[arg-type]
        return value.list.eval(element).list.drop_nulls().list.join(", ")
    return value.cast(pl.Utf8)


def _in_item_order(table: pl.LazyFrame, ids: Sequence[str]) -> pl.DataFrame:
    wanted = pl.LazyFrame({"id": list(ids)}, schema={"id": pl.Utf8})
    return wanted.join(table, on="id", how="left", maintain_order="left").collect()


def _files_of(records: ItemRecords, fields: Sequence[str]) -> list[str]:
    return sorted({records.files[name] for name in fields if name in records.files})


def _of_item(item: str, found: Mapping[str, str], folder: Path) -> Path | None:
    name = found.get(item) or found.get(quote(item, safe=" "))
    return None if name is None else folder / name


def _bytes(text: RawInput) -> bytes:
    return str(text).encode("utf-8", "surrogatepass")


def _file_digest(path: Path) -> bytes | None:
    digest = hashlib.sha256()
    try:
        # A pipe or a device would never end.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except (OSError, ValueError):
        return None
    return digest.digest()
