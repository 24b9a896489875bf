"""KDiffE: the model composes views, diffusion and losses; the mathematics lies in their own modules.

Source: Mo, Liu, Tang, Gao, Liu, *Knowledge-aware Diffusion-Enhanced Multimedia Recommendation* (2025).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.graph.attention import attention_similarity
from kdiffe_dgl.graph.bipartite import BipartiteOperator, Rows, propagate
from kdiffe_dgl.graph.hetero import bipartite, build_heterograph, knowledge_edges, knowledge_graph
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency, row_normalised
from kdiffe_dgl.graph.sampling import NeighbourSampler
from kdiffe_dgl.graph.views import interaction_view, view_operator
from kdiffe_dgl.models.base import EpochLog, RecommenderModel, xavier_uniform
from kdiffe_dgl.models.contrast import Anchors, View, draw_anchors
from kdiffe_dgl.models.diffusion_epoch import Task, knowledge_task, modality_task, run_tasks
from kdiffe_dgl.models.fusion import append_profiles, fuse
from kdiffe_dgl.models.graph_state import pack, unpack_knowledge, unpack_modality
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.kdiffe_parts import (
    knowledge_diffusion,
    knowledge_encoder,
    modality_diffusions,
    modality_views,
)
from kdiffe_dgl.models.knowledge import KnowledgeView, RelationalAttention
from kdiffe_dgl.models.knowledge_diffusion import KnowledgeDiffusion, Regenerated
from kdiffe_dgl.models.modality import ModalityViews
from kdiffe_dgl.models.modality_diffusion import ModalityDiffusion
from kdiffe_dgl.models.pairwise_view import PairwiseView
from kdiffe_dgl.models.profiles import PAIRS, FactEdges, ProfileView, ProfileViews, spread
from kdiffe_dgl.models.sampled import sampled_step
from kdiffe_dgl.models.step import Step, StepGraphs
from kdiffe_dgl.training.losses import pair_loss, softmax_loss, squared_norm

__all__ = ["KDiffE"]


class KDiffE(RecommenderModel):
    """Knowledge-aware, diffusion-enhanced multimedia recommender.

    A data set without a knowledge graph, or without features, leaves out the parts that need them.

    Attributes
    ----------
    graph
        Heterograph of users, items and entities: the model's truth.
    edges
        The knowledge graph's edges, inverses included, over all entities, items first.
    graphs
        What training reads of it: operator, knowledge graph and, from the first epoch on, what
        diffusion made of them.
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
        matrix = normalised_adjacency(interactions, similarity, attention.epsilon)
        self.graphs = StepGraphs(BipartiteOperator.from_scipy(matrix, self.n_users).to(device))
        self.user_mean = Propagation.from_scipy(row_normalised(interactions)).to(device)
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
        self.knowledge_diffusion: KnowledgeDiffusion | None = None
        if len(self.edges.head) and config.knowledge.layers:
            self.knowledge_encoder = knowledge_encoder(config, self.edges.n_relations, generator)
            self.graphs = replace(self.graphs, knowledge=self._view())
            self.knowledge_diffusion = knowledge_diffusion(
                config, dataset, self.edges, interactions, n_entities, generator, device
            )
        self.sampler: NeighbourSampler | None = None
        if config.sampling.fanouts:
            self.sampler = NeighbourSampler(self.graph, self.edges.to("cpu"), config.sampling.fanouts)
        self.modality_views: ModalityViews | None = None
        self.modality_diffusions: dict[str, ModalityDiffusion] = {}
        self.regenerated: Regenerated | None = None
        self._generated_edges: dict[str, tuple[Tensor, Tensor]] = {}
        if dataset.features:
            features = {
                name: torch.tensor(np.asarray(table), device=device)
                for name, table in dataset.features.items()
            }
            self.modality_views = modality_views(config, features, generator)
            self.modality_diffusions = modality_diffusions(config, features, interactions, generator)
        has_facts = bool((self.edges.head < self.n_items).any())
        weight = config.pairwise.weight
        self.profiles = ProfileViews(config.profile, interactions, dataset.features, has_facts, weight)
        # Last of what draws initial weights: those of the other parts do not depend on it.
        self.pairwise_view = PairwiseView(dataset, config.pairwise, generator, device) if weight else None
        # Registers their parameters with the module, by position: torch refuses some names.
        self.modality_denoisers = nn.ModuleList(self.modality_diffusions.values())
        self.to(device)

    # --- diffusion -------------------------------------------------------------------------------

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Train the denoisers and regenerate their graphs, and train the pairwise view, side by side."""
        user, entity = self.user_embedding.detach(), self.entity_embedding.detach()
        item = entity[: self.n_items]
        tasks: list[Task] = []
        costs = []
        if self.knowledge_diffusion is not None:
            n_known = len(self.edges) if self.config.knowledge.candidates else None
            tasks.append(
                knowledge_task(self.knowledge_diffusion, user, entity, n_known, self._take_regenerated)
            )
            costs.append(self.knowledge_diffusion.cost)
        if self.modality_views is not None:
            with torch.no_grad():
                projected = self.modality_views.project(None)
            context, target = self.user_mean(item), self.user_sum(item)
            for name, diffusion in self.modality_diffusions.items():
                guidance = LinearGuidance(projected[name], target)
                tasks.append(modality_task(name, diffusion, context, guidance, self._take_generated))
                costs.append(diffusion.cost)
        if self.pairwise_view is not None:
            tasks.append(self.pairwise_view.task)
            costs.append(self.pairwise_view.cost)
        return run_tasks(tasks, costs, generator, together=self.device.type == "cpu")

    def _take_regenerated(self, regenerated: Regenerated) -> None:
        self.regenerated = regenerated
        self.graphs = replace(self.graphs, regenerated=self._view(regenerated))

    def _take_generated(self, name: str, users: Tensor, items: Tensor) -> None:
        self._generated_edges[name] = users, items
        view = interaction_view(users.cpu(), items.cpu(), self.n_users, self.n_items)
        operator = view_operator(view, self.device)
        self.graphs = replace(self.graphs, generated={**self.graphs.generated, name: operator})

    def graph_state(self) -> dict[str, Tensor]:
        """Return which edges diffusion kept, proposed and generated; see the base class."""
        return pack(self.regenerated, [self._generated_edges.get(name) for name in self.modality_diffusions])

    def load_graph_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the graphs of an epoch; see the base class."""
        state = {name: value.to(self.device) for name, value in state.items()}
        if self.knowledge_diffusion is not None:
            self._take_regenerated(unpack_knowledge(state, len(self.edges), len(self.entity_embedding)))
        for number, name in enumerate(self.modality_diffusions):
            self._take_generated(name, *unpack_modality(state, number, self.n_users, self.n_items))

    def _view(self, regenerated: Regenerated | None = None) -> KnowledgeView:
        """Return the knowledge graph, or what diffusion made of it, for messages."""
        edges = self.edges.to("cpu")
        if regenerated is None:
            return KnowledgeView(knowledge_graph(edges), self.device)
        proposed = regenerated.head.cpu(), regenerated.tail.cpu()
        return KnowledgeView(knowledge_graph(edges, regenerated.kept.cpu(), proposed), self.device)

    # --- views and losses ------------------------------------------------------------------------

    def _main_view(
        self,
        graphs: StepGraphs,
        knowledge: KnowledgeView | None,
        users: Tensor,
        entities: Tensor,
        generator: torch.Generator | None,
        from_users: Tensor | None = None,
        rows: Rows | None = None,
    ) -> View:
        """Return users and items of the main view over one knowledge graph, everywhere or at some rows."""
        if self.knowledge_encoder is not None and knowledge is not None:
            entities = self.knowledge_encoder(knowledge, entities, generator)
        items = entities[: graphs.n_items]
        return propagate(graphs.operator, users, items, self.config.layers, from_users, rows)

    def _knowledge_views(self, graphs: StepGraphs) -> tuple[KnowledgeView | None, KnowledgeView | None]:
        """Return the knowledge graph of the main view, and the one that is contrasted with it."""
        if self.config.knowledge.main == "regenerated":
            return graphs.regenerated, graphs.knowledge
        return graphs.knowledge, graphs.regenerated

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the ranking loss, the contrastive terms and the regularisation; see the base class.

        With ``sampling.fanouts``, all of it runs on a neighbour-sampled part of the graph, whose embeddings
        alone are regularised.
        """
        config, sizes = self.config, (self.n_users, self.n_items)
        anchors = draw_anchors(users, positives, sizes, config.contrast, generator, self.sampler is None)
        step = Step(self.graphs, users, positives, negatives, anchors, None, positives)
        if self.sampler is not None:
            n_candidates = config.sampling.negatives if config.ranking == "softmax" else 0
            step = sampled_step(step, self.sampler, self.edges, self.regenerated, n_candidates, generator)
        return self._losses(step, generator)

    def _losses(self, step: Step, generator: torch.Generator) -> dict[str, Tensor]:
        config, contrast, graphs = self.config, self.config.contrast, step.graphs
        users, entities = (
            _rows(self.user_embedding, graphs.users),
            _rows(self.entity_embedding, graphs.entities),
        )
        first, second = self._knowledge_views(graphs)
        # All views of the method start from the same users: what items get from them is computed once.
        from_users = graphs.operator.to_items(users)
        main = self._main_view(graphs, first, users, entities, generator, from_users)
        projected: dict[str, Tensor] = {}
        score_views = [main]
        if self.modality_views is not None:
            projected = self.modality_views.project(generator, graphs.items)
        if self.scored_modalities is not None:
            items = entities[: graphs.n_items]
            score_views.append(
                self.scored_modalities.multimodal(
                    projected, users, items, graphs.operator, graphs.generated, from_users
                )
            )
        every_user, every_item = self.joint(score_views, graphs.items)
        if config.ranking == "softmax":
            chosen, rows = torch.unique(step.users, return_inverse=True)
            candidates = _rows(every_item, step.candidates)
            terms = {
                "softmax": softmax_loss(
                    every_user[chosen], candidates, step.targets, step.log_weight, rows=rows
                )
            }
        else:
            terms = {"bpr": pair_loss(every_user, every_item, step.users, step.positives, step.negatives)}
        anchors = step.anchors
        if self.knowledge_encoder is not None and contrast.knowledge_weight:
            other = self._main_view(graphs, second, users, entities, generator, from_users, anchors.rows)
            terms["contrast/knowledge"] = contrast.knowledge_weight * anchors.loss(main, other)
        if projected and contrast.modality_weight:
            terms["contrast/modality"] = contrast.modality_weight * self._modality_contrast(
                graphs, main, users, projected, anchors
            )
        terms["regularisation"] = config.regularisation * squared_norm([users, entities])
        return terms

    def joint(self, views: Sequence[View], chosen: Tensor | None = None) -> View:
        """Return users and items whose dot product is the learned score; see :mod:`.fusion`.

        Parameters
        ----------
        views
            Users ``[users, dim]`` and items ``[items, dim]`` of each view that speaks in the score: the main
            view, then the multimodal one, if there is one.
        chosen
            Which items the views hold, int64; null: all.
        """
        bias = None if self.item_bias is None else _rows(self.item_bias, chosen)
        return fuse(views, self.config.modality.score_weight, self.config.score_temperature, bias)

    def _modality_contrast(
        self, graphs: StepGraphs, main: View, users: Tensor, projected: dict[str, Tensor], anchors: Anchors
    ) -> Tensor:
        """Contrast the modalities with each other (method 0) or with the main view (method 1)."""
        assert self.modality_views is not None
        views = [
            self.modality_views.contrastive(
                features, users, graphs.operator, graphs.generated[name], anchors.rows
            )
            for name, features in projected.items()
        ]
        if self.config.contrast.method == "main":
            terms = [anchors.loss(main, view) for view in views]
        else:
            within = anchors.among_rows()
            terms = [within.loss(first, second) for first, second in combinations(views, 2)]
        return torch.stack(terms).sum() if terms else main[0].new_zeros(())

    @property
    def scored_modalities(self) -> ModalityViews | None:
        """The modality views, where there are features and the multimodal view has weight in the score."""
        return self.modality_views if self.config.modality.score_weight else None

    @torch.no_grad()
    def score_views(self) -> list[View]:
        """Return the views that speak in the score: the main one and, with features, the multimodal one."""
        users, entities, graphs = self.user_embedding, self.entity_embedding, self.graphs
        views = [self._main_view(graphs, self._knowledge_views(graphs)[0], users, entities, None)]
        if self.scored_modalities is not None:
            projected = self.scored_modalities.project(None)
            items = entities[: self.n_items]
            views.append(
                self.scored_modalities.multimodal(projected, users, items, graphs.operator, graphs.generated)
            )
        return views

    @torch.no_grad()
    def representations(self) -> View:
        """Return the views of the score side by side, those of profiles last; see the base class."""
        learned = self.joint(self.score_views())
        return append_profiles(learned, self.profile_views(learned))

    @torch.no_grad()
    def profile_views(self, learned: View | None = None) -> list[ProfileView]:
        """Return the profile views over the knowledge graph of the main view; see their module.

        Parameters
        ----------
        learned
            Users and items of the learned score, from :meth:`joint`; null: they are computed.
        """
        if not self.profiles:
            return []
        learned = learned or self.joint(self.score_views())
        pairs = self._pairs() if self.profiles.weights.get(PAIRS) else None
        return self.profiles.views(self._fact_edges(), _spread(learned), pairs=pairs)

    def _pairs(self) -> ProfileView | None:
        return None if self.pairwise_view is None else self.pairwise_view.view()

    def _fact_edges(self) -> FactEdges:
        head, tail = self.edges.head, self.edges.tail
        if self.config.knowledge.main == "regenerated" and self.regenerated is not None:
            kept = self.regenerated.kept
            head = torch.cat([head[kept], self.regenerated.head])
            tail = torch.cat([tail[kept], self.regenerated.tail])
        of_items = head < self.n_items
        return FactEdges(
            head[of_items].cpu().numpy(), tail[of_items].cpu().numpy(), len(self.entity_embedding)
        )

    def scoring_weights(self) -> dict[str, float]:
        """Return the weights of the profile views, where these are fitted; see the base class."""
        if not self.config.profile.fit_weights:
            return {}
        return {source.label: weight for source, weight in self.profiles.weights.items()}

    @torch.no_grad()
    def fit_scoring(self, measure: Callable[[Tensor, Tensor], float]) -> None:
        """Fit the weights of the profile views; see the base class."""
        learned = self.joint(self.score_views())
        self.profiles.fit(
            self._fact_edges(),
            _spread(learned),
            lambda profiles: measure(*append_profiles(learned, profiles)),
            self._pairs(),
        )

    def reset_scoring(self) -> None:
        """Go back to the weights of the settings; see the base class."""
        self.profiles.reset()

    # --- optimisers ------------------------------------------------------------------------------

    def recommender_parameters(self) -> list[nn.Parameter]:
        """Return all parameters but those of side networks: denoisers and the pairwise view."""
        side = {
            id(parameter)
            for optimiser in self.side_optimisers().values()
            for group in optimiser.param_groups
            for parameter in group["params"]
        }
        return [parameter for parameter in self.parameters() if id(parameter) not in side]

    def side_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimiser of each denoiser and of the pairwise view."""
        found: dict[str, torch.optim.Optimizer] = {
            f"modality/{name}": diffusion.optimiser for name, diffusion in self.modality_diffusions.items()
        }
        if self.knowledge_diffusion is not None:
            found["knowledge"] = self.knowledge_diffusion.optimiser
        if self.pairwise_view is not None:
            found["pairs"] = self.pairwise_view.optimiser
        return found


def _spread(learned: View) -> float:
    users, items = learned
    return spread(users.cpu().numpy(), items.cpu().numpy())


def _rows(table: Tensor, chosen: Tensor | None) -> Tensor:
    """Return some rows of a table, or all."""
    return table if chosen is None else table[chosen]
