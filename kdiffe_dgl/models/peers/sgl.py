"""SGL: LightGCN that also tells nodes apart on two graphs with some edges left out."""

from __future__ import annotations

from typing import ClassVar

import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.base import EpochLog
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.search import Between, SearchSpace
from kdiffe_dgl.training.losses import info_nce

__all__ = ["SGL", "SGLConfig"]


class SGLConfig(LightGCNConfig):
    """Settings of SGL."""

    SEARCH: ClassVar[SearchSpace] = {
        "edge_dropout": Between(0.05, 0.5),
        "temperature": Between(0.05, 1.0, log=True),
        "contrast_weight": Between(5e-3, 1.0, log=True),
    }

    edge_dropout: float = Field(0.1, ge=0, lt=1)
    """ρ, probability that an edge is left out of a view."""
    temperature: float = Field(0.2, gt=0)
    """τ of the contrastive loss."""
    contrast_weight: float = Field(0.1, ge=0)
    """λ₁ of the contrastive loss."""


class SGL(LightGCN):
    r"""LightGCN with a contrastive loss between two views of each node, with edge dropout.

    In each epoch two graphs are drawn that keep each edge with probability 1 - ρ; LightGCN on them gives z'
    and z''. The loss is

    .. math:: L_{BPR} + \lambda_1 (L_{user} + L_{item}) + \lambda_2 \|\Theta\|^2, \qquad
        L_{user} = -\sum_u \ln \frac{\exp(\cos(z'_u, z''_u) / \tau)}{\sum_v \exp(\cos(z'_u, z''_v) / \tau)}

    and scores are those of LightGCN on the whole graph. (Wu, Wang, Feng, He, Chen, Lian and Xie,
    *Self-supervised Graph Learning for Recommendation*, SIGIR 2021, sections 3.1 to 3.3; edge dropout, ED, is
    the one of the paper's three ways to draw views that is here.)

    Here: the sum runs over the distinct users, and observed items, of a batch, and is divided by their
    number; the other nodes of the same kind are all negatives, as in the paper. The norm is that of the
    batch's embeddings, as in the authors' code.
    """

    name: ClassVar[str] = "sgl"
    Config: ClassVar[type[Component]] = SGLConfig
    config: SGLConfig

    def __init__(
        self, dataset: RecDataset, config: SGLConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self._interactions = dataset.matrix("train")
        self._dropped: tuple[Propagation, ...] = ()

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Draw the two graphs of the epoch."""
        self._dropped = (self._view(generator), self._view(generator))
        return {}

    def _view(self, generator: torch.Generator) -> Propagation:
        edges = self._interactions.tocoo()
        drawn = torch.rand(edges.nnz, generator=generator, device=generator.device).cpu().numpy()
        kept = drawn >= self.config.edge_dropout
        graph = sp.csr_matrix((edges.data[kept], (edges.row[kept], edges.col[kept])), shape=edges.shape)
        return Propagation.from_scipy(normalised_adjacency(graph, self_loops=False)).to(self.device)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute LightGCN's losses and the contrast of the two views; see the base class."""
        terms = super().losses(users, positives, negatives, generator)
        first, second = (self.propagate(graph) for graph in self._dropped)
        for name, nodes, anchors, candidates in (
            ("user_contrast", users, first[0], second[0]),
            ("item_contrast", positives, first[1], second[1]),
        ):
            chosen = torch.unique(nodes)
            contrast = info_nce(anchors[chosen], candidates, chosen, self.config.temperature)
            terms[name] = self.config.contrast_weight * contrast
        return terms
