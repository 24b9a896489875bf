"""Decoded values brought into the form that a field should have, whatever form a record gives them."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["as_mapping", "as_number", "as_paths", "as_text", "as_texts", "text_of"]

_MAX_TEXT = 10_000


def text_of(value: Any) -> str | None:
    """Return a decoded value as a text: numbers as they print, the rest as JSON, nothing for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return (
            f"{value:g}"
            if isinstance(value, float) and value.is_integer() and abs(value) < 1e15
            else str(value)
        )
    return msgspec.json.encode(value)[:_MAX_TEXT].decode("utf-8", "ignore")


def as_text(value: Any) -> str | None:
    """Return a value as a text; of a list, the first that there is."""
    if isinstance(value, list):
        return next((text for part in value if (text := as_text(part))), None)
    return text_of(value)


def as_texts(value: Any) -> list[str] | None:
    """Return a value as texts; lists within lists are taken apart."""
    if isinstance(value, list):
        return [text for part in _flat(value) if (text := text_of(part))]
    if value is None or value == {}:
        return None
    text = text_of(value)
    return [text] if text and text.strip() else None


def _flat(values: list[Any]) -> list[Any]:
    """Take lists within lists apart; decoded values aren't nested deeply enough to exhaust the stack."""
    flat: list[Any] = []
    stack = values[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value[::-1])
        else:
            flat.append(value)
    return flat


def as_paths(value: Any) -> list[list[str]] | None:
    """Return a value as paths; a flat list is one."""
    if not isinstance(value, list):
        path = as_texts(value)
        return [path] if path else None
    if any(isinstance(part, list) for part in value):
        return [path for part in value if (path := as_texts(part))]
    path = as_texts(value)
    return [path] if path else None


def as_number(value: Any) -> float | None:
    """Return a value as a number, also where a text holds one with thousands separated by commas."""
    if isinstance(value, str):
        try:
            return float(value.replace(",", ""))
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def as_mapping(value: Any) -> dict[str, Any] | None:
    """Return a mapping as it is, and anything else as None."""
    return value if isinstance(value, dict) else None
