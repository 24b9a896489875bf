"""How commands hand over results: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console, RenderableType

from kdiffe_dgl.serving.files import atomic_file

__all__ = ["emit", "render"]

_PIPED_WIDTH = 120


def render(renderable: RenderableType) -> str:
    """Draw something of rich's as plain text, as wide as the terminal, or 120 columns without one."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    # A console on a buffer is no terminal, so the text holds no escape sequences.
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(renderable)
    return buffer.getvalue()


def emit(content: bytes, output: Path | None) -> None:
    """Write a result to a file, or to standard output where there is none."""
    if output is None:
        click.echo(content, nl=False)
        return
    with atomic_file(output) as temporary:
        temporary.write_bytes(content)
