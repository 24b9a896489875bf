"""What a column of an unknown table holds, judged by its values: the role, and the reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from kg_builders.sources.amazon_fields import parse_prices
from kg_builders.sources.columns import PATHS
from kg_builders.sources.values import dates_iso, numbers

__all__ = ["InferredField", "Role", "choose_id", "choose_label", "judge_column"]

Role = Literal[
    "id",
    "label",
    "category",
    "list",
    "path",
    "number",
    "date",
    "text",
    "reference",
    "key-value",
    "url",
    "ignored",
]

DELIMITERS = ("|", ";", ", ", ",", " / ", "/")
PATH_DELIMITERS = (" > ", ">", " » ", " :: ", " / ", "/", "|", "\\")
_URL = r"^(?:https?|ftp|s3|gs)://\S+$"
_MOST = 0.9
_WORDS_OF_A_NAME = 4.0
_EXAMPLES = 3
_ID_NAMES = (
    "id",
    "item_id",
    "itemid",
    "item",
    "asin",
    "parent_asin",
    "movieid",
    "movie_id",
    "product_id",
    "sku",
)
_LABEL_NAMES = ("title", "name", "label", "product_name", "item_name")


@dataclass(frozen=True)
class InferredField:
    """What a column seems to hold.

    Parameters
    ----------
    name
        The column.
    role
        What it is good for.
    why
        What was seen, in words.
    coverage
        Share of the records that have a value.
    distinct
        Number of different values in the sample; of a list, of its parts.
    examples
        A few values, the commonest first.
    delimiter
        Between the values of a text, where it holds several.
    """

    name: str
    role: Role
    why: str
    coverage: float
    distinct: int
    examples: tuple[str, ...]
    delimiter: str | None = None


def judge_column(column: pl.Series, ids: pl.Series | None) -> InferredField:
    """Judge a column; ``ids`` are those of the sample's items, if known, by which references are found."""
    values = column.drop_nulls()
    coverage = len(values) / len(column) if len(column) else 0.0
    dtype = values.dtype
    if not len(values):
        return InferredField(column.name, "ignored", "no record has a value", 0.0, 0, ())
    if dtype == PATHS:
        role, why, delimiter, parts = "path", "holds lists of lists", None, values.explode().list.join(" > ")
    elif isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
        role, why, delimiter = "key-value", "holds objects with keys and values", None
        parts = values.explode().struct.field("key")
    elif isinstance(dtype, pl.List):
        parts = values.cast(pl.List(pl.Utf8)).explode().drop_nulls()
        role, why, delimiter = *_judge_lists(values.cast(pl.List(pl.Utf8)), parts, ids), None
    elif dtype.is_numeric():
        parts = values.cast(pl.Utf8)
        role, why, delimiter = *_judge_numbers(values, parts, ids), None
    else:
        role, why, delimiter, parts = _judge_texts(values.cast(pl.Utf8), ids)
    counts = parts.alias("part").value_counts().sort(["count", "part"], descending=[True, False])
    examples = tuple(str(part)[:60] for part in counts["part"][:_EXAMPLES])
    return InferredField(column.name, role, why, coverage, len(counts), examples, delimiter)  # type: ignore[arg-type]


def choose_id(frame: pl.DataFrame) -> tuple[str, str] | None:
    """Return the column that identifies the records best, and why; None if there is none.

    It has a value in nearly every record that hardly ever repeats, and is no sentence; among several, a
    usual name decides, then the order.
    """
    best: tuple[float, str, str] | None = None
    for place, name in enumerate(frame.columns):
        values = frame[name].drop_nulls()
        if isinstance(values.dtype, (pl.List, pl.Struct)) or values.dtype.is_float() or not len(values):
            continue
        texts = values.cast(pl.Utf8)
        coverage, unique = len(values) / len(frame), texts.n_unique() / len(texts)
        sentences = max(_share(texts, r"\s"), _share(texts, _URL))
        if coverage < 0.99 or unique < 0.99 or sentences > 0.01:
            continue
        folded = name.lower()
        named = 2.0 if folded in _ID_NAMES else 1.0 if folded.endswith(("id", "_no", "code", "sku")) else 0.0
        score = named - place / (len(frame.columns) + 1)
        why = f"a value in {coverage:.1%} of the records, {unique:.1%} of them different, none with spaces"
        if best is None or score > best[0]:
            best = (score, name, why)
    return None if best is None else (best[1], best[2])


def choose_label(frame: pl.DataFrame, fields: Sequence[InferredField]) -> str | None:
    """Return the column that names an item for people, if any."""
    texts = [
        field for field in fields if field.role in ("text", "category", "ignored") and field.coverage > 0.5
    ]
    texts = [field for field in texts if frame.schema[field.name] == pl.Utf8]
    named = [field for field in texts if field.name.lower() in _LABEL_NAMES]
    if not named:
        named = [field for field in texts if field.name.lower().endswith(("title", "name"))]
    return max(named, key=lambda field: (field.coverage, field.distinct)).name if named else None


def _judge_lists(values: pl.Series, parts: pl.Series, ids: pl.Series | None) -> tuple[str, str]:
    if _share(parts, _URL) > _MOST:
        return "url", "holds lists of addresses"
    if _share(parts, r"^[\[{].*[\]}]$") > 0.5:
        return "ignored", "holds lists of objects"
    found = _references(parts, ids)
    if found:
        return "reference", found
    if _words(parts) > _WORDS_OF_A_NAME * 1.5:
        return "text", f"holds lists of sentences, {_words(parts):.0f} words each"
    if _is_path(values):
        return "path", "the first values are few, each further one is nearly always after the same one"
    return "list", f"holds lists, {len(parts) / max(len(values), 1):.1f} values each"


def _judge_numbers(values: pl.Series, texts: pl.Series, ids: pl.Series | None) -> tuple[str, str]:
    distinct = values.n_unique()
    if distinct == 1 and len(values) > 1:
        return "ignored", "always the same"
    numeric = values.cast(pl.Float64)
    if ((numeric % 1 == 0) & numeric.is_between(1800, 2100)).all():
        return "date", "whole numbers from 1800 to 2100, like years"
    found = _references(texts, ids)
    if found:
        return "reference", found
    if distinct <= min(10, len(values) / 5):
        return "category", f"only {distinct} different numbers"
    return "number", f"numbers from {min(numeric):g} to {max(numeric):g}"


def _judge_texts(values: pl.Series, ids: pl.Series | None) -> tuple[str, str, str | None, pl.Series]:
    distinct, words = values.n_unique(), _words(values)
    verdict: tuple[str, str] | None = None
    if distinct == 1 and len(values) > 1:
        verdict = "ignored", "always the same"
    elif _share(values, _URL) > _MOST:
        verdict = "url", "holds addresses"
    elif _read(numbers(values)) > 0.95:
        verdict = _judge_numbers(numbers(values).drop_nulls(), values, ids)
    elif _read(parse_prices(values)) > _MOST:
        return "text", "holds prices as texts, which a number rule reads", None, values
    elif _read(dates_iso(values.alias("date"))) > _MOST:
        verdict = "date", "can be read as dates"
    elif found := _references(values, ids):
        verdict = "reference", found
    if verdict is not None:
        return *verdict, None, values
    split = _split(values, ids)
    if split is not None:
        return split
    different = f"{distinct / len(values):.0%} of the values different"
    # A sample shows fewer repeats than the file has.
    recurring = distinct <= 0.9 * len(values)
    if words > (_WORDS_OF_A_NAME if recurring else 1.5) or _mean(values.str.len_chars()) > 60:
        return "text", f"{words:.0f} words each, {different}", None, values
    if recurring:
        return "category", f"{distinct:,} different values in {len(values):,} records", None, values
    return "ignored", f"short, and {different}", None, values


def _split(values: pl.Series, ids: pl.Series | None) -> tuple[str, str, str | None, pl.Series] | None:
    """Find the delimiter that splits texts into parts that recur; None if there is none."""
    for delimiter in dict.fromkeys((*PATH_DELIMITERS, *DELIMITERS, " ")):
        holds = _mean(values.str.contains(delimiter, literal=True))
        if holds < 0.2:
            continue
        lists = values.str.split(delimiter).list.eval(pl.element().str.strip_chars())
        parts = lists.explode()
        parts = parts.filter(parts.str.len_bytes() > 0)
        found = _references(parts, ids)
        if found:
            return "reference", f"{found}; {holds:.0%} of the texts hold {delimiter!r}", delimiter, parts
        if parts.n_unique() > len(parts) / 2 or _words(parts) > _WORDS_OF_A_NAME:
            continue
        if delimiter in PATH_DELIMITERS and _is_path(lists):
            why = f"{holds:.0%} of the texts hold {delimiter!r}, each part nearly always after the same one"
            return "path", why, delimiter, parts
        if delimiter in DELIMITERS and parts.n_unique() < 2 * values.n_unique():
            why = f"{holds:.0%} of the texts hold {delimiter!r}, {parts.n_unique():,} different parts recur"
            return "list", why, delimiter, parts
    return None


def _is_path(lists: pl.Series) -> bool:
    """Whether lists are paths of a tree: a value has one parent, and the roots are fewer than the leaves."""
    frame = pl.DataFrame({"list": lists}).filter(pl.col("list").list.len() >= 2)
    if len(frame) < max(len(lists) / 2, 2):
        return False
    pairs = pl.concat(
        frame.select(
            parent=pl.col("list").list.get(level, null_on_oob=True),
            child=pl.col("list").list.get(level + 1, null_on_oob=True),
            level=level,
        ).drop_nulls()
        for level in range(3)
    )
    by_child = pairs.group_by("child").agg(pl.len().alias("n"), pl.col("parent", "level").n_unique())
    repeated = by_child.filter(pl.col("n") > 1)
    steady = int(repeated.filter((pl.col("parent") == 1) & (pl.col("level") == 1))["n"].sum())
    roots, leaves = frame["list"].list.first().n_unique(), frame["list"].list.last().n_unique()
    return len(repeated) > 0 and steady >= _MOST * int(repeated["n"].sum()) and roots < leaves


def _references(values: pl.Series, ids: pl.Series | None) -> str | None:
    """Say how many values are ids of the sample, if that can't be chance.

    Few of them are in a sample of a large catalogue; so what counts is that the values look as ids do, and
    that some are. Where ids are numbers, nearly all values must be ids, and not be the record's own.
    """
    if ids is None or not len(values):
        return None
    distinct = values.unique()
    known = int(distinct.is_in(ids.implode()).sum())
    numeric = _read(numbers(ids)) == 1
    if numeric:
        alike = known == len(distinct) and len(distinct) > 0.2 * len(ids) and len(distinct) > 20
        return f"all {known:,} different values are ids of items" if alike else None
    lengths = ids.str.len_chars()
    low, high = lengths.min(), lengths.max()
    shaped = _mean(values.str.len_chars().is_between(low, high) & ~values.str.contains(r"\s"))
    if known >= min(5, len(ids) / 2) and known >= 1 and shaped > 0.8 and known >= 0.001 * len(distinct):
        return f"{known:,} of {len(distinct):,} different values are ids of items in the sample"
    return None


def _share(values: pl.Series, pattern: str) -> float:
    return _mean(values.str.contains(pattern))


def _read(values: pl.Series) -> float:
    return 1 - values.null_count() / len(values) if len(values) else 0.0


def _words(values: pl.Series) -> float:
    return _mean(values.str.strip_chars().str.count_matches(r"\s+") + 1)


def _mean(values: pl.Series) -> float:
    mean = values.cast(pl.Float64).mean()
    return mean if isinstance(mean, float) else 0.0
