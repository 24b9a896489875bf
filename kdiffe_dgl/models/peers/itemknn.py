"""ItemKNN: items whose users are the same users."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kdiffe_dgl.config import Component
from kdiffe_dgl.models.peers.item_weights import ItemWeightsConfig, ItemWeightsModel, nearest_by_product
from kdiffe_dgl.search import Between, SearchSpace

__all__ = ["ItemKNN", "ItemKNNConfig"]


class ItemKNNConfig(ItemWeightsConfig):
    """Settings of ItemKNN."""

    SEARCH: ClassVar[SearchSpace] = {
        "neighbours": Between(5, 800, log=True),
        "shrinkage": Between(0.0, 200.0),
    }

    neighbours: int = Field(100, ge=1)
    """Most neighbours k of an item."""
    shrinkage: float = Field(10.0, ge=0)
    """h: the more, the less a similarity counts that rests on few users."""


class ItemKNN(ItemWeightsModel):
    r"""Sum of an item's similarities to what the user has met, over its k nearest neighbours.

    .. math:: s_{ui} = \sum_{j \in N_k(i)} x_{uj} \frac{x_i \cdot x_j}{\|x_i\| \|x_j\| + h}

    with x_i the column of an item in the binary training interactions. (Sarwar, Karypis, Konstan and
    Riedl, *Item-Based Collaborative Filtering Recommendation Algorithms*, WWW 2001, sections 3.1 and
    3.2; Deshpande and Karypis, *Item-Based Top-N Recommendation Algorithms*, TOIS 22(1), 2004.)

    Here: the similarity is the cosine with the shrinkage of Bell and Koren (*Improved Neighborhood-based
    Collaborative Filtering*, KDD Cup 2007), as Ferrari Dacrema, Cremonesi and Jannach use it (*Are We
    Really Making Much Progress?*, RecSys 2019). The sum is not divided by the sum of the similarities,
    which ratings need and rankings do not.
    """

    name: ClassVar[str] = "itemknn"
    Config: ClassVar[type[Component]] = ItemKNNConfig
    config: ItemKNNConfig

    def fit_weights(self, train: sp.csr_matrix) -> sp.csr_matrix:
        """Return the similarities: column i holds those of item i to its neighbours."""
        counts = np.bincount(train.indices, minlength=self.n_items).astype(np.float64)
        lengths, shrinkage = np.sqrt(counts), self.config.shrinkage
        by_target = nearest_by_product(
            sp.csr_matrix(train.T),
            train,
            lambda row, column, common: common / (lengths[row] * lengths[column] + shrinkage),
            self.config.neighbours,
        )
        return sp.csr_matrix(by_target.T)
