"""RP3beta: walks of three steps, against the pull of what is popular."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kdiffe_dgl.config import Component
from kdiffe_dgl.models.peers.item_weights import ItemWeightsConfig, ItemWeightsModel, nearest_by_product
from kdiffe_dgl.search import Between, SearchSpace

__all__ = ["RP3beta", "RP3betaConfig"]


class RP3betaConfig(ItemWeightsConfig):
    """Settings of RP3beta."""

    SEARCH: ClassVar[SearchSpace] = {
        "neighbours": Between(5, 1000, log=True),
        "alpha": Between(0.2, 2.0),
        "beta": Between(0.0, 1.0),
    }

    neighbours: int = Field(400, ge=1)
    """Most items that the walk goes on to from an item: the most probable ones."""
    alpha: float = Field(0.7, ge=0)
    """α, exponent of the transition probabilities."""
    beta: float = Field(0.2, ge=0)
    """β, exponent of the popularity that scores are divided by."""


class RP3beta(ItemWeightsModel):
    r"""Probability of a walk user → item → user → item, divided by the popularity of its end.

    .. math:: s_{ui} = \frac{1}{d_i^\beta} \sum_j x_{uj} \sum_v
        \left(\frac{x_{vj}}{d_j}\right)^\alpha \left(\frac{x_{vi}}{d_v}\right)^\alpha

    with d the number of training interactions of a user or item. The first step, :math:`(1 / d_u)^\alpha`,
    is the same for all items of a user and is left out. (Paudel, Christoffel, Newell and Bernstein,
    *Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications*, ACM TiiS
    7(1), 2017, section 3; α: Cooper, Lee, Radlinski and Pelliconi, *Random Walks in Recommender Systems:
    Exact Computation and Simulations*, WWW 2014.)

    Here: the walk does not come back to the item that it went through, since that is known already; and of
    the items that it may reach from an item only the most probable ones are kept, by the weight with
    popularity taken out, as Ferrari Dacrema, Cremonesi and Jannach do (*Are We Really Making Much
    Progress?*, RecSys 2019).
    """

    name: ClassVar[str] = "rp3beta"
    Config: ClassVar[type[Component]] = RP3betaConfig
    config: RP3betaConfig

    def fit_weights(self, train: sp.csr_matrix) -> sp.csr_matrix:
        """Return the weights of the walks from the items that a user has met."""
        of_users = np.diff(train.indptr).astype(np.float64)
        of_items = np.bincount(train.indices, minlength=self.n_items).astype(np.float64)
        alpha, beta = self.config.alpha, self.config.beta
        # Nodes without interactions have no entry to be scaled; 1 in their place keeps the power finite.
        from_items = sp.diags(np.maximum(of_items, 1) ** -alpha) @ train.T
        from_users = sp.diags(np.maximum(of_users, 1) ** -alpha) @ train
        popularity = np.maximum(of_items, 1) ** -beta
        return nearest_by_product(
            sp.csr_matrix(from_items),
            sp.csr_matrix(from_users),
            lambda _, column, probability: probability * popularity[column],
            self.config.neighbours,
        )
