"""Progress of a build on standard error: a bar with records per second, a line a phase without a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["PhaseProgress"]


class PhaseProgress:
    """Shows the phase at hand, and of the reading how far it is; a context manager.

    Parameters
    ----------
    quiet
        Whether to show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._began = self._started = time.perf_counter()
        self._records = 0

    def __enter__(self) -> PhaseProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A phase that failed isn't told as one that is done.
        if error is None:
            self._finish()
        self._bars.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def phase(self, name: str) -> None:
        """Tell that a phase begins."""
        self._finish()
        self._name, self._started, self._records = name, time.perf_counter(), 0
        self._task = self._bars.add_task(name, total=None, speed="")

    def read(self, done: int, size: int | None, records: int) -> None:
        """Tell how many bytes of how many were read, and how many records."""
        self._records = records
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=size, speed=f"{self._rate():,.0f} records/s")

    def count(self, done: int, total: int) -> None:
        """Tell how many of how many items are done."""
        self._records = done
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, speed=f"{self._rate():,.0f} items/s")

    def _rate(self) -> float:
        return self._records / max(time.perf_counter() - self._started, 1e-9)

    def _finish(self) -> None:
        if self._task is None:
            return
        self._bars.remove_task(self._task)
        self._task = None
        spent = time.perf_counter() - self._started
        rate = f", {self._records:,} records, {self._rate():,.0f} a second" if self._records else ""
        self._console.print(f"{self._name}: {spent:.1f} s{rate}", highlight=False, markup=False)
