"""``kdiffe robustness``: what noise costs, and how much of it regeneration throws out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from kdiffe_dgl.cli.compare import grid_options, print_tables
from kg_builders.cli.shell import INTERRUPTED, PATH, examples

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
@click.option("--data", type=PATH, required=True, help="Data set folder.")
@click.option("--out", type=PATH, required=True, help="Folder for runs and results.")
@click.option("--preset", "preset_name", help="Settings of the model.  [default: as kdiffe train]")
@click.option("--config", type=PATH, help="YAML file of settings, over the preset.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over all others.")
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
@click.option(
    "--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Runs of each level."
)
@grid_options
@click.pass_context
def robustness(
    ctx: click.Context,
    data: Path,
    out: Path,
    preset_name: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    triples: tuple[float, ...] | None,
    interactions: tuple[float, ...] | None,
    ends: Literal["relation", "any"],
    seeds: int,
    jobs: int,
    threads: int | None,
    device: str,
    quiet: bool,
) -> None:
    """Train with random triples or interactions added, and see what that costs.

    Added triples are new, and as many of each relation as its share. Told are the loss of recall and nDCG,
    and for kdiffe how many of the added triples regeneration throws out, how many others stay, and the AUC
    of the scores; on planted data also the AUC of triples that cause interactions. The exit status is 1
    where a run failed.
    """  # fmt: skip
    from rich.console import Console  # noqa: PLC0415  (bad options are told without waiting for torch)

    from kdiffe_dgl.api import settings_for  # noqa: PLC0415
    from kdiffe_dgl.cli.grid_progress import GridProgress  # noqa: PLC0415
    from kdiffe_dgl.data.dataset import RecDataset  # noqa: PLC0415
    from kdiffe_dgl.experiments.robustness import LEVELS  # noqa: PLC0415
    from kdiffe_dgl.experiments.robustness import robustness as run_robustness  # noqa: PLC0415
    from kdiffe_dgl.experiments.variants import Resources  # noqa: PLC0415

    settings, _ = settings_for(RecDataset.load(data).name, preset_name, config, overrides)
    if triples is None:
        triples = () if interactions else LEVELS
    try:
        with GridProgress(Console(stderr=True, quiet=quiet, soft_wrap=True)) as progress:
            found = run_robustness(
                data, settings, out, triples=triples, interactions=interactions or (), ends=ends,
                seeds=range(seeds), resources=Resources(jobs, threads, device, progress),
            )  # fmt: skip
    except KeyboardInterrupt:
        click.echo("interrupted; finished runs are kept, and the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    found.write(out)
    print_tables(found.tables())
    click.echo(f"written  results.json, tables.md and figures/ in {out}")
    for failure in found.failures:
        click.echo(f"failed  {failure}", err=True)
    if found.failures:
        ctx.exit(1)
