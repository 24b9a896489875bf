"""Python literals, one a line, read as data: never evaluated as code."""

from __future__ import annotations

import ast
import re
from typing import Any

import msgspec

__all__ = ["count_strings", "parse_literal"]

MAX_LITERAL = 1 << 20
"""Bytes of the longest literal for Python's parser, whose syntax tree is a hundred times as large."""

# An unclosed string is matched to the end, so that no later quotation mark begins another search.
_STRING = re.compile(
    r"""'((?:[^'\\]|\\.)*)(?:'|(\\?\Z))|"((?:[^"\\]|\\.)*)(?:"|(\\?\Z))""",
    re.DOTALL,
)
# Within a Python string: escapes that JSON writes alike, or nearly so.
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SAME_IN_JSON = frozenset('\\/"nrtbf')


def parse_literal(line: bytes) -> Any:
    r"""Read a line that holds a Python literal.

    Most are turned into JSON, which is many times as quick: strings get double quotes, and what lies between
    them is the same in both languages, but for ``None``, ``True`` and ``False``. What isn't JSON then goes to
    ``ast.literal_eval``, which knows literals and nothing else.

    Raises
    ------
    ValueError
        With the reason, fit for a bad record, if it is no literal, too long or nested too deeply.

    Examples
    --------
    >>> parse_literal(b"{'asin': '1', 'title': \"Rock 'n' Roll\", 'price': 2.5}")
    {'asin': '1', 'title': "Rock 'n' Roll", 'price': 2.5}
    """
    if b"\0" in line:
        raise ValueError("holds a NUL byte")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {line[error.start]:#04x} isn't UTF-8") from error
    try:
        return msgspec.json.decode(_STRING.sub(_as_json, text).encode())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    if len(line) > MAX_LITERAL:
        raise ValueError(f"isn't simple and longer than {MAX_LITERAL >> 20} MiB; expected a Python literal")
    try:
        return ast.literal_eval(text.strip())
    except (RecursionError, MemoryError) as error:
        raise ValueError("isn't a Python literal that can be read (nested too deeply)") from error
    except (ValueError, SyntaxError, TypeError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it holds more than values"
        raise ValueError(f"isn't a Python literal ({reason})") from error


def count_strings(text: str) -> int:
    """Return how many strings a literal is written with, two side by side as two.

    Examples
    --------
    >>> count_strings("['a', 'b' 'c']")
    3
    """
    return sum(1 for _ in _STRING.finditer(text))


class _NotSoSimpleError(ValueError):
    """A string has an escape that JSON writes otherwise, or no end."""


def _as_json(match: re.Match[str]) -> str:
    single, open_single, double, open_double = match.groups()
    if open_single is not None or open_double is not None:
        raise _NotSoSimpleError
    body = single if single is not None else double
    if "\\" in body:
        return f'"{_ESCAPE.sub(_escape, body)}"' if single is None else f'"{_single(body)}"'
    return '"' + body.replace('"', '\\"') + '"' if '"' in body else f'"{body}"'


def _single(body: str) -> str:
    """Rewrite the escapes of a single-quoted string, and escape its double quotation marks."""
    return "".join(
        part.replace('"', '\\"') if index % 2 == 0 else _escape_of(part)
        for index, part in enumerate(_ESCAPE.split(body))
    )


def _escape(match: re.Match[str]) -> str:
    return _escape_of(match.group(1))


def _escape_of(character: str) -> str:
    if character == "'":
        return "'"
    if character in _SAME_IN_JSON and character != "/":
        return f"\\{character}"
    raise _NotSoSimpleError
