"""Take a knowledge graph and a data set to other tools, and bring them back.

The graph goes to RecBole's atomic files, to KGAT's numbered lists, to GraphML, to NetworkX and to DGL, and
comes back from all that are files; what comes back is compared with what went. Then the interactions are
written in the layouts of RecBole and of MMRec, and read as data sets.

Writes ``recbole/``, ``kgat/``, ``planted.graphml``, ``mmrec/``, the data set ``data/`` and ``central.csv``,
the entities that NetworkX finds most central. Takes a few seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl

from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.imports import import_dataset
from kdiffe_dgl.data.knowledge import KnowledgeOptions
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.graph.export import to_dgl
from kg_builders import KnowledgeGraph, export_graph, import_graph, to_networkx

SPLITS = {"train": 0, "validation": 1, "test": 2}


def main() -> None:
    """Write, read back, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-09"), help="folder for the results")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    # Of an earlier run; a folder with other files than a format's own is not replaced.
    (output / "recbole" / "planted" / "planted.inter").unlink(missing_ok=True)
    dataset = planted(PlantedConfig(n_users=100, n_items=80)).dataset
    kg = dataset.kg
    assert kg is not None

    for form, place in (("recbole", "recbole/planted"), ("kgat", "kgat"), ("graphml", "planted.graphml")):
        export_graph(kg, output / place, form, overwrite=True)
        back = import_graph(output / place, form)
        print(f"{form:8} {back.n_triples} triples back; the same facts: {facts(back) == facts(kg)}")

    graph = to_networkx(kg)
    rank = nx.pagerank(nx.DiGraph(graph.reverse()), weight=None)
    central = pl.DataFrame(
        [(graph.nodes[node]["kind"], graph.nodes[node]["label"], rank[node]) for node in rank],
        schema=("kind", "label", "pagerank"),
        orient="row",
    ).sort("pagerank", descending=True)
    central.write_csv(output / "central.csv")
    print(f"networkx {graph.number_of_nodes()} nodes, {graph.number_of_edges()} edges")

    hetero = to_dgl(kg)
    print(
        f"dgl      node types {', '.join(hetero.ntypes)}; {len(hetero.etypes)} edge types, inverses included"
    )

    dataset_by_recbole = through_recbole(dataset, output / "recbole" / "planted")
    dataset_by_recbole.save(output / "data", overwrite=True)
    print(f"recbole  the same interactions: {pairs(dataset_by_recbole) == pairs(dataset)}; split anew")
    dataset_by_mmrec = through_mmrec(dataset, output / "mmrec")
    same = all(
        np.array_equal(dataset_by_mmrec.features[name], matrix) for name, matrix in dataset.features.items()
    )
    print(
        f"mmrec    the same splits: {split_sizes(dataset_by_mmrec) == split_sizes(dataset)}, features: {same}"
    )
    print(f"written to {output}")


def facts(kg: KnowledgeGraph) -> set[tuple[str, ...]]:
    """Return the triples by kinds, ids and names, so that numbers don't matter."""
    columns = ("head_kind", "head_id", "relation", "tail_kind", "tail_id", "tail_label")
    return set(kg.to_named().select(columns).iter_rows())


def pairs(dataset: RecDataset) -> set[tuple[str, str]]:
    """Return the interactions by original ids, whatever their split."""
    named = dataset.interactions.select(
        user=dataset.users["id"].gather(dataset.interactions["user"]),
        item=dataset.items["id"].gather(dataset.interactions["item"]),
    )
    return set(named.iter_rows())


def split_sizes(dataset: RecDataset) -> dict[str, int]:
    """Return the number of interactions of each split."""
    return {split: len(dataset.pairs(split)) for split in SPLITS}


def through_recbole(dataset: RecDataset, folder: Path) -> RecDataset:
    """Write ``planted.inter`` beside the graph's files, as RecBole wants it, and import the folder."""
    rows = pl.DataFrame(sorted(pairs(dataset)), schema=("user_id:token", "item_id:token"), orient="row")
    rows.write_csv(folder / "planted.inter", separator="\t")
    graph = KnowledgeOptions(triples=folder / "planted.kg", links=folder / "planted.link")
    return import_dataset(folder, "recbole", knowledge=graph)


def through_mmrec(dataset: RecDataset, folder: Path) -> RecDataset:
    """Write interactions with their split and features as MMRec has them, and import the folder."""
    folder.mkdir(exist_ok=True)
    dataset.interactions.select(
        "user", "item", pl.col("split").replace_strict(SPLITS, return_dtype=pl.Int64)
    ).rename({"user": "userID", "item": "itemID", "split": "x_label"}).write_csv(
        folder / "planted.inter", separator="\t"
    )
    for name, matrix in dataset.features.items():
        np.save(folder / f"{name}_feat.npy", matrix)
    return import_dataset(folder, "mmrec")


if __name__ == "__main__":
    main()
