"""One command at a time in a folder: two would train the same runs and stop each other's trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdiffe_dgl.errors import InputError

__all__ = ["LOCK", "only_one"]

LOCK = "in-use.lock"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep others out of a folder while the block runs; a process that is killed keeps nobody out.

    Where the system has no such locks, nothing is kept out.

    Parameters
    ----------
    folder
        A folder that is there.

    Raises
    ------
    InputError
        If another process is at work in it.
    """
    try:
        import fcntl  # noqa: PLC0415  (not on every system)
    except ModuleNotFoundError:
        yield
        return
    path = folder / LOCK
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{folder}: another process is at work in it; expected to wait for it, or another folder"
            ) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
