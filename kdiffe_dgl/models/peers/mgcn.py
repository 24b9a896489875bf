"""MGCN: modalities purified by behaviour, each on its own item-item graph, fused by behaviour."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures, linear
from kdiffe_dgl.models.peers.item_graph import item_graph
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.losses import bpr_loss, contrast_nodes, squared_norm

__all__ = ["MGCN", "MGCNConfig"]


class MGCNConfig(LightGCNConfig):
    """Settings of MGCN."""

    SEARCH: ClassVar[SearchSpace] = {
        "item_layers": Between(1, 2),
        "neighbours": Choices((5, 10, 20)),
        "contrast_weight": Between(1e-4, 0.3, log=True),
        "temperature": Between(0.05, 1.0, log=True),
    }

    layers: Layers = 2
    """Propagation layers of the user-item view."""
    item_layers: Layers = 1
    """Propagation layers of the item-item views."""
    neighbours: int = Field(10, ge=1)
    """Nearest items of an item, itself included, in each modality."""
    contrast_weight: float = Field(0.01, ge=0)
    """Weight of the self-supervised term."""
    temperature: float = Field(0.2, gt=0)
    """Its temperature τ."""
    regularisation: float = Field(1e-4, ge=0)
    """Weight of the squared norm of the representations of a batch, per pair."""
    features: FeatureConfig = FeatureConfig()
    """How features are read."""


class MGCN(LightGCN):
    r"""Multi-view graph convolution with behaviour-guided purification and behaviour-aware fusion.

    For a modality m with features F_m, user embeddings U and item embeddings I:

    - *user-item view*: :math:`B`, the mean of the layers of LightGCN on the normalised graph
      :math:`D^{-1/2} A D^{-1/2}`, whose upper right block is R;
    - *behaviour-guided purifier*: :math:`P_m = I \odot \sigma(g_m(f_m(F_m)))`, both affine;
    - *item-item view*: :math:`H_m = S_m^L P_m` for items and :math:`R H_m` for users, together
      :math:`E_m`; S_m is the graph of :func:`~kdiffe_dgl.models.peers.item_graph.item_graph`;
    - *behaviour-aware fuser*: :math:`a_m = \mathrm{softmax}_m(q^T \tanh(W E_m + b))`,
      :math:`C = \sum_m a_m E_m`, and
      :math:`Z = \frac{1}{M+1} \big(C + \sum_m \sigma(p_m(B)) \odot (E_m - C)\big)`, where p_m is affine: what
      the modalities have in common, and of the rest what behaviour asks for;
    - representation :math:`B + Z`; loss BPR + λ_c (InfoNCE of Z against B over the items of the batch, and
      over its users) + λ ‖representations of the batch‖².

    Source: Yu, Tan, Lu, Bao, *Multi-View Graph Convolutional Network for Multimedia Recommendation*, MM
    2023, section 3 (the parts have their names there), and the authors' code for what the text leaves
    open: trained feature tables, in-batch negatives, the factor 1/(M+1), which is 1/3 there, and τ.

    Differs: any number of modalities; the softmax runs over the modalities of a node, as the paper says,
    not over the nodes as in the authors' first code; the learning rate is constant, where theirs falls by
    4 % in 50 epochs.
    """

    name: ClassVar[str] = "mgcn"
    Config: ClassVar[type[Component]] = MGCNConfig
    config: MGCNConfig

    def __init__(
        self, dataset: RecDataset, config: MGCNConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        dim, widths = config.dim, self.features.widths
        self.item_graphs = [
            Propagation.from_scipy(item_graph(np.asarray(matrix), config.neighbours, weighted=True), device)
            for matrix in dataset.features.values()
        ]
        adjacency = normalised_adjacency(dataset.matrix("train"), self_loops=False)
        self.to_users = Propagation.from_scipy(adjacency[: self.n_users, self.n_users :], device)
        self.projections = nn.ModuleList(linear(width, dim, generator) for width in widths)
        self.gates = nn.ModuleList(linear(dim, dim, generator) for _ in widths)
        self.preferences = nn.ModuleList(linear(dim, dim, generator) for _ in widths)
        self.query_hidden = linear(dim, dim, generator)
        self.query = linear(dim, 1, generator, bias=False)
        self.to(device)

    def behaviour_and_side(self) -> tuple[Tensor, Tensor]:
        """Return the user-item view B and the fused modalities Z, ``[users + items, dim]`` each."""
        behaviour = torch.cat(self.propagate(self.propagation))
        modal = [self._item_view(number, table) for number, table in enumerate(self.features.tables)]
        scores = [self.query(torch.tanh(self.query_hidden(view))) for view in modal]
        weights = torch.softmax(torch.cat(scores, dim=1), dim=1).split(1, dim=1)
        common = torch.stack([weight * view for weight, view in zip(weights, modal, strict=True)]).sum(dim=0)
        side = common
        for preference, view in zip(self.preferences, modal, strict=True):
            side = side + torch.sigmoid(preference(behaviour)) * (view - common)
        return behaviour, side / (len(modal) + 1)

    def _item_view(self, number: int, table: Tensor) -> Tensor:
        """Return E_m of the modality of a number, ``[users + items, dim]``."""
        gate = torch.sigmoid(self.gates[number](self.projections[number](table)))
        items = self.item_embedding * gate
        for _ in range(self.config.item_layers):
            items = self.item_graphs[number](items)
        return torch.cat([self.to_users(items), items])

    def views(self) -> tuple[Tensor, Tensor]:
        """Return users and items of B + Z; see the base class."""
        behaviour, side = self.behaviour_and_side()
        users, items = (behaviour + side).split([self.n_users, self.n_items])
        return users, items

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the self-supervised term and the norm of the representations; see the base class."""
        config = self.config
        behaviour, side = self.behaviour_and_side()
        every = behaviour + side
        nodes = users, positives + self.n_users, negatives + self.n_users
        user, positive, negative = (every[rows] for rows in nodes)
        contrast = torch.stack(
            [contrast_nodes(side, behaviour, rows, config.temperature, "batch") for rows in nodes[:2]]
        ).sum()
        weight = config.regularisation / (2 * len(users))
        return {
            "bpr": bpr_loss((user * positive).sum(dim=1), (user * negative).sum(dim=1)),
            "contrast": config.contrast_weight * contrast,
            "regularisation": weight * squared_norm((user, positive, negative)),
        }
