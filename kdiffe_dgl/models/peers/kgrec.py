"""KGRec: scores say which triples are rationales; these are masked, rebuilt, and contrasted."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.config import Component, SomeLayers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.edge_products import EdgeProducts
from kdiffe_dgl.graph.hetero import KnowledgeEdges, knowledge_graph
from kdiffe_dgl.models.base import dropout, xavier_uniform
from kdiffe_dgl.models.knowledge import KnowledgeView
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.models.peers.triples import edges_of
from kdiffe_dgl.search import Between, SearchSpace
from kdiffe_dgl.unit_rows import unit_rows

__all__ = ["KGRec", "KGRecConfig", "aligned_views_loss", "item_rationales", "mask_top"]

_NEVER = -1e30
"""Logit of an edge that is left out: finite, for a head may lose all its edges."""


class KGRecConfig(PairwiseConfig):
    """Settings of KGRec."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "edge_dropout": Between(0.0, 0.7),
        "masked": Between(64, 1024, log=True),
        "mask_weight": Between(1e-3, 1.0, log=True),
        "contrast_dropout": Between(0.2, 0.8),
        "contrast_weight": Between(1e-4, 0.3, log=True),
        "temperature": Between(0.05, 1.0, log=True),
    }

    layers: SomeLayers = 2
    """Layers of messages."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout rate of the messages."""
    edge_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of the triples, and of the interactions, that a step leaves out before all else."""
    masked: int = Field(256, ge=1)
    """k, edges of the knowledge graph with the greatest scores that a step masks and rebuilds."""
    mask_weight: float = Field(0.1, ge=0)
    """λ₁ of the loss of what is rebuilt."""
    contrast_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of the edges that each contrasted view leaves out by the scores."""
    contrast_weight: float = Field(0.01, ge=0)
    """λ₂ of the contrastive loss."""
    temperature: float = Field(1.0, gt=0)
    """τ of the contrastive loss."""


class _Triples:
    r"""Edges of the knowledge graph between heads and distinct pairs of a relation and a tail.

    What a triple sends, :math:`e_r \odot e_t`, is the same for all heads of its pair, so it is made once a
    pair, and sums and products over the edges hold nothing of the size of edges times dimensions.
    """

    def __init__(self, edges: KnowledgeEdges, device: torch.device) -> None:
        self.view = KnowledgeView(knowledge_graph(edges), device)
        self.triple = edges.triple.to(device)
        pairs, pair = (self.view.relation * edges.n_entities + self.view.tail).unique(return_inverse=True)
        self.relation = torch.div(pairs, edges.n_entities, rounding_mode="floor")
        self.tail = pairs % edges.n_entities
        self.products = EdgeProducts.of(self.view.head, pair, edges.n_entities, len(pairs))
        self.n_entities, self.n_triples = edges.n_entities, int(edges.triple.max()) + 1 if len(edges) else 0

    def messages(self, entities: Tensor, relations: Tensor) -> Tensor:
        r"""Return :math:`e_r \odot e_t` of each pair, ``[pairs, dim]``."""
        return entities[self.tail] * relations[self.relation]

    def degrees(self, kept: Tensor) -> Tensor:
        """Return the number of kept edges of the head of each edge, ``[edges]``."""
        count = torch.zeros(self.n_entities, device=kept.device)
        return count.index_add(0, self.view.head, kept.to(count.dtype))[self.view.head]

    def softmax(self, logits: Tensor, kept: Tensor | None) -> Tensor:
        """Return the softmax over the kept edges of each head, 0 for the others, ``[edges]``."""
        if kept is None:
            return self.view.softmax(logits)
        return self.view.softmax(logits.masked_fill(~kept, _NEVER)) * kept


class KGRec(PairwiseModel):
    r"""Self-supervised rationalisation of a knowledge graph.

    - *Rationales*: :math:`f(h,r,t) = \frac{1}{\sqrt d} (e_h W^Q) \cdot (e_t W^K \odot e_r)`, ω the softmax of
      f over the edges N_h of h, and :math:`\gamma(h,r,t) = |N_h| \, \omega(h,r,t)`, whose mean is 1 at every
      head, so that edges of different heads compare.
    - *Messages*: :math:`e_h' = \sum_t \omega \, e_r \odot e_t` for entities, the mean of the items for
      users, each scaled to length 1; the representations are the sum of all layers.
    - *Masking and rebuilding*: the k edges with the greatest γ plus Gumbel noise, see :func:`mask_top`, are
      left out of the messages; :math:`L_m = -\ln \sigma(z_h \cdot (z_t \odot e_r))`, mean over these.
    - *Contrast*: a view of the knowledge graph without the share ρ of edges with the least noisy γ (mean of
      :math:`e_r \odot e_t` over N_h), against one of the interactions without a share ρ, those of an item
      drawn to stay in proportion to :math:`\exp(\varphi_i)`, see :func:`item_rationales`; both encode the
      items, and :math:`L_c` is that of :func:`aligned_views_loss` behind a perceptron of each view.
    - Loss: :math:`L_{BPR} + \lambda_1 L_m + \lambda_2 L_c` and the squared norm.

    (Yang, Huang, Xia and Huang, *Knowledge Graph Self-Supervised Rationalization for Recommendation*, KDD
    2023, section 3, and the authors' code, whose settings for Last-FM are the defaults.)

    As in the authors' code, each step first leaves out some triples and interactions, masks as many random
    edges beside those of the greatest γ, and computes γ without gradient. Here: one attention head and, as
    in the paper, W^K beside W^Q, where the code has two heads and one map; both edges of a triple stay or
    fall together in the first of these steps; a quarter of the edges at most is masked by γ, which only tiny
    graphs notice; the interactions of the contrasted view are weighted as LightGCN weighs them; the norm is
    that of the batch's embeddings.

    Raises
    ------
    InputError
        If the data set has no knowledge graph.
    """

    name: ClassVar[str] = "kgrec"
    Config: ClassVar[type[Component]] = KGRecConfig
    config: KGRecConfig

    def __init__(
        self, dataset: RecDataset, config: KGRecConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        edges = edges_of(dataset, self.name)
        super().__init__(dataset, config, generator, device)
        self.triples = _Triples(edges, device)
        self._users, self._items = torch.from_numpy(dataset.pairs("train")).T.contiguous().to(device)
        self._interactions = EdgeProducts.of(self._users, self._items, self.n_users, self.n_items)
        self._by_item = EdgeProducts(self._interactions.backward, self._interactions.forward)
        of_user = torch.bincount(self._users, minlength=self.n_users)[self._users].float()
        of_item = torch.bincount(self._items, minlength=self.n_items)[self._items].float()
        self._mean, self._symmetric = 1 / of_user, (of_user * of_item).rsqrt()
        dim = config.dim
        self.entity_embedding = xavier_uniform(edges.n_entities - self.n_items, dim, generator)
        self.relation_embedding = xavier_uniform(edges.n_relations, dim, generator)
        self.query_map = xavier_uniform(dim, dim, generator)
        self.key_map = xavier_uniform(dim, dim, generator)
        self.knowledge_head = _Perceptron(dim, generator)
        self.interaction_head = _Perceptron(dim, generator)
        self.to(device)

    # --- rationales ------------------------------------------------------------------------------

    def _entities(self) -> Tensor:
        return torch.cat([self.item_embedding, self.entity_embedding])

    def _logits(self, entities: Tensor) -> Tensor:
        """Return f of each edge, ``[edges]``."""
        keys = self.triples.messages(entities @ self.key_map, self.relation_embedding)
        return self.triples.products.scores(entities @ self.query_map, keys) / math.sqrt(self.config.dim)

    @torch.no_grad()
    def rationale_scores(self, kept: Tensor | None = None) -> Tensor:
        """Return γ of each edge of the knowledge graph, 0 for those not kept, ``[edges]``.

        Parameters
        ----------
        kept
            Which edges are there, bool ``[edges]``; null: all.
        """
        every = torch.ones_like(self.triples.triple, dtype=torch.bool) if kept is None else kept
        return self.triples.softmax(self._logits(self._entities()), kept) * self.triples.degrees(every)

    # --- encoders --------------------------------------------------------------------------------

    def views(self) -> tuple[Tensor, Tensor]:
        """Return the sum of the layers over the whole graphs; see the class."""
        users, entities = self._propagate(None, self._mean, None)
        return users, entities[: self.n_items]

    def _propagate(
        self, kept: Tensor | None, interactions: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return users and entities over the kept edges and the weighted interactions."""
        entities = total_entities = self._entities()
        users: Tensor = self.user_embedding
        total_users = users
        for _ in range(self.config.layers):
            weights = self.triples.softmax(self._logits(entities), kept)
            users = self._interactions.weighted_sum(interactions, entities[: self.n_items])
            messages = self.triples.messages(entities, self.relation_embedding)
            entities = self._end_of_layer(self.triples.products.weighted_sum(weights, messages), generator)
            users = self._end_of_layer(users, generator)
            total_users, total_entities = total_users + users, total_entities + entities
        return total_users, total_entities

    def _end_of_layer(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return unit_rows(dropout(x, self.config.dropout, generator))

    def _knowledge_view(self, kept: Tensor, generator: torch.Generator) -> Tensor:
        """Return the items by the mean of what kept edges send, ``[items, dim]``."""
        weights = kept / self.triples.degrees(kept).clamp(min=1)
        total = layer = self._entities()
        for _ in range(self.config.layers):
            messages = self.triples.messages(layer, self.relation_embedding)
            layer = self._end_of_layer(self.triples.products.weighted_sum(weights, messages), generator)
            total = total + layer
        return total[: self.n_items]

    def _interaction_view(self, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Return the items over weighted interactions, ``[items, dim]``."""
        users: Tensor = self.user_embedding
        items: Tensor = self.item_embedding
        total = items
        for _ in range(self.config.layers):
            users, items = (
                self._end_of_layer(self._interactions.weighted_sum(weights, items), generator),
                self._end_of_layer(self._by_item.weighted_sum(weights, users), generator),
            )
            total = total + items
        return total

    # --- losses ----------------------------------------------------------------------------------

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR without the masked edges, their loss, and the contrast; see the base class."""
        config, triples = self.config, self.triples
        stays = _draw(triples.n_triples, generator)[triples.triple] >= config.edge_dropout
        scores = self.rationale_scores(stays)
        noisy = scores + _gumbel(len(scores), generator)
        n_masked = min(config.masked, int(stays.sum()) // 4)
        masked = mask_top(noisy, stays, n_masked)
        masked |= mask_top(_draw(len(scores), generator), stays, n_masked)
        present = _draw(len(self._users), generator) >= config.edge_dropout
        scale = present / (1 - config.edge_dropout)
        views = self._propagate(stays & ~masked, self._mean * scale, generator)
        every_user, every_entity = views
        terms = self.pair_losses((every_user, every_entity[: self.n_items]), users, positives, negatives)
        terms["masked"] = config.mask_weight * self._rebuilding_loss(every_entity, masked)
        by_knowledge, by_interactions = self._contrasted(scores, noisy, stays, present, generator)
        by_interactions = by_interactions * self._symmetric / (1 - config.edge_dropout)
        other = torch.randperm(self.n_items, generator=generator, device=generator.device)
        contrast = aligned_views_loss(
            self.interaction_head(self._interaction_view(by_interactions, generator)),
            self.knowledge_head(self._knowledge_view(by_knowledge, generator)),
            other,
            config.temperature,
        )
        return {**terms, "contrast": config.contrast_weight * contrast}

    def _rebuilding_loss(self, entities: Tensor, masked: Tensor) -> Tensor:
        chosen = torch.nonzero(masked).squeeze(1)
        if not len(chosen):
            return entities.new_zeros(())
        view = self.triples.view
        sent = entities[view.tail[chosen]] * self.relation_embedding[view.relation[chosen]]
        return functional.softplus(-(entities[view.head[chosen]] * sent).sum(dim=1)).mean()

    def _contrasted(
        self, scores: Tensor, noisy: Tensor, stays: Tensor, present: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the edges of one view, bool ``[edges]``, the scaled interactions of the other, 0 if out."""
        keep, view = 1 - self.config.contrast_dropout, self.triples.view
        kept = mask_top(noisy, stays, math.ceil(keep * int(stays.sum())))
        of_items = item_rationales(scores, stays, view.head, view.tail, self.n_items)
        # The greatest of φ plus Gumbel noise are a draw without replacement in proportion to exp(φ).
        drawn = of_items[self._items] + _gumbel(len(self._items), generator)
        chosen = mask_top(drawn, present, math.ceil(keep * int(present.sum())))
        return kept, chosen / keep


class _Perceptron(nn.Module):
    """Two layers with a rectifier between, ``[n, dim]`` to ``[n, dim]``."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = (xavier_uniform(dim, dim, generator) for _ in range(2))
        self.first_bias, self.second_bias = (nn.Parameter(torch.zeros(dim)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(x @ self.first + self.first_bias)
        return hidden @ self.second + self.second_bias


def mask_top(scores: Tensor, among: Tensor, count: int) -> Tensor:
    """Return which edges have the ``count`` greatest scores among some of them.

    Parameters
    ----------
    scores
        ``[edges]``.
    among
        Which edges may be taken, bool ``[edges]``, at least ``count`` of them.
    count
        How many are taken.

    Returns
    -------
    Tensor
        bool ``[edges]``.
    """
    taken = torch.zeros_like(among)
    taken[scores.masked_fill(~among, -torch.inf).topk(count, sorted=False).indices] = True
    return taken & among


def item_rationales(scores: Tensor, kept: Tensor, head: Tensor, tail: Tensor, n_items: int) -> Tensor:
    r"""Return φ, how far the triples of an item are rationales.

    φ is the mean of γ over the edges that lead to the item and over those that leave it, half of each; 1,
    the mean of all, where there are none.

    Parameters
    ----------
    scores, kept
        γ ``[edges]``, and which edges count, bool ``[edges]``.
    head, tail
        Ends of the edges, int64 ``[edges]`` each.
    n_items
        Number of items, which are the first entities.

    Returns
    -------
    Tensor
        ``[items]``.
    """
    total = scores.new_zeros(n_items)
    for ends in (head, tail):
        chosen = kept & (ends < n_items)
        sums, counts = scores.new_zeros(2, n_items)
        sums = sums.index_add(0, ends[chosen], scores[chosen])
        counts = counts.index_add(0, ends[chosen], torch.ones_like(scores[chosen]))
        total += torch.where(counts > 0, sums / counts.clamp(min=1), 1.0) / 2
    return total


def aligned_views_loss(first: Tensor, second: Tensor, other: Tensor, temperature: float) -> Tensor:
    r"""Contrast two views of each node, against one other node in each direction.

    .. math:: -\frac1n \sum_v \ln \frac{e^{s(a_v, b_v)}}
        {2 e^{s(a_v, b_v)} + e^{s(a_v, b_w)} + e^{s(a_w, b_v)}}, \qquad s(x, y) = \cos(x, y) / \tau

    Parameters
    ----------
    first, second
        The views a and b, ``[n, dim]`` each.
    other
        w of each v, int64 ``[n]``.
    temperature
        τ.

    Returns
    -------
    Tensor
        Scalar.
    """
    first, second = unit_rows(first), unit_rows(second)
    own = (first * second).sum(dim=1)
    across = (first * second[other]).sum(dim=1), (second * first[other]).sum(dim=1)
    scores = torch.stack([own, own, *across]) / temperature
    return (torch.logsumexp(scores, dim=0) - scores[0]).mean()


def _draw(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device)


def _gumbel(count: int, generator: torch.Generator) -> Tensor:
    return -torch.log(-torch.log(_draw(count, generator)))
