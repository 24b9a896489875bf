"""One frozen pydantic model a component; unknown keys and bad values are told in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from kdiffe_dgl.errors import InputError

__all__ = ["Component", "Layers", "SomeLayers", "apply_overrides", "merge", "parse_config", "read_yaml"]

_MOST_LAYERS = 32
Layers = Annotated[int, Field(ge=0, le=_MOST_LAYERS)]
"""A number of layers. Each holds a matrix of all nodes until the step is done, and after a few of them all
nodes look alike: greater numbers are slips, which would fill the memory."""
SomeLayers = Annotated[int, Field(ge=1, le=_MOST_LAYERS)]
"""As :data:`Layers`, of a part that has at least one."""


class Component(BaseModel):
    """Base of every configuration: frozen, and closed to unknown keys, infinity and NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_strange_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        # Python counts True as 1; somebody who writes `epochs: yes` does not.
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind in _NUMBERS:
            raise ValueError(_NUMBERS[kind])
        if kind is int and isinstance(value, int) and abs(value) > _GREATEST:
            raise ValueError(f"a whole number of at most {_GREATEST}")
        return value


ComponentT = TypeVar("ComponentT", bound=BaseModel)


def parse_config(
    cls: type[ComponentT], values: Mapping[str, Any], where: str | Callable[[str], str]
) -> ComponentT:
    """Validate values against a configuration class.

    Parameters
    ----------
    cls
        The configuration class.
    values
        Nested mapping, as read from YAML.
    where
        Where the values come from, for the message; or a function that tells where a key
        (``"training.epochs"``) comes from.

    Raises
    ------
    InputError
        Naming the key, what is wrong with it, and the nearest valid key for an unknown one.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        # An unknown key may be the reason for whatever else is wrong, so it comes first.
        found = sorted(error.errors(), key=lambda one: one["type"] not in _UNKNOWN)[0]
        path = found["loc"]
        if found["type"] in _UNKNOWN:
            path = (*path[:-1], str(path[-1]))
            problem = f"unknown key {_key(path)!r}; {_nearest(cls, path)}"
        else:
            problem = f"{_key(path)} is {_short(found['input'])}; expected {_expected(found)}"
        origin = where if isinstance(where, str) else where(_key(path))
        raise InputError(f"{origin}: {problem}") from error


_UNKNOWN = ("extra_forbidden", "invalid_key")
_NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}
_GREATEST = 2**31 - 1  # what every library below counts with
_MAPPING = "a mapping of settings"
_EXPECTED = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "literal_error": "{expected}",
    "value_error": "{error}",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list of at least {min_length}",
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "missing": "a value",
}


def _expected(error: Any) -> str:
    """Say for a person what a pydantic error asks for."""
    template = _EXPECTED.get(error["type"])
    if template is None:
        return str(error["msg"]).removeprefix("Input should be ")
    return template.format_map(error.get("ctx", {}))


def _key(path: Sequence[int | str]) -> str:
    """Write the way to a value as people do: ``evaluation.cutoffs[1]``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _short(value: Any) -> str:
    """Write a value as its author did, cut where it is long."""
    text = {None: "empty", True: "true", False: "false"}[value] if _is_word(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _nested(annotation: Any) -> type[BaseModel] | None:
    """Return the configuration class in a field's annotation, if there is one."""
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _all_keys(cls: type[BaseModel], prefix: str = "") -> list[str]:
    """Return every key of a configuration class and of those within it."""
    keys = []
    for name, field in cls.model_fields.items():
        keys.append(prefix + name)
        nested = _nested(field.annotation)
        if nested is not None:
            keys += _all_keys(nested, f"{prefix}{name}.")
    return keys


def _nearest(cls: type[BaseModel], path: Sequence[int | str]) -> str:
    """Offer the key that was meant: one spelt alike in the same place, or the same one elsewhere."""
    current, prefix = cls, ""
    for part in path[:-1]:
        field = current.model_fields.get(str(part))
        nested = _nested(field.annotation) if field is not None else None
        if nested is None:
            break
        current, prefix = nested, f"{prefix}{part}."
    wanted, here = str(path[-1]), list(current.model_fields)
    close = difflib.get_close_matches(wanted, here, n=1, cutoff=0.7)
    elsewhere = [key for key in _all_keys(cls) if key.split(".")[-1] == wanted]
    elsewhere.sort(key=lambda key: key.count("."))
    close = close or elsewhere or difflib.get_close_matches(wanted, here, n=1, cutoff=0.5)
    if not close:
        known = ", ".join(prefix + name for name in here)
        return f"expected one of {known}" if known else "expected none, since there are no settings to choose"
    return f"did you mean {close[0] if close[0] in elsewhere else prefix + close[0]!r}?"


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice; YAML's own would let the later one win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(name)
        return node


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
        raise InputError(f"{path}: can't be read as UTF-8 text ({error})") from error
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it can't be parsed"
        raise InputError(f"{path}{line}: is not valid YAML ({problem})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {_short(values)}; expected a mapping of settings")
    return values


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the leaves of ``change`` put in place, mappings merged key by key.

    An empty section of a file, which YAML reads as null, changes nothing.
    """
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and (value is None or isinstance(value, Mapping)):
            merged[key] = merge(old, value or {})
        else:
            merged[key] = value
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
        parts = key.strip().split(".")
        if not separator or not all(parts):
            raise InputError(f"--set {setting}: expected key=value, such as training.epochs=20")
        try:
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--set {setting}: the value is not valid YAML") from error
        for part in reversed(parts):
            value = {part: value}
        result = merge(result, value)
    return result
