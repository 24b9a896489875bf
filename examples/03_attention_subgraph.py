"""Draw what a trained model attends to between a user's history and the items that it recommends.

Two kinds of weights meet in the picture. Between the user and an item of the history it is the attention
similarity S: how much the random walks from both overlap. Between an item and what the knowledge graph says
of it, it is the relational attention α that the model has learnt: the weights of all facts of an item add up
to 1. Only entities that join the history with the recommended items are drawn.

Writes ``attention.png`` and ``attention.csv``. Takes about half a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import networkx as nx
import numpy as np
import polars as pl
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.graph.attention import attention_similarity
from kdiffe_dgl.graph.hetero import build_heterograph, knowledge_edges, knowledge_graph
from kdiffe_dgl.models.knowledge import KnowledgeView, attention_weights
from kdiffe_dgl.serving import Recommender, RunFolder
from kdiffe_dgl.training.config import preset, resolve
from kdiffe_dgl.training.run import train_run

SIMILARITY, RECOMMENDED = "attention similarity S", "recommended"


def main() -> None:
    """Train on planted data, gather the weights around one user, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-03"), help="folder for the results")
    parser.add_argument("--user", default="u012", help="whose recommendations to explain")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()

    dataset = planted(PlantedConfig(n_users=300, n_items=200)).dataset
    settings = resolve(preset("default"), [f"training.epochs={options.epochs}"])
    run = options.output / "run"
    train_run(dataset, run, settings, device="cpu", overwrite=True)

    edges = attention_edges(dataset, run, options.user, n_history=6, n_recommended=3)
    edges.write_csv(options.output / "attention.csv")
    draw(edges, options.user).savefig(options.output / "attention.png", dpi=130)
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(edges.sort("weight", descending=True, nulls_last=True).head(20))
    print(f"written to {options.output}")


def attention_edges(
    dataset: RecDataset, run: Path, user: str, n_history: int, n_recommended: int
) -> pl.DataFrame:
    """Return the weighted edges around a user: ``from``, ``relation``, ``to`` and ``weight``.

    The history is that of the items most similar to the user; each relation joins an item with an entity
    that is also known of an item on the other side.
    """
    number = dataset.users["id"].to_list().index(user)
    settings = RunFolder(run).config()["model"]["attention"]
    similarity = attention_similarity(
        dataset.matrix("train"),
        settings["walk_length"],
        settings["n_walks"],
        settings["restart_prob"],
        seed=0,
    )[[number]].tocoo()
    closest = np.argsort(-similarity.data, kind="stable")[:n_history]
    history = pl.DataFrame({"item": similarity.col[closest], "weight": similarity.data[closest]}).cast(
        {"item": pl.Int64}
    )
    recommended = (
        Recommender.load(run)
        .recommend([user], k=n_recommended)
        .select(id="item")
        .join(dataset.items, on="id", maintain_order="left")
    )

    facts = relational_attention(dataset, run)
    met = facts.join(history.select("item"), on="item", how="semi")
    offered = facts.join(recommended.select("item"), on="item", how="semi")
    shared = pl.concat(
        [met.join(offered, on="entity", how="semi"), offered.join(met, on="entity", how="semi")]
    )
    item_labels, entity_labels = dataset.items["label"], dataset.kg.entities["label"]
    return pl.concat(
        [
            history.select(
                pl.lit(user).alias("from"),
                pl.lit(SIMILARITY).alias("relation"),
                item_labels.gather(history["item"]).alias("to"),
                pl.col("weight").cast(pl.Float32),
            ),
            shared.select(
                item_labels.gather(shared["item"]).alias("from"),
                "relation",
                entity_labels.gather(shared["entity"]).alias("to"),
                "weight",
            ),
            recommended.select(
                pl.lit(user).alias("from"),
                pl.lit(RECOMMENDED).alias("relation"),
                pl.col("label").alias("to"),
                pl.lit(None, dtype=pl.Float32).alias("weight"),
            ),
        ]
    )


def relational_attention(dataset: RecDataset, run: Path) -> pl.DataFrame:
    """Return the attention of a trained model over all facts of items: item, relation, entity, weight."""
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    weights = {name: torch.from_numpy(array) for name, array in RunFolder(run).weights().items()}
    attention = attention_weights(
        KnowledgeView(knowledge_graph(edges), torch.device("cpu")),
        weights["entity_embedding"],
        weights["knowledge_encoder.relations"],
        weights["knowledge_encoder.weight"],
    )
    names = pl.Series(edges.relation_names)
    return pl.DataFrame(
        {
            "item": edges.head.numpy(),
            "relation": names.gather(edges.relation.numpy()),
            "entity": edges.tail.numpy(),
            "weight": attention.numpy(),
        }
    ).filter(pl.col("item") < dataset.n_items)


def draw(edges: pl.DataFrame, user: str) -> Figure:
    """Draw the edges in four columns: user, history, shared entities, recommended items."""
    by_relation = {name: table for (name,), table in edges.partition_by("relation", as_dict=True).items()}
    history = by_relation.pop(SIMILARITY)["to"].to_list()
    offered = by_relation.pop(RECOMMENDED)["to"].to_list()
    place = column(0, [user]) | column(1, history) | column(3, offered)
    # Entities stand by relation, and within one at the mean height of their items, so that fewer lines cross.
    heights = {label: height for (_, label), (_, height) in place.items()}
    ordered = [
        (number, np.mean([heights[item] for item in item_labels]), entity)
        for number, facts in enumerate(by_relation.values())
        for entity, item_labels in facts.group_by("to").agg("from").iter_rows()
    ]
    entities = [entity for *_, entity in sorted(ordered, key=lambda entry: (entry[0], -entry[1], entry[2]))]
    place |= column(2, entities)

    graph = nx.Graph()
    for start, relation, end, weight in edges.filter(pl.col("weight").is_not_null()).iter_rows():
        if relation == SIMILARITY:
            graph.add_edge((0, start), (1, end), relation=relation, weight=weight)
        else:
            graph.add_edge((1 if start in history else 3, start), (2, end), relation=relation, weight=weight)
    figure = Figure(figsize=(12, max(5, 0.45 * len(entities))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = ["0.35", *mpl.colormaps["tab10"].colors]
    handles = []
    for name, colour in zip((SIMILARITY, *by_relation), colours, strict=False):
        drawn = [edge for edge in graph.edges(data=True) if edge[2]["relation"] == name]
        widths = [24 * data["weight"] for *_, data in drawn]
        nx.draw_networkx_edges(graph, place, drawn, widths, edge_color=[colour], alpha=0.8, ax=axes)
        handles.append(Line2D([], [], color=colour, linewidth=4, label=name))
    fills = ("0.85", "#cfe3f5", "white", "#ffe1b3")
    for (number, label), (x, y) in place.items():
        box = {"boxstyle": "round", "facecolor": fills[number]}
        axes.text(x, y, label, ha="center", va="center", bbox=box)
    for number, title in enumerate(("user", "history, closest first", "known of both sides", "recommended")):
        axes.text(number, 1.03, title, ha="center", weight="bold")
    axes.set(xlim=(-0.4, 3.4), ylim=(0, 1.08))
    axes.axis("off")
    axes.legend(handles=handles, loc="lower left", frameon=False, title="width: weight of the edge")
    return figure


def column(number: int, labels: list[str]) -> dict[tuple[int, str], tuple[float, float]]:
    """Place the labels of a column from the top to the bottom."""
    return {(number, label): (number, 1 - (row + 0.5) / len(labels)) for row, label in enumerate(labels)}


if __name__ == "__main__":
    main()
