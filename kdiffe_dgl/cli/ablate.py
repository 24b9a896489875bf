"""``kdiffe ablate``: what each part of KDiffE is worth, and curves over its settings."""

from __future__ import annotations

from pathlib import Path

import click

from kdiffe_dgl.cli.grid_command import (
    GridOptions,
    StudyOptions,
    grid_options,
    study_options,
    tell,
    watched,
)
from kg_builders.cli.shell import PATH, examples

__all__ = ["ablate"]

_EPILOG = examples(
    "kdiffe ablate --data data/ml-100k --out runs/ablation",
    "kdiffe ablate --data data/ml-100k --only random-edges --seeds 3 --out runs/ablation",
    "kdiffe ablate --data data/ml-100k --vary attention.epsilon=0,0.3,0.6,0.9 --out runs/ablation",
    "kdiffe ablate --data data/ml-100k --records records --out runs/ablation",
)


@click.command(epilog=_EPILOG)
@study_options
@click.option(
    "--only", multiple=True, metavar="ARM", help="Arm to train; repeatable.  [default: all that fit]"
)
@click.option(
    "--vary", multiple=True, metavar="SETTING=VALUE,...",
    help="Setting of the model to vary instead, such as knowledge.diffusion.steps=5,10; repeatable.",
)  # fmt: skip
@click.option(
    "--records", type=PATH,
    help="Folder of small files of what was measured: those runs are not trained again, and new ones are "
    "kept there. kdiffe compare reads and writes the same.",
)  # fmt: skip
@grid_options
def ablate(
    study: StudyOptions,
    only: tuple[str, ...],
    vary: tuple[str, ...],
    records: Path | None,
    grid: GridOptions,
) -> None:
    """Train KDiffE without one part at a time, and compare each arm with the full model.

    Arms: without-attention, without-knowledge, shuffled-knowledge (items change places in the graph),
    without-diffusion (the graph as it is), random-edges (as many, at random), without-modality-diffusion,
    random-modality-edges, without-each-modality, without-modalities, without-multimodal-view,
    without-interaction-profile, without-pairwise-view, without-knowledge-contrast, without-modality-contrast,
    without-guidance.
    Epochs are chosen on validation; finished runs are used again. The exit status is 1 where a run failed.
    """
    # Imported here: bad options are told without waiting for torch.
    from kdiffe_dgl.experiments.ablation import ablate as run_ablation  # noqa: PLC0415
    from kdiffe_dgl.experiments.ablation import read_sweep  # noqa: PLC0415

    sweeps = [read_sweep(text) for text in vary]
    found = watched(
        lambda watcher: run_ablation(study.setup(grid, watcher, records), only=only, sweeps=sweeps),
        grid.quiet,
    )
    notes = [f"left out  {told}" for told in found.left_out]
    if records is not None:
        notes.append(f"records  {found.recorded} of {found.runs} runs were in {records}")
    tell(found, study.out, "results.json, tables.md and figures/", notes)
