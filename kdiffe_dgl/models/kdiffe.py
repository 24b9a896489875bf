"""KDiffE: the model composes views, diffusion and losses; the mathematics lies in their own modules.

Source: Mo, Liu, Tang, Gao, Liu, *Knowledge-aware Diffusion-Enhanced Multimedia Recommendation* (2025).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.regenerate import keep_top, pair_keys, thin
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import GraphDiffusion
from kdiffe_dgl.graph.attention import attention_similarity
from kdiffe_dgl.graph.hetero import bipartite, build_heterograph, knowledge_edges, knowledge_graph
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency, row_normalised
from kdiffe_dgl.graph.views import interaction_view, view_operator
from kdiffe_dgl.models.base import EpochLog, RecommenderModel, xavier_uniform
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.knowledge import KnowledgeView, RelationalAttention
from kdiffe_dgl.models.modality import ModalityViews, propagate
from kdiffe_dgl.training.losses import bpr_loss, info_nce, softmax_loss, squared_norm

__all__ = ["KDiffE"]


class KDiffE(RecommenderModel):
    """Knowledge-aware, diffusion-enhanced multimedia recommender.

    A data set without a knowledge graph, or without features, leaves out the parts that need them.

    Attributes
    ----------
    graph
        Heterograph of users, items and entities: the model's truth.
    knowledge
        The knowledge graph for message passing, over all entities, items first.
    regenerated
        The same with the edges that diffusion kept, from the first epoch on.
    generated
        Operator of each modality's generated user-item graph, from the first epoch on.
    """

    name: ClassVar[str] = "kdiffe"
    Config: ClassVar[type[Component]] = KDiffEConfig

    def __init__(
        self, dataset: RecDataset, config: KDiffEConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.config = config
        self.graph = build_heterograph(dataset)
        interactions = bipartite(self.graph)
        attention = config.attention
        similarity = None
        if attention.epsilon:
            seed = int(torch.randint(2**31, (1,), generator=generator))
            similarity = attention_similarity(
                interactions, attention.walk_length, attention.n_walks, attention.restart_prob, seed
            )
        self.operator = Propagation.from_scipy(
            normalised_adjacency(interactions, similarity, attention.epsilon)
        ).to(device)
        self.user_mean = Propagation.from_scipy(row_normalised(interactions)).to(device)
        self.item_mean = Propagation.from_scipy(row_normalised(interactions.T.tocsr())).to(device)
        self.user_sum = Propagation.from_scipy(interactions).to(device)

        self.edges = knowledge_edges(self.graph, dataset).to(device)
        n_entities = max(self.edges.n_entities, self.n_items)
        self.user_embedding = xavier_uniform(self.n_users, config.dim, generator)
        self.entity_embedding = xavier_uniform(n_entities, config.dim, generator)
        self.item_bias: nn.Parameter | None = None
        if config.item_bias:
            # The optimum of the softmax loss where nothing is known but the counts.
            counts = torch.from_numpy(np.asarray(interactions.sum(axis=0)).ravel() + 1)
            self.item_bias = nn.Parameter((counts / counts.mean()).log().float().unsqueeze(1))
        self.knowledge_encoder: RelationalAttention | None = None
        self.knowledge_diffusion: GraphDiffusion | None = None
        self.entity_mean: Propagation | None = None
        self.knowledge: KnowledgeView | None = None
        self.regenerated: KnowledgeView | None = None
        if len(self.edges.head) and config.knowledge.layers:
            self._init_knowledge(n_entities, generator)
        features = {
            name: torch.tensor(np.asarray(matrix), device=device) for name, matrix in dataset.features.items()
        }
        self.modality_views: ModalityViews | None = None
        self.modality_diffusions: dict[str, GraphDiffusion] = {}
        self.generated: dict[str, Propagation] = {}
        if features:
            self._init_modalities(features, interactions.tocoo(), generator)
        # Registers their parameters with the module, by position: torch refuses some names.
        self.modality_denoisers = nn.ModuleList(self.modality_diffusions.values())
        self.to(device)

    def _init_knowledge(self, n_entities: int, generator: torch.Generator) -> None:
        config = self.config.knowledge
        self.knowledge_encoder = RelationalAttention(
            self.edges.n_relations,
            self.config.dim,
            config.layers,
            config.residual,
            config.dropout,
            generator,
            config.normalise,
        )
        self.knowledge = self._view()
        rows = SparseRows.from_pairs(self.edges.head, self.edges.tail, n_entities, n_entities)
        self.knowledge_diffusion = GraphDiffusion(
            rows, config.diffusion, self.config.dim, generator, self.device
        )
        # Entities without interactions of their own take the mean context of the items they touch.
        with_items = self.edges.tail < self.n_items
        ends = (
            torch.stack([self.edges.head[with_items], self.edges.tail[with_items]])
            .unique(dim=1)
            .cpu()
            .numpy()
        )
        incidence = np.ones(ends.shape[1], dtype=np.float32), (ends[0], ends[1])
        from_items = row_normalised(sp.csr_matrix(incidence, shape=(n_entities, self.n_items)))
        self.entity_mean = Propagation.from_scipy(from_items).to(self.device)

    def _init_modalities(
        self, features: dict[str, Tensor], interactions: sp.coo_matrix, generator: torch.Generator
    ) -> None:
        config = self.config.modality
        self.modality_views = ModalityViews(
            features,
            self.config.dim,
            config.projection,
            self.config.layers,
            config.adjacency_weight,
            config.residual,
            config.dropout,
            generator,
            config.gated,
        )
        users = torch.from_numpy(interactions.row.astype(np.int64))
        items = torch.from_numpy(interactions.col.astype(np.int64))
        rows = SparseRows.from_pairs(users, items, self.n_users, self.n_items)
        for name in features:
            self.modality_diffusions[name] = GraphDiffusion(
                rows, config.diffusion, self.config.dim, generator, self.device
            )

    # --- diffusion -------------------------------------------------------------------------------

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Train the denoisers, then regenerate the knowledge graph and the modality graphs."""
        log: dict[str, float] = {}
        with torch.no_grad():
            user, entity = self.user_embedding.detach(), self.entity_embedding.detach()
            item = entity[: self.n_items]
        if self.knowledge_diffusion is not None:
            context = self._entity_context(user)
            log["diffusion/knowledge"] = self._train_knowledge(context, entity, generator)
            self.regenerated = self._regenerate(context, generator)
            log["kept/knowledge"] = len(self.regenerated.head) / max(1, len(self.edges))
        if self.modality_views is not None:
            projected = {name: value.detach() for name, value in self.modality_views.project(None).items()}
            context, target = self.user_mean(item), self.user_sum(item)
            for name, diffusion in self.modality_diffusions.items():
                guidance = LinearGuidance(basis=projected[name], target=target)
                log[f"diffusion/{name}"] = diffusion.train_epoch(context, guidance, generator)
                users, items = diffusion.top_columns(self.config.modality.top, context, generator)
                view = interaction_view(users.cpu(), items.cpu(), self.n_users, self.n_items)
                self.generated[name] = view_operator(view, self.device)
        return log

    def _entity_context(self, user: Tensor) -> Tensor:
        """Return the collaborative context of every entity, ``[entities, dim]``.

        For an item: the mean of the embeddings of its users. For another entity: the mean context of
        the items it touches; zero where it touches none.
        """
        assert self.entity_mean is not None
        item_context = self.item_mean(user)
        context = self.entity_mean(item_context)
        context[: self.n_items] = item_context
        return context

    def _train_knowledge(self, context: Tensor, entity: Tensor, generator: torch.Generator) -> float:
        diffusion = self.knowledge_diffusion
        assert diffusion is not None
        basis = context
        if self.config.knowledge.guidance_columns == "items":
            basis = torch.zeros_like(context)
            basis[: self.n_items] = context[: self.n_items]
        return diffusion.train_epoch(context, LinearGuidance(basis=basis, target=entity), generator)

    def _regenerate(self, context: Tensor, generator: torch.Generator) -> KnowledgeView:
        """Return the knowledge graph with the edges whose regenerated scores are best in their rows."""
        diffusion, config = self.knowledge_diffusion, self.config.knowledge
        assert diffusion is not None
        matrix = diffusion.matrix
        rows = torch.repeat_interleave(torch.arange(matrix.n_rows, device=self.device), matrix.indptr.diff())
        scores = diffusion.score_edges(rows, matrix.columns, context, generator)
        kept = keep_top(rows, matrix.columns, scores, config.top, config.top_share)
        pairs = pair_keys(rows[kept], matrix.columns[kept], matrix.n_rows).unique()
        pairs = pairs[thin(pairs, config.keep_rate, generator)]
        keep = torch.isin(pair_keys(self.edges.head, self.edges.tail, matrix.n_rows), pairs)
        return self._view(keep)

    def _view(self, keep: Tensor | None = None) -> KnowledgeView:
        """Return the knowledge graph, or the edges of it that are kept, bool ``[edges]``, for messages."""
        graph = knowledge_graph(self.edges.to("cpu"), None if keep is None else keep.cpu())
        return KnowledgeView(graph, self.device)

    # --- views and losses ------------------------------------------------------------------------

    def _main_view(self, knowledge: KnowledgeView | None, generator: torch.Generator | None) -> Tensor:
        """Return the main view over one knowledge graph, ``[users + items, dim]``."""
        entities: Tensor = self.entity_embedding
        if self.knowledge_encoder is not None and knowledge is not None:
            entities = self.knowledge_encoder(knowledge, entities, generator)
        nodes = torch.cat([self.user_embedding, entities[: self.n_items]])
        return propagate(self.operator, nodes, self.config.layers)

    def _multimodal_view(self, projected: dict[str, Tensor]) -> Tensor:
        assert self.modality_views is not None
        items = self.entity_embedding[: self.n_items]
        return self.modality_views.multimodal(
            projected, self.user_embedding, items, self.operator, self.generated
        )

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the contrastive terms and the regularisation of a batch; see the base class."""
        config = self.config
        swapped = config.knowledge.main == "regenerated"
        first, second = (self.regenerated, self.knowledge) if swapped else (self.knowledge, self.regenerated)
        main = self._main_view(first, generator)
        projected: dict[str, Tensor] = {}
        score_views = [main]
        if self.modality_views is not None:
            projected = self.modality_views.project(generator)
            score_views.append(self._multimodal_view(projected))
        every_user, items = self._joint(score_views)
        user = every_user[users]
        if config.ranking == "softmax":
            terms = {"softmax": softmax_loss(user, items, positives)}
        else:
            positive = torch.linalg.vecdot(user, items[positives])
            terms = {"bpr": bpr_loss(positive, torch.linalg.vecdot(user, items[negatives]))}
        contrast = config.contrast
        anchors = self._anchors(users, generator), self._anchors(positives, generator)
        if self.knowledge_encoder is not None and contrast.knowledge_weight:
            other = self._main_view(second, generator)
            terms["contrast/knowledge"] = contrast.knowledge_weight * self._contrast(
                main, other, users, positives
            )
        if projected and contrast.modality_weight:
            terms["contrast/modality"] = contrast.modality_weight * self._modality_contrast(
                main, projected, *anchors
            )
        terms["regularisation"] = config.regularisation * squared_norm(
            [self.user_embedding, self.entity_embedding]
        )
        return terms

    def _joint(self, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return users and items whose dot product is the fused score, item bias included."""
        users, items = torch.cat(views, dim=1).split([self.n_users, self.n_items])
        if self.item_bias is None:
            return users, items
        return torch.cat([users, users.new_ones(self.n_users, 1)], dim=1), torch.cat(
            [items, self.item_bias], dim=1
        )

    def _anchors(self, nodes: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the nodes of a batch that are contrasted, int64 ``[anchors]``."""
        contrast = self.config.contrast
        if contrast.distinct:
            nodes = nodes.unique()
        if not contrast.anchors or contrast.anchors >= len(nodes):
            return nodes
        return nodes[torch.randperm(len(nodes), generator=generator, device=nodes.device)[: contrast.anchors]]

    def _contrast(self, view: Tensor, other: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Contrast two views ``[users + items, dim]`` at some users and at some items."""
        tau, n = self.config.contrast.temperature, self.n_users
        if self.config.contrast.negatives == "batch":
            every_user, user_position = users.unique(return_inverse=True)
            every_item, item_position = items.unique(return_inverse=True)
            by_user = info_nce(view[users], other[every_user], user_position, tau)
            return by_user + info_nce(view[n + items], other[n + every_item], item_position, tau)
        return info_nce(view[users], other[:n], users, tau) + info_nce(view[n + items], other[n:], items, tau)

    def _modality_contrast(
        self, main: Tensor, projected: dict[str, Tensor], users: Tensor, items: Tensor
    ) -> Tensor:
        """Contrast the modalities with each other (method 0) or with the main view (method 1)."""
        assert self.modality_views is not None
        views = [
            self.modality_views.contrastive(
                name, features, self.user_embedding, self.operator, self.generated[name]
            )
            for name, features in projected.items()
        ]
        if self.config.contrast.method == "main":
            pairs = [(main, view) for view in views]
        else:
            pairs = [(first, second) for i, first in enumerate(views) for second in views[i + 1 :]]
        terms = [self._contrast(first, second, users, items) for first, second in pairs]
        return torch.stack(terms).sum() if terms else main.new_zeros(())

    @torch.no_grad()
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return main and multimodal view side by side; see the base class."""
        swapped = self.config.knowledge.main == "regenerated"
        views = [self._main_view(self.regenerated if swapped else self.knowledge, None)]
        if self.modality_views is not None:
            views.append(self._multimodal_view(self.modality_views.project(None)))
        return self._joint(views)

    # --- optimisers ------------------------------------------------------------------------------

    def _diffusions(self) -> dict[str, GraphDiffusion]:
        found = {f"modality/{name}": diffusion for name, diffusion in self.modality_diffusions.items()}
        if self.knowledge_diffusion is not None:
            found["knowledge"] = self.knowledge_diffusion
        return found

    def recommender_parameters(self) -> list[nn.Parameter]:
        """Return all parameters but those of the denoisers."""
        side = {
            id(parameter) for diffusion in self._diffusions().values() for parameter in diffusion.parameters()
        }
        return [parameter for parameter in self.parameters() if id(parameter) not in side]

    def side_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimiser of each denoiser."""
        return {name: diffusion.optimiser for name, diffusion in self._diffusions().items()}
