"""MMGCN: a graph convolution for each modality, with preferences of users in its own space."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.config import Component, SomeLayers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.operators import Propagation, row_normalised
from kdiffe_dgl.models.base import xavier_uniform
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures, linear
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.losses import squared_norm

__all__ = ["MMGCN", "MMGCNConfig", "ModalityConvolution"]


class MMGCNConfig(PairwiseConfig):
    """Settings of MMGCN."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "modality_dim": Choices((64, 128, 256)),
    }

    layers: SomeLayers = 3
    """Layers of each modality's graph convolution."""
    modality_dim: int = Field(256, ge=1)
    """Width of a modality's own space, in which users have preferences."""
    features: FeatureConfig = FeatureConfig(trained=False)
    """How features are read."""


class ModalityConvolution(nn.Module):
    r"""The layers of one modality.

    With :math:`x_0 = [p \Vert f(F)]`, rows of length 1, where p are the preferences of users, e the
    embeddings of users and items, and M the mean over the neighbours of a node, layer l is

    .. math:: h = \phi(M x_l W_1), \quad \hat x = \phi(x_l W_2 + b_2) + e, \quad
        x_{l+1} = \phi([h \Vert \hat x] W_3 + b_3)

    with φ the leaky rectifier (aggregation layer, and combination layer by concatenation).

    Parameters
    ----------
    width
        Width of the raw features.
    config
        Settings.
    generator
        Source of the initial weights.
    """

    def __init__(self, width: int, config: MMGCNConfig, generator: torch.Generator) -> None:
        super().__init__()
        dim, wide = config.dim, config.modality_dim
        self.project = linear(width, wide, generator)
        inputs = [wide, *[dim] * (config.layers - 1)]
        self.aggregate = nn.ModuleList(linear(size, size, generator, bias=False) for size in inputs)
        self.keep = nn.ModuleList(linear(size, dim, generator) for size in inputs)
        self.combine = nn.ModuleList(linear(size + dim, dim, generator) for size in inputs)

    def forward(
        self, preference: Tensor, table: Tensor, embeddings: Tensor, mean: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return users and items in this modality, ``[users + items, dim]``.

        Parameters
        ----------
        preference
            p, ``[users, modality_dim]``.
        table
            F, ``[items, width]``.
        embeddings
            e, ``[users + items, dim]``.
        mean
            M.
        """
        x = functional.normalize(torch.cat([preference, self.project(table)]))
        for aggregate, keep, combine in zip(self.aggregate, self.keep, self.combine, strict=True):
            around = functional.leaky_relu(mean(aggregate(x)))
            own = functional.leaky_relu(keep(x)) + embeddings
            x = functional.leaky_relu(combine(torch.cat([around, own], dim=1)))
        return x


class MMGCN(PairwiseModel):
    r"""Multi-modal graph convolution: the mean over the modalities of :class:`ModalityConvolution`.

    Trained with BPR and the squared norm of the embeddings, and of the preferences, of a batch.

    Source: Wei, Wang, Nie, He, Hong, Chua, *MMGCN: Multi-modal Graph Convolution Network for Personalized
    Recommendation of Micro-video*, MM 2019 (aggregation, combination and model prediction), and the
    authors' code for the layers' form.

    Differs: any number of modalities, all with a space of ``modality_dim``, where the authors' code has
    256 for pictures and the raw width for the others; the mean over the modalities in place of the sum,
    as in their code; the preferences of all modalities are trained.
    """

    name: ClassVar[str] = "mmgcn"
    Config: ClassVar[type[Component]] = MMGCNConfig
    config: MMGCNConfig

    def __init__(
        self, dataset: RecDataset, config: MMGCNConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.features = ItemFeatures(dataset, config.features, self.name)
        matrix = dataset.matrix("train")
        self.user_mean = Propagation.from_scipy(row_normalised(matrix), device)
        self.item_mean = Propagation.from_scipy(row_normalised(matrix.T.tocsr()), device)
        widths = self.features.widths
        self.preferences = nn.ParameterList(
            xavier_uniform(self.n_users, config.modality_dim, generator) for _ in widths
        )
        self.convolutions = nn.ModuleList(ModalityConvolution(width, config, generator) for width in widths)
        self.to(device)

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean over the neighbours of each node, ``[users + items, dim]``."""
        users, items = x.split([self.n_users, self.n_items])
        return torch.cat([self.user_mean(items), self.item_mean(users)])

    def views(self) -> tuple[Tensor, Tensor]:
        """Return the mean over the modalities; see the base class."""
        embeddings = torch.cat([self.user_embedding, self.item_embedding])
        modal = [
            convolution(preference, table, embeddings, self.mean)
            for convolution, preference, table in zip(
                self.convolutions, self.preferences, self.features.tables, strict=True
            )
        ]
        users, items = torch.stack(modal).mean(dim=0).split([self.n_users, self.n_items])
        return users, items

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR and the norms; see the base class."""
        terms = super().losses(users, positives, negatives, generator)
        weight = self.config.regularisation / (2 * len(users))
        norm = squared_norm(preference[users] for preference in self.preferences)
        terms["regularisation"] = terms["regularisation"] + weight * norm
        return terms
