"""Progress of training on the terminal: bars where there is one, a line an epoch where there is not."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """Shows epochs, batches and the current metrics; a context manager.

    Parameters
    ----------
    console
        Where to write (standard error, so that results can be piped).
    epochs
        Most epochs of the run.
    monitor
        Validation metric that chooses the epoch.
    """

    def __init__(self, console: Console, epochs: int, monitor: str) -> None:
        self._console, self._epochs, self._monitor = console, epochs, monitor
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all: TaskID | None = None
        self._batches: TaskID | None = None
        self._best = "no validation yet"

    def __enter__(self) -> TrainingProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def epoch_begins(self, epoch: int, batches: int) -> None:
        """Show a new epoch."""
        if self._all is None:
            self._all = self._bars.add_task("epochs", total=self._epochs, state=self._best)
            self._batches = self._bars.add_task("batches", total=batches, state="")
        self._bars.update(self._all, completed=epoch - 1, state=self._best)
        if self._batches is not None:
            self._bars.reset(self._batches, total=batches, state="training the denoisers")

    def batch_ends(self, loss: float) -> None:
        """Show the loss of a batch."""
        if self._batches is not None:
            self._bars.update(self._batches, advance=1, state=f"loss {loss:.4f}")

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Print the epoch's line."""
        validation = record["validation"]
        # A closed-form model is not trained by steps: it has no loss, and one epoch.
        loss = f"loss {sum(record['losses'].values()):.4f}  " if record["losses"] else ""
        figures = f"{self._monitor} {validation[self._monitor]:.4f}" if validation else "not validated"
        mark = "  best so far" if best else ""
        line = f"epoch {record['epoch']:>4}  {loss}validation {figures}"
        self._console.print(f"{line}  {record['seconds']:.1f} s{mark}", highlight=False)
        if best and validation:
            self._best = f"best {self._monitor} {validation[self._monitor]:.4f} at epoch {record['epoch']}"

    def fitting_begins(self) -> None:
        """Say what takes a while after the last epoch."""
        self._console.print("fitting weights of the score on validation", highlight=False)
