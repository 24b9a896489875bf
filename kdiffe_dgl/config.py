"""One frozen pydantic model a component; unknown keys and bad values are told in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from kdiffe_dgl.errors import InputError

__all__ = ["Component", "apply_overrides", "merge", "parse_config", "read_yaml"]


class Component(BaseModel):
    """Base of every configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


ComponentT = TypeVar("ComponentT", bound=Component)


def parse_config(cls: type[ComponentT], values: Mapping[str, Any], where: str) -> ComponentT:
    """Validate values against a configuration class.

    Parameters
    ----------
    cls
        The configuration class.
    values
        Nested mapping, as read from YAML.
    where
        Where the values come from, for the message.

    Raises
    ------
    InputError
        Naming the key, what is wrong with it, and the nearest valid key for an unknown one.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown key {path!r}{_nearest(cls, first['loc'])}") from error
        given = first.get("input")
        raise InputError(f"{where}: {path or 'value'} is {given!r}; {_expected(first['msg'])}") from error


def _expected(message: str) -> str:
    return "expected: " + message.removeprefix("Input should be ").removeprefix("Value error, ")


def _nearest(cls: type[BaseModel], path: Sequence[int | str]) -> str:
    """Offer the nearest valid key at the place of an unknown one."""
    keys: list[str] = list(cls.model_fields)
    current: Any = cls
    for part in path[:-1]:
        field = getattr(current, "model_fields", {}).get(str(part))
        annotation = getattr(field, "annotation", None)
        nested = [
            kind
            for kind in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not nested:
            break
        current = nested[0]
        keys = list(current.model_fields)
    close = difflib.get_close_matches(str(path[-1]), keys, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(keys)}"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    InputError
        If the file is missing, is not YAML, or holds something other than a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such configuration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}{line}: not valid YAML") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}; expected a mapping of settings")
    return values


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the leaves of ``change`` put in place, mappings merged key by key."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply settings of the form ``a.b=value``, where the value is YAML.

    Raises
    ------
    InputError
        If a setting has no ``=`` or its value is not YAML.
    """
    result = dict(values)
    for setting in overrides:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise InputError(f"--set {setting!r}: expected key=value, such as training.epochs=20")
        try:
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--set {setting!r}: the value is not valid YAML") from error
        for part in reversed(key.strip().split(".")):
            value = {part: value}
        result = merge(result, value)
    return result
