"""FREEDOM: a frozen item-item graph, and a user-item graph that is thinned in every epoch."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.base import EpochLog
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures, linear, projected_rows
from kdiffe_dgl.models.peers.item_graph import item_graph
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.losses import bpr_loss

__all__ = ["FREEDOM", "FREEDOMConfig", "prune_edges"]


class FREEDOMConfig(LightGCNConfig):
    """Settings of FREEDOM."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "item_layers": Between(1, 2),
        "neighbours": Choices((5, 10, 20)),
        "pruning": Between(0.0, 0.9),
        "feature_weight": Between(1e-5, 0.1, log=True),
        "regularisation": Choices((0.0, 1e-5, 1e-4, 1e-3)),
    }

    layers: Layers = 2
    """Propagation layers on the user-item graph."""
    item_layers: Layers = 1
    """Propagation layers on the item-item graph."""
    neighbours: int = Field(10, ge=1)
    """Nearest items of an item, itself included, in each modality."""
    graph_weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each modality in the item-item graph, by name; without any, they weigh the same."""
    pruning: float = Field(0.8, ge=0, lt=1)
    """Share ρ of the user-item edges that an epoch leaves out."""
    feature_weight: float = Field(1e-3, ge=0)
    """Weight λ of the ranking losses of the projected features."""
    regularisation: float = Field(0.0, ge=0)
    """Weight of the squared norm of the embeddings of a batch, per pair."""
    features: FeatureConfig = FeatureConfig()
    """How features are read."""


class FREEDOM(LightGCN):
    r"""Freezing and denoising graph structures.

    - *Frozen item-item graph*: :math:`S = \sum_m \alpha_m S_m`, where S_m is the graph with ones of
      :func:`~kdiffe_dgl.models.peers.item_graph.item_graph`, made once, before training.
    - *Denoised user-item graph*: each epoch keeps a share 1 - ρ of the edges, drawn without replacement with
      probabilities in proportion to :math:`1/\sqrt{d_u d_i}`, so that those between popular nodes go first,
      and normalises what is left by its own degrees. Inference runs on the whole graph.
    - Users: the mean of the layers of LightGCN; items: the same, plus :math:`S^L I`.
    - Loss: BPR + λ Σ_m BPR of the scores :math:`z_u \cdot f_m(F_m)_i`, f_m linear.

    Source: Zhou and Shen, *A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal
    Recommendation*, MM 2023, section 3 (frozen item-item graph, degree-sensitive edge pruning, integration
    of two graphs), and the authors' code.

    Differs: any number of modalities, which weigh the same unless ``graph_weights`` tells otherwise, where
    the authors give 0.1 to pictures and 0.9 to texts; f_m has no bias, which would cancel in the loss.
    """

    name: ClassVar[str] = "freedom"
    Config: ClassVar[type[Component]] = FREEDOMConfig
    config: FREEDOMConfig

    def __init__(
        self, dataset: RecDataset, config: FREEDOMConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        weights = _graph_weights(config.graph_weights, self.features.modalities)
        graph = sp.csr_matrix((self.n_items, self.n_items))
        for weight, matrix in zip(weights, dataset.features.values(), strict=True):
            graph = graph + weight * item_graph(np.asarray(matrix), config.neighbours, weighted=False)
        self.item_graph = Propagation.from_scipy(graph.astype(np.float32), device)
        self.thinned = self.propagation
        self._users, self._items = dataset.pairs("train").T
        degrees = np.bincount(self._users)[self._users] * np.bincount(self._items)[self._items]
        self._edge_weight = torch.from_numpy(1 / np.sqrt(degrees)).to(device)
        self.projections = nn.ModuleList(
            linear(width, config.dim, generator, bias=False) for width in self.features.widths
        )
        self.to(device)

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Draw the edges of this epoch; see the base class."""
        if self.config.pruning:
            kept = prune_edges(self._edge_weight, self.config.pruning, generator).cpu().numpy()
            ends = self._users[kept], self._items[kept]
            graph = sp.csr_matrix((np.ones(len(kept)), ends), shape=(self.n_users, self.n_items))
            self.thinned = Propagation.from_scipy(normalised_adjacency(graph, self_loops=False), self.device)
        return {}

    def _views(self, propagation: Propagation) -> tuple[Tensor, Tensor]:
        similar: Tensor = self.item_embedding
        for _ in range(self.config.item_layers):
            similar = self.item_graph(similar)
        users, items = self.propagate(propagation)
        return users, items + similar

    def views(self) -> tuple[Tensor, Tensor]:
        """Return users and items over the whole graph; see the base class."""
        return self._views(self.propagation)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR over the thinned graph, and that of the features; see the base class."""
        views = self._views(self.thinned)
        terms = self.pair_losses(views, users, positives, negatives)
        user = views[0][users]
        for name, projection, table in zip(
            self.features.modalities, self.projections, self.features.tables, strict=True
        ):
            rows = projected_rows(projection, table, torch.cat([positives, negatives]))
            positive, negative = ((user * items).sum(dim=1) for items in rows.split(len(users)))
            terms[f"bpr/{name}"] = self.config.feature_weight * bpr_loss(positive, negative)
        return terms


def prune_edges(weight: Tensor, share: float, generator: torch.Generator) -> Tensor:
    r"""Draw the edges that stay, without replacement, with probabilities in proportion to weights.

    An exponential clock of rate w runs for each edge, and those that ring first stay: the order in which
    they ring is that of successive draws without replacement (Efraimidis and Spirakis, *Weighted random
    sampling with a reservoir*, 2006).

    Parameters
    ----------
    weight
        w > 0, ``[edges]``.
    share
        Share of the edges that goes; at least one stays.
    generator
        Source of randomness, on the device of the weights.

    Returns
    -------
    Tensor
        Kept edges, int64, ascending.
    """
    count = max(1, int(len(weight) * (1 - share)))
    clocks = torch.empty_like(weight).exponential_(generator=generator) / weight
    return clocks.topk(count, largest=False).indices.sort().values


def _graph_weights(given: dict[str, float], modalities: tuple[str, ...]) -> list[float]:
    """Return α of each modality, adding up to 1."""
    if not given:
        return [1 / len(modalities)] * len(modalities)
    unknown = sorted(set(given) - set(modalities))
    missing = sorted(set(modalities) - set(given))
    if unknown or missing:
        raise InputError(
            f"model.graph_weights names {', '.join(given)}; expected a weight for each modality of the data "
            f"set: {', '.join(modalities)}"
        )
    total = sum(given.values())
    if min(given.values()) < 0 or total <= 0:
        raise InputError(
            f"model.graph_weights are {', '.join(map(str, given.values()))}; expected weights of 0 or more "
            "that are not all 0"
        )
    return [given[name] / total for name in modalities]
