"""Knowledge view: relational attention over the knowledge graph."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.edge_products import EdgeProducts
from kdiffe_dgl.models.base import dropout, xavier_uniform
from kdiffe_dgl.unit_rows import unit_rows

__all__ = ["KnowledgeView", "RelationalAttention", "attention_weights"]


class KnowledgeView:
    """A knowledge graph ready for messages on one device.

    The DGL graph stays on the CPU, since DGL's published wheels know no other device. There its fused
    edge softmax runs, and sums over edges are sparse products; on any other device the same sums run as
    scatter operations over the edges.

    Parameters
    ----------
    graph
        Knowledge graph whose edges run from tail to head, with ``edata["relation"]``, on the CPU.
    device
        Where the embeddings are.

    Attributes
    ----------
    head, relation, tail
        The edges, int64 ``[edges]`` each, on the device.
    """

    def __init__(self, graph: dgl.DGLGraph, device: torch.device) -> None:
        self.graph, self.fused = graph, device.type == "cpu"
        tail, head = graph.edges()
        self.head, self.tail = head.to(device), tail.to(device)
        self.relation: Tensor = graph.edata["relation"].to(device)

    @cached_property
    def _products(self) -> EdgeProducts:
        n_nodes = self.graph.num_nodes()
        return EdgeProducts.of(self.head, self.tail, n_nodes, n_nodes)

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax over the edges of each head, ``[edges]``."""
        if self.fused:
            weights: Tensor = dgl.ops.edge_softmax(self.graph, logits.unsqueeze(1)).squeeze(1)
            return weights
        n_nodes = self.graph.num_nodes()
        greatest = logits.new_full((n_nodes,), -torch.inf)
        greatest = greatest.scatter_reduce(0, self.head, logits.detach(), reduce="amax")
        exponential = (logits - greatest[self.head]).exp()
        total = exponential.new_zeros(n_nodes).index_add(0, self.head, exponential)
        return exponential / total[self.head]

    def aggregate(self, entities: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of the tails of each head, ``[entities, dim]``."""
        if self.fused:
            return self._products.weighted_sum(weights, entities)
        messages = entities[self.tail] * weights.unsqueeze(1)
        return torch.zeros_like(entities).index_add(0, self.head, messages)


def attention_weights(view: KnowledgeView, entities: Tensor, relations: Tensor, weight: Tensor) -> Tensor:
    r"""Weigh the tails of every head.

    For a triple (h, r, t): :math:`e = LeakyReLU(\sum_k [(e_h \Vert e_t) W]_k r_k)`, and α is the
    softmax of e over the tails of h (KDiffE, knowledge view).

    Parameters
    ----------
    view
        The knowledge graph.
    entities
        Embeddings, ``[entities, dim]``.
    relations
        Embeddings, ``[relations, dim]``.
    weight
        W, ``[2 * dim, dim]``.

    Returns
    -------
    Tensor
        α, ``[edges]``.

    Notes
    -----
    The logit is bilinear, so it is the sum of a part of (h, r) and a part of (t, r): two tables of
    entities by relations replace two gathered ``[edges, dim]`` arrays.
    """
    dim = entities.shape[1]
    # Of three factors the two small ones come first, unless there are many relations.
    of_head, of_tail = weight[:dim], weight[dim:]
    if relations.shape[0] <= dim:
        head_part, tail_part = entities @ (of_head @ relations.t()), entities @ (of_tail @ relations.t())
    else:
        head_part, tail_part = (entities @ of_head) @ relations.t(), (entities @ of_tail) @ relations.t()
    head, relation, tail, n_relations = view.head, view.relation, view.tail, relations.shape[0]
    # One index into the flat table: its gradient is several times faster than that of [i, j].
    logit = (
        head_part.flatten()[head * n_relations + relation]
        + tail_part.flatten()[tail * n_relations + relation]
    )
    return view.softmax(functional.leaky_relu(logit, 0.2))


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
    normalise
        Whether every layer ends with rows of length 1; otherwise with the mean of entity and context.
    """

    def __init__(
        self,
        n_relations: int,
        dim: int,
        layers: int,
        residual: float,
        message_dropout: float,
        generator: torch.Generator,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.layers, self.residual, self.message_dropout = layers, residual, message_dropout
        self.normalise = normalise
        self.relations = xavier_uniform(n_relations, dim, generator)
        self.weight = xavier_uniform(2 * dim, dim, generator)

    def forward(self, view: KnowledgeView, entities: Tensor, generator: torch.Generator | None) -> Tensor:
        """Encode all entities.

        Parameters
        ----------
        view
            The knowledge graph.
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
            weights = attention_weights(view, layer, self.relations, self.weight)
            layer = layer + view.aggregate(layer, weights)
            layer = dropout(layer, self.message_dropout, generator)
            layer = unit_rows(layer) if self.normalise else layer / 2
            total = self.residual * total + layer
        return total
