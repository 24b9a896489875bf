"""``kdiffe robustness``: what noise costs, and how much of it regeneration throws out."""

from __future__ import annotations

from typing import Any, Literal

import click

from kdiffe_dgl.cli.grid_command import (
    GridOptions,
    StudyOptions,
    grid_options,
    study_options,
    tell,
    watched,
)
from kg_builders.cli.shell import examples

__all__ = ["robustness"]

_EPILOG = examples(
    "kdiffe robustness --data data/ml-100k --out runs/noise",
    "kdiffe robustness --data data/ml-100k --set model.knowledge.scoring=structure --out runs/noise",
    "kdiffe robustness --data data/ml-100k --interactions 0.1,0.2 --seeds 3 --out runs/noise",
)


class _Levels(click.ParamType):
    """Shares with commas between them."""

    name = "SHARE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of shares such as 0.1,0.5,1", param, ctx)


@click.command(epilog=_EPILOG)
@study_options
@click.option(
    "--triples",
    type=_Levels(),
    help="Random triples to add, as shares.  [default: 0.1,0.25,0.5,1 without --interactions]",
)
@click.option("--interactions", type=_Levels(), help="Random interactions to add to training, as shares.")
@click.option(
    "--ends",
    type=click.Choice(("relation", "any")),
    default="relation",
    show_default=True,
    help="What random triples join: heads and tails of their relation, or any entities.",
)
@grid_options
def robustness(
    study: StudyOptions,
    triples: tuple[float, ...] | None,
    interactions: tuple[float, ...] | None,
    ends: Literal["relation", "any"],
    grid: GridOptions,
) -> None:
    """Train with random triples or interactions added, and see what that costs.

    Added triples are new, and as many of each relation as its share. Told are the loss of recall and nDCG,
    and for kdiffe how many of the added triples regeneration throws out, how many others stay, and the AUC
    of the scores; on planted data also the AUC of triples that cause interactions. The exit status is 1
    where a run failed.
    """  # fmt: skip
    # Imported here: bad options are told without waiting for torch.
    from kdiffe_dgl.experiments.robustness import LEVELS  # noqa: PLC0415
    from kdiffe_dgl.experiments.robustness import robustness as run_robustness  # noqa: PLC0415

    if triples is None:
        triples = () if interactions else LEVELS
    found = watched(
        lambda watcher: run_robustness(
            study.setup(grid, watcher), triples=triples, interactions=interactions or (), ends=ends
        ),
        grid.quiet,
    )
    tell(found, study.out, "results.json, tables.md and figures/")
