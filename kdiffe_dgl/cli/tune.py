"""``kdiffe tune``: search settings on validation and save the best as a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kdiffe_dgl.cli.grid_command import GridOptions, grid_options, print_tables, watched
from kg_builders.cli.shell import PATH, examples, out_option

__all__ = ["tune"]

_EPILOG = examples(
    "kdiffe tune --data data/mine --model lightgcn --trials 50",
    "kdiffe tune --data data/mine --output runs/tuned --timeout 3600 --jobs 4",
    "kdiffe tune --data data/mine --set training.epochs=30 --set model.dim=32",
    "kdiffe tune --data data/mine --search model.layers --search model.contrast --trials 10",
    "kdiffe train --data data/mine --preset runs/tuned/best.yaml",
)


@click.command(epilog=_EPILOG)
@click.option("--data", type=PATH, required=True, help="Data set folder.")
@out_option("output", "Folder of the search.  [default: runs/tune-DATA-MODEL]")
@click.option("--model", help="Model to tune.  [default: that of the preset, kdiffe]")
@click.option("--preset", "preset_name", help="Settings to start from.  [default: default]")
@click.option("--config", type=PATH, help="YAML file of settings, over the preset.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, which is not searched."
)
@click.option(
    "--search", "only", multiple=True, metavar="KEY",
    help="Setting, or group such as model.contrast, to search alone; may be repeated.  [default: all]",
)  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(min=1), default=30, show_default=True,
    help="Trials of the whole search, those of earlier calls included.",
)  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds after which no trial is begun.")
@click.option(
    "--pruner", type=click.Choice(["median", "halving", "none"]), default="median", show_default=True,
    help="Which trials are stopped early by their validation so far.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of search and training."
)
@grid_options
def tune(
    data: Path,
    output: Path | None,
    model: str | None,
    preset_name: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    trials: int,
    timeout: float | None,
    pruner: Any,
    seed: int,
    grid: GridOptions,
) -> None:
    """Search the settings of a model on validation; test data are never read.

    What counts is the best value of training.monitor, by default Recall@20.

    The first trial has the settings that the search starts from. A search that was interrupted goes on with
    the same command, one that is over with more --trials. The best settings are in best.yaml, for --preset of
    kdiffe train and for plans of kdiffe compare.
    """
    # Imported here: bad options are told without waiting for torch.
    from kdiffe_dgl.api import settings_for  # noqa: PLC0415
    from kdiffe_dgl.data.dataset import RecDataset  # noqa: PLC0415
    from kdiffe_dgl.experiments.tuning import TuneOptions  # noqa: PLC0415
    from kdiffe_dgl.experiments.tuning import tune as run_search  # noqa: PLC0415

    if output is None:
        name = RecDataset.load(data).name
        settings = settings_for(preset_name, config, overrides, model)
        output = Path("runs") / f"tune-{name}-{settings.name}"
    folder = output
    found = watched(
        lambda watcher: run_search(
            data,
            folder,
            model=model,
            preset_name=preset_name,
            config=config,
            overrides=overrides,
            only=only,
            options=TuneOptions(trials, timeout, seed, pruner),
            jobs=grid.jobs,
            threads=grid.threads,
            device=grid.device,
            watcher=watcher,
        ),
        grid.quiet,
        "ended trials are kept",
    )
    found.write()
    print_tables(found.tables())
    click.echo(f"best settings  {folder / 'best.yaml'}")
    click.echo(f"train with  kdiffe train --data {data} --preset {folder / 'best.yaml'}")
