"""Rank items that nobody has met yet, by their facts and features, and measure it honestly.

A fifth of the items loses all its interactions: they become the test split, so no model can know them from
users. What is left of these items is what the knowledge graph and the modalities say. Popularity can't tell
them apart at all, and is measured beside.

Two questions have different answers. Among the cold items alone, which one suits the user? And in the whole
catalogue, does a cold item ever reach the list? A model that is trained to rank the items that users met
above all others also learns to rank cold ones low, so the second question is much harder.

A profile without training is the third line: the facts of an item against the facts of the user's history, by
cosine. It is what a trained model has to beat.

Writes the run ``run/``, ``cold.csv`` and ``cold.png``. Takes about half a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import sparse
from torch import Tensor

from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.evaluation import Evaluator, dot_product
from kdiffe_dgl.evaluation.evaluator import Score
from kdiffe_dgl.serving import RunFolder
from kdiffe_dgl.training.config import preset, resolve
from kdiffe_dgl.training.run import train_run

CUTOFF = 10


def main() -> None:
    """Make items cold, train on the others, and rank both ways."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-08"), help="folder for the results")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    dataset, cold = with_cold_items(
        planted(PlantedConfig(n_users=300, n_items=200)).dataset, share=0.2, seed=options.seed
    )
    assert not dataset.matrix("train", "validation")[:, cold].nnz
    settings = resolve(preset("default"), [f"training.epochs={options.epochs}"])
    train_run(dataset, options.output / "run", settings, seed=options.seed, device="cpu", overwrite=True)
    user, item = (torch.from_numpy(part) for part in RunFolder(options.output / "run").representations())

    popularity = torch.from_numpy(
        np.bincount(dataset.pairs("train")[:, 1], minlength=dataset.n_items)
    ).float()
    scores: dict[str, Score] = {
        "KDiffE": dot_product(user, item),
        "profile of facts": fact_profile(dataset),
        "popularity": lambda users: popularity.expand(len(users), -1),
    }
    table = pl.DataFrame(
        [
            {
                "model": name,
                "cold items alone": measure(dataset, among(cold, score)),
                "whole catalogue": measure(dataset, score),
            }
            for name, score in scores.items()
        ]
        + [{"model": "chance", "cold items alone": CUTOFF / cold.sum(), "whole catalogue": None}]
    )
    table.write_csv(options.output / "cold.csv")
    draw(table).savefig(options.output / "cold.png", dpi=110)
    print(f"{cold.sum()} cold items of {dataset.n_items}; recall@{CUTOFF} of the interactions with them:")
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(table)
    print(f"written to {options.output}")


def with_cold_items(dataset: RecDataset, share: float, seed: int) -> tuple[RecDataset, np.ndarray]:
    """Give the test split all interactions of some items, and nothing else.

    Returns
    -------
    tuple
        The data set, in which what was tested before is trained on; and which items are cold, ``[items]``.
    """
    cold = np.zeros(dataset.n_items, dtype=bool)
    chosen = np.random.default_rng(seed).choice(
        dataset.n_items, round(share * dataset.n_items), replace=False
    )
    cold[chosen] = True
    split = (
        pl.when(pl.col("item").is_in(chosen.tolist()))
        .then(pl.lit("test"))
        .otherwise(pl.col("split").replace("test", "train"))
    )
    return dataset.replace(interactions=dataset.interactions.with_columns(split=split)), cold


def among(items: np.ndarray, score: Score) -> Score:
    """Return scores by which no other than the given items can be listed."""
    others = torch.from_numpy(~items)

    def restricted(users: Tensor) -> Tensor:
        scores = score(users).clone()
        # Below all others, and finite, as the evaluator wants it.
        scores[:, others] = scores.min() - 1
        return scores

    return restricted


def fact_profile(dataset: RecDataset) -> Score:
    """Return the cosine of an item's entities with those of the items that a user has met in training."""
    assert dataset.kg is not None
    triples = dataset.kg.triples.filter(pl.col("head") < dataset.n_items)
    facts = sparse.csr_matrix(
        (np.ones(len(triples), dtype=np.float32), (triples["head"].to_numpy(), triples["tail"].to_numpy())),
        (dataset.n_items, dataset.kg.n_entities),
    )
    profile = dataset.matrix("train") @ facts

    def unit(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        return sparse.diags(1 / np.maximum(length, 1e-12)).astype(np.float32) @ matrix

    scores = torch.from_numpy((unit(profile) @ unit(facts).T).toarray())
    return lambda users: scores[users]


def measure(dataset: RecDataset, score: Score) -> float:
    """Return recall on the test split, whose items are all cold."""
    return Evaluator(dataset, "test", cutoffs=(CUTOFF,)).evaluate(score).metrics[f"recall@{CUTOFF}"]


def draw(table: pl.DataFrame) -> Figure:
    """Draw both questions as bars."""
    figure = Figure(figsize=(6.5, 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    columns = ("cold items alone", "whole catalogue")
    for axes, column in zip(figure.subplots(1, 2), columns, strict=True):
        shown = table.filter(pl.col(column).is_not_null())
        axes.barh(
            shown["model"].to_list(), shown[column].to_list(), color=["C0", "C1", "0.6", "0.8"][: len(shown)]
        )
        axes.invert_yaxis()
        axes.set(title=column, xlabel=f"recall@{CUTOFF}")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
