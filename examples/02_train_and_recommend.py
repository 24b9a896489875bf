"""Train KDiffE on planted data by the Python API, and see whether it found what was planted.

In planted data a user likes a few genres and makers, and that is why the user's interactions happened;
warehouses and couriers are in the knowledge graph too, but cause nothing. So every recommendation can be
checked against the truth.

Writes the run folder ``run/`` and, beside it, ``curves.png`` and ``recommendations.csv``. Takes about half
a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from kdiffe_dgl.data.synthetic import Planted, PlantedConfig, planted
from kdiffe_dgl.evaluation.curves import training_curves
from kdiffe_dgl.serving import Recommender
from kdiffe_dgl.training.config import preset, resolve
from kdiffe_dgl.training.run import train_run

USER = "u007"


def main() -> None:
    """Make the data, train, and show one user's recommendations beside that user's true tastes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-02"), help="folder for the results")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    world = planted(PlantedConfig(seed=options.seed, n_users=300, n_items=200))
    # Small data need small batches: one epoch would otherwise be only a few steps.
    settings = resolve(preset("default"), [f"training.epochs={options.epochs}"])
    outcome = train_run(
        world.dataset, options.output / "run", settings, seed=options.seed, device="cpu", overwrite=True
    )
    training_curves(outcome.fit.history).savefig(options.output / "curves.png", dpi=120)

    recommender = Recommender.load(options.output / "run")
    everyone = recommender.recommend(world.dataset.users["id"].to_list(), k=10)
    everyone.write_csv(options.output / "recommendations.csv")
    likes = world.preferences.filter(pl.col("user_id") == USER)["tail_id"].sort()
    print(f"{USER} likes {', '.join(likes)}")
    Console(width=110).print(taste_table(world, everyone.filter(pl.col("user") == USER)))
    for name, found in (("recommended", everyone), ("any", None)):
        print(f"liked values an item, {name} items: {mean_liked(world, found):.2f}")
    print(f"best epoch {outcome.fit.best_epoch}, test recall@20 {outcome.test.metrics['recall@20']:.4f}")
    print(f"written to {options.output}")


def liked_values(world: Planted) -> pl.DataFrame:
    """Return user, item and the value that the user likes and the item has, for all such cases."""
    true = world.triples.filter("relevant").rename({"head_id": "item"})
    return world.preferences.rename({"user_id": "user"}).join(true, on=["relation", "tail_id"])


def mean_liked(world: Planted, recommended: pl.DataFrame | None) -> float:
    """Return how many values that the user likes an item has, as a mean over users and items."""
    liked = liked_values(world)
    if recommended is None:
        return len(liked) / (world.dataset.n_users * world.dataset.n_items)
    return len(liked.join(recommended, on=["user", "item"], how="semi")) / len(recommended)


def taste_table(world: Planted, recommended: pl.DataFrame) -> Table:
    """List one user's recommendations with the liked values that each of them has."""
    liked = liked_values(world).filter(pl.col("user") == USER)
    table = Table("rank", "item", "score", "has of these")
    for rank, item, label, score in recommended.select("rank", "item", "label", "score").iter_rows():
        has = liked.filter(pl.col("item") == item)["tail_id"].sort()
        table.add_row(str(rank), label, f"{score:.2f}", ", ".join(has))
    return table


if __name__ == "__main__":
    main()
