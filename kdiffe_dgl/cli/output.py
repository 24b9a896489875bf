"""How commands hand over results: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def emit_folder(files: Mapping[str, bytes], folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Write files into a folder: a new one appears with all of them or not at all.

    Into one that is there, they are written one after the other, each whole. Those of an earlier time that
    they don't replace are removed, since they would tell of something else; a folder that also holds other
    files is refused in that case, for they might be the user's.

    Parameters
    ----------
    files
        Name -> content.
    folder
        Where to.
    is_ours
        Whether the command writes files of such a name.

    Raises
    ------
    InputError
        If the folder can't be made, one of the names belongs to a folder in it, or it holds old files
        beside those of the user.
    """
    if folder.is_dir():
        ours = {path.name: is_ours(path.name) and path.is_file() for path in sorted(folder.iterdir())}
        old = [name for name in ours if ours[name] and name not in files]
        if old and not all(ours.values()):
            raise InputError(
                f"--out {folder}: holds {old[0]} of an earlier time, which is not written anew, beside other "
                "files; expected another folder, or one without it"
            )
        for name in files:
            if (folder / name).is_dir():
                raise InputError(
                    f"--out {folder}: {name} is a folder in it; expected another folder to write to"
                )
        for name, content in files.items():
            emit(content, folder / name)
        for name in old:
            (folder / name).unlink()
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
