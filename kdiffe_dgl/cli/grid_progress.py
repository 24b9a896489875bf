"""Progress of many runs on the terminal: a bar over them and what is running; lines where there is none."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from kdiffe_dgl.experiments.jobs import Job, JobResult

__all__ = ["GridProgress"]

_SAID = {
    "trained": "trained",
    "found": "finished before",
    "recorded": "in the records",
    "failed": "FAILED",
    "stopped": "stopped early",
}


class GridProgress:
    """Shows how far a grid is; a context manager and a :class:`kdiffe_dgl.experiments.grid.Watcher`.

    Parameters
    ----------
    console
        Where to write (standard error, so that results can be piped).
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total: int | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all: TaskID | None = None
        self._running: dict[str, TaskID] = {}
        self._done = 0

    def __enter__(self) -> GridProgress:
        self._bars.start()
        self._all = self._bars.add_task("runs", total=None, state="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def grid_begins(self, jobs: int | None) -> None:
        """Remember how many runs there are; counting begins anew."""
        self._total, self._done = jobs, 0
        if self._all is not None:
            self._bars.update(self._all, description="runs", total=jobs, completed=0)

    def job_begins(self, job: Job) -> None:
        """Show a bar over the epochs of a run."""
        epochs = job.config.training.epochs
        # Labels hold names that people chose: brackets in them are no markup.
        task = self._bars.add_task(f"  {escape(job.label)}", total=epochs, state="first epoch")
        self._running[str(job.folder)] = task

    def epoch_ends(self, job: Job, record: dict[str, Any], best: bool) -> bool:
        """Show the epoch and its validation figure; every run may go on."""
        validation, monitor = record["validation"], job.config.training.monitor
        state = f"{monitor} {validation[monitor]:.4f}" if validation else ""
        self._bars.update(self._running[str(job.folder)], completed=record["epoch"], state=state)
        return True

    def job_ends(self, result: JobResult) -> None:
        """Print a line for the run and count it."""
        task = self._running.pop(str(result.job.folder), None)
        if task is not None:
            self._bars.remove_task(task)
        self._done += 1
        if self._all is not None:
            self._bars.update(self._all, completed=self._done)
        of = f"/{self._total}" if self._total is not None else ""
        took = f"  {result.seconds:.1f} s" if result.state == "trained" else ""
        reason = f": {result.reason}" if result.reason else ""
        line = f"{self._done}{of}  {result.job.label}  {_SAID[result.state]}{took}{reason}"
        self._console.print(line, highlight=False, markup=False)

    def measured(self, runs: int, total: int) -> None:
        """Print a line when it begins, and count on the bar."""
        if not runs:
            self._console.print(f"measuring  {total} run{'' if total == 1 else 's'}", highlight=False)
        if self._all is not None:
            self._bars.update(self._all, description="measured", total=total, completed=runs)
