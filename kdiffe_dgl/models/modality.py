"""Modality views: item features of any number of modalities, one path for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.graph.operators import Propagation
from kdiffe_dgl.models.base import dropout, xavier_uniform

__all__ = ["FeatureProjection", "ModalityViews", "Projection", "propagate"]

Projection = Literal["linear", "matrix"]


def propagate(operator: Propagation, nodes: Tensor, layers: int) -> Tensor:
    """Return the sum of a node matrix ``[nodes, dim]`` and its propagations over 1 to ``layers`` steps."""
    total = nodes
    for _ in range(layers):
        nodes = operator(nodes)
        total = total + nodes
    return total


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
        return functional.normalize(projected)


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

    def project(self, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Return the projected features of each modality, ``[items, dim]``; None: without dropout."""
        return {
            name: dropout(projection(self._features[name]), self.feature_dropout, generator)
            for name, projection in zip(self.modalities, self.projections, strict=True)
        }

    def weights(self) -> Tensor:
        """Return the softmax-ed modality weights, ``[modalities]``."""
        return torch.softmax(self.fusion, dim=0)

    def multimodal(
        self,
        projected: Mapping[str, Tensor],
        users: Tensor,
        items: Tensor,
        operator: Propagation,
        generated: Mapping[str, Propagation],
    ) -> Tensor:
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
            Â, ``[users + items, users + items]``.
        generated
            Normalised generated graph of each modality, of the same shape.

        Returns
        -------
        Tensor
            ``[users + items, dim]``.
        """
        nodes = torch.cat([users, items])
        weights = self.weights()
        fused = torch.zeros_like(nodes)
        for weight, (name, features) in zip(weights, projected.items(), strict=True):
            if self.gated:
                features = items * torch.sigmoid(math.sqrt(items.shape[1]) * features)  # noqa: PLW2901
            encoded = operator(torch.cat([users, features]))
            back = operator(torch.cat([encoded[: len(users)], items]))
            fused = fused + weight * (encoded + back + self.adjacency_weight * generated[name](nodes))
        return propagate(operator, fused, self.layers) + self.residual * functional.normalize(fused)

    def contrastive(
        self, name: str, projected: Tensor, users: Tensor, operator: Propagation, generated: Propagation
    ) -> Tensor:
        """Encode one modality over its generated graph first, then over Â.

        Parameters
        ----------
        name
            The modality.
        projected
            Its projected features, ``[items, dim]``.
        users
            Embeddings, ``[users, dim]``.
        operator, generated
            Â and the normalised generated graph.

        Returns
        -------
        Tensor
            z_m, ``[users + items, dim]``.
        """
        return propagate(operator, generated(torch.cat([users, projected])), self.layers)
