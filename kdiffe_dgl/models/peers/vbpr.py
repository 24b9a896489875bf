"""VBPR: matrix factorisation with further factors that items have from their features."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.base import xavier_uniform
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures
from kdiffe_dgl.search import Choices, SearchSpace
from kdiffe_dgl.training.losses import bpr_loss, squared_norm

__all__ = ["VBPR", "VBPRConfig"]


class VBPRConfig(PairwiseConfig):
    """Settings of VBPR."""

    SEARCH: ClassVar[SearchSpace] = {
        "feature_dim": Choices((16, 32, 64, 128)),
    }

    feature_dim: int = Field(64, ge=1)
    """Number D of the factors that come from features."""
    features: FeatureConfig = FeatureConfig(trained=False, scaled=True)
    """How features are read."""


class VBPR(PairwiseModel):
    r"""Visual Bayesian personalised ranking, for features of any modality.

    .. math:: s_{ui} = \beta_i + \gamma_u \cdot \gamma_i + \theta_u \cdot E f_i + \beta' \cdot f_i

    where f_i are the features of item i, all modalities side by side, γ of ``dim`` and θ of
    ``feature_dim`` numbers; trained with BPR and the squared norm of what a batch uses.

    Source: He and McAuley, *VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback*, AAAI 2016,
    equation 4 and the section on learning.

    Differs: any number of modalities, where the paper has pictures; no global and no user bias, which
    change no ranking and vanish in the loss; a modality is scaled to rows of mean length 1 (there, the
    features of one network came in one unit); Adam in place of plain stochastic steps.
    """

    name: ClassVar[str] = "vbpr"
    Config: ClassVar[type[Component]] = VBPRConfig
    config: VBPRConfig

    def __init__(
        self, dataset: RecDataset, config: VBPRConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        width = sum(self.features.widths)
        self.user_feature_factors = xavier_uniform(self.n_users, config.feature_dim, generator)
        self.feature_embedding = xavier_uniform(width, config.feature_dim, generator)
        self.item_bias = nn.Parameter(torch.zeros(self.n_items, 1))
        self.feature_bias = nn.Parameter(torch.zeros(width, 1))
        self.to(device)

    def _items(self, items: Tensor | None) -> Tensor:
        """Return γ_i, E f_i and the bias of some items, or all, ``[items, dim + feature_dim + 1]``."""
        factors: Tensor = self.item_embedding
        bias: Tensor = self.item_bias
        tables = self.features.tables
        if items is not None:
            factors, bias, tables = factors[items], bias[items], [table[items] for table in tables]
        features = torch.cat(tables, dim=1)
        return torch.cat(
            [factors, features @ self.feature_embedding, bias + features @ self.feature_bias], dim=1
        )

    def _users(self) -> Tensor:
        """Return γ_u, θ_u and 1, ``[users, dim + feature_dim + 1]``."""
        one = self.user_embedding.new_ones(self.n_users, 1)
        return torch.cat([self.user_embedding, self.user_feature_factors, one], dim=1)

    def views(self) -> tuple[Tensor, Tensor]:
        """Return users and items whose dot product is s; see the base class."""
        return self._users(), self._items(None)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR and the squared norm of the factors and biases in use; see the base class."""
        user = torch.cat([self.user_embedding[users], self.user_feature_factors[users]], dim=1)
        positive, negative = self._items(positives), self._items(negatives)
        scores = [(user * items[:, :-1]).sum(dim=1) + items[:, -1] for items in (positive, negative)]
        of_batch = [user]
        for items in (positives, negatives):
            of_batch += [self.item_embedding[items], self.item_bias[items]]
        weight = self.config.regularisation
        norm = squared_norm(of_batch) / len(users) + squared_norm([self.feature_embedding, self.feature_bias])
        return {"bpr": bpr_loss(scores[0], scores[1]), "regularisation": weight / 2 * norm}
