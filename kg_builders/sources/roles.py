"""What a column of an unknown table holds, judged by its values: the role, and the reasons in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from kg_builders.sources.bracketed import bracketed_lists
from kg_builders.sources.columns import PATHS, each_in_list
from kg_builders.sources.number_forms import (
    date_options,
    decimal_comma,
    has_currency,
    is_one_value,
    is_unix_time,
    mean_of,
    plain_numbers,
    share_read,
)
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
_NEARLY_ALL = 0.95
_HALF = 0.5
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
    options
        What else a mapping needs to read it, such as the format of a date; a type among them takes the place
        of the role's.
    """

    name: str
    role: Role
    why: str
    coverage: float
    distinct: int
    examples: tuple[str, ...]
    delimiter: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Verdict:
    """The role of a column, why, what an entity would be made of, and how the column is to be read."""

    role: Role
    why: str
    parts: pl.Series
    delimiter: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def judge_column(column: pl.Series, ids: pl.Series | None) -> InferredField:
    """Judge a column; ``ids`` are those of the sample's items, if known, by which references are found."""
    values = column.drop_nulls()
    coverage = len(values) / len(column) if len(column) else 0.0
    if not len(values):
        return InferredField(column.name, "ignored", "no record has a value", 0.0, 0, ())
    verdict = _judge(values, ids)
    counts = verdict.parts.alias("part").value_counts().sort(["count", "part"], descending=[True, False])
    examples = tuple(str(part)[:60] for part in counts["part"][:_EXAMPLES])
    return InferredField(
        column.name,
        verdict.role,
        verdict.why,
        coverage,
        len(counts),
        examples,
        verdict.delimiter,
        verdict.options,
    )


def _judge(values: pl.Series, ids: pl.Series | None) -> _Verdict:
    dtype = values.dtype
    if dtype == PATHS:
        return _Verdict("path", "holds lists of lists", values.explode().list.join(" > "))
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
        return _Verdict(
            "key-value", "holds objects with keys and values", values.explode().struct.field("key")
        )
    if isinstance(dtype, pl.List):
        return _judge_lists(values.cast(pl.List(pl.Utf8)), ids)
    if dtype.is_numeric():
        return _judge_numbers(values, values.cast(pl.Utf8), ids)
    texts = values.cast(pl.Utf8)
    lists = bracketed_lists(texts)
    if share_read(lists) <= _HALF:
        return _judge_texts(texts, ids)
    verdict = _judge_lists(lists.zip_with(lists.is_not_null(), each_in_list(texts)), ids)
    return replace(verdict, why=f"{verdict.why}; written in brackets")


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


def _judge_lists(values: pl.Series, ids: pl.Series | None) -> _Verdict:
    parts = values.explode().drop_nulls()
    found = _references(parts, ids)
    if parts.is_empty():
        role, why = "ignored", "holds empty lists alone"
    elif _share(parts, _URL) > _MOST:
        role, why = "url", "holds lists of addresses"
    elif _share(parts, r"^[\[{].*[\]}]$") > _HALF:
        role, why = "ignored", "holds lists of objects"
    elif found:
        role, why = "reference", found
    elif _words(parts) > _WORDS_OF_A_NAME * 1.5:
        role, why = "text", f"holds lists of sentences, {_words(parts):.0f} words each"
    elif _is_path(values):
        role, why = "path", "the first values are few, each further one is nearly always after the same one"
    else:
        role, why = "list", f"holds lists, {len(parts) / max(len(values), 1):.1f} values each"
    return _Verdict(role, why, parts)  # type: ignore[arg-type]


def _judge_numbers(values: pl.Series, texts: pl.Series, ids: pl.Series | None) -> _Verdict:
    distinct = values.n_unique()
    if distinct == 1 and len(values) > 1:
        return _Verdict("ignored", "always the same", texts)
    numeric = values.cast(pl.Float64)
    if ((numeric % 1 == 0) & numeric.is_between(1800, 2100)).all():
        return _Verdict("date", "whole numbers from 1800 to 2100, like years", texts)
    found = _references(texts, ids)
    if found:
        return _Verdict("reference", found, texts)
    if is_unix_time(numeric):
        # A field of texts: the rules of kind year and decade read such times, a field of dates does not.
        return _Verdict("date", "Unix times, by the name and the range", texts, options={"type": "text"})
    if distinct <= min(10, len(values) / 5):
        return _Verdict("category", f"only {distinct} different numbers", texts)
    return _Verdict("number", f"numbers from {min(numeric):g} to {max(numeric):g}", texts)


def _judge_texts(values: pl.Series, ids: pl.Series | None) -> _Verdict:
    for judge in (_judge_forms, _judge_number_texts, _judge_date_texts, _judge_references, _split):
        verdict = judge(values, ids)
        if verdict is not None:
            return verdict
    distinct, words = values.n_unique(), _words(values)
    different = f"{distinct / len(values):.0%} of the values different"
    # A sample shows fewer repeats than the file has.
    recurring = distinct <= 0.9 * len(values)
    if words > (_WORDS_OF_A_NAME if recurring else 1.5) or mean_of(values.str.len_chars()) > 60:
        return _Verdict("text", f"{words:.0f} words each, {different}", values)
    if recurring:
        return _Verdict("category", f"{distinct:,} different values in {len(values):,} records", values)
    return _Verdict("ignored", f"short, and {different}", values)


def _judge_forms(values: pl.Series, _: pl.Series | None) -> _Verdict | None:
    if values.n_unique() == 1 and len(values) > 1:
        return _Verdict("ignored", "always the same", values)
    return _Verdict("url", "holds addresses", values) if _share(values, _URL) > _MOST else None


def _judge_number_texts(values: pl.Series, ids: pl.Series | None) -> _Verdict | None:
    """Judge texts that are numbers or prices, as a mapping's type number and a number rule read them."""
    plain = plain_numbers(values)
    if share_read(plain) >= _NEARLY_ALL:
        return _judge_numbers(plain.drop_nulls(), values, ids)
    comma = decimal_comma(values)
    amounts = numbers(values, "," if comma else ".").drop_nulls().to_list()
    prices = has_currency(values)
    # Part numbers such as ABC123 begin as prices do.
    strange = values.str.contains(r"\p{L}") & ~prices
    if len(amounts) < _NEARLY_ALL * len(values) or mean_of(strange) > 1 - _NEARLY_ALL:
        return None
    what = "prices" if prices.any() else "numbers"
    how = " with a decimal comma" if comma else ""
    why = f"holds {what}{how}, from {min(amounts):g} to {max(amounts):g}"
    return _Verdict("number", why, values, options={"decimal": ","} if comma else {})


def _judge_date_texts(values: pl.Series, _: pl.Series | None) -> _Verdict | None:
    if share_read(dates_iso(values.alias("date"))) > _MOST:
        return _Verdict("date", "can be read as dates", values)
    options = date_options(values)
    if options is None:
        return None
    if not options:
        return _Verdict("ignored", "holds dates whose order of day, month and year can't be told", values)
    order = options.get("format", "in which day and month can't be told apart")
    return _Verdict("date", f"holds dates {order}", values, options=options)


def _judge_references(values: pl.Series, ids: pl.Series | None) -> _Verdict | None:
    found = _references(values, ids)
    return _Verdict("reference", found, values) if found else None


def _split(values: pl.Series, ids: pl.Series | None) -> _Verdict | None:
    """Find the delimiter that splits texts into parts that recur; None if there is none."""
    several = ~is_one_value(values)
    for delimiter in dict.fromkeys((*PATH_DELIMITERS, *DELIMITERS, " ")):
        holds = mean_of(values.str.contains(delimiter, literal=True) & several)
        if holds < 0.2:
            continue
        lists = values.str.split(delimiter).list.eval(pl.element().str.strip_chars())
        parts = lists.explode()
        parts = parts.filter(parts.str.len_bytes() > 0)
        found = _references(parts, ids)
        if found:
            why = f"{found}; {holds:.0%} of the texts hold {delimiter!r}"
            return _Verdict("reference", why, parts, delimiter)
        if parts.n_unique() > len(parts) / 2 or _words(parts) > _WORDS_OF_A_NAME:
            continue
        if delimiter in PATH_DELIMITERS and _is_path(lists):
            why = f"{holds:.0%} of the texts hold {delimiter!r}, each part nearly always after the same one"
            return _Verdict("path", why, parts, delimiter)
        if delimiter in DELIMITERS and parts.n_unique() < 2 * values.n_unique():
            why = f"{holds:.0%} of the texts hold {delimiter!r}, {parts.n_unique():,} different parts recur"
            return _Verdict("list", why, parts, delimiter)
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
    numeric = share_read(plain_numbers(ids)) == 1
    if numeric:
        alike = known == len(distinct) and len(distinct) > 0.2 * len(ids) and len(distinct) > 20
        return f"all {known:,} different values are ids of items" if alike else None
    lengths = ids.str.len_chars()
    low, high = lengths.min(), lengths.max()
    shaped = mean_of(values.str.len_chars().is_between(low, high) & ~values.str.contains(r"\s"))
    if known >= min(5, len(ids) / 2) and known >= 1 and shaped > 0.8 and known >= 0.001 * len(distinct):
        return f"{known:,} of {len(distinct):,} different values are ids of items in the sample"
    return None


def _share(values: pl.Series, pattern: str) -> float:
    return mean_of(values.str.contains(pattern))


def _words(values: pl.Series) -> float:
    return mean_of(values.str.strip_chars().str.count_matches(r"\s+") + 1)
