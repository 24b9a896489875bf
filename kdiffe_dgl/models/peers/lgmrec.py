"""LGMRec: local embeddings from the user-item graph, global ones from hypergraphs of each modality."""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.config import Component, Layers, SomeLayers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.operators import Propagation, row_normalised
from kdiffe_dgl.models.base import dropout, xavier_uniform
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.losses import bpr_loss, contrast_nodes, squared_norm

__all__ = ["LGMRec", "LGMRecConfig"]

View = tuple[Tensor, Tensor]


class LGMRecConfig(LightGCNConfig):
    """Settings of LGMRec."""

    SEARCH: ClassVar[SearchSpace] = {
        "modality_layers": Between(1, 3),
        "hyperedges": Choices((4, 16, 64, 128)),
        "hyper_layers": Between(1, 2),
        "dropout": Between(0.0, 0.6),
        "global_weight": Between(0.05, 1.0),
        "contrast_weight": Between(1e-6, 1e-2, log=True),
        "temperature": Between(0.1, 1.0, log=True),
        "regularisation": Between(1e-7, 1e-2, log=True),
    }

    layers: Layers = 2
    """Propagation layers of the collaborative embeddings."""
    modality_layers: Layers = 2
    """Propagation layers of the modality embeddings."""
    hyperedges: int = Field(4, ge=1)
    """Hyperedges of a modality."""
    hyper_layers: SomeLayers = 1
    """Layers of the hypergraph."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of the hyperedges' weights that are dropped."""
    global_weight: float = Field(0.3, ge=0)
    """Weight α of the global embeddings."""
    contrast_weight: float = Field(1e-4, ge=0)
    """Weight of the contrast between hypergraphs, for each pair of a batch."""
    temperature: float = Field(0.2, gt=0)
    """Temperature τ of the contrast and of the choice of hyperedges."""
    regularisation: float = Field(1e-6, ge=0)
    """Weight of the squared norm of the representations of a batch, per pair."""
    features: FeatureConfig = FeatureConfig(trained=False, scaled=True)
    """How features are read."""


class LGMRec(LightGCN):
    r"""Local and global graph learning.

    - *Collaborative* embeddings B: the mean of the layers of LightGCN.
    - *Modality* embeddings of m: items :math:`F_m W_m`, users the mean of their items, then L layers of
      :math:`D^{-1/2} A D^{-1/2}`, of which the last counts; rows of length 1. Local embedding: B plus
      their sum over m.
    - *Hypergraph* of m: items belong to hyperedges by :math:`H_I = \mathrm{softmax}((F_m V_m + g)/\tau)`,
      users by :math:`H_U = \mathrm{softmax}((R F_m V_m + g)/\tau)`, where R holds the interactions and g
      is Gumbel noise. Global embeddings: :math:`E_I \leftarrow H_I H_I^T E_I`, from :math:`B_I` on, and
      :math:`E_U = H_U H_I^T E_I`, with dropout of H.
    - Representation: local + α times the sum over m of the global ones, rows of length 1.
    - Loss: BPR + InfoNCE of the global embeddings of each two modalities, all nodes as negatives, for users
      and for items, + λ ‖representations of the batch‖².

    Source: Guo, Li, Li, Wang, Shi, Ruan, *LGMRec: Local and Global Graph Learning for Multimodal
    Recommendation*, AAAI 2024 (local graph embedding, global hypergraph embedding, fusion and
    optimisation), and the authors' code.

    Differs: any number of modalities (with one, nothing is contrasted); no noise and no dropout when
    recommending, where the authors' test draws both; the squared norm in place of the norm; a modality
    is scaled to rows of mean length 1, as the softmax would otherwise depend on the encoder's unit.
    """

    name: ClassVar[str] = "lgmrec"
    Config: ClassVar[type[Component]] = LGMRecConfig
    config: LGMRecConfig

    def __init__(
        self, dataset: RecDataset, config: LGMRecConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        interactions, widths = dataset.matrix("train"), self.features.widths
        self.user_sum = Propagation.from_scipy(interactions, device)
        self.user_mean = Propagation.from_scipy(row_normalised(interactions), device)
        self.projections = nn.ParameterList(xavier_uniform(width, config.dim, generator) for width in widths)
        self.hyperedges = nn.ParameterList(
            xavier_uniform(width, config.hyperedges, generator) for width in widths
        )
        self.to(device)

    def encoded(self, generator: torch.Generator | None) -> tuple[View, list[View]]:
        """Return the representations, and the global embeddings of each modality, users and items.

        Without a generator: without noise and dropout.
        """
        collaborative = self.propagate(self.propagation)
        local = torch.cat(collaborative)
        hyper = []
        for table, projection, edges in zip(
            self.features.tables, self.projections, self.hyperedges, strict=True
        ):
            items = table @ projection
            modal = torch.cat([self.user_mean(items), items])
            for _ in range(self.config.modality_layers):
                modal = self.propagation(modal)
            local = local + functional.normalize(modal)
            hyper.append(self._global(table @ edges, collaborative[1], generator))
        total = torch.stack([torch.cat(view) for view in hyper]).sum(dim=0)
        every = local + self.config.global_weight * functional.normalize(total)
        users, items = every.split([self.n_users, self.n_items])
        return (users, items), hyper

    def _global(self, membership: Tensor, items: Tensor, generator: torch.Generator | None) -> View:
        """Return users and items by the hypergraph of a modality, ``[n, dim]`` each."""
        of_items, of_users = (
            dropout(self._chosen(logits, generator), self.config.dropout, generator)
            for logits in (membership, self.user_sum(membership))
        )
        gathered = of_items.t() @ items
        for _ in range(self.config.hyper_layers - 1):
            gathered = of_items.t() @ (of_items @ gathered)
        return of_users @ gathered, of_items @ gathered

    def _chosen(self, logits: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the weights of the hyperedges of each row; the noise is Gumbel's."""
        if generator is not None:
            waiting = torch.empty_like(logits).exponential_(generator=generator)
            logits = logits - waiting.clamp(min=torch.finfo(waiting.dtype).tiny).log()
        return torch.softmax(logits / self.config.temperature, dim=1)

    def views(self) -> View:
        """Return the representations, without noise; see the base class."""
        return self.encoded(None)[0]

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the contrast of hypergraphs and the norm; see the base class."""
        config = self.config
        (every_user, every_item), hyper = self.encoded(generator)
        user, positive, negative = every_user[users], every_item[positives], every_item[negatives]
        weight = config.regularisation / (2 * len(users))
        terms = {
            "bpr": bpr_loss((user * positive).sum(dim=1), (user * negative).sum(dim=1)),
            "regularisation": weight * squared_norm((user, positive, negative)),
        }
        contrast = [
            contrast_nodes(first[side], second[side], rows, config.temperature, "all")
            for first, second in combinations(hyper, 2)
            for side, rows in enumerate((users, positives))
        ]
        if contrast:
            # The authors add up over the batch.
            terms["contrast"] = config.contrast_weight * len(users) * torch.stack(contrast).sum()
        return terms
