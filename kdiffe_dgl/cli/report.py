"""``kdiffe report``: the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

import click

from kdiffe_dgl.evaluation.report import write_report
from kg_builders.cli.shell import examples

__all__ = ["report"]


@click.command(epilog=examples("kdiffe report runs/mine"))
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write RUN/report.html and the training curves beside it, and print the file's name."""
    click.echo(str(write_report(run)))
