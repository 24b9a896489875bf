"""``kdiffe evaluate``: measure the stored representations of a run on a split."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kdiffe_dgl.api import Run
from kdiffe_dgl.cli.options import CUTOFFS
from kdiffe_dgl.cli.output import OVERWRITE, choose_form, emit, require_new
from kdiffe_dgl.evaluation.groups import group_values
from kdiffe_dgl.evaluation.tables import group_tables, metrics_table
from kg_builders.cli.shell import examples, out_option, render

__all__ = ["evaluate"]

_EPILOG = examples(
    "kdiffe evaluate runs/mine --data data/mine",
    "kdiffe evaluate runs/mine --data data/mine --groups --cutoffs 20",
    "kdiffe evaluate runs/mine --data data/mine --mask train+validation --output metrics.json",
)
_SUFFIXES = {".json": "json", ".txt": "table"}
_MASKS = {"train": ("train",), "train+validation": ("train", "validation")}


@click.command(epilog=_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data", "data_folder", type=click.Path(path_type=Path), required=True, help="Folder of the data set."
)
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="test",
    show_default=True,
    help="Split whose items are relevant.",
)
@click.option(
    "--mask",
    type=click.Choice(list(_MASKS)),
    default="train",
    show_default=True,
    help="Splits whose items are left out of the lists.",
)
@click.option(
    "--cutoffs", type=CUTOFFS, default="5,10,20,50", show_default=True, help="Lengths of the lists."
)
@click.option("--groups", is_flag=True, help="Also by groups: users by activity, items by popularity.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    help="Form of the result.  [default: that of the output's suffix, otherwise a table]",
)
@out_option("output", "Write to this file: .json, or .txt for tables.")
@OVERWRITE
def evaluate(
    *,
    run: Path,
    data_folder: Path,
    split: str,
    mask: str,
    cutoffs: tuple[int, ...],
    groups: bool,
    output_format: str | None,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Measure the model in folder RUN on the data set that it was trained on.

    The whole catalogue is ranked for every user with an item in the split.
    """
    chosen = choose_form(output_format, output, _SUFFIXES, "--output")
    require_new(output, overwrite)
    opened = Run(run, data_folder)
    result = opened.evaluate(split, _MASKS[mask], cutoffs)
    model, dataset = opened.folder.info.model, opened.dataset
    metrics = [f"{name}@{cutoff}" for name in ("recall", "ndcg") for cutoff in cutoffs]
    by_group = group_values(dataset, result, metrics) if groups else {}
    if chosen == "json":
        content = {"model": model, "dataset": dataset.name, **result.to_dict()}
        if groups:
            content["groups"] = by_group
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    else:
        title = (
            f"{model} on {dataset.name}, {split} split: {result.n_users_evaluated} users "
            f"({result.n_users_left_out} more have no items in that split and are left out), masked: {mask}"
        )
        tables = [metrics_table({split: result.metrics}, title), *(group_tables(by_group) if groups else [])]
        text = "\n".join(render(table) for table in tables)
    emit(text.encode(), output)
