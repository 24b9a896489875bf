"""LightGCN, the first baseline."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.hetero import bipartite, build_heterograph
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.search import Between, SearchSpace

__all__ = ["LightGCN", "LightGCNConfig"]


class LightGCNConfig(PairwiseConfig):
    """Settings of LightGCN."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 4),
    }

    layers: Layers = 3
    """Propagation layers K."""


class LightGCN(PairwiseModel):
    r"""Linear propagation on the normalised user-item graph, mean of the layers.

    :math:`E^{(k+1)} = D^{-1/2} A D^{-1/2} E^{(k)}`, representation :math:`\frac1{K+1}\sum_k E^{(k)}`.
    (He et al., *LightGCN*, SIGIR 2020, equations 7 and 8.)
    """

    name: ClassVar[str] = "lightgcn"
    Config: ClassVar[type[Component]] = LightGCNConfig
    config: LightGCNConfig

    def __init__(
        self, dataset: RecDataset, config: LightGCNConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        adjacency = normalised_adjacency(bipartite(build_heterograph(dataset)), self_loops=False)
        self.propagation = Propagation.from_scipy(adjacency).to(device)

    def views(self) -> tuple[Tensor, Tensor]:
        """Return the mean of the layers; see the base class."""
        return self.propagate(self.propagation)

    def propagate(self, propagation: Propagation, items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean of the layers over an adjacency ``[users + items, users + items]``.

        ``items`` ``[items, dim]`` stand in place of the items' embeddings.
        """
        layer = torch.cat([self.user_embedding, self.item_embedding if items is None else items])
        total = layer
        for _ in range(self.config.layers):
            layer = propagation(layer)
            total = total + layer
        user_view, item_view = (total / (self.config.layers + 1)).split([self.n_users, self.n_items])
        return user_view, item_view
