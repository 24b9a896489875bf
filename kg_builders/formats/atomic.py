"""Files and folders that appear whole or not at all: written beside their destination, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kg_builders.errors import InputError

__all__ = ["refuse_existing", "staged_file", "staged_folder", "writing"]


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of ``path`` when the block ends, and vanishes if it fails.

    Raises
    ------
    InputError
        If there can't be a folder.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        folder.chmod(0o755)
        yield folder
        with writing(path):
            _replace_folder(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Yield a new file that takes the place of ``path`` when the block ends, and vanishes if it fails.

    Raises
    ------
    InputError
        If there can't be a file.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    file = Path(name)
    try:
        file.chmod(0o644)
        yield file
        with writing(path):
            os.replace(file, path)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def refuse_existing(path: Path, overwrite: bool, what: str, owns: Callable[[Path], bool]) -> None:
    """Raise ``InputError`` if something is at ``path`` that must not be replaced.

    Parameters
    ----------
    overwrite
        Whether what is there may be replaced, if it is of the same sort.
    what
        What is expected there, such as ``a knowledge graph folder``.
    owns
        Tells whether it is of that sort.
    """
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise InputError(
            f"{path}: exists already; expected a new {'folder' if path.is_dir() else 'name'}, "
            "or permission to replace it (--overwrite)"
        )
    if not owns(path):
        raise InputError(f"{path}: isn't {what}, so it is not overwritten")


def _replace_folder(folder: Path, path: Path) -> None:
    if not path.is_dir():
        os.replace(folder, path)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, retired)
    try:
        os.replace(folder, path)
    except OSError:
        os.replace(retired, path)
        raise
    shutil.rmtree(retired)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the file system in the block into ``InputError`` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror or error})") from error
