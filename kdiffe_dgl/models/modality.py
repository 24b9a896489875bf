"""Modality views: item features of any number of modalities, one path for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.graph.bipartite import BipartiteOperator, Rows, propagate
from kdiffe_dgl.models.base import dropout, xavier_uniform
from kdiffe_dgl.unit_rows import unit_rows

__all__ = ["FeatureProjection", "ModalityViews", "Projection"]

Projection = Literal["linear", "matrix"]


class FeatureProjection(nn.Module):
    """Raw features to embedding space, each row of length 1.

    Parameters
    ----------
    width
        Width of the raw features.
    dim
        Embedding size d.
    kind
        ``"linear"``: with bias, no activation; ``"matrix"``: parameter matrix, then LeakyReLU.
    generator
        Source of the initial weights.
    """

    def __init__(self, width: int, dim: int, kind: Projection, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        self.weight = xavier_uniform(width, dim, generator)
        self.bias = nn.Parameter(torch.zeros(dim)) if kind == "linear" else None

    def forward(self, features: Tensor) -> Tensor:
        """Project features ``[items, width]`` to ``[items, dim]``."""
        projected = features @ self.weight
        projected = projected + self.bias if self.bias is not None else functional.leaky_relu(projected, 0.2)
        return unit_rows(projected)


class ModalityViews(nn.Module):
    r"""Multimodal view and the contrastive encoding of each modality (KDiffE, modality views).

    Parameters
    ----------
    features
        Raw features of each modality, ``[items, width]``.
    dim, projection
        Embedding size, and kind of projection.
    layers
        Propagation layers over Â.
    adjacency_weight
        Weight λ_adj of the embeddings aggregated over the generated graph.
    residual
        Weight λ_res of the normalised fusion.
    feature_dropout
        Dropout rate of the projected features.
    generator
        Source of the initial weights.
    gated
        Whether the multimodal view reads features as gates, see :meth:`multimodal`.
    """

    def __init__(
        self,
        features: Mapping[str, Tensor],
        dim: int,
        projection: Projection,
        layers: int,
        adjacency_weight: float,
        residual: float,
        feature_dropout: float,
        generator: torch.Generator,
        gated: bool = False,
    ) -> None:
        super().__init__()
        self.gated = gated
        self.modalities: Sequence[str] = tuple(features)
        self.layers, self.adjacency_weight, self.residual = layers, adjacency_weight, residual
        self.feature_dropout = feature_dropout
        # By position: torch refuses some names, such as those with a dot.
        self.projections = nn.ModuleList(
            FeatureProjection(matrix.shape[1], dim, projection, generator) for matrix in features.values()
        )
        self.fusion = nn.Parameter(torch.zeros(len(features)))
        self._features = dict(features)

    def project(self, generator: torch.Generator | None, items: Tensor | None = None) -> dict[str, Tensor]:
        """Return the projected features of each modality, ``[items, dim]``.

        Parameters
        ----------
        generator
            Source of dropout; None: without.
        items
            Which items, int64; null: all.
        """
        projected = {}
        for name, projection in zip(self.modalities, self.projections, strict=True):
            features = self._features[name] if items is None else self._features[name][items]
            projected[name] = dropout(projection(features), self.feature_dropout, generator)
        return projected

    def weights(self) -> Tensor:
        """Return the softmax-ed modality weights, ``[modalities]``."""
        return torch.softmax(self.fusion, dim=0)

    def multimodal(
        self,
        projected: Mapping[str, Tensor],
        users: Tensor,
        items: Tensor,
        operator: BipartiteOperator,
        generated: Mapping[str, BipartiteOperator],
        from_users: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        r"""Fuse the modalities into the multimodal view.

        For a modality with projected features F: :math:`h = \hat A [U \Vert F]`, then
        :math:`h \mathrel{+}= \hat A [h_U \Vert I] + \lambda_{adj} G_m [U \Vert I]`, where
        :math:`G_m` is the generated user-item graph. The weighted sum f over the modalities goes
        through the layers on Â, and :math:`\lambda_{res} \cdot normalise(f)` is added.

        With gates, :math:`I \odot \sigma(\sqrt d F)` takes the place of F: a feature then weighs what
        is known of an item from its users, and can't speak for an item by itself (after the
        behaviour-guided purifier of Yu et al., *MGCN*, 2023; :math:`\sqrt d` undoes the length 1
        of the rows of F).

        Parameters
        ----------
        projected
            Projected features, ``[items, dim]`` each.
        users, items
            Embeddings, ``[users, dim]`` and ``[items, dim]``.
        operator
            Â.
        generated
            Normalised generated graph of each modality.
        from_users
            ``operator.to_items(users)``, where it is known already.

        Returns
        -------
        tuple of Tensor
            Users ``[users, dim]`` and items ``[items, dim]``.

        Notes
        -----
        The modality weights add up to 1 and Â is linear, so the features are averaged before they are
        propagated: the products with Â are as many for ten modalities as for one.
        """
        weights = self.weights()
        sources = [self.gate(features, items) if self.gated else features for features in projected.values()]
        features = _weighted_sum(weights, sources)
        users_of_features, items_of_features = operator(users, features, from_users)
        users_back, items_back = operator(users_of_features, items)
        proposed = [generated[name](users, items) for name in projected]
        shares = self.adjacency_weight * weights
        fused_users = users_of_features + users_back + _weighted_sum(shares, [view[0] for view in proposed])
        fused_items = items_of_features + items_back + _weighted_sum(shares, [view[1] for view in proposed])
        total_users, total_items = propagate(operator, fused_users, fused_items, self.layers)
        return (
            total_users + self.residual * unit_rows(fused_users),
            total_items + self.residual * unit_rows(fused_items),
        )

    @staticmethod
    def gate(features: Tensor, items: Tensor) -> Tensor:
        """Return items weighed by projected features, ``[items, dim]``: see :meth:`multimodal`."""
        return items * torch.sigmoid(math.sqrt(items.shape[1]) * features)

    def contrastive(
        self,
        projected: Tensor,
        users: Tensor,
        operator: BipartiteOperator,
        generated: BipartiteOperator,
        rows: Rows | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode one modality over its generated graph first, then over Â.

        Parameters
        ----------
        projected
            Its projected features, ``[items, dim]``.
        users
            Embeddings, ``[users, dim]``.
        operator, generated
            Â and the normalised generated graph.
        rows
            Where the encoding is wanted; null: everywhere.

        Returns
        -------
        tuple of Tensor
            z_m of the users and of the items.
        """
        start_users, start_items = generated(users, projected)
        return propagate(operator, start_users, start_items, self.layers, rows=rows)


def _weighted_sum(weights: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """Return the sum of tables ``[rows, dim]`` with one weight each."""
    total = weights[0] * tables[0]
    for weight, table in zip(weights[1:], tables[1:], strict=True):
        total = torch.addcmul(total, weight, table)
    return total
