"""``kdiffe compare``: models x data sets x seeds from one YAML file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kdiffe_dgl.cli.grid_command import GridOptions, grid_options, tell, watched
from kg_builders.cli.shell import PATH, examples, out_option

__all__ = ["compare"]

_EPILOG = examples(
    "kdiffe compare --example > plan.yaml",
    "kdiffe compare plan.yaml",
    "kdiffe compare plan.yaml --jobs 4 --output runs/paper",
)


def _show_example(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from kdiffe_dgl.experiments.plan import EXAMPLE  # noqa: PLC0415

        click.echo(EXAMPLE, nl=False)
        ctx.exit()


@click.command(epilog=_EPILOG)
@click.argument("plan", type=PATH)
@out_option("output", "Folder for runs and results.  [default: that of the plan]")
@click.option(
    "--example", is_flag=True, is_eager=True, expose_value=False, callback=_show_example,
    help="Print a plan to start from, and exit.",
)  # fmt: skip
@grid_options
def compare(plan: Path, output: Path | None, grid: GridOptions) -> None:
    """Train every entry of PLAN on every data set with every seed, and compare them.

    A plan with a budget (tune: 20) has settings searched first. Epochs are chosen on validation alone.
    Finished runs are used again and stopped ones gone on with, so a plan may be changed, and a command that
    was interrupted be given again. With records, what was measured is kept in small files, and what they hold
    needs no run. Tables (Markdown, LaTeX, JSON) and figures are written; the exit status is 1 where a run
    failed.
    """
    # Imported here: bad options are told without waiting for torch.
    from kdiffe_dgl.experiments.comparison import compare as run_comparison  # noqa: PLC0415
    from kdiffe_dgl.experiments.plan import read_plan  # noqa: PLC0415

    read = read_plan(plan)
    if output is not None:
        read = replace(read, output=output)
    found = watched(
        lambda watcher: run_comparison(
            read, jobs=grid.jobs, threads=grid.threads, device=grid.device, watcher=watcher
        ),
        grid.quiet,
    )
    runs = [run for result in found.datasets for entry in result.entries for run in entry.runs]
    # Entries of the same settings share theirs.
    of = len({(run.record, run.seed) for run in runs})
    notes = [] if read.records is None else [f"records  {found.recorded} of {of} runs were in {read.records}"]
    tell(found, read.output, "results.json, tables.md, tables.tex and figures/", notes)
