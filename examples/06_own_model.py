"""Write a recommender of one's own on the base class, and train it with the toolkit's loop.

A model says its losses for a batch and gives one vector a user and one an item; the score is their dot
product. Everything else is there: negatives, validation, the best epoch, checkpoints, the run folder,
evaluation and recommendations.

The model here is small and reads the knowledge graph: an item is its own embedding plus the mean embedding of
the entities it is joined to. It is entered into the table of models under its name, which holds for this
process. An installed package offers a model to ``kdiffe train --model`` by an entry point in its
``pyproject.toml``, under the name of the class::

    [project.entry-points."kdiffe_dgl.models"]
    entity-mean = "my_package.models:EntityMean"

Writes the run folder ``run/`` and ``comparison.csv``. Takes about a quarter of a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from kdiffe_dgl.config import Component
from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation import Evaluator
from kdiffe_dgl.graph.operators import Propagation, row_normalised
from kdiffe_dgl.models.base import RecommenderModel, xavier_uniform
from kdiffe_dgl.models.registry import MODELS
from kdiffe_dgl.serving import Recommender
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.losses import bpr_loss, squared_norm
from kdiffe_dgl.training.run import train_run


class EntityMeanConfig(Component):
    """Settings of ``EntityMean``; an unknown key is refused, with the nearest one offered."""

    dim: int = Field(32, ge=1)
    """Embedding size d."""
    regularisation: float = Field(1e-3, ge=0)
    """Weight of the squared norm of the embeddings of a batch, per pair."""


class EntityMean(RecommenderModel):
    r"""Matrix factorisation whose items share the embeddings of their entities.

    :math:`v_i = q_i + \frac{1}{|N_i|} \sum_{e \in N_i} g_e`, :math:`N_i` the entities that triples join
    item i to; the score is :math:`p_u \cdot v_i`. Trained with BPR.
    """

    name: ClassVar[str] = "entity-mean"
    Config: ClassVar[type[Component]] = EntityMeanConfig

    def __init__(
        self, dataset: RecDataset, config: EntityMeanConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        if dataset.kg is None:
            raise InputError(f"model {self.name}: the data set has no knowledge graph; expected one")
        self.config = config
        # Entity i is item i, so that the first rows of the matrix are the items'.
        triples = dataset.kg.triples.filter(pl.col("head") < dataset.n_items)
        head, tail = triples["head"].to_numpy(), triples["tail"].to_numpy()
        joined = sparse.csr_matrix(
            (np.ones(len(head), dtype=np.float32), (head, tail)), (dataset.n_items, dataset.kg.n_entities)
        )
        self.mean_of_entities = Propagation.from_scipy(row_normalised(joined)).to(device)
        # Initial weights come from the generator that the trainer seeds, never from torch's global one.
        self.user_embedding = xavier_uniform(self.n_users, config.dim, generator)
        self.item_embedding = xavier_uniform(self.n_items, config.dim, generator)
        self.entity_embedding = xavier_uniform(dataset.kg.n_entities, config.dim, generator)
        self.to(device)

    def _items(self) -> Tensor:
        return self.item_embedding + self.mean_of_entities(self.entity_embedding)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR and the squared norm of what the batch reads; see the base class."""
        user, item = self.user_embedding[users], self._items()
        positive, negative = item[positives], item[negatives]
        weight = self.config.regularisation / (2 * len(users))
        return {
            "bpr": bpr_loss((user * positive).sum(dim=1), (user * negative).sum(dim=1)),
            "regularisation": weight * squared_norm((user, positive, negative)),
        }

    @torch.no_grad()
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return users and items; see the base class."""
        return self.user_embedding, self._items()


def main() -> None:
    """Enter the model, train it, and compare it with popularity."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/example-06"), help="folder for the results")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    MODELS[EntityMean.name] = EntityMean

    dataset = planted(PlantedConfig(n_users=300, n_items=200)).dataset
    settings = resolve(
        {
            "model": {"name": EntityMean.name, "dim": 32},
            "training": {"epochs": options.epochs, "learning_rate": 1e-2, "patience": 10},
        }
    )
    outcome = train_run(dataset, options.output / "run", settings, device="cpu", overwrite=True)
    assert outcome.test is not None

    counts = torch.from_numpy(np.bincount(dataset.pairs("train")[:, 1], minlength=dataset.n_items))
    popular = Evaluator(dataset, "test").evaluate(lambda users: counts.float().expand(len(users), -1))
    table = pl.DataFrame(
        {
            "model": [EntityMean.name, "popularity"],
            "recall@20": [outcome.test.metrics["recall@20"], popular.metrics["recall@20"]],
            "ndcg@20": [outcome.test.metrics["ndcg@20"], popular.metrics["ndcg@20"]],
        }
    )
    table.write_csv(options.output / "comparison.csv")
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(table)
        # The run folder serves as any other; the class of the model isn't needed for it.
        print(Recommender.load(options.output / "run").recommend(["u007"], k=5))
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
