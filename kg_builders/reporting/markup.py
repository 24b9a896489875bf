"""Pieces of an HTML page; every text is escaped here, and nowhere else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from kg_builders.reporting.style import STYLE

__all__ = [
    "Markup",
    "breakable",
    "details",
    "listing",
    "number",
    "page",
    "paragraph",
    "section",
    "share",
    "table",
    "text",
    "tiles",
]

LONGEST = 160
"""Characters of a text that are shown."""
MOST_ROWS = 200
# Marks that turn the direction of what follows, past the text they stand in.
_TURNING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x61C)}

# Even if a text slipped through unescaped, the browser would neither run nor load anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: Any, longest: int | None = LONGEST) -> Markup:
    """Escape a value; characters that no page may hold, or that turn the writing direction, are replaced."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("")
    shown = "yes" if value is True else "no" if value is False else str(value)
    if longest is not None and len(shown) > longest:
        shown = shown[: longest - 1] + "…"
    return Markup(escape("".join("\ufffd" if _bad(character) else character for character in shown)))


def breakable(name: str) -> Markup:
    """Escape a name of several parts, which may go on in the next line where its parts meet."""
    shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return Markup("<wbr>".join(text(part) for part in re.split(r"(?<=[._/:#-])", shown)))


def number(value: float | None) -> Markup:
    """Return a number with separators, floats with at most three decimals."""
    if value is None:
        return Markup("–")
    return Markup(f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip("."))


def share(value: float | None) -> Markup:
    """Return a share in percent; a few of many are not rounded to none, nor almost all to all."""
    if value is None:
        return Markup("–")
    if 0 < value < 0.0005:
        return Markup("&lt; 0.1%")
    if 0.9995 <= value < 1:
        return Markup("&gt; 99.9%")
    return Markup(f"{value:.1%}")


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], most: int = MOST_ROWS) -> Markup:
    """Lay out rows.

    Parameters
    ----------
    columns
        Heading and how its values are shown: ``text``, ``long`` (a column that needs room), ``number`` or
        ``share`` (with a bar).
    rows
        Values of the columns.
    most
        Rows shown; it is told how many more there are.
    """
    shown = list(rows)
    head = "".join(
        f'<th scope="col"{" class=number" if kind in ("number", "share") else ""}>{text(name)}</th>'
        for name, kind in columns
    )
    lines = [f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>']
    lines.extend(
        f"<tr>{''.join(_cell(value, kind) for value, (_, kind) in zip(row, columns, strict=True))}</tr>"
        for row in shown[:most]
    )
    lines.append("</tbody></table></div>")
    if len(shown) > most:
        lines.append(paragraph(f"{len(shown) - most:,} more rows are in the JSON file.", "quiet"))
    return Markup("\n".join(lines))


def paragraph(content: Any, kind: str | None = None) -> Markup:
    """Return a paragraph."""
    return Markup(f"<p{f' class={kind}' if kind else ''}>{text(content, None)}</p>")


def listing(entries: Iterable[Any], kind: str | None = None) -> Markup:
    """Return a list with a point for each entry."""
    points = "".join(f"<li>{text(entry, 1000)}</li>" for entry in entries)
    return Markup(f"<ul{f' class={kind}' if kind else ''}>{points}</ul>")


def details(summary: str, content: Markup) -> Markup:
    """Return content that shows when its summary is clicked."""
    return Markup(f"<details><summary>{text(summary)}</summary>{content}</details>")


def tiles(shown: Iterable[tuple[Any, Any]]) -> Markup:
    """Show the few values that matter most, each with its name."""
    cells = "".join(
        f'<div class="tile"><b>{text(value)}</b><span>{text(name)}</span></div>' for value, name in shown
    )
    return Markup(f'<div class="tiles">{cells}</div>')


def section(anchor: str, heading: str, *content: str) -> Markup:
    """Return a section that the navigation can point to."""
    body = "\n".join(content)
    return Markup(f'<section id="{text(anchor)}"><h2>{text(heading)}</h2>\n{body}\n</section>')


def page(title: str, content: Iterable[str]) -> str:
    """Return a whole page that refers to nothing outside it."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            *content,
            "</body>\n</html>\n",
        ]
    )


def _cell(value: Any, kind: str) -> str:
    if kind == "number":
        return f'<td class="number">{value if isinstance(value, Markup) else number(value)}</td>'
    if kind == "share":
        part = min(max(float(value or 0.0), 0.0), 1.0)
        return f'<td class="number share" style="--part: {part:.1%}">{share(value)}</td>'
    # A text that is written from right to left does not turn its neighbours around.
    longest = 3 * LONGEST if kind == "long" else LONGEST
    inner = value if isinstance(value, Markup) else f"<bdi>{text(value, longest)}</bdi>"
    return f"<td{' class=long' if kind == 'long' else ''}>{inner}</td>"


def _bad(character: str) -> bool:
    return character in _TURNING or (
        unicodedata.category(character) in ("Cc", "Cs", "Cn") and not character.isspace()
    )
