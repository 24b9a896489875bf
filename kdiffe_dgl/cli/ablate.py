"""``kdiffe ablate``: what each part of KDiffE is worth, and curves over its settings."""

from __future__ import annotations

from pathlib import Path

import click

from kdiffe_dgl.cli.compare import grid_options, print_tables
from kg_builders.cli.shell import INTERRUPTED, PATH, examples

__all__ = ["ablate"]

_EPILOG = examples(
    "kdiffe ablate --data data/ml-100k --out runs/ablation",
    "kdiffe ablate --data data/ml-100k --only random-edges --seeds 3 --out runs/ablation",
    "kdiffe ablate --data data/ml-100k --vary attention.epsilon=0,0.3,0.6,0.9 --out runs/ablation",
)


@click.command(epilog=_EPILOG)
@click.option("--data", type=PATH, required=True, help="Data set folder.")
@click.option("--out", type=PATH, required=True, help="Folder for runs and results.")
@click.option("--preset", "preset_name", help="Settings of the full model.  [default: as kdiffe train]")
@click.option("--config", type=PATH, help="YAML file of settings, over the preset.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over all others.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Runs of each arm.")
@click.option(
    "--only", multiple=True, metavar="ARM", help="Arm to train; repeatable.  [default: all that fit]"
)
@click.option(
    "--vary", multiple=True, metavar="SETTING=VALUE,...",
    help="Setting of the model to vary instead, such as knowledge.diffusion.steps=5,10; repeatable.",
)  # fmt: skip
@grid_options
@click.pass_context
def ablate(
    ctx: click.Context,
    data: Path,
    out: Path,
    preset_name: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    seeds: int,
    only: tuple[str, ...],
    vary: tuple[str, ...],
    jobs: int,
    threads: int | None,
    device: str,
    quiet: bool,
) -> None:
    """Train KDiffE without one part at a time, and compare each arm with the full model.

    Arms: without-attention, without-knowledge, shuffled-knowledge (items change places in the graph),
    without-diffusion (the graph as it is), random-edges (as many, at random), without-modality-diffusion,
    random-modality-edges, without-each-modality, without-modalities, without-knowledge-contrast,
    without-modality-contrast, without-guidance. Epochs are chosen on validation; finished runs are used
    again. The exit status is 1 where a run failed.
    """
    from rich.console import Console  # noqa: PLC0415  (bad options are told without waiting for torch)

    from kdiffe_dgl.api import settings_for  # noqa: PLC0415
    from kdiffe_dgl.cli.grid_progress import GridProgress  # noqa: PLC0415
    from kdiffe_dgl.data.dataset import RecDataset  # noqa: PLC0415
    from kdiffe_dgl.experiments.ablation import ablate as run_ablation  # noqa: PLC0415
    from kdiffe_dgl.experiments.ablation import read_sweep  # noqa: PLC0415
    from kdiffe_dgl.experiments.variants import Resources  # noqa: PLC0415

    sweeps = [read_sweep(text) for text in vary]
    settings, _ = settings_for(RecDataset.load(data).name, preset_name, config, overrides)
    try:
        with GridProgress(Console(stderr=True, quiet=quiet, soft_wrap=True)) as progress:
            found = run_ablation(
                data, settings, out, seeds=range(seeds), only=only, sweeps=sweeps,
                resources=Resources(jobs, threads, device, progress),
            )  # fmt: skip
    except KeyboardInterrupt:
        click.echo("interrupted; finished runs are kept, and the same command goes on", err=True)
        ctx.exit(INTERRUPTED)
    found.write(out)
    print_tables(found.tables())
    for told in found.left_out:
        click.echo(f"left out  {told}")
    click.echo(f"written  results.json, tables.md and figures/ in {out}")
    for failure in found.failures:
        click.echo(f"failed  {failure}", err=True)
    if found.failures:
        ctx.exit(1)
