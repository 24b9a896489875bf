"""``kdiffe data attach``: a data set with another knowledge graph or more features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from kdiffe_dgl.cli.data_options import OUT, OVERWRITE, by_name
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.features import load_modalities
from kdiffe_dgl.data.knowledge import attach_graph
from kdiffe_dgl.data.storage import copy_sidecars, require_free
from kdiffe_dgl.errors import InputError
from kg_builders.cli.shell import NAMED_PATH, PATH, examples
from kg_builders.io import read_knowledge_graph

__all__ = ["attach_command"]


@click.command(
    "attach",
    epilog=examples(
        "kdiffe data attach data/ml-100k --kg kg/ml-100k --out data/ml-built",
        "kdiffe data attach data/shop --features text=features/text.npy --out data/shop --overwrite",
        "kdiffe data attach data/ml-100k --no-kg --out data/ml-bare",
    ),
)
@click.argument("folder", type=PATH)
@click.option("--kg", "graph", type=PATH, help="Folder of a knowledge graph, as kg-build writes it.")
@click.option("--no-kg", "without", is_flag=True, help="Take the knowledge graph away.")
@click.option(
    "--features",
    type=NAMED_PATH,
    multiple=True,
    help="A modality and its .npy file, a row for each item; may be repeated.",
)
@OUT
@OVERWRITE
def attach_command(
    *,
    folder: Path,
    graph: Path | None,
    without: bool,
    features: Sequence[tuple[str, Path]],
    out: Path,
    overwrite: bool,
) -> None:
    """Give the data set in FOLDER another knowledge graph, or features; all else stays as it is."""
    if (graph is not None and without) or (graph is None and not without and not features):
        raise InputError(
            "nothing to do, or two things that exclude each other; expected --kg, --no-kg or --features"
        )
    require_free(out, overwrite)
    dataset = RecDataset.load(folder)
    if without:
        facts = {key: value for key, value in dataset.provenance.items() if key != "knowledge"}
        dataset = dataset.replace(kg=None, provenance=facts)
    elif graph is not None:
        dataset = attach_graph(dataset, read_knowledge_graph(graph), str(graph))
    if features:
        matrices = load_modalities(by_name("--features", features), dataset.items["id"].to_list())
        dataset = dataset.replace(features={**dataset.features, **matrices})
    dataset.save(out, overwrite, copy_sidecars(folder))
    kg = dataset.kg
    held = "no knowledge graph" if kg is None else f"{kg.n_triples:,} triples"
    if graph is not None:
        held += f"; it knows {dataset.provenance['knowledge']['items_known']:,} of {dataset.n_items:,} items"
    click.echo(f"written to {out}: {held}; features: {', '.join(dataset.features) or 'none'}")
