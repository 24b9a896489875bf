"""How commands hand over results: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving.files import atomic_file
from kg_builders.formats.atomic import staged_folder

__all__ = ["OVERWRITE", "choose_form", "emit", "emit_folder", "require_new", "require_no_old"]

OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace files that are already there.")


def require_new(output: Path | None, overwrite: bool) -> None:
    """Refuse to replace a file without being told to, before the work begins rather than after it.

    Parameters
    ----------
    output
        File to write; null: standard output. Only regular files hold something that could be lost.
    overwrite
        Whether it may be replaced.

    Raises
    ------
    InputError
        If the file is there, and may not be replaced.
    """
    if output is not None and output.is_file() and not overwrite:
        raise InputError(
            f"--out {output}: already exists; expected a new file, or permission to replace it (--overwrite)"
        )


def emit(content: bytes, output: Path | None) -> None:
    """Write a result to a file, or to standard output where there is none."""
    if output is None:
        click.echo(content, nl=False)
        return
    with atomic_file(output) as temporary:
        temporary.write_bytes(content)


def require_no_old(folder: Path, is_ours: Callable[[str], bool], overwrite: bool) -> None:
    """Refuse to replace files in a folder without being told to, before the work begins.

    Parameters
    ----------
    folder
        Where results are going to be written.
    is_ours
        Whether the command writes files of such a name.
    overwrite
        Whether they may be replaced.

    Raises
    ------
    InputError
        If there are such files, and they may not be replaced.
    """
    if overwrite or not folder.is_dir():
        return
    first = next(
        (path.name for path in sorted(folder.iterdir()) if is_ours(path.name) and path.is_file()), None
    )
    if first is not None:
        raise InputError(
            f"--out {folder}: holds {first} already; expected another folder, or permission to replace it "
            "(--overwrite)"
        )


def emit_folder(
    files: Mapping[str, bytes], folder: Path, is_ours: Callable[[str], bool], overwrite: bool
) -> None:
    """Write files into a folder: a new one appears with all of them or not at all.

    Into one that is there, they are written one after the other, each whole. Those of an earlier time are
    replaced only with permission, and then those that have no successor are removed, since they would tell
    of something else; a folder that also holds other files is refused in that case, for they might be the
    user's.

    Parameters
    ----------
    files
        Name -> content.
    folder
        Where to.
    is_ours
        Whether the command writes files of such a name.
    overwrite
        Whether files of such names that are there may be replaced and removed.

    Raises
    ------
    InputError
        If the folder can't be made, one of the names belongs to a folder in it, or it holds old files
        that may not be replaced, or beside those of the user.
    """
    if folder.is_dir():
        ours = {path.name: is_ours(path.name) and path.is_file() for path in sorted(folder.iterdir())}
        require_no_old(folder, is_ours, overwrite)
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


def choose_form(
    form: str | None, out: Path | None, suffixes: Mapping[str, str], option: str = "--out"
) -> str | None:
    """Return the form of a result: the one asked for, or else the one that the file's name tells.

    Parameters
    ----------
    form
        The form asked for.
    out
        File to write; null: standard output.
    suffixes
        Suffix -> form, for all suffixes that tell one.
    option
        What the file was given by, for messages.

    Returns
    -------
    str or None
        Null where neither a form nor a file is given.

    Raises
    ------
    InputError
        If the two disagree, or the name tells no form and none is asked for.
    """
    told = None if out is None else suffixes.get(out.suffix.lower())
    if form is not None:
        if told not in (None, form):
            raise InputError(
                f"{option} {out}: its name tells {told}, but --format {form} is asked for; "
                "expected one of them"
            )
        return form
    if out is not None and told is None:
        named = f"the suffix {out.suffix!r} names" if out.suffix else "names"
        raise InputError(
            f"{option} {out}: {named} no form; expected one of {', '.join(suffixes)}, or --format"
        )
    return told
