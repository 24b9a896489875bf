"""KGCL: knowledge with some triples left out says which interactions to trust."""

from __future__ import annotations

from typing import ClassVar

import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.hetero import knowledge_graph
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.base import EpochLog, xavier_uniform
from kdiffe_dgl.models.knowledge import KnowledgeView, attention_weights
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.peers.triples import corrupted_tails, edges_of, translation_loss
from kdiffe_dgl.search import Between, SearchSpace
from kdiffe_dgl.training.losses import info_nce

__all__ = ["KGCL", "KGCLConfig", "keep_probability"]


class KGCLConfig(LightGCNConfig):
    """Settings of KGCL."""

    SEARCH: ClassVar[SearchSpace] = {
        "triple_dropout": Between(0.1, 0.8),
        "keep": Between(0.5, 1.0),
        "temperature": Between(0.05, 1.0, log=True),
        "contrast_weight": Between(1e-3, 1.0, log=True),
        "triple_weight": Between(1e-2, 2.0, log=True),
    }

    triple_dropout: float = Field(0.5, ge=0, lt=1)
    """Probability that a triple is left out of a view."""
    keep: float = Field(0.9, gt=0, le=1)
    """p_a, mean probability that an interaction is kept in a view."""
    least: float = Field(0.3, gt=0, le=1)
    """p_τ, least relative probability, of the least consistent items."""
    temperature: float = Field(0.2, gt=0)
    """τ of the contrastive loss."""
    contrast_weight: float = Field(0.1, ge=0)
    """λ₁ of the contrastive loss."""
    triples: int = Field(2048, ge=1)
    """Triples a step."""
    triple_weight: float = Field(1.0, ge=0)
    """Weight of the loss of the triples."""


class KGCL(LightGCN):
    r"""LightGCN on items that carry knowledge, with contrast between two views of knowledge and interactions.

    - Items take up their entities: :math:`x_i' = x_i + \sum_{e \in N_i} \alpha(e, r, i) x_e`, α the softmax
      of :math:`LeakyReLU(r^T W (x_i \Vert x_e))` over N_i; LightGCN goes on from x'.
    - Two graphs without some of the triples give two versions of x'; their cosine is the consistency c_i
      of an item.
    - Interactions are kept with a probability that grows with :math:`\exp(c_i)`, see
      :func:`keep_probability`, in two graphs; each goes with one version of x'.
    - Loss: BPR on the whole graphs, InfoNCE between the two views of the users and the items of a
      batch, TransE on the triples, squared norm.

    (Yang, Huang, Xia and Li, *Knowledge Graph Contrastive Learning for Recommendation*, SIGIR 2022, section
    3: relation-aware knowledge aggregation, knowledge graph augmentation, knowledge-guided contrast.)

    Here: items and entities share one attention W over the concatenation, all neighbours count, not ten
    drawn ones; all losses are minimised in one step, not by turns; the contrast is a mean over the
    distinct nodes of a batch; the views are drawn once an epoch, as in the authors' code.

    Raises
    ------
    InputError
        If the data set has no knowledge graph.
    """

    name: ClassVar[str] = "kgcl"
    Config: ClassVar[type[Component]] = KGCLConfig
    config: KGCLConfig

    def __init__(
        self, dataset: RecDataset, config: KGCLConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        edges = edges_of(dataset, self.name)
        super().__init__(dataset, config, generator, device)
        self.edges = edges
        # Messages go to items alone; both directions of a triple stay or fall together.
        self._to_items = edges.head < self.n_items
        self.knowledge = KnowledgeView(knowledge_graph(edges, self._to_items), device)
        self._edges = edges.to(device)
        self._interactions = dataset.matrix("train")
        dim = config.dim
        self.entity_embedding = xavier_uniform(edges.n_entities - self.n_items, dim, generator)
        self.relation_embedding = xavier_uniform(edges.n_relations, dim, generator)
        self.attention_map = xavier_uniform(2 * dim, dim, generator)
        self._views: tuple[tuple[KnowledgeView, Propagation], ...] = ()
        self.to(device)

    def _entities(self) -> Tensor:
        return torch.cat([self.item_embedding, self.entity_embedding])

    def _items(self, knowledge: KnowledgeView) -> Tensor:
        """Return the items with what they take up from a knowledge graph, ``[items, dim]``."""
        entities = self._entities()
        weights = attention_weights(knowledge, entities, self.relation_embedding, self.attention_map)
        return self.item_embedding + knowledge.aggregate(entities, weights)[: self.n_items]

    @torch.no_grad()
    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Draw two views of the knowledge graph, and two of the interactions by what these agree on."""
        knowledge = [self._knowledge_view(generator) for _ in range(2)]
        first, second = (self._items(view) for view in knowledge)
        consistency = functional.cosine_similarity(first, second)
        of_items = keep_probability(consistency, self._counts(), self.config.keep, self.config.least)
        self._views = tuple((view, self._interaction_view(of_items, generator)) for view in knowledge)
        return {"consistency": float(consistency.mean())}

    def _counts(self) -> Tensor:
        counts = self._interactions.sum(axis=0).A1
        return torch.from_numpy(counts).to(self.device)

    def _knowledge_view(self, generator: torch.Generator) -> KnowledgeView:
        n_triples = int(self.edges.triple.max()) + 1 if len(self.edges) else 0
        drawn = torch.rand(n_triples, generator=generator, device=generator.device).cpu()
        kept = (drawn >= self.config.triple_dropout)[self.edges.triple] & self._to_items
        return KnowledgeView(knowledge_graph(self.edges, kept), self.device)

    def _interaction_view(self, of_items: Tensor, generator: torch.Generator) -> Propagation:
        edges = self._interactions.tocoo()
        drawn = torch.rand(edges.nnz, generator=generator, device=generator.device).cpu()
        kept = (drawn < of_items.cpu()[torch.from_numpy(edges.col).long()]).numpy()
        graph = sp.csr_matrix((edges.data[kept], (edges.row[kept], edges.col[kept])), shape=edges.shape)
        return Propagation.from_scipy(normalised_adjacency(graph, self_loops=False)).to(self.device)

    def views(self) -> tuple[Tensor, Tensor]:
        """Return LightGCN's layers over items with knowledge; see the class."""
        return self.propagate(self.propagation, self._items(self.knowledge))

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the squared norm, the contrast and the loss of some triples; see the base class."""
        terms = super().losses(users, positives, negatives, generator)
        first, second = (self.propagate(graph, self._items(view)) for view, graph in self._views)
        for name, nodes, anchors, candidates in (
            ("user_contrast", users, first[0], second[0]),
            ("item_contrast", positives, first[1], second[1]),
        ):
            chosen = torch.unique(nodes)
            contrast = info_nce(anchors[chosen], candidates, chosen, self.config.temperature)
            terms[name] = self.config.contrast_weight * contrast
        if len(self._edges):
            terms["triples"] = self.config.triple_weight * self._triple_loss(generator)
        return terms

    def _triple_loss(self, generator: torch.Generator) -> Tensor:
        edges, entities = self._edges, self._entities()
        chosen, wrong = corrupted_tails(len(edges), edges.n_entities, self.config.triples, generator)
        relation = self.relation_embedding[edges.relation[chosen]]
        return translation_loss(
            entities[edges.head[chosen]], relation, entities[edges.tail[chosen]], entities[wrong]
        )


def keep_probability(consistency: Tensor, counts: Tensor, mean: float, least: float) -> Tensor:
    r"""Return the probability that an interaction of an item is kept, from the item's consistency.

    :math:`w_i = \exp(c_i)`, :math:`p'_i = \max(\frac{w_i - w_{min}}{w_{max} - w_{min}}, p_\tau)`,
    :math:`p_i = p_a \, p'_i / \mu_{p'}`, at most 1, with μ the mean over interactions.

    Parameters
    ----------
    consistency
        c, ``[items]``.
    counts
        Interactions of each item, ``[items]``.
    mean, least
        p_a and p_τ.

    Returns
    -------
    Tensor
        ``[items]``; p_a for all where all are equally consistent.
    """
    weight = consistency.exp()
    span = weight.max() - weight.min()
    # Within rounding of each other, no item is less consistent than another.
    if span <= 1e-6:
        return torch.full_like(weight, mean)
    relative = ((weight - weight.min()) / span).clamp(min=least)
    average = (relative * counts).sum() / counts.sum()
    return (mean * relative / average).clamp(max=1.0)
