r"""The published procedure of KDiffE, dense and row by row, as the baseline of the speed benchmarks.

Written from the equations of Mo, Liu, Tang, Gao, Liu, *Knowledge-aware Diffusion-Enhanced Multimedia
Recommendation* (2025), as a PyTorch programmer would write them down: dense adjacency rows, full-width
reverse steps, a filter of regenerated edges in Python, gathered edge features, sparse COO products, and
InfoNCE by exponentials and sums. ``tests/benchmarks`` shows that it computes what the toolkit computes.

It is given what is not part of an epoch, or is beside the point: the attention-aware matrix, the negative
sampler and the evaluator are the toolkit's own. Where the paper and its code differ, or the code is wrong
(scalar condition only when sampling, embeddings of users for rows of entities), the paper is followed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from common import Stopwatch
from published_diffusion import DenseDenoiser, DenseDiffusion, DenseSchedule
from torch import Tensor, nn
from torch.nn import functional

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.attention import attention_similarity
from kdiffe_dgl.graph.hetero import build_heterograph, knowledge_edges
from kdiffe_dgl.graph.operators import normalised_adjacency

__all__ = ["Edges", "PublishedKDiffE", "PublishedSettings", "info_nce_by_sums"]

Edges = tuple[Tensor, Tensor, Tensor]
"""Head, relation and tail of each edge, int64 ``[edges]`` each."""


@dataclass(frozen=True)
class PublishedSettings:
    """Published settings for TikTok: linear projection, each modality against the main view."""

    dim: int = 64
    layers: int = 1
    epsilon: float = 0.9
    walk_length: int = 130
    n_walks: int = 6
    restart_prob: float = 0.2
    hidden: int = 1000
    time_dim: int = 10
    steps: int = 10
    guidance: float = 0.7
    top: int = 1
    keep_rate: float = 0.5
    residual: float = 0.5
    adjacency_weight: float = 0.2
    dropout: float = 0.1
    temperature: float = 0.7
    contrast: float = 0.01
    regularisation: float = 1e-5
    learning_rate: float = 1e-3
    batch_size: int = 1024


def info_nce_by_sums(view: Tensor, other: Tensor, nodes: Tensor, temperature: float) -> Tensor:
    """Contrast nodes of one view ``[nodes, dim]`` with all nodes of another; returns the mean loss."""
    view, other = functional.normalize(view), functional.normalize(other)
    positive = torch.exp((view[nodes] * other[nodes]).sum(dim=1) / temperature)
    every = torch.exp(view[nodes] @ other.T / temperature).sum(dim=1)
    return -torch.log(positive / every).mean()


class PublishedKDiffE(nn.Module):
    """Model, denoisers and graphs of the published procedure, on the CPU.

    Parameters
    ----------
    dataset
        Data set with a knowledge graph and at least one modality.
    settings
        Settings.
    seed
        Seed of all randomness.
    """

    def __init__(self, dataset: RecDataset, settings: PublishedSettings, seed: int) -> None:
        super().__init__()
        self.settings, self.n_users, self.n_items = settings, dataset.n_users, dataset.n_items
        self.generator = torch.Generator().manual_seed(seed)
        self.random = random.Random(seed)
        interactions = dataset.matrix("train")
        similarity = None
        if settings.epsilon:
            similarity = attention_similarity(
                interactions, settings.walk_length, settings.n_walks, settings.restart_prob, seed
            )
        self.adjacency = _coo(normalised_adjacency(interactions, similarity, settings.epsilon))
        self.user_item = torch.from_numpy(interactions.toarray())
        degree = torch.from_numpy(np.asarray(interactions.sum(axis=0)).ravel()).clamp(min=1)
        self.item_mean = _coo(sp.diags(1 / degree.numpy()) @ interactions.T)

        edges = knowledge_edges(build_heterograph(dataset), dataset)
        self.edges: Edges = (edges.head, edges.relation, edges.tail)
        self.n_entities = max(edges.n_entities, self.n_items)
        self.known: dict[tuple[int, int], list[int]] = {}
        for head, relation, tail in zip(*(ends.tolist() for ends in self.edges), strict=True):
            self.known.setdefault((head, tail), []).append(relation)
        self.regenerated: Edges = self.edges
        self.features = {name: torch.tensor(np.asarray(value)) for name, value in dataset.features.items()}
        self.generated: dict[str, Tensor] = {}

        dim = settings.dim
        self.user_embedding = self._uniform(self.n_users, dim)
        self.entity_embedding = self._uniform(self.n_entities, dim)
        self.relation_embedding = self._uniform(max(1, edges.n_relations), dim)
        self.attention_weight = self._uniform(2 * dim, dim)
        self.projections = {name: nn.Linear(matrix.shape[1], dim) for name, matrix in self.features.items()}
        self.projection_layers = nn.ModuleList(self.projections.values())
        for layer in self.projections.values():
            nn.init.xavier_uniform_(layer.weight, generator=self.generator)
            nn.init.zeros_(layer.bias)
        self.fusion = nn.Parameter(torch.zeros(len(self.features)))
        # The denoisers are no part of the module: they have optimisers of their own.
        knowledge_rows = torch.zeros(self.n_entities, self.n_entities)
        knowledge_rows[edges.head, edges.tail] = 1.0
        self.knowledge_diffusion = self._diffusion(knowledge_rows)
        self.modality_diffusions = {name: self._diffusion(self.user_item) for name in self.features}

    def _uniform(self, rows: int, columns: int) -> nn.Parameter:
        table = torch.empty(rows, columns)
        nn.init.xavier_uniform_(table, generator=self.generator)
        return nn.Parameter(table)

    def _diffusion(self, rows: Tensor) -> DenseDiffusion:
        own = self.settings
        denoiser = DenseDenoiser(rows.shape[1], own.hidden, own.time_dim, self.generator)
        return DenseDiffusion(
            rows, denoiser, DenseSchedule(own.steps), own.guidance, own.learning_rate, own.batch_size
        )

    # --- once an epoch: diffusion and regeneration -----------------------------------------------

    def begin_epoch(self, watch: Stopwatch) -> dict[str, float]:
        """Train all denoisers and regenerate all graphs; returns the losses of the denoisers."""
        user, entity = self.user_embedding.detach(), self.entity_embedding.detach()
        item, top = entity[: self.n_items], self.settings.top
        losses = {}
        condition = entity.mean(dim=1)
        basis = torch.sparse.mm(self.item_mean, user)
        with watch.phase("diffusion training, KG"):
            losses["KG"] = self.knowledge_diffusion.train_epoch(condition, basis, entity, self.generator)
        with watch.phase("regeneration, KG"):
            self.regenerated = self.filter_known(self.knowledge_diffusion.best_columns(top, condition))
        condition, target = user.mean(dim=1), self.user_item @ item
        for name, diffusion in self.modality_diffusions.items():
            with torch.no_grad():
                basis = self.project(name, train=False)
            with watch.phase(f"diffusion training, {name}"):
                losses[name] = diffusion.train_epoch(condition, basis, target, self.generator)
            with watch.phase(f"regeneration, {name}"):
                self.generated[name] = self.interaction_graph(diffusion.best_columns(top, condition))
        return losses

    def filter_known(self, best: Tensor) -> Edges:
        """Keep the regenerated pairs ``[entities, q]`` that are known, with their inverses, one at a time."""
        kept: dict[tuple[int, int, int], None] = {}
        for head, tails in enumerate(best.tolist()):
            for tail in tails:
                if (head, tail) not in self.known or self.random.random() >= self.settings.keep_rate:
                    continue
                for relation in self.known[head, tail]:
                    kept[head, relation, tail] = None
                for relation in self.known[tail, head]:
                    kept[tail, relation, head] = None
        head, relation, tail = torch.tensor(list(kept), dtype=torch.int64).reshape(-1, 3).T.contiguous()
        return head, relation, tail

    def interaction_graph(self, best: Tensor) -> Tensor:
        """Return the normalised adjacency of the best items ``[users, q]`` of each user, as sparse COO."""
        users = np.repeat(np.arange(self.n_users), best.shape[1])
        values = np.ones(len(users), dtype=np.float32)
        shape = (self.n_users, self.n_items)
        return _coo(
            normalised_adjacency(sp.csr_matrix((values, (users, best.flatten().numpy())), shape=shape))
        )

    # --- views -----------------------------------------------------------------------------------

    def _dropped(self, x: Tensor, train: bool) -> Tensor:
        rate = self.settings.dropout
        if not train or rate == 0:
            return x
        return x * (torch.rand(x.shape, generator=self.generator) >= rate) / (1 - rate)

    def _layers(self, nodes: Tensor) -> Tensor:
        total = nodes
        for _ in range(self.settings.layers):
            nodes = torch.sparse.mm(self.adjacency, nodes)
            total = total + nodes
        return total

    def knowledge_view(self, edges: Edges, train: bool) -> Tensor:
        """Encode all entities by one layer of relational attention, ``[entities, dim]``."""
        head, relation, tail = edges
        entity = self.entity_embedding
        joined = torch.cat([entity[head], entity[tail]], dim=1) @ self.attention_weight
        logit = functional.leaky_relu((joined * self.relation_embedding[relation]).sum(dim=1), 0.2)
        greatest = torch.full((self.n_entities,), -torch.inf)
        greatest = greatest.scatter_reduce(0, head, logit.detach(), reduce="amax")
        exponential = torch.exp(logit - greatest[head])
        total = torch.zeros(self.n_entities).index_add(0, head, exponential)
        message = entity[tail] * (exponential / total[head]).unsqueeze(1)
        layer = entity + torch.zeros_like(entity).index_add(0, head, message)
        layer = functional.normalize(self._dropped(layer, train))
        return self.settings.residual * entity + layer

    def main_view(self, edges: Edges, train: bool) -> Tensor:
        """Return the main view over one knowledge graph, ``[users + items, dim]``."""
        items = self.knowledge_view(edges, train)[: self.n_items]
        return self._layers(torch.cat([self.user_embedding, items]))

    def project(self, name: str, train: bool) -> Tensor:
        """Return the projected features of a modality, ``[items, dim]``."""
        return self._dropped(functional.normalize(self.projections[name](self.features[name])), train)

    def multimodal_view(self, projected: Mapping[str, Tensor]) -> Tensor:
        """Fuse the modalities, ``[users + items, dim]``."""
        users, items = self.user_embedding, self.entity_embedding[: self.n_items]
        views = []
        for name, features in projected.items():
            encoded = torch.sparse.mm(self.adjacency, torch.cat([users, features]))
            back = torch.sparse.mm(self.adjacency, torch.cat([encoded[: self.n_users], items]))
            other = torch.sparse.mm(self.generated[name], torch.cat([users, items]))
            views.append(encoded + back + self.settings.adjacency_weight * other)
        weights = torch.softmax(self.fusion, dim=0)
        fused = (weights.reshape(-1, 1, 1) * torch.stack(views)).sum(dim=0)
        return self._layers(fused) + self.settings.residual * functional.normalize(fused)

    def contrastive_view(self, name: str, projected: Tensor) -> Tensor:
        """Encode one modality over its generated graph, then over the main one, ``[users + items, dim]``."""
        nodes = torch.cat([self.user_embedding, projected])
        return self._layers(torch.sparse.mm(self.generated[name], nodes))

    # --- losses ----------------------------------------------------------------------------------

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Compute BPR, InfoNCE and regularisation of a batch, int64 ``[batch]`` each."""
        own, n = self.settings, self.n_users
        main = self.main_view(self.edges, train=True)
        projected = {name: self.project(name, train=True) for name in self.features}
        mixed = self.multimodal_view(projected)
        difference = torch.zeros(len(users))
        for view in (main, mixed):
            user, item = view[:n], view[n:]
            difference = difference + (user[users] * (item[positives] - item[negatives])).sum(dim=1)
        bpr = -functional.logsigmoid(difference).mean()
        contrast = torch.zeros(())
        others = [self.contrastive_view(name, value) for name, value in projected.items()]
        for other in (self.main_view(self.regenerated, train=True), *others):
            contrast = contrast + info_nce_by_sums(main[:n], other[:n], users, own.temperature)
            contrast = contrast + info_nce_by_sums(main[n:], other[n:], positives, own.temperature)
        items = self.entity_embedding[: self.n_items]
        norm = (self.user_embedding**2).sum() + (items**2).sum()
        return bpr + own.contrast * contrast + own.regularisation * norm

    @torch.no_grad()
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return users and items whose dot product is the score, main and multimodal view side by side."""
        projected = {name: self.project(name, train=False) for name in self.features}
        views = [self.main_view(self.edges, train=False), self.multimodal_view(projected)]
        user, item = torch.cat(views, dim=1).split([self.n_users, self.n_items])
        return user, item


def _coo(matrix: Any) -> Tensor:
    """Return a SciPy matrix as a coalesced sparse COO tensor, float32."""
    coo = sp.coo_matrix(matrix)
    ends = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.from_numpy(coo.data.astype(np.float32))
    return torch.sparse_coo_tensor(ends, values, coo.shape, check_invariants=True).coalesce()
