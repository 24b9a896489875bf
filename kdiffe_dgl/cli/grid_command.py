"""What the commands that train many runs share: options, progress, Ctrl-C, tables and exit status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from kg_builders.cli.shell import INTERRUPTED, PATH, out_option

if TYPE_CHECKING:
    from kdiffe_dgl.experiments.grid import Watcher
    from kdiffe_dgl.experiments.tables import ResultTable
    from kdiffe_dgl.experiments.variants import Setup

__all__ = [
    "GridOptions",
    "StudyOptions",
    "grid_options",
    "print_tables",
    "study_options",
    "tell",
    "watched",
]

Command = Callable[..., Any]
FoundT = TypeVar("FoundT")
_PIPED_WIDTH = 120


@dataclass(frozen=True)
class GridOptions:
    """How runs are carried out: ``--jobs``, ``--threads``, ``--device`` and ``--quiet``."""

    jobs: int
    threads: int | None
    device: str
    quiet: bool


@dataclass(frozen=True)
class StudyOptions:
    """What is varied, and where results go: ``--data``, ``--out``, the model's settings and ``--seeds``."""

    data: Path
    out: Path
    preset_name: str | None
    config: Path | None
    overrides: tuple[str, ...]
    seeds: int

    def setup(self, grid: GridOptions, watcher: Watcher, records: Path | None = None) -> Setup:
        """Return what the variants are trained on and with; ``records``: what was measured before."""
        from kdiffe_dgl.api import settings_for  # noqa: PLC0415  (--help does not wait for torch)
        from kdiffe_dgl.experiments.variants import Resources, Setup  # noqa: PLC0415

        settings = settings_for(self.preset_name, self.config, self.overrides)
        resources = Resources(grid.jobs, grid.threads, grid.device, watcher)
        return Setup(self.data, settings, self.out, range(self.seeds), resources=resources, records=records)


def _bundled(name: str, kind: type[Any], options: Sequence[Callable[[Command], Command]]) -> Any:
    """Return a decorator that adds options, and hands their values over as one argument."""
    names = [field.name for field in fields(kind)]

    def decorate(command: Command) -> Command:
        # Click keeps options as an attribute of the function, which the wrapper takes over.
        @functools.wraps(command)
        def called(*arguments: Any, **values: Any) -> Any:
            values[name] = kind(**{each: values.pop(each) for each in names})
            return command(*arguments, **values)

        decorated: Command = called
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


grid_options = _bundled("grid", GridOptions, [
    click.option(
        "--jobs", type=click.IntRange(min=1), default=1, show_default=True,
        help="Runs at a time, each in a process of its own.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1),
        help="Threads of each process.  [default: the cores shared out]",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--quiet", is_flag=True, help="No progress, only the result."),
])  # fmt: skip
"""Options of commands that train many runs; the command gets ``grid``, a :class:`GridOptions`."""


study_options = _bundled("study", StudyOptions, [
    click.option("--data", type=PATH, required=True, help="Data set folder."),
    out_option("out", "Folder for runs and results.", required=True),
    click.option("--preset", "preset_name", help="Settings to start from.  [default: default]"),
    click.option("--config", type=PATH, help="YAML file of settings, over the preset."),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over all others."
    ),
    click.option(
        "--seeds", type=click.IntRange(1, 1000), default=5, show_default=True,
        help="Runs of each variant.",
    ),
])  # fmt: skip
"""Options of commands that train variants of a model; the command gets ``study``, a :class:`StudyOptions`."""


def watched(work: Callable[[Watcher], FoundT], quiet: bool, kept: str = "finished runs are kept") -> FoundT:
    """Train with progress on standard error; Ctrl-C ends the command with the usual status.

    Parameters
    ----------
    work
        What is done; it is given whom to tell.
    quiet
        Whether no progress is shown.
    kept
        What an interruption leaves, for its sentence.
    """
    from rich.console import Console  # noqa: PLC0415

    from kdiffe_dgl.cli.grid_progress import GridProgress  # noqa: PLC0415

    try:
        with GridProgress(Console(stderr=True, quiet=quiet, soft_wrap=True)) as progress:
            return work(progress)
    except KeyboardInterrupt:
        click.echo(f"interrupted; {kept}, and the same command goes on", err=True)
        click.get_current_context().exit(INTERRUPTED)


def print_tables(tables: Sequence[ResultTable]) -> None:
    """Print tables, on a terminal with the best in bold, otherwise 120 columns wide."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    for table in tables:
        console.print(table.rich())
        console.print()


class Found(Protocol):
    """What an experiment brought."""

    @property
    def failures(self) -> Sequence[str]:
        """A sentence for each run that failed."""

    def tables(self) -> Sequence[ResultTable]:
        """Return its tables."""

    def write(self, folder: Path) -> object:
        """Write its files into a folder."""


def tell(found: Found, folder: Path, written: str, notes: Sequence[str] = ()) -> None:
    """Write and print what an experiment brought; the exit status is 1 where a run failed.

    Parameters
    ----------
    found
        What it brought.
    folder
        Where its files go.
    written
        What these are, for its sentence.
    notes
        Lines after the tables.
    """
    found.write(folder)
    print_tables(found.tables())
    for line in (*notes, f"written  {written} in {folder}"):
        click.echo(line)
    for failure in found.failures:
        click.echo(f"failed  {failure}", err=True)
    if found.failures:
        click.get_current_context().exit(1)
