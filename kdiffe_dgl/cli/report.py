"""``kdiffe report``: the HTML report of a run."""

from __future__ import annotations

from pathlib import Path

import click

from kdiffe_dgl.evaluation.report import write_report

__all__ = ["report"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write RUN/report.html and the training curves beside it, and print the file's name."""
    click.echo(str(write_report(run)))
