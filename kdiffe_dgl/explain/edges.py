"""Everything that the score of a pair reads, as edges that can be weighed or deleted one by one.

An edge is what a reader takes for one fact. A *pair* joins a user and an item: one edge, whether the
attention-aware matrix, generated graphs, or both hold it. A *link* joins two entities: one edge for all
triples between the two, their inverses and what diffusion proposes among them, since diffusion keeps or
drops these together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.diffusion.regenerate import pair_keys
from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.hetero import bipartite
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.knowledge import KnowledgeView

__all__ = ["Links", "PairGraph", "Pairs", "ScoreEdges"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairGraph:
    r"""A bipartite graph over the pairs, normalised as :math:`D^{-1/2} (C + I) D^{-1/2}`.

    Parameters
    ----------
    degree
        What a pair adds to the degrees of its ends, float64 ``[pairs]``; 0 where the graph lacks it.
    strength
        Its entry in C, float64 ``[pairs]``: 1 + ε·S in the attention-aware matrix.
    """

    degree: Tensor
    strength: Tensor


@dataclass(frozen=True)
class Pairs:
    """Users and items that some graph joins, sorted by user, then item.

    Parameters
    ----------
    users, items
        int64 ``[pairs]``.
    n_users, n_items
        Sizes.
    interactions
        The attention-aware matrix.
    generated
        What diffusion generated for each modality.
    epsilon
        Weight ε of the similarity.
    """

    users: Ids
    items: Ids
    n_users: int
    n_items: int
    interactions: PairGraph
    generated: Mapping[str, PairGraph]
    epsilon: float

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def numbers(self) -> sp.csr_matrix:
        """``[users, items]``, one more than the number of the pair."""
        numbers = np.arange(1, len(self) + 1, dtype=np.int64)
        return sp.csr_matrix((numbers, (self.users, self.items)), shape=(self.n_users, self.n_items))

    @cached_property
    def by_item(self) -> sp.csr_matrix:
        """The transpose of ``numbers``."""
        return self.numbers.T.tocsr()

    @cached_property
    def observed(self) -> npt.NDArray[np.bool_]:
        """Which pairs are training interactions, bool ``[pairs]``."""
        found: npt.NDArray[np.bool_] = self.interactions.degree.numpy() > 0
        return found

    def is_observed(self, user: int, item: int) -> bool:
        """Whether a pair is a training interaction."""
        number = int(self.numbers[user, item])
        return number > 0 and bool(self.observed[number - 1])

    @cached_property
    def attention(self) -> Floats:
        """Random-walk similarity S of each pair; NaN where there is none."""
        strength = self.interactions.strength.numpy()
        if not self.epsilon:
            return np.full(len(self), np.nan)
        return np.where(self.observed, np.maximum((strength - 1) / self.epsilon, 0.0), np.nan)

    @cached_property
    def weight(self) -> Floats:
        """Largest entry of each pair in the normalised matrices, by which neighbourhoods are cut."""
        found = np.zeros(len(self))
        for graph in (self.interactions, *self.generated.values()):
            degree, strength = graph.degree.numpy(), graph.strength.numpy()
            user = 1 + np.bincount(self.users, degree, self.n_users)
            item = 1 + np.bincount(self.items, degree, self.n_items)
            found = np.maximum(found, strength / np.sqrt(user[self.users] * item[self.items]))
        return found


@dataclass(frozen=True)
class Links:
    """Pairs of entities that the knowledge graph of the main view joins, and the directed edges between them.

    Parameters
    ----------
    first, second
        Ends, the lower number first, int64 ``[links]``, sorted by both.
    head, relation, tail
        Directed edges, sorted by head, int64 ``[edges]``.
    link
        The link that each edge belongs to, int64 ``[edges]``.
    n_entities
        Number of entities, items first.
    """

    first: Ids
    second: Ids
    head: Tensor
    relation: Tensor
    tail: Tensor
    link: Tensor
    n_entities: int

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def from_view(cls, view: KnowledgeView, n_entities: int) -> Links:
        """Group the edges; one from an entity to itself joins nothing, but weighs in the attention."""
        order = torch.argsort(view.head, stable=True)
        head, relation, tail = view.head[order].cpu(), view.relation[order].cpu(), view.tail[order].cpu()
        keys, link = torch.unique(pair_keys(head, tail, n_entities), return_inverse=True)
        first, second = (keys // n_entities).numpy(), (keys % n_entities).numpy()
        return cls(first, second, head, relation, tail, link, n_entities)

    @cached_property
    def starts(self) -> Tensor:
        """Where the edges of each head begin, int64 ``[entities + 1]``."""
        counts = torch.bincount(self.head, minlength=self.n_entities)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @cached_property
    def numbers(self) -> sp.csr_matrix:
        """``[entities, entities]``, symmetric, one more than the number of the link; loops left out."""
        apart = self.first != self.second
        first, second, number = self.first[apart], self.second[apart], np.flatnonzero(apart) + 1
        ends = np.concatenate([first, second]), np.concatenate([second, first])
        shape = (self.n_entities, self.n_entities)
        return sp.csr_matrix((np.concatenate([number, number]), ends), shape=shape)


@dataclass(frozen=True)
class ScoreEdges:
    """Pairs and links of a model: one number for each edge, the pairs first.

    Parameters
    ----------
    pairs, links
        Null links: the model reads no knowledge graph.
    """

    pairs: Pairs
    links: Links | None

    def __len__(self) -> int:
        return len(self.pairs) + (0 if self.links is None else len(self.links))

    @classmethod
    def from_model(cls, model: KDiffE) -> ScoreEdges:
        """Read the graphs of the main and of the multimodal view."""
        view = None
        if model.knowledge_encoder is not None:
            regenerated = model.config.knowledge.main == "regenerated"
            view = model.graphs.regenerated if regenerated else model.graphs.knowledge
        n_entities = len(model.entity_embedding)
        return cls(_pairs(model), None if view is None else Links.from_view(view, n_entities))


def _pairs(model: KDiffE) -> Pairs:
    n_users, n_items = model.n_users, model.n_items
    observed = bipartite(model.graph).tocoo()
    found = {"": _keys(observed.row, observed.col, n_items)}
    views = model.scored_modalities
    # Without weight in the view, a generated graph joins nobody in the score.
    if views is not None and views.adjacency_weight:
        for name in views.modalities:
            users, items, _ = _entries(model.graphs.generated[name])
            found[name] = _keys(users, items, n_items)
    keys = np.unique(np.concatenate(list(found.values())))
    users, items = keys // n_items, keys % n_items
    # The matrix is known normalised; degrees give back what it was made of.
    degree = np.zeros(len(keys))
    degree[np.searchsorted(keys, found.pop(""))] = 1.0
    row, column, value = _entries(model.graphs.operator)
    user_degree = 1 + np.bincount(users, degree, n_users)
    item_degree = 1 + np.bincount(items, degree, n_items)
    strength = np.zeros(len(keys))
    strength[np.searchsorted(keys, _keys(row, column, n_items))] = value * np.sqrt(
        user_degree[row] * item_degree[column]
    )
    generated = {}
    for name, own in found.items():
        present = torch.zeros(len(keys), dtype=torch.float64)
        present[torch.from_numpy(np.searchsorted(keys, own))] = 1.0
        generated[name] = PairGraph(present, present)
    interactions = PairGraph(torch.from_numpy(degree), torch.from_numpy(strength))
    epsilon = model.config.attention.epsilon
    return Pairs(users, items, n_users, n_items, interactions, generated, epsilon)


def _entries(operator: BipartiteOperator) -> tuple[Ids, Ids, Floats]:
    """Return user, item and value of the entries of an operator."""
    device = operator.to_users.device
    users, items = (torch.arange(size, device=device) for size in (operator.n_users, operator.n_items))
    row, column, value = operator.to_users.entries(users, items)
    return row.astype(np.int64), column.astype(np.int64), value.astype(np.float64)


def _keys(users: npt.NDArray[np.integer], items: npt.NDArray[np.integer], n_items: int) -> Ids:
    return users.astype(np.int64) * n_items + items
