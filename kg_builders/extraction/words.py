"""The words of texts, split in the engine."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from kg_builders.clean import HIDDEN, TAG
from kg_builders.extraction.facts import Context

__all__ = ["NOT_A_WORD", "word_lists"]

# Entities that would hide the end of a word; all others are decoded with the vocabulary.
_COMMON_ENTITIES = {"&amp;": "&", "&quot;": '"', "&#39;": "'", "&apos;": "'", "&nbsp;": " "}
_NOT_IN_WORDS = r"[^\p{L}\p{M}\p{N}&#;'’]+"
# The possessive belongs to the word before it: "Schindler's" is "Schindler". Engines differ in what they
# call the boundary of a word, so the characters are given.
_POSSESSIVE = r"['’][sS](?:[ '’&#;]|$)"
_GAPS = r"[ '’]+"

NOT_A_WORD = r"^[&#;]+$"
"""What is left of "&" and ";" between words is no part of one."""


def word_lists(field: str, context: Context) -> nw.LazyFrame[Any]:
    """Return columns ``row`` and ``raw``, the words of each record as a list, empty ones among them.

    Between the texts of a list stands a ``;``, which is no word, so that words of two texts are not
    side by side.
    """
    text = context.frame.select("row", nw.col(field).alias("raw"))
    if isinstance(text.collect_schema()["raw"], nw.List):
        text = context.engine.join_list(text, "raw", " ; ")
    words = nw.col("raw").cast(nw.String())
    for entity, character in _COMMON_ENTITIES.items():
        words = words.str.replace_all(entity, character, literal=True)
    for pattern in (HIDDEN, TAG, _NOT_IN_WORDS, _POSSESSIVE, _GAPS):
        words = words.str.replace_all(pattern, " ")
    return text.with_columns(context.engine.split(words, " ").alias("raw"))
