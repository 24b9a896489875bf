"""Declarative settings: strict pydantic models read from YAML, with errors that a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from kg_builders.errors import InputError

__all__ = ["StrictModel", "load_yaml", "nearest", "parse_settings", "shown"]

Model = TypeVar("Model", bound=BaseModel)

_SHOWN = 60
_EXPECTED = {
    "model_type": "settings, each a key with its value",
    "model_attributes_type": "settings, each a key with its value",
    "dict_type": "keys with their values",
    "list_type": "a list",
    "tuple_type": "a list",
}


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the likeliest choice, or the list of all choices.

    Examples
    --------
    >>> nearest("genr", ["genre", "year"])
    "; did you mean 'genre'?"
    >>> nearest("zzz", ["genre", "year"])
    '; expected one of genre, year'
    """
    choices = list(choices)
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(choices)}"


def shown(value: Any) -> str:
    """Return how a message quotes a value, cut where it is long.

    Examples
    --------
    >>> shown("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'..."
    """
    if isinstance(value, (str, bytes)) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]!r}..."
    text = repr(value)
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}..."


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys and offers the nearest valid one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {shown(key)}{nearest(key, cls.model_fields)}")
        return data


def parse_settings(model: type[Model], data: Any, where: str) -> Model:
    """Validate ``data`` as ``model``.

    Parameters
    ----------
    where
        What the settings are, for the message, such as a file name.

    Raises
    ------
    InputError
        Naming the place, the key, what is wrong with it and what was expected.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(error)}") from error


def load_yaml(path: str | Path) -> Any:
    """Read a YAML file with plain values only.

    Raises
    ------
    InputError
        If the file is missing, isn't UTF-8 or isn't YAML; a syntax error is told with its line.
    """
    path = Path(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); expected a YAML file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: isn't UTF-8 text; expected a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}{line}: isn't valid YAML ({getattr(error, 'problem', error)})") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply; expected plain settings") from error
    except ValueError as error:  # Such as the date 2020-13-45.
        raise InputError(f"{path}: isn't valid YAML ({error})") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    kind, context = first["type"], first.get("ctx", {})
    if kind == "union_tag_invalid":
        choices = [choice.strip(" '") for choice in context["expected_tags"].split(",")]
        what = f"unknown {context['discriminator'].strip(chr(39))} {shown(context['tag'])}"
        message = f"{what}{nearest(context['tag'], choices)}"
    elif kind == "literal_error":
        choices = [choice.strip(" '") for choice in context["expected"].replace(" or ", ",").split(",")]
        message = f"unknown value {shown(first['input'])}{nearest(first['input'], choices)}"
    elif kind == "value_error":
        message = str(context["error"])
    elif kind == "missing":
        message = "is missing"
    elif kind == "union_tag_not_found":
        message = f"lacks the key {context['discriminator']}"
    elif kind in _EXPECTED:
        message = f"expected {_EXPECTED[kind]}, got {shown(first['input'])}"
    elif kind == "too_short":
        message = f"has {context['actual_length']} entries; expected at least {context['min_length']}"
    else:
        given = first["input"]
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}" + (
            "" if isinstance(given, (dict, list)) else f", got {shown(given)}"
        )
    place = _place(first["loc"])
    return f"{place}: {message}" if place else message


def _place(location: tuple[int | str, ...]) -> str:
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return place
