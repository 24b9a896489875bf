"""Tables of the terminal as HTML, for notebooks."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

__all__ = ["tables_html"]

_WIDTH = 120
_FORMAT = '<pre style="line-height: 1.2; font-family: monospace; white-space: pre">{code}</pre>'


def tables_html(*tables: RenderableType) -> str:
    """Return what the terminal would show as a fragment of HTML; texts are escaped."""
    console = Console(record=True, file=io.StringIO(), width=_WIDTH, color_system=None)
    for table in tables:
        console.print(table)
    return console.export_html(inline_styles=True, code_format=_FORMAT)
