"""Which types of fields a rule accepts."""

from __future__ import annotations

import polars as pl

from kg_builders.errors import InputError
from kg_builders.rules import BaseRule, DetailsRule, ListRule, PathRule, ReferenceRule, WordRule

__all__ = ["check_type"]


def check_type(rule: BaseRule, dtype: pl.DataType, place: str) -> None:
    """Refuse a field whose type doesn't fit its rule.

    Raises
    ------
    InputError
        Saying what the field holds and what the rule expects.
    """
    expected = _expected(rule, dtype)
    if expected is not None:
        raise InputError(f"{place}: field {rule.field!r} holds {_called(dtype)}; expected {expected}")


def _expected(rule: BaseRule, dtype: pl.DataType) -> str | None:
    """Return what the rule expects instead, if the type doesn't fit."""
    if isinstance(rule, DetailsRule):
        return None if _is_details(dtype) else "lists of key and value"
    if isinstance(rule, PathRule):
        return _expected_path(rule, dtype)
    inner = _inner(dtype)
    if _is_nested(inner) or inner in (pl.Object, pl.Binary):
        return "texts, numbers or lists of them"
    return _expected_list(rule, dtype) if _is_list(dtype) else _expected_value(rule, dtype)


def _expected_list(rule: BaseRule, dtype: pl.DataType) -> str | None:
    if isinstance(rule, (ListRule, ReferenceRule)):
        return None if rule.delimiter is None else "no delimiter"
    return None if isinstance(rule, WordRule) else "one value, or a rule of kind list"


def _expected_value(rule: BaseRule, dtype: pl.DataType) -> str | None:
    if isinstance(rule, ListRule) and (rule.delimiter is None or dtype != pl.Utf8):
        return "lists, or a text and a delimiter"
    if isinstance(rule, ReferenceRule) and rule.delimiter is not None and dtype != pl.Utf8:
        return "a text, for the delimiter"
    return None


def _expected_path(rule: PathRule, dtype: pl.DataType) -> str | None:
    depth, inner = 0, dtype
    while _is_list(inner):
        depth, inner = depth + 1, _inner(inner)
    if inner not in (pl.Utf8, pl.Null):
        return "texts, or lists of texts"
    if rule.delimiter is None and depth == 0:
        return "lists of levels, or a text and a delimiter"
    if rule.delimiter is not None and depth > 1:
        return "no delimiter"
    return "lists of paths" if depth > 2 else None


def _is_details(dtype: pl.DataType) -> bool:
    inner = _inner(dtype)
    return (
        _is_list(dtype)
        and isinstance(inner, pl.Struct)
        and {"key", "value"} <= {field.name for field in inner.fields}
    )


def _is_list(dtype: pl.DataType) -> bool:
    return isinstance(dtype, (pl.List, pl.Array))


def _inner(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = dtype.inner
        return inner if isinstance(inner, pl.DataType) else inner()
    return dtype


def _is_nested(dtype: pl.DataType) -> bool:
    return isinstance(dtype, (pl.Struct, pl.List, pl.Array))


def _called(dtype: pl.DataType) -> str:
    if dtype == pl.Utf8:
        return "texts"
    return "lists" if _is_list(dtype) and not _is_nested(_inner(dtype)) else str(dtype)
