"""How commands hand over results: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import click

from kdiffe_dgl.serving.files import atomic_file

__all__ = ["emit"]


def emit(content: bytes, output: Path | None) -> None:
    """Write a result to a file, or to standard output where there is none."""
    if output is None:
        click.echo(content, nl=False)
        return
    with atomic_file(output) as temporary:
        temporary.write_bytes(content)
