"""Rule ``text``: the words of a text with the highest TF-IDF, or the phrases of a vocabulary in it."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from kg_builders.clean import clean_text, fold_case
from kg_builders.extraction.facts import Context, Facts, Relation
from kg_builders.extraction.values import code_values, dropped_values, entity_facts, long_form, vocabulary_of
from kg_builders.extraction.words import NOT_A_WORD, word_lists
from kg_builders.extraction_report import Dropped
from kg_builders.rules import TextRule

__all__ = ["apply_text"]


def apply_text(rule: TextRule, context: Context) -> Facts:
    """Run one rule."""
    engine = context.engine
    words = engine.persist(_words(rule, context))
    distinct = engine.collect(words.group_by("raw").agg(nw.len().alias("n")))
    distinct = distinct.filter(~pl.col("raw").str.contains(NOT_A_WORD))
    relation = Relation(rule.relation, rule.relation_label, rule.inverse_label)
    if rule.vocabulary:
        pairs, names = _phrases(rule, context, words, distinct)
        return entity_facts(
            rule,
            context,
            pairs,
            names,
            relation=relation,
            given=words,
            values=len(distinct),
            dropped=_unused_phrases(rule, context, pairs, names),
        )
    vocabulary = vocabulary_of(rule, distinct)
    codes, names = code_values(vocabulary, context)
    terms = words.join(engine.lift(codes), on="raw", how="inner")
    if rule.pairs:
        terms = engine.persist(terms.select("row", "position", "code"))
        couples, couple_names = _couples(rule, context, terms, names)
        terms = nw.concat([terms.select("row", "code"), couples])
        names = pl.concat([names, couple_names])
    counts = engine.persist(terms.group_by("row", "code").agg(nw.len().cast(nw.Int64()).alias("tf")))
    return entity_facts(
        rule,
        context,
        engine.persist(_best(rule, context, counts, names)),
        names,
        relation=relation,
        given=words,
        values=len(vocabulary),
        dropped=dropped_values(vocabulary),
    )


def _words(rule: TextRule, context: Context) -> nw.LazyFrame[Any]:
    """Return columns ``row``, ``raw`` (a word) and, where it matters, ``position``."""
    lists = word_lists(rule.field, context)
    if not rule.pairs and not rule.vocabulary:
        return long_form(lists.explode("raw"))
    # Empty texts between two spaces are places too; no word is next to them, so they must go first.
    spaced = lists.filter(~nw.col("raw").is_null())
    return long_form(context.engine.explode_numbered(spaced, "raw", "position"))


def _best(
    rule: TextRule, context: Context, counts: nw.LazyFrame[Any], names: pl.DataFrame
) -> nw.LazyFrame[Any]:
    """Return columns ``row`` and ``code`` of the terms with the highest TF-IDF in each text.

    The scores of all pairs of a term and a count, a small table, are sorted here; the engine then takes the
    first ones by these whole numbers, so that no engine rounds differently.
    """
    engine = context.engine
    scores = engine.collect(counts.group_by("code", "tf").agg(nw.len().cast(nw.Int64()).alias("texts")))
    scores = (
        scores.with_columns(pl.col("texts").sum().over("code").alias("df"))
        .join(names.select("code", "key"), on="code")
        .filter(pl.col("df") >= rule.min_items, pl.col("df") <= rule.max_share * context.n_items)
    )
    inverse = np.log((1.0 + context.n_items) / (1.0 + scores["df"].to_numpy())) + 1.0
    scores = (
        scores.with_columns(pl.Series("score", scores["tf"].to_numpy() * inverse))
        .sort(["score", "key", "tf"], descending=[True, False, False])
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("order"))
    )
    ranked = counts.join(
        engine.lift(scores.select("code", "tf", "order")), on=["code", "tf"], how="inner"
    ).select("row", "code", nw.col("order").rank("ordinal").over("row").alias("place"))
    return ranked.filter(nw.col("place") <= rule.top).select("row", "code")


def _couples(
    rule: TextRule, context: Context, terms: nw.LazyFrame[Any], names: pl.DataFrame
) -> tuple[nw.LazyFrame[Any], pl.DataFrame]:
    """Return pairs of words side by side that are in enough texts: ``row`` and ``code``, and their names."""
    engine = context.engine
    after = terms.select("row", (nw.col("position") - 1).alias("position"), nw.col("code").alias("second"))
    side_by_side = engine.persist(
        terms.join(after, on=["row", "position"], how="inner").select(
            "row", nw.col("code").alias("first"), "second"
        )
    )
    frequent = (
        side_by_side.unique()
        .group_by("first", "second")
        .agg(nw.len().alias("texts"))
        .filter(nw.col("texts") >= max(rule.min_items, 2))
    )
    found = engine.collect(frequent.select("first", "second"))
    table = (
        found.join(names.select(first="code", key="key", label="label"), on="first")
        .join(names.select(second="code", key_after="key", label_after="label"), on="second")
        .with_columns(
            pl.concat_str("key", "key_after", separator=" ").alias("key"),
            pl.concat_str("label", "label_after", separator=" ").alias("label"),
        )
        .sort("key")
    )
    start = context.new_codes(len(table))
    table = table.with_columns(pl.int_range(start, start + pl.len(), dtype=pl.Int64).alias("code"))
    coded = side_by_side.join(
        engine.lift(table.select("first", "second", "code")), on=["first", "second"], how="inner"
    )
    return coded.select("row", "code"), table.select("code", "key", "label")


def _phrases(
    rule: TextRule, context: Context, words: nw.LazyFrame[Any], distinct: pl.DataFrame
) -> tuple[nw.LazyFrame[Any], pl.DataFrame]:
    """Find the phrases of the vocabulary: ``row`` and ``code``, and the names of the codes.

    A phrase is a walk from word to word; after each word, the engine joins the next one to the walks that
    are still on a phrase.
    """
    engine = context.engine
    phrases = _split_phrases(rule)
    names = phrases.select("key", "label").unique("key", keep="first", maintain_order=True).sort("key")
    first = context.new_codes(len(names))
    names = names.with_columns(pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias("code"))
    steps = phrases.join(names.select("key", "code"), on="key").unique("code", keep="first")
    spelled = distinct.select("raw", word=fold_case(clean_text(distinct["raw"])))
    needed = steps.select(word=pl.col("words").explode()).unique().sort("word").with_row_index("number")
    numbers = needed.with_columns(pl.col("number").cast(pl.Int64))
    coded = engine.persist(
        words.join(engine.lift(spelled.join(numbers, on="word").select("raw", "number")), on="raw").select(
            "row", "position", "number"
        )
    )
    nodes = _tree(steps.select("words", "code"), numbers)
    walks = coded.select("row", "position", nw.lit(-1).cast(nw.Int64()).alias("node"))
    found = []
    for depth in range(int(nodes["depth"].max() or 0) + 1):  # type: ignore[arg-type]
        here = nodes.filter(pl.col("depth") == depth)
        place = coded.select("row", (nw.col("position") - depth).alias("position"), nw.col("number"))
        walks = engine.persist(
            walks.join(place, on=["row", "position"], how="inner")
            .join(engine.lift(here.select("node", "number", "next")), on=["node", "number"], how="inner")
            .select("row", "position", nw.col("next").alias("node"))
        )
        ends = here.drop_nulls("code").select(pl.col("next").alias("node"), "code")
        found.append(walks.join(engine.lift(ends), on="node", how="inner").select("row", "code"))
    return engine.persist(nw.concat(found).unique()), names.select("code", "key", "label")


def _split_phrases(rule: TextRule) -> pl.DataFrame:
    """Return columns ``key``, ``label`` and ``words`` of the phrases."""
    label = clean_text(pl.Series("label", list(rule.vocabulary), dtype=pl.Utf8))
    words = (
        fold_case(label)
        .str.replace_all(r"[^\p{L}\p{M}\p{N}&#;'’]+", " ")
        .str.replace_all(r"['’]s(?: |$)", " ")
        .str.replace_all(r"[ '’]+", " ")
        .str.strip_chars()
    )
    table = pl.DataFrame({"key": words, "label": label}).filter(pl.col("key").str.len_bytes() > 0)
    return table.with_columns(pl.col("key").str.split(" ").list.filter(pl.element() != "").alias("words"))


def _tree(phrases: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """Return the phrases as a tree of words.

    Returns
    -------
    pl.DataFrame
        Columns ``depth``, ``node`` (-1 at the beginning), ``number`` (of the word), ``next`` (the node that
        it leads to) and ``code`` (of the phrase that ends there, or null).
    """
    codes = dict(zip(numbers["word"], numbers["number"], strict=True))
    table: dict[tuple[int, int], int] = {}
    rows: list[list[int | None]] = []
    for words, code in phrases.sort("code").iter_rows():
        node = -1
        for depth, word in enumerate(words):
            step = (node, codes[word])
            if step not in table:
                table[step] = len(rows)
                rows.append([depth, node, codes[word], table[step], None])
            node = table[step]
        rows[node][4] = code
    schema = dict.fromkeys(("depth", "node", "number", "next", "code"), pl.Int64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _unused_phrases(
    rule: TextRule, context: Context, pairs: nw.LazyFrame[Any], names: pl.DataFrame
) -> list[Dropped]:
    used = context.engine.collect(pairs.select("code").unique())
    unused = names.join(used, on="code", how="anti").sort("key")
    if unused.is_empty():
        return []
    return [Dropped("phrase in no text", len(unused), 0, tuple(unused["label"][:5]))]
