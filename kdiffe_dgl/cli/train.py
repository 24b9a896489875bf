"""``kdiffe train``: train a model on a data set."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console

from kdiffe_dgl.api import default_folder, settings_for
from kdiffe_dgl.cli.progress import TrainingProgress
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.report import write_report
from kdiffe_dgl.evaluation.tables import fitted_weights
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import DEFAULT_PRESET, resolve
from kdiffe_dgl.training.run import RunOutcome, resume_run, train_run
from kg_builders.cli.shell import INTERRUPTED, out_option

__all__ = ["settings_for", "summary", "train"]

_EPILOG = """\b
Examples:
  kdiffe train --data data/ml-100k
  kdiffe train --data data/mine --model lightgcn --output runs/baseline --seed 1
  kdiffe train --data data/mine --preset lfm2k --set model.contrast.temperature=0.2
  kdiffe train --data data/mine --config mine.yaml --set training.epochs=50
  kdiffe train --data data/mine --output runs/stopped --resume
"""


_NOT_WITH_RESUME = {
    "overrides": "--set",
    "config": "--config",
    "preset_name": "--preset",
    "model": "--model",
    "seed": "--seed",
    "overwrite": "--overwrite",
}


def summary(outcome: RunOutcome) -> str:
    """Say in a few lines how a run ended and where its results are."""
    fit = outcome.fit
    lines = []
    if fit.interrupted:
        if fit.best_epoch:
            kept = f"the best weights so far, of epoch {fit.best_epoch}, are in {outcome.folder}"
        else:
            kept = "no epoch was validated yet, so there are no weights"
        lines.append(f"stopped after {_count(len(fit.history), 'epoch')}; {kept}")
        lines.append(f"go on with: kdiffe train --data DATA --output {outcome.folder} --resume")
        return "\n".join(lines)
    lines.append(f"best epoch {fit.best_epoch} of {len(fit.history)} by validation")
    if fit.scoring is not None:
        weights = fitted_weights(fit.scoring.weights)
        lines.append(f"weights in the score, fitted on validation  {weights}")
    if outcome.test is not None:
        shown = [f"{name}@{k}" for k in outcome.test.cutoffs for name in ("recall", "ndcg")]
        lines.append("test  " + "  ".join(f"{name} {outcome.test.metrics[name]:.4f}" for name in shown))
    lines.append(f"run folder  {outcome.folder}")
    return "\n".join(lines)


def _is_given(ctx: click.Context, parameter: str) -> bool:
    return ctx.get_parameter_source(parameter) is not ParameterSource.DEFAULT


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@click.command(epilog=_EPILOG)
@click.option("--data", "data", type=click.Path(path_type=Path), required=True, help="Data set folder.")
@out_option("output", "Run folder.  [default: runs/DATA-MODEL-SEED]")
@click.option("--model", help="Model to train.  [default: that of the preset, kdiffe]")
@click.option("--preset", "preset_name", help="Settings to start from.  [default: default]")
@click.option("--config", type=click.Path(path_type=Path), help="YAML file of settings, over the preset.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over all others.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all randomness."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped, with its settings.")
@click.option("--overwrite", is_flag=True, help="Remove an earlier run in the run folder.")
@click.option("--quiet", is_flag=True, help="No progress, only the result.")
@click.pass_context
def train(
    ctx: click.Context,
    data: Path,
    output: Path | None,
    model: str | None,
    preset_name: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    seed: int,
    device: str,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Train a model on a data set; the epoch is chosen on validation, the test split is read once.

    Ctrl-C ends the run with the best weights saved; --resume goes on as if it had not been stopped.
    """
    dataset = RecDataset.load(data)
    console = Console(stderr=True, quiet=quiet, soft_wrap=True)
    if resume:
        if output is None:
            raise InputError("--resume needs --output; expected the folder of the run that was stopped")
        given = [name for name in _NOT_WITH_RESUME if _is_given(ctx, name)]
        if given:
            options = ", ".join(_NOT_WITH_RESUME.values())
            raise InputError(
                f"--resume takes the settings and the seed of the run, not {_NOT_WITH_RESUME[given[0]]}; "
                f"expected none of {options}"
            )
        settings = resolve(RunFolder(output).config(), where=str(output / "config.yaml"))
        with TrainingProgress(console, settings.training.epochs, settings.training.monitor) as progress:
            outcome = resume_run(dataset, output, device=device, progress=progress)
    else:
        settings = settings_for(preset_name, config, overrides, model)
        folder = output or default_folder(dataset, settings, seed)
        console.print(
            f"{settings.name} on {dataset.name}, preset {preset_name or DEFAULT_PRESET}, seed {seed}",
            highlight=False,
            markup=False,
        )
        with TrainingProgress(console, settings.training.epochs, settings.training.monitor) as progress:
            outcome = train_run(
                dataset, folder, settings, seed=seed, device=device, overwrite=overwrite, progress=progress
            )
    click.echo(summary(outcome))
    if outcome.fit.interrupted:
        ctx.exit(INTERRUPTED)
    if outcome.fit.best_epoch:
        click.echo(f"report  {write_report(outcome.folder)}")
