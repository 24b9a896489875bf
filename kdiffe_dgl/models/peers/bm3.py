"""BM3: views of users, items and modalities that predict each other, without negatives."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.base import dropout
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures, linear, projected_rows
from kdiffe_dgl.search import Between, SearchSpace
from kdiffe_dgl.training.losses import squared_norm

__all__ = ["BM3", "BM3Config"]


class BM3Config(LightGCNConfig):
    """Settings of BM3."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "dropout": Between(0.1, 0.6),
        "feature_weight": Between(0.1, 10.0, log=True),
        "regularisation": Between(1e-4, 1.0, log=True),
    }

    layers: Layers = 1
    """Propagation layers."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of the entries of a target that are dropped."""
    feature_weight: float = Field(2.0, ge=0)
    """Weight of the alignment of the modalities, within and between."""
    regularisation: float = Field(0.1, ge=0)
    """Weight of the squared norm of the representations of a batch, per pair."""
    features: FeatureConfig = FeatureConfig(scaled=True)
    """How features are read."""


class BM3(LightGCN):
    r"""Bootstrapped multimodal model.

    With :math:`h_u, h_i` the mean of the layers of LightGCN, where items get their embedding once more,
    :math:`h_m = f_m(F_m)`, one affine predictor p for all, targets :math:`\dot h = \mathrm{dropout}(h)`
    that pass no gradient, and :math:`C(a, b) = 1 - \cos(a, b)`, the loss is the mean over the pairs (u, i)
    of a batch of

    .. math:: C(p(h_u), \dot h_i) + C(p(h_i), \dot h_u)
        + \lambda_m \sum_m \big( C(p(h_m), \dot h_i) + C(p(h_m), \dot h_m) \big) + \lambda R

    (graph reconstruction, inter-modality and intra-modality alignment), with the score
    :math:`p(h_u) \cdot p(h_i)`.

    Source: Zhou et al., *Bootstrap Latent Representations for Multi-modal Recommendation*, WWW 2023, section
    3 (contrastive view generator, multi-modal contrastive loss, top-K recommendation), and the authors' code.

    Differs: any number of modalities; R is the mean of
    :math:`(\|h_u\|^2 + \|h_i\|^2) / 2` over the batch, where the authors' code divides the norms of the whole
    tables by the number of items; a modality is scaled to rows of mean length 1, without which one with
    long rows can hardly be moved by its predictor.
    """

    name: ClassVar[str] = "bm3"
    Config: ClassVar[type[Component]] = BM3Config
    config: BM3Config

    def __init__(
        self, dataset: RecDataset, config: BM3Config, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        self.predictor = linear(config.dim, config.dim, generator)
        self.projections = nn.ModuleList(
            linear(width, config.dim, generator) for width in self.features.widths
        )
        self.to(device)

    def encoded(self) -> tuple[Tensor, Tensor]:
        """Return h of users and items, ``[users, dim]`` and ``[items, dim]``."""
        users, items = self.propagate(self.propagation)
        return users, items + self.item_embedding

    def views(self) -> tuple[Tensor, Tensor]:
        """Return p(h) of users and items; see the base class."""
        users, items = self.encoded()
        return self.predictor(users), self.predictor(items)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute reconstruction, alignment and norm; negatives are not used; see the base class."""
        config = self.config
        every_user, every_item = self.encoded()
        user, item = every_user[users], every_item[positives]
        user_target, item_target = self._target(user, generator), self._target(item, generator)
        alignment = []
        for projection, table in zip(self.projections, self.features.tables, strict=True):
            modal = projected_rows(projection, table, positives)
            predicted = self.predictor(modal)
            alignment += [
                _distance(predicted, item_target),
                _distance(predicted, self._target(modal, generator)),
            ]
        reconstruction = _distance(self.predictor(user), item_target)
        reconstruction = reconstruction + _distance(self.predictor(item), user_target)
        weight = config.regularisation / (2 * len(users))
        return {
            "reconstruction": reconstruction,
            "alignment": config.feature_weight * torch.stack(alignment).sum(),
            "regularisation": weight * squared_norm((user, item)),
        }

    def _target(self, view: Tensor, generator: torch.Generator) -> Tensor:
        return dropout(view.detach(), self.config.dropout, generator)


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean of 1 - cos over the rows, a scalar."""
    return 1 - functional.cosine_similarity(first, second, dim=1).mean()
