"""Models that embed users and items and learn from pairs of an observed and a sampled item."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.base import RecommenderModel, xavier_uniform
from kdiffe_dgl.search import Between, SearchSpace
from kdiffe_dgl.training.losses import bpr_loss, squared_norm

__all__ = ["PairwiseConfig", "PairwiseModel"]


class PairwiseConfig(Component):
    """Settings of a pairwise embedding model."""

    SEARCH: ClassVar[SearchSpace] = {
        "regularisation": Between(1e-6, 1e-1, log=True),
    }

    dim: int = Field(64, ge=1)
    """Embedding size d."""
    regularisation: float = Field(1e-4, ge=0)
    """Weight of the squared norm of the embeddings of a batch, per pair."""


class PairwiseModel(RecommenderModel):
    r"""Base of models with an embedding for each user and item, trained with BPR.

    .. math:: L = -\frac1B \sum_{(u,i,j)} \ln \sigma(z_u \cdot z_i - z_u \cdot z_j)
        + \frac{\lambda}{2B} \sum_{(u,i,j)} (\|e_u\|^2 + \|e_i\|^2 + \|e_j\|^2)

    where e are the embeddings and z what :meth:`views` makes of them. (Rendle et al., *BPR: Bayesian
    Personalized Ranking from Implicit Feedback*, UAI 2009, section 4.1; the norm is that of the batch,
    as in LightGCN's and NGCF's code.)

    A subclass overrides :meth:`views`; one with further loss terms adds them to those of ``losses``.
    Initial weights are drawn in the order users, items, then those of the subclass, which moves itself
    to the device when it is complete.
    """

    config: PairwiseConfig

    def __init__(
        self, dataset: RecDataset, config: PairwiseConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.config = config
        self.user_embedding = xavier_uniform(self.n_users, config.dim, generator)
        self.item_embedding = xavier_uniform(self.n_items, config.dim, generator)
        self.to(device)

    def views(self) -> tuple[Tensor, Tensor]:
        """Return users ``[users, dim]`` and items ``[items, dim]`` whose dot product is the score.

        Differentiable. The default: the embeddings themselves.
        """
        return self.user_embedding, self.item_embedding

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR and the squared norm of the batch's embeddings; see the base class."""
        return self.pair_losses(self.views(), users, positives, negatives)

    def pair_losses(
        self, views: tuple[Tensor, Tensor], users: Tensor, positives: Tensor, negatives: Tensor
    ) -> dict[str, Tensor]:
        """Return ``bpr`` of some views and ``regularisation`` of the embeddings, for a batch.

        For subclasses that compute their views once and use them in further terms.
        """
        user_view, item_view = views
        user = user_view[users]
        positive = (user * item_view[positives]).sum(dim=1)
        negative = (user * item_view[negatives]).sum(dim=1)
        ego = (self.user_embedding[users], self.item_embedding[positives], self.item_embedding[negatives])
        weight = self.config.regularisation / (2 * len(users))
        return {"bpr": bpr_loss(positive, negative), "regularisation": weight * squared_norm(ego)}

    @torch.no_grad()
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return the views; see the base class."""
        users, items = self.views()
        return users.detach(), items.detach()
