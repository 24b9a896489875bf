"""``kdiffe compare``: models x data sets x seeds from one YAML file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kg_builders.cli.shell import INTERRUPTED, PATH, examples

if TYPE_CHECKING:
    from kdiffe_dgl.experiments.tables import ResultTable

__all__ = ["compare", "grid_options", "print_tables"]

_PIPED_WIDTH = 120
_EPILOG = examples(
    "kdiffe compare --example > plan.yaml",
    "kdiffe compare plan.yaml",
    "kdiffe compare plan.yaml --jobs 4 --output runs/paper",
)


def grid_options(command: Any) -> Any:
    """Add the options of commands that train many runs: jobs, threads, device, quiet."""
    options = [
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
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def print_tables(tables: Sequence[ResultTable]) -> None:
    """Print tables, on a terminal with the best in bold, otherwise 120 columns wide."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    for table in tables:
        console.print(table.rich())
        console.print()


def _show_example(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from kdiffe_dgl.experiments.plan import EXAMPLE  # noqa: PLC0415

        click.echo(EXAMPLE, nl=False)
        ctx.exit()


@click.command(epilog=_EPILOG)
@click.argument("plan", type=PATH)
@click.option("--output", type=PATH, help="Folder for runs and results.  [default: that of the plan]")
@click.option(
    "--example", is_flag=True, is_eager=True, expose_value=False, callback=_show_example,
    help="Print a plan to start from, and exit.",
)  # fmt: skip
@grid_options
@click.pass_context
def compare(
    ctx: click.Context,
    plan: Path,
    output: Path | None,
    jobs: int,
    threads: int | None,
    device: str,
    quiet: bool,
) -> None:
    """Train every entry of PLAN on every data set with every seed, and compare them.

    Epochs are chosen on validation alone. Finished runs are used again and stopped ones gone on with, so a
    plan may be changed, and a command that was interrupted be given again. Tables (Markdown, LaTeX, JSON) and
    figures are written; the exit status is 1 where a run failed.
    """
    from rich.console import Console  # noqa: PLC0415  (bad options are told without waiting for torch)

    from kdiffe_dgl.cli.grid_progress import GridProgress  # noqa: PLC0415
    from kdiffe_dgl.experiments.comparison import compare as run_comparison  # noqa: PLC0415
    from kdiffe_dgl.experiments.plan import read_plan  # noqa: PLC0415

    read = read_plan(plan)
    if output is not None:
        read = replace(read, output=output)
    console = Console(stderr=True, quiet=quiet, soft_wrap=True)
    try:
        with GridProgress(console) as progress:
            found = run_comparison(read, jobs=jobs, threads=threads, device=device, watcher=progress)
    except KeyboardInterrupt:
        click.echo("interrupted; finished runs are kept, and the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    found.write()
    print_tables(found.tables())
    click.echo(f"written  results.json, tables.md, tables.tex and figures/ in {found.plan.output}")
    for failure in found.failures:
        click.echo(f"failed  {failure}", err=True)
    if found.failures:
        ctx.exit(1)
