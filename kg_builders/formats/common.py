"""What the text formats share: graphs without nulls, tokens of entities, provenance of what is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kg_builders.errors import InputError
from kg_builders.formats.percent import IN_TOKEN, percent_decode, percent_encode
from kg_builders.schema import KnowledgeGraph

__all__ = [
    "entity_tokens",
    "given_source",
    "one_text_a_row",
    "parse_entity_tokens",
    "require_triples",
    "without_nulls",
    "write_rows",
]


def without_nulls(kg: KnowledgeGraph) -> KnowledgeGraph:
    """Return the graph with what stands for a missing value: the id, the name, false, no source."""
    return KnowledgeGraph(
        kg.entities.with_columns(pl.col("label").fill_null(pl.col("id"))),
        kg.relations.with_columns(
            pl.col("label").fill_null(pl.col("name")), pl.col("symmetric").fill_null(False)
        ),
        kg.triples.with_columns(pl.col("source").fill_null("")),
    )


def entity_tokens(entities: pl.DataFrame) -> pl.Series:
    """Return ``kind:id`` of each entity, percent-encoded: a token that no other entity has."""
    kinds = entities["kind"].unique(maintain_order=True)
    encoded = percent_encode(kinds, f"{IN_TOKEN}|:")
    return entities.select(
        pl.concat_str(
            pl.col("kind").replace_strict(kinds, encoded, return_dtype=pl.Utf8)
            if len(kinds)
            else pl.col("kind"),
            pl.lit(":"),
            percent_encode(entities["id"], IN_TOKEN),
        ).alias("token")
    )["token"]


def parse_entity_tokens(tokens: pl.Series) -> pl.DataFrame:
    """Return columns ``kind`` and ``id`` of what :func:`entity_tokens` made.

    Raises
    ------
    ValueError
        With the first token that isn't of that form.
    """
    wrong = tokens.filter(~tokens.str.contains(":", literal=True))
    if len(wrong):
        raise ValueError(wrong[0])
    parts = tokens.str.splitn(":", 2).struct
    return pl.DataFrame(
        {
            "kind": percent_decode(parts.field("field_0")),
            "id": percent_decode(parts.field("field_1").fill_null("")),
        }
    )


def given_source(file: str) -> pl.Expr:
    """Return the provenance of triples that a file gives, from their column ``name``."""
    return pl.concat_str(pl.lit(f"{file}:"), pl.col("name"), pl.lit(":given")).alias("source")


def require_triples(kg: KnowledgeGraph, path: Path, tool: str) -> None:
    """Raise ``InputError`` if there is nothing to write."""
    if not kg.n_triples:
        raise InputError(f"{path}: the graph has no triple, which {tool} can't read; expected one at least")


def write_rows(frame: pl.DataFrame, path: Path, separator: str = "\t", header: Sequence[str] = ()) -> None:
    """Write the values as they are, without quotation marks, a row a line, after a header if one is given."""
    with path.open("wb") as file:
        if header:
            file.write((separator.join(header) + "\n").encode())
        # Values hold neither separators nor line feeds; who calls has seen to that.
        frame.write_csv(file, separator=separator, include_header=False, quote_style="never", null_value="")


def one_text_a_row(frame: pl.DataFrame, *parts: pl.Expr | str) -> pl.DataFrame:
    """Return one column of texts joined from expressions and constant texts."""
    return frame.select(
        pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts]).alias("text")
    )
