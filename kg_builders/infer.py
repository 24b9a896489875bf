"""A look at an unknown file: what its fields hold, as a mapping to read it by and rules to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from rich.table import Table

from kg_builders.errors import InputError
from kg_builders.sources.amazon import detect_version
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.delimited import DELIMITERS, LINE, delimited_blocks
from kg_builders.sources.json_fields import all_json_fields
from kg_builders.sources.mapping import TableMapping, parse_mapping
from kg_builders.sources.roles import InferredField, choose_id, choose_label, judge_column
from kg_builders.sources.sniffing import sniff_dialect
from kg_builders.sources.staging import ROW, concat_records
from kg_builders.sources.streams import file_name, first_bytes, sniff_lines
from kg_builders.sources.tabular import parquet_blocks

__all__ = ["InferredMapping", "infer_mapping"]

_TYPES = {"list": "list", "path": "path", "number": "number", "date": "date", "reference": "reference"}
_TYPES |= {"key-value": "key-value"}
_SNIFFED = 5_000
_RECBOLE = (":token", ":token_seq", ":float", ":float_seq")


@dataclass(frozen=True)
class InferredMapping:
    """What an unknown file seems to hold.

    Parameters
    ----------
    file
        Its name.
    mapping
        How to read it.
    fields
        What was seen of each column, in the file's order.
    sample
        Number of records looked at.
    bad
        What was wrong among them.
    notes
        What else a person should know, such as that a reader of the format exists.
    """

    file: str
    mapping: TableMapping
    fields: tuple[InferredField, ...]
    sample: int
    bad: BadRecords
    notes: tuple[str, ...] = ()

    def to_yaml(self) -> str:
        """Return the mapping as a file that ``read_table`` takes, each field with what was seen of it."""
        plain = _plain_mapping(self.mapping)
        named = plain.pop("fields")
        lines = [f"# How to read {self.file}, as {self.sample:,} records suggest. Look it over before use."]
        lines += [f"# {note}" for note in self.notes]
        lines.append(_dump(plain, False))
        lines.append("fields:" if named else "fields: {}")
        columns = {self.mapping.column_of(name): name for name in named}
        for field in self.fields:
            seen = (
                f"{field.role}: {field.why}; {field.coverage:.0%} of the records, {field.distinct:,} values"
            )
            if field.name == self.mapping.id:
                lines.append(f"  # {_one_line(field.name)} is the id: {field.why}")
                continue
            lines.append(f"  # {_one_line(seen)}; such as {_shown(field, ', ')}")
            if field.name in columns:
                entry = {columns[field.name]: named[columns[field.name]]}
                lines += [f"  {line}" for line in _dump(entry, None).split("\n")]
            else:
                lines.append(f"  # {_one_line(field.name)}: text")
        return "\n".join(lines) + "\n"

    def to_rules_yaml(self) -> str:
        """Return rules to begin with; what needs a person's choice is there as a comment."""
        lines = [f"# Rules for {self.file}, to begin with. Remove what says nothing about taste."]
        if self.mapping.label is not None:
            lines.append(_dump({"label": self.mapping.label}, False))
        rules: list[str] = []
        comments: list[str] = []
        names = {self.mapping.column_of(name): name for name in self.mapping.fields or {}}
        for field in self.fields:
            if field.name in names:
                rule, commented = _rule(field, names[field.name])
                target = comments if commented else rules
                target.append(
                    f"  # {_one_line(field.name)}: {_counted(field)}, such as {_shown(field, ', ')}"
                )
                if rule is not None:
                    target.append(f"  {'# ' if commented else ''}- {_dump(rule, True)}")
        lines.append("rules:" if rules else "rules: []  # nothing makes a rule by itself; choose from these")
        return "\n".join([*lines, *rules, *comments]) + "\n"

    def table(self) -> Table:
        """Return a table for the terminal."""
        title = f"{self.file}: {self.mapping.format}, {self.sample:,} records looked at"
        table = Table("field", "role", "delimiter", "records", "values", "examples", "why", title=title)
        for field in self.fields:
            table.add_row(
                field.name,
                field.role,
                "" if field.delimiter is None else DELIMITERS.get(field.delimiter, repr(field.delimiter)),
                f"{field.coverage:.0%}",
                f"{field.distinct:,}",
                _shown(field, "; "),
                field.why,
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "file": self.file,
            "sample": self.sample,
            "mapping": _plain_mapping(self.mapping),
            "fields": [
                {**vars(field), "examples": list(field.examples), "options": dict(field.options)}
                for field in self.fields
            ],
            "bad": self.bad.to_dict(),
            "notes": list(self.notes),
        }


def infer_mapping(path: str | Path, sample: int = 10_000) -> InferredMapping:
    """Look at the first records of an unknown file and propose how to read it.

    Parameters
    ----------
    path
        File or URL: CSV, TSV or another delimited text, JSON lines, or Parquet; texts may be compressed.
        What it holds counts, not its ending.
    sample
        Number of records to look at.

    Returns
    -------
    InferredMapping
        The mapping, and what it rests on.

    Raises
    ------
    InputError
        If the file can't be read, is of no such kind, or no column could be the ids.
    """
    if sample < 1:
        raise InputError(f"sample is {sample}; expected at least 1 record")
    bad = BadRecords(str(path), max_bad=1.0)
    options, blocks = _open(path, bad)
    frames: list[pl.DataFrame] = []
    for frame in blocks:
        frames.append(frame)
        if sum(map(len, frames)) >= sample:
            break
    if not frames or not sum(map(len, frames)):
        raise InputError(f"{path}: has no record that can be read; expected at least one")
    frame = concat_records(frames).head(sample).drop(LINE)
    chosen = choose_id(frame)
    if chosen is None:
        raise InputError(
            f"{path}: no column could be the item ids; expected one with a different value in each record "
            f"among {', '.join(frame.columns)}"
        )
    id_name, id_why = chosen
    ids = frame[id_name].cast(pl.Utf8).drop_nulls()
    fields = [
        InferredField(id_name, "id", id_why, 1.0, ids.n_unique(), tuple(ids[:3]))
        if name == id_name
        else judge_column(frame[name], ids)
        for name in frame.columns
    ]
    label = choose_label(frame, fields)
    mapped: dict[str, Any] = {}
    for field in fields:
        if field.role not in ("id", "ignored") or field.name == label:
            mapped[_free(field.name)] = _field(field)
    data = {"id": id_name, "label": None if label is None else _free(label), **options, "fields": mapped}
    mapping = parse_mapping(data, str(path))
    notes = (*_notes(path, frame), *bad.sentences())
    return InferredMapping(file_name(path), mapping, tuple(fields), len(frame), bad, notes)


def _open(path: str | Path, bad: BadRecords) -> tuple[dict[str, Any], Iterator[pl.DataFrame]]:
    """Tell the format by what the file holds; return the mapping's options and the records."""
    if first_bytes(path, 4) == b"PAR1":
        return {"format": "parquet"}, parquet_blocks(path, None, bad, None)
    sniffed = sniff_lines(path, _SNIFFED).lines
    lines = [line.strip() for line in sniffed if line.strip()]
    if not lines:
        raise InputError(f"{path}: is empty; expected at least one line")
    if lines[0].startswith(b"["):
        raise InputError(f"{path}: is one JSON list; expected JSON lines, an object each")
    # Lines within quoted values may begin so as well: the first line is none of these, nor are whole objects.
    begun = [line for line in lines if line.startswith(b"{")]
    objects = begun if lines[0] in begun else [line for line in begun if line.endswith(b"}")]
    if len(objects) > len(lines) / 2:
        return {"format": "jsonl"}, all_json_fields(path, None, bad, None)
    dialect = sniff_dialect(sniffed, len(sniffed) < _SNIFFED)
    if dialect is None:
        raise InputError(f"{path}: no delimiter splits its records into the same number of values")
    delimiter = dialect.delimiter
    options: dict[str, Any] = {"format": "tsv" if delimiter == "\t" else "csv", "encoding": dialect.encoding}
    if delimiter not in ("\t", ","):
        options["delimiter"] = delimiter
    if dialect.columns is not None:
        options["columns"] = list(dialect.columns)
    if dialect.quote is None and len(delimiter) == 1:
        options["quote"] = None
    return options, delimited_blocks(
        path, delimiter, dialect.columns, dialect.quote, bad=bad, encoding=dialect.encoding
    )


def _notes(path: str | Path, frame: pl.DataFrame) -> list[str]:
    notes = []
    if {"asin", "parent_asin"} & set(frame.columns):
        notes.append(f"Amazon metadata of {detect_version(path)}: the source of kind amazon knows its traps.")
    if all(name.endswith(_RECBOLE) for name in frame.columns):
        notes.append(
            "An atomic file of RecBole: the source of kind recbole reads it by the types in its header."
        )
    return notes


def _free(name: str) -> str:
    """Return a name for the field that records don't need for themselves."""
    return f"{name}_field" if name in ("id", ROW) else name


def _field(field: InferredField) -> dict[str, Any]:
    options: dict[str, Any] = {"type": _TYPES.get(field.role, "text"), **field.options}
    if _free(field.name) != field.name:
        options["column"] = field.name
    if field.delimiter is not None:
        options["delimiter"] = field.delimiter
    return options


def _plain_mapping(mapping: TableMapping) -> dict[str, Any]:
    plain = mapping.model_dump(mode="json", exclude_defaults=True)
    fields = {
        name: {"type": field.type, **field.model_dump(exclude_defaults=True)}
        for name, field in (mapping.fields or {}).items()
    }
    return {"id": mapping.id, **plain, "fields": fields}


def _rule(field: InferredField, name: str) -> tuple[dict[str, Any] | None, bool]:
    """Return a rule for a field, None if there is none, and whether a person should choose it."""
    role = field.role
    if role == "url":
        return None, True
    if role in ("text", "ignored"):
        return {"kind": "keyword", "field": name, "min_items": 5, "max_share": 0.1}, True
    if role == "number":
        return {"kind": "number", "field": name, "bins": 5}, True
    kinds = {"category": "categorical", "date": "decade", "key-value": "details"}
    rule: dict[str, Any] = {"kind": kinds.get(role, role), "field": name}
    if role in ("category", "list", "path"):
        rule["min_items"] = 2
    return rule, field.coverage < 0.01


def _dump(value: Any, flow: bool | None) -> str:
    """Return YAML on as few lines as there may be; what can't be printed is escaped."""

    def dump(**style: Any) -> str:
        text: str = yaml.safe_dump(value, default_flow_style=flow, sort_keys=False, width=1_000_000, **style)
        return text.removesuffix("\n")

    # Single quotes would leave a line break in a text as it is, which no comment or indentation survives.
    if "\\n" in repr(value):
        return dump(default_style='"')
    readable = dump(allow_unicode=True)
    return readable if readable.replace("\n", "").isprintable() else dump()


def _counted(field: InferredField) -> str:
    return f"{field.coverage:.0%} of the records, {field.distinct:,} values"


def _shown(field: InferredField, separator: str) -> str:
    """Return the examples, each cut to a few words."""
    return _one_line(
        separator.join(text if len(text) <= 40 else f"{text[:40]}..." for text in field.examples)
    )


def _one_line(text: str) -> str:
    """Return a text that is safe in a comment."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
