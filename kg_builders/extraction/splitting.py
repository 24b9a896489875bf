"""Texts that hold several values, split in the engine, but for those that are a list in brackets."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import polars as pl

from kg_builders.extraction.facts import Context
from kg_builders.sources.bracketed import bracketed_lists

__all__ = ["split_texts"]


def split_texts(field: str, delimiter: str, context: Context) -> nw.LazyFrame[Any]:
    """Return columns ``row`` and ``raw``, a row for each value of each text.

    A text such as ``['red', 'blue']`` or ``["red", "blue"]`` gives the values of that list, whatever the
    delimiter; any other is split.
    """
    engine = context.engine
    texts = context.frame.select("row", nw.col(field).alias("raw"))
    lists = _lists(texts, context)
    if len(lists):
        known = engine.lift(lists.select("raw"))
        values = engine.lift(lists.explode("value").drop_nulls("value"))
        listed = texts.join(values, on="raw", how="inner").select("row", nw.col("value").alias("raw"))
        # Null equals nothing, so texts that are null stay among these.
        texts = texts.join(known, on="raw", how="anti")
    split = texts.select("row", engine.split(nw.col("raw"), delimiter).alias("raw")).explode("raw")
    return nw.concat([split, listed]) if len(lists) else split


def _lists(texts: nw.LazyFrame[Any], context: Context) -> pl.DataFrame:
    """Return columns ``raw`` (a text, distinct) and ``value`` (the list that it is)."""
    trimmed = nw.col("raw").str.strip_chars()
    candidates = texts.filter(trimmed.str.starts_with("["), trimmed.str.ends_with("]"))
    found = context.engine.collect(candidates.select("raw").unique())
    table = found.with_columns(bracketed_lists(found["raw"].cast(pl.Utf8)).alias("value"))
    return table.filter(pl.col("value").is_not_null())
