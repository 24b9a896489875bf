"""A knowledge graph as RDF in N-Triples.

Entities become ``BASE`` + ``entity/KIND/ID``, relations ``BASE`` + ``relation/NAME``, kinds ``BASE`` +
``kind/KIND``, where what an IRI can't hold is percent-encoded. Written are, in this order,

* which base it is (``void:Dataset`` with ``void:uriSpace``), by which it is recognised when it is read;
* of each relation, that it is an ``rdf:Property``, if need be an ``owl:SymmetricProperty``, and its
  ``rdfs:label``;
* of each entity its kind, as ``rdf:type``, and its ``rdfs:label``;
* the triples;
* if asked for, the source of each triple: a statement about it (``rdf:Statement`` with ``rdf:subject``,
  ``rdf:predicate``, ``rdf:object`` and ``dcterms:source``), four lines and more a triple.

Read back, everything is as it was, since entities and relations are numbered as their lines come; but a
triple that is there twice is there once, as always in RDF, and sources are lost if they weren't written. RDF
of other origin is for :mod:`kg_builders.sources.rdf`.

See W3C (2014), *RDF 1.1 N-Triples*.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from kg_builders.errors import InputError
from kg_builders.formats.common import given_source, one_text_a_row, without_nulls
from kg_builders.formats.percent import IN_IRI, percent_decode, percent_encode
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources.bad import BadRecords
from kg_builders.sources.rdf import read_rdf
from kg_builders.sources.rdf_statements import RDF, RDF_TYPE, RDFS, statement_blocks
from kg_builders.tables import number_rows

__all__ = ["DEFAULT_BASE", "read_ntriples", "write_ntriples"]

DEFAULT_BASE = "https://example.org/kg/"
"""Base of the IRIs where none is given; nobody's, by RFC 2606."""

_LABEL = f"{RDFS}label"
_VOID = "http://rdfs.org/ns/void#"
_SYMMETRIC = "http://www.w3.org/2002/07/owl#SymmetricProperty"
_SOURCE = "http://purl.org/dc/terms/source"
_BASE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]*[/#:]")
# Control characters too, at which some readers break lines or give up.
_ESCAPES = {chr(code): f"\\u{code:04X}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)} | {
    "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip


def write_ntriples(
    kg: KnowledgeGraph, file: Path, path: Path, base: str = DEFAULT_BASE, provenance: bool = False
) -> None:
    """Write a file, which will be called ``path``.

    Parameters
    ----------
    base
        What all IRIs begin with: an absolute IRI that ends in ``/``, ``#`` or ``:``.
    provenance
        Write the source of each triple.

    Raises
    ------
    InputError
        If ``base`` isn't such an IRI.
    """
    if not _BASE.fullmatch(base):
        raise InputError(
            f"{path}: base is {base!r}; expected an absolute IRI that ends in '/', '#' or ':', "
            f"such as {DEFAULT_BASE}"
        )
    kg = without_nulls(kg)
    relations = kg.relations.with_columns(
        iri=_iris(f"{base}relation/", percent_encode(kg.relations["name"], IN_IRI)),
        label=_literals(kg.relations["label"]),
    )
    kinds = kg.entities.select(pl.col("kind").unique(maintain_order=True))
    kinds = kinds.with_columns(segment=percent_encode(kinds["kind"], IN_IRI))
    entities = (
        kg.entities.with_columns(
            segment_of_id=percent_encode(kg.entities["id"], IN_IRI), label=_literals(kg.entities["label"])
        )
        .join(kinds, on="kind", how="left", maintain_order="left")
        .with_columns(
            iri=pl.concat_str(
                pl.lit(f"<{base}entity/"), "segment", pl.lit("/"), "segment_of_id", pl.lit(">")
            ),
            type=pl.concat_str(pl.lit(f"<{base}kind/"), "segment", pl.lit(">")),
        )
    )
    triples = pl.DataFrame(
        {
            "head": entities["iri"].gather(kg.triples["head"]),
            "name": relations["iri"].gather(kg.triples["relation"]),
            "tail": entities["iri"].gather(kg.triples["tail"]),
            "source": kg.triples["source"],
        }
    )
    with file.open("wb") as output:
        output.write(f"<{base}> <{RDF_TYPE}> <{_VOID}Dataset> .\n".encode())
        output.write(f"<{base}> <{_VOID}uriSpace> {_literal(base)} .\n".encode())
        symmetric = pl.when("symmetric").then(
            pl.concat_str("iri", pl.lit(f" <{RDF_TYPE}> <{_SYMMETRIC}> .\n"))
        )
        parts = [
            one_text_a_row(
                relations,
                pl.col("iri"),
                f" <{RDF_TYPE}> <{RDF}Property> .\n",
                symmetric.otherwise(pl.lit("")),
                pl.col("iri"),
                f" <{_LABEL}> ",
                pl.col("label"),
                " .",
            ),
            one_text_a_row(
                entities,
                pl.col("iri"),
                f" <{RDF_TYPE}> ",
                pl.col("type"),
                " .\n",
                pl.col("iri"),
                f" <{_LABEL}> ",
                pl.col("label"),
                " .",
            ),
        ]
        for part in parts:
            part.write_csv(output, include_header=False, quote_style="never")
        triples.select("head", "name", "tail", end=pl.lit(".")).write_csv(
            output, include_header=False, separator=" ", quote_style="never"
        )
        if provenance:
            _reified(triples).write_csv(output, include_header=False, quote_style="never")


def read_ntriples(file: Path) -> KnowledgeGraph:
    """Read what :func:`write_ntriples` wrote, or any N-Triples as :func:`kg_builders.sources.rdf.read_rdf`.

    Raises
    ------
    InputError
        If the file can't be read, lines of it aren't N-Triples, or the graph that it tells isn't valid.
    """
    bad = BadRecords(str(file), max_bad=0.0)
    blocks = statement_blocks(file, bad, "ntriples")
    table = pl.concat([block.drop("language", "datatype") for block in blocks])
    spaces = table.filter(pl.col("predicate") == f"{_VOID}uriSpace")
    if len(spaces) != 1 or spaces["subject"][0] != spaces["object"][0]:
        return read_rdf(file, format="ntriples", max_bad=0.0).graph()
    base = spaces["object"][0]
    try:
        return _own_graph(table, base, file)
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: an IRI under {base} isn't percent-encoded UTF-8") from error


def _own_graph(table: pl.DataFrame, base: str, file: Path) -> KnowledgeGraph:
    types = table.filter(pl.col("predicate") == RDF_TYPE)
    labels = table.filter(pl.col("predicate") == _LABEL).select(iri="subject", label="object")
    space = f"{base}relation/"
    relations = types.filter(pl.col("object") == f"{RDF}Property").select(iri="subject")
    symmetric = types.filter(pl.col("object") == _SYMMETRIC)["subject"]
    relations = _labelled(relations, labels, space, file).with_columns(
        symmetric=pl.col("iri").is_in(symmetric.implode())
    )
    kind_space, entity_space = f"{base}kind/", f"{base}entity/"
    entities = types.filter(pl.col("object").str.starts_with(kind_space)).select(iri="subject", type="object")
    entities = _labelled(entities, labels, entity_space, file)
    parts = entities["name"].str.splitn("/", 2).struct
    entities = entities.with_columns(
        kind=percent_decode(parts.field("field_0")), id=percent_decode(parts.field("field_1").fill_null(""))
    )
    relations = number_rows(relations.with_columns(percent_decode(relations["name"])), "relation")
    entities = number_rows(entities, "entity")
    numbers = entities.select("iri", "entity")
    facts = (
        table.filter(pl.col("predicate").is_in(relations["iri"].implode()))
        .select("line", subject="subject", predicate="predicate", object="object")
        .join(numbers.select(subject="iri", head="entity"), on="subject", how="left", maintain_order="left")
        .join(numbers.select(object="iri", tail="entity"), on="object", how="left", maintain_order="left")
        .join(relations.select("relation", "name", predicate="iri"), on="predicate", maintain_order="left")
        .unique(["head", "relation", "tail"], keep="first", maintain_order=True)
    )
    lost = facts.filter(pl.col("head").is_null() | pl.col("tail").is_null())
    if len(lost):
        row = lost.row(0, named=True)
        end = row["subject"] if row["head"] is None else row["object"]
        raise InputError(
            f"{file}, line {row['line']}: {end!r} has no kind; expected an rdf:type under {kind_space}"
        )
    facts = facts.with_columns(given_source(file.name))
    told = _told_sources(table)
    if told is not None:
        facts = facts.join(
            told, on=["subject", "predicate", "object"], how="left", maintain_order="left"
        ).with_columns(source=pl.coalesce("told", "source"))
    return KnowledgeGraph(entities, relations, facts)


def _labelled(things: pl.DataFrame, labels: pl.DataFrame, space: str, file: Path) -> pl.DataFrame:
    """Return things with the part of their IRI after ``space``, as ``name``, and their label."""
    outside = things.filter(~pl.col("iri").str.starts_with(space))
    if len(outside):
        raise InputError(f"{file}: {outside['iri'][0]!r} isn't under {space}; expected only such IRIs")
    return (
        things.with_columns(name=pl.col("iri").str.strip_prefix(space))
        .join(labels.unique("iri", keep="first"), on="iri", how="left", maintain_order="left")
        .with_columns(label=pl.col("label").fill_null(_last_segment(things, space)))
    )


def _last_segment(things: pl.DataFrame, space: str) -> pl.Series:
    """Return what names a thing without a label: the decoded last segment of its IRI."""
    names = things["iri"].str.strip_prefix(space).str.split("/").list.last()
    return percent_decode(names)


def _reified(triples: pl.DataFrame) -> pl.DataFrame:
    node = pl.concat_str(pl.lit("_:t"), pl.int_range(pl.len()).cast(pl.Utf8))
    lines: list[pl.Expr | str] = [node, f" <{RDF_TYPE}> <{RDF}Statement> .\n"]
    for predicate, column in (("subject", "head"), ("predicate", "name"), ("object", "tail")):
        lines += [node, f" <{RDF}{predicate}> ", pl.col(column), " .\n"]
    return one_text_a_row(
        triples.with_columns(source=_literals(triples["source"])),
        *lines,
        node,
        f" <{_SOURCE}> ",
        pl.col("source"),
        " .",
    )


def _told_sources(table: pl.DataFrame) -> pl.DataFrame | None:
    """Return subject, predicate and object of described triples, and their source as ``told``."""
    told = table.filter(pl.col("predicate") == _SOURCE).select(node="subject", told="object")
    if not len(told):
        return None
    for part in ("subject", "predicate", "object"):
        ends = table.filter(pl.col("predicate") == f"{RDF}{part}").select(
            pl.col("subject").alias("node"), pl.col("object").alias(part)
        )
        told = told.join(ends, on="node", maintain_order="left")
    return told.drop("node").unique(["subject", "predicate", "object"], keep="first", maintain_order=True)


def _iris(space: str, segments: pl.Series) -> pl.Series:
    return one_text_a_row(segments.to_frame("segment"), f"<{space}", pl.col("segment"), ">")["text"]


def _literals(texts: pl.Series) -> pl.Series:
    escaped = texts.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
    return one_text_a_row(escaped.to_frame("escaped"), '"', pl.col("escaped"), '"')["text"]


def _literal(text: str) -> str:
    return str(_literals(pl.Series([text]))[0])
