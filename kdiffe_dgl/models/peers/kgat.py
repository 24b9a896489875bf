"""KGAT: attention over one graph of users, items and entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.base import EpochLog, dropout, xavier_uniform
from kdiffe_dgl.models.knowledge import KnowledgeView
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.models.peers.triples import corrupted_tails, edges_of, translation_loss
from kdiffe_dgl.search import Between, SearchSpace

__all__ = ["KGAT", "KGATConfig"]

_SLOPE = 0.2
_ATTENTION = "attention"


class KGATConfig(PairwiseConfig):
    """Settings of KGAT."""

    SEARCH: ClassVar[SearchSpace] = {
        "dropout": Between(0.0, 0.5),
        "triple_weight": Between(1e-2, 2.0, log=True),
    }

    layer_dims: tuple[Annotated[int, Field(ge=1)], ...] = (64, 32, 16)
    """Sizes of the layers' outputs; as many layers."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout rate of the messages."""
    triples: int = Field(2048, ge=1)
    """Triples a step."""
    triple_weight: float = Field(1.0, ge=0)
    """Weight of the loss of the triples."""


class KGAT(PairwiseModel):
    r"""Attentive propagation over the collaborative knowledge graph.

    The graph has users, items and entities as nodes; interactions are a relation with an inverse, beside
    those of the knowledge graph. With :math:`W_r` and :math:`e_r` of each relation,

    - :math:`\pi(h,r,t) = (W_r e_t)^T \tanh(W_r e_h + e_r)`, softmax over the tails of h (equations 4, 5);
    - :math:`e_{N_h} = \sum_t \pi(h,r,t) e_t` (equation 3), and :math:`e_h' = LeakyReLU(W_1 (e_h +
      e_{N_h})) + LeakyReLU(W_2 (e_h \odot e_{N_h}))` (equation 8, bi-interaction), layer upon layer;
    - representation: all layers side by side; score: their dot product (section 3.3);
    - loss: BPR, and :math:`-\ln \sigma(g(h,r,t') - g(h,r,t))` with :math:`g = \|W_r e_h + e_r - W_r e_t\|^2`
      (equations 1 and 2, TransR), and the squared norm (section 3.4).

    (Wang, He, Cao, Liu and Chua, *KGAT: Knowledge Graph Attention Network for Recommendation*, KDD 2019.)

    As in the authors' code, attention is computed once an epoch, without gradient, and the layers are
    scaled to length 1 before they are joined. Here: both losses are minimised in one step, not by turns,
    and the norm is that of the batch's embeddings.

    Raises
    ------
    InputError
        If the data set has no knowledge graph.
    """

    name: ClassVar[str] = "kgat"
    Config: ClassVar[type[Component]] = KGATConfig
    config: KGATConfig

    def __init__(
        self, dataset: RecDataset, config: KGATConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        edges = edges_of(dataset, self.name)
        super().__init__(dataset, config, generator, device)
        users, items = torch.from_numpy(dataset.pairs("train")).T
        items = items + self.n_users
        head = torch.cat([users, items, edges.head + self.n_users])
        tail = torch.cat([items, users, edges.tail + self.n_users])
        relation = torch.cat(
            [
                torch.full_like(users, edges.n_relations),
                torch.full_like(items, edges.n_relations + 1),
                edges.relation,
            ]
        )
        self.n_nodes, n_relations = self.n_users + edges.n_entities, edges.n_relations + 2
        # By relation, so that each W_r multiplies one stretch of the edges.
        order = torch.argsort(relation, stable=True)
        self._stretches = torch.bincount(relation, minlength=n_relations).tolist()
        graph = dgl.graph((tail[order], head[order]), num_nodes=self.n_nodes)
        graph.edata["relation"] = relation[order]
        self.graph = KnowledgeView(graph, device)
        dim = config.dim
        self.entity_embedding = xavier_uniform(edges.n_entities - self.n_items, dim, generator)
        self.relation_embedding = xavier_uniform(n_relations, dim, generator)
        self.relation_map = nn.Parameter(
            torch.stack([xavier_uniform(dim, dim, generator).detach() for _ in range(n_relations)])
        )
        sizes = list(zip((dim, *config.layer_dims), config.layer_dims, strict=False))
        self.of_sum = nn.ParameterList(xavier_uniform(*size, generator) for size in sizes)
        self.of_product = nn.ParameterList(xavier_uniform(*size, generator) for size in sizes)
        self.sum_bias = nn.ParameterList(nn.Parameter(torch.zeros(size)) for _, size in sizes)
        self.product_bias = nn.ParameterList(nn.Parameter(torch.zeros(size)) for _, size in sizes)
        self.to(device)
        self.attention = self._attention()

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Compute attention anew from the embeddings as they are."""
        self.attention = self._attention()
        return {}

    def _nodes(self) -> Tensor:
        return torch.cat([self.user_embedding, self.item_embedding, self.entity_embedding])

    @torch.no_grad()
    def _attention(self) -> Tensor:
        """Return the attention of each edge, ``[edges]``."""
        nodes, graph = self._nodes(), self.graph
        parts = []
        for number, (heads, tails) in enumerate(
            zip(graph.head.split(self._stretches), graph.tail.split(self._stretches), strict=True)
        ):
            weight, relation = self.relation_map[number], self.relation_embedding[number]
            parts.append(((nodes[tails] @ weight) * torch.tanh(nodes[heads] @ weight + relation)).sum(dim=1))
        return graph.softmax(torch.cat(parts))

    def views(self) -> tuple[Tensor, Tensor]:
        """Return all layers side by side; see the class."""
        return self._propagate(None)

    def _propagate(self, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        layer = self._nodes()
        layers = [layer]
        for number in range(len(self.config.layer_dims)):
            near = self.graph.aggregate(layer, self.attention)
            summed = (layer + near) @ self.of_sum[number] + self.sum_bias[number]
            multiplied = (layer * near) @ self.of_product[number] + self.product_bias[number]
            layer = functional.leaky_relu(summed, _SLOPE) + functional.leaky_relu(multiplied, _SLOPE)
            layer = dropout(layer, self.config.dropout, generator)
            layers.append(functional.normalize(layer))
        joined = torch.cat(layers, dim=1)
        return joined[: self.n_users], joined[self.n_users : self.n_users + self.n_items]

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the squared norm, and the loss of some triples; see the base class."""
        terms = self.pair_losses(self._propagate(generator), users, positives, negatives)
        graph, nodes = self.graph, self._nodes()
        chosen, wrong = corrupted_tails(len(graph.head), self.n_nodes, self.config.triples, generator)
        relation = graph.relation[chosen]
        ends = torch.stack([nodes[graph.head[chosen]], nodes[graph.tail[chosen]], nodes[wrong]], dim=1)
        head, tail, other = (ends @ self.relation_map[relation]).unbind(dim=1)
        loss = translation_loss(head, self.relation_embedding[relation], tail, other)
        return {**terms, "triples": self.config.triple_weight * loss}

    def graph_state(self) -> dict[str, Tensor]:
        """Return the attention that the representations depend on."""
        return {_ATTENTION: self.attention}

    def load_graph_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the attention of an epoch; see the base class."""
        if state.keys() != {_ATTENTION} or state[_ATTENTION].shape != self.attention.shape:
            raise ValueError(f"model {self.name}: expected {_ATTENTION} of {len(self.attention)} edges")
        self.attention = state[_ATTENTION].to(self.device)
