"""From the distinct values of a field to entities: normal form, key, label, and why a value makes none.

The distinct values of a field are few beside its records, so they are looked at here, in one process,
whatever engine holds the records; every engine then gives the same entities.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import polars as pl

from kg_builders.clean import clean_text, fold_case, number_of, spelling_key, stop_words
from kg_builders.dates import year_of
from kg_builders.rules import DecadeRule, NamedRule, NumberRule, ValueRule, WordRule, YearRule

__all__ = ["BAD_FORM", "VOCABULARY_SCHEMA", "build_vocabulary"]

VOCABULARY_SCHEMA = {"raw": pl.Utf8, "n": pl.Int64, "key": pl.Utf8, "label": pl.Utf8, "reason": pl.Utf8}
"""``raw`` value, ``n`` times used, ``key`` and ``label`` of its entity, or the ``reason`` why it has none."""

BAD_FORM = "not a "
"""How the reason of a value begins that has not the form that its rule needs."""


def build_vocabulary(rule: ValueRule, values: pl.DataFrame) -> pl.DataFrame:
    """Decide for each distinct value which entity it names.

    Parameters
    ----------
    values
        Columns ``raw`` (text, distinct) and ``n`` (how often it is used).

    Returns
    -------
    pl.DataFrame
        Columns of ``VOCABULARY_SCHEMA``, sorted by ``raw``. Values with the same key have the same
        label. Either ``key`` and ``label`` or ``reason`` is null.
    """
    values = values.select(pl.col("raw").cast(pl.Utf8), pl.col("n").cast(pl.Int64)).sort("raw")
    text = clean_text(values["raw"])
    values = values.with_columns(text.alias("text"))
    values = values.with_columns(
        pl.when(pl.col("text").is_null())
        .then(pl.lit("empty"))
        .when(_matches(rule, rule.missing, text))
        .then(pl.lit("stands for no value"))
        .otherwise(None)
        .alias("reason")
    )
    used = values.filter(pl.col("reason").is_null())
    table = pl.concat(
        [
            values.filter(pl.col("reason").is_not_null()).select(
                "raw", "n", pl.lit(None, pl.Utf8).alias("key"), pl.lit(None, pl.Utf8).alias("label"), "reason"
            ),
            _entities(rule, used).select(list(VOCABULARY_SCHEMA)),
        ]
    )
    return table.sort("raw")


@singledispatch
def _entities(rule: ValueRule, values: pl.DataFrame) -> pl.DataFrame:
    raise TypeError(f"no vocabulary for {type(rule).__name__}")


@_entities.register
def _named(rule: NamedRule, values: pl.DataFrame) -> pl.DataFrame:
    if rule.spelling == "exact":
        values = values.with_columns(pl.col("raw").str.strip_chars().alias("text"))
    values = values.with_columns(_keys(rule, values["text"]).alias("key"))
    values = _exclude(rule, values, "excluded")
    if rule.max_words is not None:
        long = pl.col("text").str.count_matches(r"\S+") > rule.max_words
        values = values.with_columns(
            pl.when(pl.col("reason").is_null() & long)
            .then(pl.lit(f"more than {rule.max_words} words"))
            .otherwise("reason")
            .alias("reason")
        )
    return _label(rule, values)


@_entities.register
def _words(rule: WordRule, values: pl.DataFrame) -> pl.DataFrame:
    values = values.with_columns(fold_case(values["text"]).alias("text"))
    values = values.with_columns(_keys(rule, values["text"]).alias("key"))
    values = _exclude(rule, values, "excluded")
    number = pl.col("key").str.contains(r"^[\p{N}\p{P}]+$") & (not rule.numbers)
    short = pl.col("text").str.len_chars() < rule.min_length
    stopped = pl.col("text").is_in(sorted(stop_words())) if rule.stop_words == "english" else pl.lit(False)
    values = values.with_columns(
        pl.when(pl.col("reason").is_not_null())
        .then("reason")
        .when(number)
        .then(pl.lit("a number"))
        .when(short)
        .then(pl.lit(f"shorter than {rule.min_length} letters"))
        .when(stopped)
        .then(pl.lit("stop word"))
        .otherwise(None)
        .alias("reason")
    )
    return _label(rule, values)


@_entities.register(YearRule)
@_entities.register(DecadeRule)
def _years(rule: YearRule | DecadeRule, values: pl.DataFrame) -> pl.DataFrame:
    year = year_of("text")
    key: pl.Expr
    if isinstance(rule, DecadeRule):
        key = year.str.slice(0, 3) + "0"
        label = key + "s"
    else:
        key = label = year
    values = values.with_columns(key.alias("key"), label.alias("label"))
    reason = pl.when(pl.col("key").is_null()).then(pl.lit(f"{BAD_FORM}year")).otherwise(None)
    return _exclude(rule, values.with_columns(reason.alias("reason")), "excluded")


@_entities.register
def _bins(rule: NumberRule, values: pl.DataFrame) -> pl.DataFrame:
    number = number_of(values["text"], rule.decimal)
    good = number.is_finite().fill_null(False)
    sizes = np.asarray(values["n"].filter(good), dtype=np.int64)
    found = np.asarray(number.filter(good), dtype=np.float64)
    if rule.bins is not None and len(found):
        # Quantiles that are values themselves, so that bounds read well and equal values stay together.
        shares = np.arange(1, rule.bins) / rule.bins
        order = np.argsort(found, kind="stable")
        reached = np.cumsum(sizes[order]) / sizes.sum()
        edges = np.unique(
            found[order][np.searchsorted(reached, shares, side="right").clip(max=len(found) - 1)]
        )
    else:
        edges = np.asarray(rule.edges, dtype=np.float64)
    names = [_bin_name(edges, index) for index in range(len(edges) + 1)]
    index = np.searchsorted(edges, number.fill_null(0.0).to_numpy(), side="right")
    keys = pl.Series([names[position][0] for position in index], dtype=pl.Utf8)
    labels = pl.Series([names[position][1] for position in index], dtype=pl.Utf8)
    return values.with_columns(
        pl.when(good).then(keys).alias("key"),
        pl.when(good).then(labels).alias("label"),
        pl.when(good).then(None).otherwise(pl.lit(f"{BAD_FORM}number")).alias("reason"),
    )


def _bin_name(edges: np.ndarray, index: int) -> tuple[str, str]:
    if not len(edges):
        return "any", "any"
    if index == 0:
        return f"below {edges[0]:g}", f"below {edges[0]:g}"
    if index == len(edges):
        return f"{edges[-1]:g} and above", f"{edges[-1]:g} and above"
    return f"{edges[index - 1]:g} to {edges[index]:g}", f"{edges[index - 1]:g} to below {edges[index]:g}"


def _keys(rule: ValueRule, text: pl.Series) -> pl.Series:
    """Return the key of each value; an alias has the key of the name that it stands for."""
    keys = _plain_keys(rule, text)
    if not rule.aliases:
        return keys
    names = list(rule.aliases)
    targets = _plain_keys(rule, clean_text(pl.Series(names, dtype=pl.Utf8))).to_list()
    moves: dict[str, str] = {}
    for target, variants in zip(targets, rule.aliases.values(), strict=True):
        for variant in _plain_keys(rule, clean_text(pl.Series(list(variants), dtype=pl.Utf8))).to_list():
            moves[variant] = target
    return keys.replace(moves)


def _plain_keys(rule: ValueRule, text: pl.Series) -> pl.Series:
    if rule.spelling == "exact":
        return text
    return spelling_key(text) if rule.spelling == "merge" else fold_case(text)


def _matches(rule: ValueRule, listed: tuple[str, ...], text: pl.Series) -> pl.Series:
    """Return which values are among the listed ones, whatever their spelling."""
    wanted = _plain_keys(rule, clean_text(pl.Series(list(listed), dtype=pl.Utf8))).unique().sort()
    return _plain_keys(rule, text).is_in(wanted.implode()).fill_null(False)


def _exclude(rule: ValueRule, values: pl.DataFrame, reason: str) -> pl.DataFrame:
    keys = _keys(rule, clean_text(pl.Series(list(rule.exclude), dtype=pl.Utf8))).unique().sort()
    hit = pl.col("key").is_in(keys.implode()).fill_null(False)
    return values.with_columns(pl.when(hit).then(pl.lit(reason)).otherwise("reason").alias("reason"))


def _label(rule: ValueRule, values: pl.DataFrame) -> pl.DataFrame:
    """Give each key its commonest spelling as label, or the name that aliases stand for."""
    commonest = (
        values.group_by("key", "text")
        .agg(pl.col("n").sum())
        .sort(["key", "n", "text"], descending=[False, True, False])
        .unique("key", keep="first", maintain_order=True)
        .select("key", label="text")
    )
    if rule.aliases:
        names = pl.Series("label", list(rule.aliases), dtype=pl.Utf8)
        told = pl.DataFrame({"key": _plain_keys(rule, clean_text(names)), "label": names})
        commonest = pl.concat([told, commonest]).unique("key", keep="first", maintain_order=True)
    return values.join(commonest, on="key", how="left").with_columns(
        pl.when(pl.col("reason").is_null()).then("key").alias("key"),
        pl.when(pl.col("reason").is_null()).then("label").alias("label"),
    )
