"""Knowledge view: relational attention over the knowledge graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.models.base import dropout, xavier_uniform

__all__ = ["RelationalAttention", "attention_weights"]


def attention_weights(graph: dgl.DGLGraph, entities: Tensor, relations: Tensor, weight: Tensor) -> Tensor:
    r"""Weigh the tails of every head.

    For a triple (h, r, t): :math:`e = LeakyReLU(\sum_k [(e_h \Vert e_t) W]_k r_k)`, and α is the
    softmax of e over the tails of h (KDiffE, knowledge view).

    Parameters
    ----------
    graph
        Knowledge graph whose edges run from tail to head, with ``edata["relation"]``.
    entities
        Embeddings, ``[entities, dim]``.
    relations
        Embeddings, ``[relations, dim]``.
    weight
        W, ``[2 * dim, dim]``.

    Returns
    -------
    Tensor
        α, ``[edges, 1]``.

    Notes
    -----
    The logit is bilinear, so it is the sum of a part of (h, r) and a part of (t, r): two tables of
    entities by relations replace two gathered ``[edges, dim]`` arrays.
    """
    dim = entities.shape[1]
    head_part = (entities @ weight[:dim]) @ relations.t()
    tail_part = (entities @ weight[dim:]) @ relations.t()
    tail, head = graph.edges()
    n_relations, relation = relations.shape[0], graph.edata["relation"]
    # take() on the flat table: its gradient is one index_add, several times faster than that of [i, j].
    logit = (
        head_part.flatten()[head * n_relations + relation]
        + tail_part.flatten()[tail * n_relations + relation]
    )
    return dgl.ops.edge_softmax(graph, functional.leaky_relu(logit, 0.2).unsqueeze(1))


class RelationalAttention(nn.Module):
    r"""Layers of relational attention with a residual sum.

    :math:`e_h' = normalise(dropout(e_h + \sum_t \alpha_{hrt} e_t))`; the result after layer l is
    :math:`\lambda_{res} \cdot \text{result}_{l-1} + e^{(l)}` (KDiffE, knowledge view).

    Parameters
    ----------
    n_relations
        Relations, inverses counted.
    dim
        Embedding size d.
    layers
        Number of layers.
    residual
        Weight λ_res of the earlier layers.
    message_dropout
        Dropout rate after aggregation.
    generator
        Source of the initial weights.
    """

    def __init__(
        self,
        n_relations: int,
        dim: int,
        layers: int,
        residual: float,
        message_dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layers, self.residual, self.message_dropout = layers, residual, message_dropout
        self.relations = xavier_uniform(n_relations, dim, generator)
        self.weight = xavier_uniform(2 * dim, dim, generator)

    def forward(self, graph: dgl.DGLGraph, entities: Tensor, generator: torch.Generator | None) -> Tensor:
        """Encode all entities.

        Parameters
        ----------
        graph
            Knowledge graph whose edges run from tail to head, with ``edata["relation"]``.
        entities
            Embeddings, ``[entities, dim]``.
        generator
            Source of dropout; None in evaluation.

        Returns
        -------
        Tensor
            ``[entities, dim]``.
        """
        layer, total = entities, entities
        for _ in range(self.layers):
            weights = attention_weights(graph, layer, self.relations, self.weight)
            layer = layer + dgl.ops.u_mul_e_sum(graph, layer, weights)
            layer = functional.normalize(dropout(layer, self.message_dropout, generator))
            total = self.residual * total + layer
        return total
