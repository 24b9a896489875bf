"""SLMRec: a graph encoding of each modality, and contrast between them from fine to coarse."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures, linear
from kdiffe_dgl.search import Between, SearchSpace
from kdiffe_dgl.training.losses import info_nce, softmax_loss, squared_norm

__all__ = ["SLMRec", "SLMRecConfig"]


class SLMRecConfig(LightGCNConfig):
    """Settings of SLMRec."""

    SEARCH: ClassVar[SearchSpace] = {
        "temperature": Between(0.05, 1.0, log=True),
        "contrast_weight": Between(1e-3, 1.0, log=True),
        "contrast_temperature": Between(0.05, 1.0, log=True),
    }

    layers: Layers = 3
    """Propagation layers of each encoding."""
    temperature: float = Field(0.2, gt=0)
    """Temperature of the main loss."""
    contrast_weight: float = Field(0.1, ge=0)
    """Weight of the contrast between modalities."""
    contrast_temperature: float = Field(0.2, gt=0)
    """Its temperature."""
    features: FeatureConfig = FeatureConfig(trained=False)
    """How features are read."""


class SLMRec(LightGCN):
    r"""Self-supervised learning for multimedia recommendation, with fine and coarse alignment.

    - Encodings: the mean of the layers of LightGCN, from the embeddings of users and items
      (:math:`Z_0`), and for each modality m from the embeddings of users and :math:`f_m(F_m)`
      (:math:`Z_m`), rows of F_m of length 1, f_m affine.
    - Fusion: :math:`Z = [Z_0 \Vert Z_1 \Vert \dots \Vert Z_M] W + b`, W and b of users and of items.
    - Main loss: InfoNCE of the users of a batch against its items, by cosine; score :math:`z_u \cdot z_i`.
    - Fine and coarse alignment of the items of a batch: :math:`x_0 = Z_0`, and for each modality in turn
      :math:`x_m = G_m(x_{m-1})`, :math:`y_m = Q_m(Z_m)`, both affine, and the cross entropy of
      :math:`x_m \cdot y_m / \tau` with the other items of the batch as negatives.

    Source: Tao, Liu, Xia, Wang, Yang, Huang, Chua, *Self-Supervised Learning for Multimedia
    Recommendation*, IEEE Transactions on Multimedia 2022, and the authors' code.

    Differs: any number of modalities, in the order of the data set; of the three tasks that the paper
    proposes (feature drop, feature masking, fine and coarse) only the last, which it recommends; every
    x_m has the full dimension, where the authors halve that of the last; the squared norm of the
    embeddings of the batch is added.
    """

    name: ClassVar[str] = "slmrec"
    Config: ClassVar[type[Component]] = SLMRecConfig
    config: SLMRecConfig

    def __init__(
        self, dataset: RecDataset, config: SLMRecConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        dim, widths = config.dim, self.features.widths
        self.projections = nn.ModuleList(linear(width, dim, generator) for width in widths)
        wide = dim * (len(widths) + 1)
        self.user_fusion, self.item_fusion = (linear(wide, dim, generator) for _ in range(2))
        self.coarser = nn.ModuleList(linear(dim, dim, generator) for _ in widths)
        self.aligned = nn.ModuleList(linear(dim, dim, generator) for _ in widths)
        self.to(device)

    def encodings(self) -> list[tuple[Tensor, Tensor]]:
        """Return Z_0 to Z_M, users ``[users, dim]`` and items ``[items, dim]``."""
        starts: list[Tensor] = [self.item_embedding]
        for projection, table in zip(self.projections, self.features.tables, strict=True):
            starts.append(projection(functional.normalize(table)))
        # All of them in one product of the adjacency with a wide matrix.
        layer = torch.cat([torch.cat([self.user_embedding] * len(starts), dim=1), torch.cat(starts, dim=1)])
        total = layer
        for _ in range(self.config.layers):
            layer = self.propagation(layer)
            total = total + layer
        users, items = (total / (self.config.layers + 1)).split([self.n_users, self.n_items])
        parts = users.split(self.config.dim, dim=1), items.split(self.config.dim, dim=1)
        return list(zip(*parts, strict=True))

    def _fused(self, encodings: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        users, items = (torch.cat(side, dim=1) for side in zip(*encodings, strict=True))
        return self.user_fusion(users), self.item_fusion(items)

    def views(self) -> tuple[Tensor, Tensor]:
        """Return the fused users and items; see the base class."""
        return self._fused(self.encodings())

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute main loss, alignment and norm; sampled negatives are not used; see the base class."""
        config = self.config
        encodings = self.encodings()
        every_user, every_item = self._fused(encodings)
        # The batch's items are the candidates, as often as they occur; each user and item is computed once.
        chosen, rows = torch.unique(users, return_inverse=True)
        candidates, places, counts = torch.unique(positives, return_inverse=True, return_counts=True)
        weight = counts.to(every_item.dtype).log()
        main = info_nce(
            every_user[chosen], every_item[candidates], places, config.temperature, weight, rows=rows
        )
        fine = encodings[0][1][candidates]
        alignment = []
        for coarser, aligned, (_, items) in zip(self.coarser, self.aligned, encodings[1:], strict=True):
            fine = coarser(fine)
            alignment.append(
                softmax_loss(
                    fine / config.contrast_temperature,
                    aligned(items[candidates]),
                    places,
                    weight,
                    rows=places,
                )
            )
        norm_weight = config.regularisation / (2 * len(users))
        return {
            "softmax": main,
            "contrast": config.contrast_weight * torch.stack(alignment).sum(),
            "regularisation": norm_weight
            * squared_norm((self.user_embedding[users], self.item_embedding[positives])),
        }
