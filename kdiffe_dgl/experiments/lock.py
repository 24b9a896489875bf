"""One at a time in a folder: two commands would train the same runs and stop each other's trials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kdiffe_dgl.errors import InputError

__all__ = ["LOCK", "in_turn", "only_one"]

LOCK = "in-use.lock"
# Another: who keeps others out of a folder may also write records in it.
_TURN = "turn.lock"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep others out of a folder while the block runs; a process that is killed keeps nobody out.

    Where the system has no such locks, nobody is kept out.

    Parameters
    ----------
    folder
        A folder, which is made where it is not there.

    Raises
    ------
    InputError
        If another process is at work in it, or it can't be written to.
    """
    path = folder / LOCK
    with _opened(path) as file:
        if not _locked(file, path, wait=False):
            raise InputError(
                f"{folder}: another process is at work in it; expected to wait for it, or another folder"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait until nobody else is in such a block on a folder, and run it; for blocks that are short.

    Where the system has no such locks, nobody waits.

    Parameters
    ----------
    folder
        A folder, which is made where it is not there.

    Raises
    ------
    InputError
        If it can't be written to.
    """
    path = folder / _TURN
    while True:
        with _opened(path) as file:
            if not _locked(file, path, wait=True):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path.parent}: can't be written to ({error.strerror}); expected a folder for results"
        ) from error


def _locked(file: TextIO, path: Path, *, wait: bool) -> bool:
    """Lock an open file, and return whether it is ours; if not, another has it or has removed it."""
    try:
        import fcntl  # noqa: PLC0415  (not on every system)
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    # Who held it may have removed the file between our opening and our locking it.
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
