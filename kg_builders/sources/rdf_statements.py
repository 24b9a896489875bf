"""RDF files as tables of statements: N-Triples by their grammar, whole columns at a time; Turtle by Oxigraph.

N-Triples are a regular language, so that one regular expression, made from the productions of the standard,
decides over a line; the tests compare it with Oxigraph's parser. It takes neither a package nor a Python
object for each term. Turtle is no such language: there pyoxigraph parses (Rust; MIT or Apache-2.0; 21 MB), as
the extra ``rdf``.

See W3C (2014), *RDF 1.1 N-Triples* and *RDF 1.1 Turtle*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from kg_builders.config import nearest
from kg_builders.errors import InputError, install_hint
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.encodings import decode_lines
from kg_builders.sources.streams import Progress, file_name, open_stream, read_lines

__all__ = ["FORMATS", "RDF", "RDFS", "RDF_TYPE", "STATEMENT_SCHEMA", "rdf_format", "statement_blocks"]

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
RDF_TYPE = f"{RDF}type"

FORMATS = {"ntriples": (".nt", ".ntriples"), "turtle": (".ttl", ".turtle")}
"""Formats, and the endings of their files before that of a compression."""

STATEMENT_SCHEMA = {
    "line": pl.Int64,
    "subject": pl.Utf8,
    "predicate": pl.Utf8,
    "object": pl.Utf8,
    "literal": pl.Boolean,
    "language": pl.Utf8,
    "datatype": pl.Utf8,
}
"""IRIs are without brackets, blank nodes with ``_:``, literals without quotation marks and escapes.

``line`` is null in Turtle, whose parser doesn't tell. ``language`` is in lower case.
"""

_HEX = "[0-9A-Fa-f]"
_UCHAR = rf"\\u{_HEX}{{4}}|\\U{_HEX}{{8}}"
# Only absolute IRIs, as the standard has it.
_IRI_CHARACTERS = rf'(?:[^\x00-\x20<>"{{}}|\^`\\]|{_UCHAR})*'
_IRI = rf"<[A-Za-z][A-Za-z0-9+.\-]*:{_IRI_CHARACTERS}>"
_BASE = (
    "A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME = rf"{_BASE}_:0-9\-\xb7\u0300-\u036f\u203f-\u2040"
_BLANK = rf"_:[{_BASE}_:0-9](?:[{_NAME}.]*[{_NAME}])?"
_STRING = rf'"(?:[^"\\\n\r]|\\[tbnrf"\'\\]|{_UCHAR})*"'
_LITERAL = rf"{_STRING}(?:[ \t]*@[a-zA-Z]+(?:-[a-zA-Z0-9]+)*|[ \t]*\^\^[ \t]*{_IRI})?"
_SUBJECT, _OBJECT = f"(?:{_IRI}|{_BLANK})", f"(?:{_IRI}|{_BLANK}|{_LITERAL})"
_PLAIN = {mark: f"^{_SUBJECT}{mark}{_IRI}{mark}{_OBJECT}[ \t]?\\.$" for mark in (" ", "\t")}
"""Lines as nearly all are, with one space or one tab between the terms, which can be split there."""
_ANY = rf"^({_SUBJECT})[ \t]*({_IRI})[ \t]*({_OBJECT})[ \t]*\.[ \t]*(?:#.*)?$"
_PARTS = (
    ("subject", re.compile(_SUBJECT), "an absolute IRI in <> or a blank node"),
    ("predicate", re.compile(_IRI), "an absolute IRI in <>"),
    ("object", re.compile(_OBJECT), "an absolute IRI in <>, a blank node or a literal"),
    ("end", re.compile(r"\.[ \t]*(?:#.*)?$"), "a full stop and nothing after it"),
)

_ESCAPE = re.compile(rf"{_UCHAR}|\\.")
_ESCAPED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_NOT_IN_IRI = re.compile(r'[\x00-\x20<>"{}|^`\\]')


def rdf_format(path: str | Path) -> str:
    """Return the format of a file by its ending.

    Raises
    ------
    InputError
        If it is none of RDF's.
    """
    name = file_name(path).lower()
    for ending in (".gz", ".zst", ".zstd"):
        name = name.removesuffix(ending)
    for format_, endings in FORMATS.items():
        if name.endswith(endings):
            return format_
    every = ", ".join(ending for some in FORMATS.values() for ending in some)
    raise InputError(f"{path}: isn't called as RDF is; expected an ending of {every}, or the format")


def statement_blocks(
    path: str | Path, bad: BadRecords, format: str | None = None, progress: Progress | None = None
) -> Iterator[pl.DataFrame]:
    """Read the statements of a file in blocks, in bounded memory.

    Parameters
    ----------
    path
        File or URL, plain, gzip or zstd.
    bad
        Takes the lines (in Turtle, the statements) that can't be read and are left out.
    format
        ``ntriples`` or ``turtle``; by default, by the ending.
    progress
        Is told how far the reading is.

    Yields
    ------
    pl.DataFrame
        Columns of ``STATEMENT_SCHEMA``. Blank nodes of Turtle are numbered as they come up.

    Raises
    ------
    InputError
        If the file can't be read, more is bad than ``bad`` tolerates, or pyoxigraph is missing.
    """
    format = rdf_format(path) if format is None else format
    if format not in FORMATS:
        raise InputError(f"{path}: no RDF format {format!r}{nearest(format, FORMATS)}")
    blocks = _turtle(path, bad, progress) if format == "turtle" else _ntriples(path, bad, progress)
    for block in blocks:
        bad.check()
        yield block
    bad.check(final=True)


def _ntriples(path: str | Path, bad: BadRecords, progress: Progress | None) -> Iterator[pl.DataFrame]:
    for block in read_lines(path, progress):
        texts = pl.Series("text", decode_lines(block, bad), dtype=pl.Utf8)
        rows = texts.str.strip_chars(" \t\r").to_frame().with_row_index("line", offset=block.first)
        rows = rows.filter((pl.col("text") != "") & ~pl.col("text").str.starts_with("#"))
        bad.total += len(rows)
        yield _unescape(_terms(_split(rows, bad)), bad)


def _split(rows: pl.DataFrame, bad: BadRecords) -> pl.DataFrame:
    """Return columns line, subject, predicate and object, as they are written."""
    found = []
    for mark, pattern in _PLAIN.items():
        plain = rows["text"].str.contains(pattern)
        # Neither IRIs nor blank nodes hold spaces: what comes after the second is the object.
        parts = rows.filter(plain)["text"].str.strip_suffix(".").str.strip_chars_end(" \t")
        found.append(
            rows.filter(plain)
            .select(pl.col("line").cast(pl.Int64))
            .hstack(
                parts.str.splitn(mark, 3)
                .struct.rename_fields(["subject", "predicate", "object"])
                .struct.unnest()
            )
        )
        rows = rows.filter(~plain)
    if len(rows):
        groups = rows["text"].str.extract_groups(_ANY)
        rest = rows.hstack(groups.struct.rename_fields(["subject", "predicate", "object"]).struct.unnest())
        for line, text in rest.filter(pl.col("subject").is_null()).select("line", "text").iter_rows():
            bad.add(line, text, _complaint(text))
        found.append(rest.drop_nulls("subject").drop("text").cast({"line": pl.Int64}))
    return pl.concat(found).sort("line")


def _complaint(text: str) -> str:
    """Say what is wrong in a line that isn't a statement."""
    place = 0
    for part, pattern, expected in _PARTS:
        match = pattern.match(text, place)
        if match is None:
            return f"isn't N-Triples: the {part} at character {place + 1} isn't {expected}"
        place = len(text) - len(text[match.end() :].lstrip(" \t"))
    return "isn't N-Triples; expected a subject, a predicate, an object and a full stop"


def _terms(rows: pl.DataFrame) -> pl.DataFrame:
    """Take the terms out of their brackets and quotation marks."""
    # Nothing that may follow a string holds a quotation mark, so the last one closes it.
    groups = rows["object"].str.extract_groups(r'(?s)^"(.*)"(?:[ \t]*@([^"]*)|[ \t]*\^\^[ \t]*<([^"]*)>)?$')
    literal = groups.struct.rename_fields(["text", "language", "datatype"]).struct.unnest()
    return rows.select(
        "line",
        pl.col("subject", "predicate").str.strip_prefix("<").str.strip_suffix(">"),
        object=pl.when(literal["text"].is_null())
        .then(pl.col("object").str.strip_prefix("<").str.strip_suffix(">"))
        .otherwise(literal["text"]),
        literal=literal["text"].is_not_null(),
        language=literal["language"].str.to_lowercase(),
        datatype=literal["datatype"],
    )


def _unescape(rows: pl.DataFrame, bad: BadRecords) -> pl.DataFrame:
    wrong = pl.Series([False]).new_from_index(0, len(rows))
    for column in ("subject", "predicate", "object", "datatype"):
        escaped = rows[column].str.contains("\\", literal=True).fill_null(False)
        if not escaped.any():
            continue
        literal = rows["literal"].filter(escaped) if column == "object" else None
        texts: list[str | None] = [
            _decode(text, is_iri=literal is None or not literal[index])
            for index, text in enumerate(rows[column].filter(escaped))
        ]
        decoded = pl.Series(texts, dtype=pl.Utf8)
        where = escaped.arg_true()
        rows = rows.with_columns(rows[column].clone().scatter(where, decoded))
        failed = where.filter(decoded.is_null())
        wrong = wrong.scatter(failed, True) if len(failed) else wrong
    for line in rows["line"].filter(wrong):
        bad.add(line, "", "isn't N-Triples: an escape stands for what can't be there")
    return rows.filter(~wrong)


def _decode(text: str, is_iri: bool) -> str | None:
    """Replace the escapes of a term; None if they stand for no character, or one that an IRI can't hold."""
    try:
        decoded = _ESCAPE.sub(_character, text)
        decoded.encode()  # refuses halves of surrogate pairs
    except ValueError:
        return None
    return None if is_iri and _NOT_IN_IRI.search(decoded) else decoded


def _character(match: re.Match[str]) -> str:
    escape = match.group()
    return _ESCAPED[escape[1]] if len(escape) == 2 else chr(int(escape[2:], 16))


_BLOCK = 100_000


def _turtle(path: str | Path, bad: BadRecords, progress: Progress | None) -> Iterator[pl.DataFrame]:
    try:
        import pyoxigraph  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InputError(
            f"{path}: is Turtle, which needs pyoxigraph; expected {install_hint('rdf')}"
        ) from error
    names: dict[str, str] = {}
    rows: list[tuple[Any, ...]] = []

    def node(term: Any) -> str:
        # Nodes without a name get a random one, which would differ from run to run.
        if isinstance(term, pyoxigraph.BlankNode):
            return names.setdefault(term.value, f"_:b{len(names)}")
        return str(term.value)

    def tell(read: int, size: int | None) -> None:
        if progress is not None:
            progress(read, size, bad.total)

    with open_stream(path, tell) as stream:
        # It needs no more of a file than ``read``.
        statements = pyoxigraph.parse(cast("IO[bytes]", stream), format=pyoxigraph.RdfFormat.TURTLE)
        while True:
            try:
                statement = next(statements)
            except StopIteration:
                break
            except SyntaxError as error:
                bad.total += 1
                bad.add(error.lineno or 0, "", f"isn't Turtle: {error.msg}")
                bad.check()
                continue
            bad.total += 1
            term = statement.object
            if isinstance(term, pyoxigraph.Literal):
                language = None if term.language is None else term.language.lower()
                datatype = None if language else term.datatype.value
                last = (term.value, True, language, datatype)
            elif isinstance(term, pyoxigraph.Triple):
                bad.add(0, str(term), "is a statement about a statement; expected RDF 1.1")
                continue
            else:
                last = (node(term), False, None, None)
            rows.append((None, node(statement.subject), statement.predicate.value, *last))
            if len(rows) == _BLOCK:
                yield pl.DataFrame(rows, schema=STATEMENT_SCHEMA, orient="row")
                rows = []
    if not bad.total:
        raise InputError(f"{path}: holds no statement; expected at least one")
    yield pl.DataFrame(rows, schema=STATEMENT_SCHEMA, orient="row")
