"""Any table of items: CSV, TSV, JSON lines or Parquet, with a column that holds the ids, read as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.sources.bad import MAX_BAD, BadRecords
from kg_builders.sources.delimited import LINE, delimited_blocks, require_columns
from kg_builders.sources.json_fields import all_json_fields, json_keys, mapped_json
from kg_builders.sources.mapping import FieldMapping, TableMapping, load_mapping, map_fields
from kg_builders.sources.records import ItemRecords
from kg_builders.sources.staging import ROW, StageWriter
from kg_builders.sources.streams import Progress, file_name, open_raw

__all__ = ["FORMATS", "parquet_blocks", "read_table", "read_tabular", "table_format"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_COMPRESSED = {".gz", ".gzip", ".zst", ".zstd"}
_BATCH = 50_000


def read_tabular(
    path: str | Path,
    id_field: str = "id",
    *,
    label: str | None = None,
    lists: Mapping[str, str] | None = None,
    numbers: Sequence[str] = (),
    delimiter: str | None = None,
    kind: str | None = None,
    max_bad: float = MAX_BAD,
    progress: Progress | None = None,
    scratch: str | Path | None = None,
) -> ItemRecords:
    """Read items from a table with all its columns.

    Parameters
    ----------
    path
        File or URL; CSV, TSV and JSON lines plain, gzip or zstd.
    id_field
        Column that holds the item ids.
    label
        Column that names an item for people.
    lists
        Column to the delimiter of the values in it, such as ``{"genres": "|"}``. Lists of JSON and
        Parquet need no entry.
    numbers
        Columns of a CSV or TSV file that hold numbers.
    delimiter
        Of a CSV (default a comma) or TSV file (default a tab).
    kind
        ``csv``, ``tsv``, ``jsonl`` or ``parquet``; without it, by the file's ending.
    max_bad
        Share of bad records, and of bad values of a column, that is tolerated.
    progress
        Is told how far the reading is.
    scratch
        Where to stage what doesn't fit in memory; by default, the system's temporary folder.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated or of another format, a column is missing, or too many
        records are bad: ragged, not JSON, without an id, with the id of another.
    """
    for name, given in (lists or {}).items():
        if not given:
            raise InputError(
                f"{path}: the delimiter of field {name!r} is empty{nearest('', ['|', ',', ';'])}"
            )
    options = {name: FieldMapping(type="list", delimiter=given) for name, given in (lists or {}).items()}
    options |= {name: FieldMapping(type="number") for name in numbers}
    mapping = TableMapping(id=id_field, delimiter=delimiter, format=_checked_format(path, kind))
    return _read(path, mapping, options, label, max_bad, progress, scratch)


def read_table(
    path: str | Path,
    mapping: TableMapping | str | Path,
    *,
    fields: Sequence[str] | None = None,
    max_bad: float = MAX_BAD,
    progress: Progress | None = None,
    scratch: str | Path | None = None,
) -> ItemRecords:
    """Read items from a table as a mapping says.

    Parameters
    ----------
    path
        File or URL; CSV, TSV and JSON lines plain, gzip or zstd.
    mapping
        What the columns mean, or the YAML file that says so.
    fields
        Which fields of the mapping to read, besides its label; by default all.
    max_bad, progress, scratch
        As of :func:`read_tabular`.

    Raises
    ------
    InputError
        As of :func:`read_tabular`, or if the mapping is not valid.
    """
    chosen = mapping if isinstance(mapping, TableMapping) else load_mapping(mapping)
    form = _checked_format(path, chosen.format)
    if chosen.fields is not None and fields is not None:
        for name in fields:
            if name not in chosen.fields:
                raise InputError(f"{path}: no field {name!r} in the mapping{nearest(name, chosen.fields)}")
        kept = {
            name: field for name, field in chosen.fields.items() if name in fields or name == chosen.label
        }
        chosen = chosen.model_copy(update={"fields": kept})
    chosen = chosen.model_copy(update={"format": form})
    return _read(path, chosen, {}, chosen.label, max_bad, progress, scratch)


def table_format(path: str | Path) -> str | None:
    """Return the format that a file's ending stands for, one of compression set aside."""
    name = PurePosixPath(file_name(path))
    if name.suffix.lower() in _COMPRESSED:
        name = PurePosixPath(name.stem)
    return FORMATS.get(name.suffix.lower())


def _checked_format(path: str | Path, kind: str | None) -> str:
    form = kind or table_format(path) or PurePosixPath(file_name(path)).suffix.lstrip(".")
    known = sorted(set(FORMATS.values()))
    if form not in known:
        raise InputError(f"{path}: unknown kind of table {form!r}{nearest(form, known)}")
    return form


def _read(
    path: str | Path,
    mapping: TableMapping,
    options: Mapping[str, FieldMapping],
    label: str | None,
    max_bad: float,
    progress: Progress | None,
    scratch: str | Path | None,
) -> ItemRecords:
    """Read a table; without fields in the mapping, all columns, ``options`` saying how some are read."""
    bad = BadRecords(str(path), max_bad)
    given = mapping.fields or {}
    required = [*options, *([label] if label and mapping.fields is None else [])]
    required += [field.column or name for name, field in given.items()]
    seen: dict[str, bool] = {}
    with StageWriter(bad, mapping.id, scratch) as writer:
        for frame in _frames(path, mapping, required, bad, progress):
            for name in frame.columns:
                seen[name] = seen.get(name, False) or frame[name].null_count() < len(frame)
            if mapping.fields is None:
                _check_lists(path, frame, options)
                others = [name for name in frame.columns if name not in (LINE, mapping.id)]
                fields = {name: (name, options.get(name)) for name in others}
            else:
                fields = {name: (field.column or name, field) for name, field in given.items()}
            _refuse_reserved(path, fields)
            writer.append(map_fields(frame, mapping.id, fields, bad))
        table = writer.finish()
    for name in required:
        if not seen[name] and mapping.format == "jsonl" and name not in (keys := json_keys(path)):
            raise InputError(f"{path}: no column {name!r}{nearest(name, keys)}")
    names = [name for name in table.schema if name != "id"]
    return ItemRecords(table, dict.fromkeys(names, file_name(path)), label, bad)


def _frames(
    path: str | Path,
    mapping: TableMapping,
    required: Sequence[str],
    bad: BadRecords,
    progress: Progress | None,
) -> Iterator[pl.DataFrame]:
    """Read the columns of a table as they are, and see that the required ones are among them."""
    if mapping.format == "jsonl":
        keys = json_keys(path)
        if keys and mapping.id not in keys:
            raise InputError(f"{path}: no column {mapping.id!r}{nearest(mapping.id, keys)}")
        if mapping.fields is None:
            blocks = all_json_fields(path, mapping.id, bad, progress)
        else:
            blocks = mapped_json(path, mapping, bad, progress)
        for frame in blocks:
            lacking = [name for name in required if name not in frame.columns]
            yield frame.with_columns(pl.lit(None, pl.Utf8).alias(name) for name in lacking)
        return
    if mapping.format == "parquet":
        blocks = parquet_blocks(
            path, None if mapping.fields is None else [mapping.id, *required], bad, progress
        )
    else:
        delimiter = mapping.delimiter or ("," if mapping.format == "csv" else "\t")
        blocks = delimited_blocks(
            path,
            delimiter,
            mapping.columns,
            mapping.quote if len(delimiter) == 1 else None,
            bad=bad,
            encoding=mapping.encoding,
            progress=progress,
        )
    for frame in blocks:
        require_columns(path, frame, [mapping.id, *required])
        yield frame


def parquet_blocks(
    path: str | Path, columns: Sequence[str] | None, bad: BadRecords, progress: Progress | None
) -> Iterator[pl.DataFrame]:
    """Read a Parquet table in batches; its records are counted as if they were lines."""
    with ExitStack() as stack:
        raw, size = open_raw(path, stack)
        try:
            table = stack.enter_context(pq.ParquetFile(raw))
            if not table.metadata.num_rows:
                raise InputError(f"{path}: has no rows; expected at least one")
            names = table.schema_arrow.names
            wanted = names if columns is None else [name for name in names if name in columns]
            for batch in table.iter_batches(_BATCH, columns=wanted):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield frame.with_columns(
                    pl.int_range(bad.total + 1, bad.total + 1 + len(frame), dtype=pl.Int64).alias(LINE)
                )
                bad.total += len(frame)
                if progress is not None:
                    progress(raw.tell(), size, bad.total)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: can't be read as Parquet; the file is truncated or of another kind"
            ) from error


def _check_lists(path: str | Path, frame: pl.DataFrame, options: Mapping[str, FieldMapping]) -> None:
    """Refuse a delimiter for what isn't text."""
    for name, field in options.items():
        dtype = frame.schema[name]
        if field.type == "list" and isinstance(dtype, pl.List):
            raise InputError(f"{path}: field {name!r} holds lists already; expected no delimiter for it")
        if field.type == "list" and dtype not in (pl.Utf8, pl.Null):
            raise InputError(f"{path}: field {name!r} holds {dtype}; expected text to split")


def _refuse_reserved(path: str | Path, names: Iterable[str]) -> None:
    """Refuse columns whose names records need for themselves."""
    for name in names:
        if name in ("id", ROW):
            raise InputError(
                f"{path}: column {name!r} is called as what records have of their own; expected a mapping "
                "that leaves it out or gives it another name"
            )
