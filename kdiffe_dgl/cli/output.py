"""How commands hand over results: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving.files import atomic_file
from kg_builders.formats.atomic import staged_folder

__all__ = ["emit", "emit_folder", "require_suffix"]


def emit(content: bytes, output: Path | None) -> None:
    """Write a result to a file, or to standard output where there is none."""
    if output is None:
        click.echo(content, nl=False)
        return
    with atomic_file(output) as temporary:
        temporary.write_bytes(content)


def emit_folder(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder: a new one appears with all of them or not at all.

    Into one that is there, they are written one after the other, each whole; other files in it stay.

    Parameters
    ----------
    files
        Name -> content.
    folder
        Where to.

    Raises
    ------
    InputError
        If the folder can't be made, or one of the names belongs to a folder in it.
    """
    if folder.is_dir():
        for name in files:
            if (folder / name).is_dir():
                raise InputError(
                    f"--out {folder}: {name} is a folder in it; expected another folder to write to"
                )
        for name, content in files.items():
            emit(content, folder / name)
        return
    if folder.exists():
        raise InputError(f"--out {folder}: is a file; expected a folder")
    with staged_folder(folder) as staged:
        for name, content in files.items():
            (staged / name).write_bytes(content)


def require_suffix(out: Path | None, form: str, suffixes: Mapping[str, str]) -> None:
    """Refuse a file name that tells another form than the one that is asked for.

    Parameters
    ----------
    out
        File to write; null: standard output.
    form
        The form asked for.
    suffixes
        Suffix -> form, for all suffixes that tell one.

    Raises
    ------
    InputError
        If the two disagree.
    """
    told = None if out is None else suffixes.get(out.suffix.lower())
    if told not in (None, form):
        raise InputError(
            f"--out {out}: its name tells {told}, but --format {form} is asked for; expected one of them"
        )
