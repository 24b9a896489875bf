"""LightGCN, the first baseline."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.hetero import bipartite, build_heterograph
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.base import RecommenderModel, xavier_uniform
from kdiffe_dgl.training.losses import bpr_loss, squared_norm

__all__ = ["LightGCN", "LightGCNConfig"]


class LightGCNConfig(Component):
    """Settings of LightGCN."""

    dim: int = Field(64, ge=1)
    """Embedding size d."""
    layers: int = Field(3, ge=0)
    """Propagation layers K."""
    regularisation: float = Field(1e-4, ge=0)
    """Weight of the squared norm of the embeddings of a batch, per pair."""


class LightGCN(RecommenderModel):
    r"""Linear propagation on the normalised user-item graph, mean of the layers.

    :math:`E^{(k+1)} = D^{-1/2} A D^{-1/2} E^{(k)}`, representation :math:`\frac1{K+1}\sum_k E^{(k)}`.
    (He et al., *LightGCN*, SIGIR 2020, equations 7 and 8.)
    """

    name: ClassVar[str] = "lightgcn"
    Config: ClassVar[type[Component]] = LightGCNConfig

    def __init__(
        self, dataset: RecDataset, config: LightGCNConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.config = config
        adjacency = normalised_adjacency(bipartite(build_heterograph(dataset)), self_loops=False)
        self.propagation = Propagation.from_scipy(adjacency).to(device)
        self.user_embedding = xavier_uniform(self.n_users, config.dim, generator)
        self.item_embedding = xavier_uniform(self.n_items, config.dim, generator)
        self.to(device)

    def _propagate(self) -> tuple[Tensor, Tensor]:
        layer = torch.cat([self.user_embedding, self.item_embedding])
        total = layer
        for _ in range(self.config.layers):
            layer = self.propagation(layer)
            total = total + layer
        users, items = (total / (self.config.layers + 1)).split([self.n_users, self.n_items])
        return users, items

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR and the squared norm of the batch's embeddings; see the base class."""
        user_view, item_view = self._propagate()
        user = user_view[users]
        positive = (user * item_view[positives]).sum(dim=1)
        negative = (user * item_view[negatives]).sum(dim=1)
        ego = (self.user_embedding[users], self.item_embedding[positives], self.item_embedding[negatives])
        weight = self.config.regularisation / (2 * len(users))
        return {"bpr": bpr_loss(positive, negative), "regularisation": weight * squared_norm(ego)}

    @torch.no_grad()
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return the mean of the layers; see the base class."""
        return self._propagate()
