"""One command at a time in a folder: two would train the same runs and stop each other's trials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdiffe_dgl.errors import InputError

__all__ = ["LOCK", "only_one"]

LOCK = "in-use.lock"


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder}: can't be written to ({error.strerror}); expected a folder for results"
        ) from error
    try:
        import fcntl  # noqa: PLC0415  (not on every system)
    except ModuleNotFoundError:
        fcntl = None  # type: ignore[assignment]
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who held it may have removed the file between our opening and our locking it.
            ours = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except BlockingIOError:
            ours = False
        except OSError:
            ours = True  # a file system without locks
        if not ours:
            raise InputError(
                f"{folder}: another process is at work in it; expected to wait for it, or another folder"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
