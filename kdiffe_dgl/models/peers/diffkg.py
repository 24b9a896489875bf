"""DiffKG: diffusion rebuilds the knowledge graph for the task, and is contrasted with the whole one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component, Layers, SomeLayers
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.regenerate import pair_keys, thin
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import DiffusionConfig, GraphDiffusion
from kdiffe_dgl.graph.bipartite import BipartiteOperator, propagate
from kdiffe_dgl.graph.hetero import knowledge_graph
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.models.base import EpochLog, xavier_uniform
from kdiffe_dgl.models.knowledge import KnowledgeView, RelationalAttention
from kdiffe_dgl.models.pairwise import PairwiseConfig, PairwiseModel
from kdiffe_dgl.models.peers.triples import edges_of
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.losses import contrast_nodes, squared_norm

__all__ = ["DiffKG", "DiffKGConfig"]

_KEPT = "kept"


class DiffKGConfig(PairwiseConfig):
    """Settings of DiffKG."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "residual": Between(0.0, 1.0),
        "top": Between(1, 10),
        "keep": Between(0.1, 1.0),
        "scored_by": Choices(("regenerated", "whole")),
        "contrast_weight": Between(1e-3, 1.0, log=True),
        "temperature": Between(0.1, 1.0, log=True),
        "regularisation": Between(1e-8, 1e-3, log=True),
    }

    layers: Layers = 2
    """Propagation layers over the interactions."""
    knowledge_layers: SomeLayers = 1
    """Layers of attention over the knowledge graph."""
    residual: float = Field(0.5, ge=0)
    """Weight of the earlier layers of attention in their sum."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout rate of the messages."""
    top: int = Field(1, ge=1)
    """k, entities of each regenerated row."""
    candidates: Literal["all", "known"] = "all"
    """Among which entities they are the best: all, as published, or those that a triple joins to the row,
    which takes a time that grows with the triples, not with the square of the entities."""
    keep: float = Field(0.5, gt=0, le=1)
    """Probability that a regenerated pair stays."""
    scored_by: Literal["regenerated", "whole"] = "regenerated"
    """Knowledge graph of the representations that give the scores; the other one is contrasted."""
    contrast_weight: float = Field(0.1, ge=0)
    """λ₁ of the contrast."""
    temperature: float = Field(0.1, gt=0)
    """τ of the contrast."""
    regularisation: float = Field(1e-7, ge=0)
    """λ₂ of the squared norm of all weights but the denoiser's."""
    diffusion: DiffusionConfig = DiffusionConfig(
        steps=5, hidden=1000, conditioning="none", dropout=0.5, guidance=1.0, batch_size=1024
    )
    """The diffusion process, its denoiser, and the weight of the collaborative term beside the
    reconstruction: λ / (1 - λ) of the paper's λ."""


class DiffKG(PairwiseModel):
    r"""Knowledge graph diffusion.

    - *Encoder*: relational attention over a knowledge graph
      (:class:`kdiffe_dgl.models.knowledge.RelationalAttention`); its items and the users' embeddings go
      through LightGCN on the interactions with self-loops, sum of the layers.
    - *Diffusion*: x_0 are the rows of the knowledge graph, the entities that a triple joins to an entity;
      a denoiser restores them from Gaussian noise.
    - *Collaborative knowledge graph convolution*: for a restored row :math:`\hat x_0` of entity h, the users
      of the proposed items should amount to h: :math:`L_{ckgc} = \frac1d \| \hat x_{0,I} A^T E_U - e_h \|^2`
      with A ``[users, items]`` the interactions and :math:`\hat x_{0,I}` the columns of the items.
      The denoiser minimises :math:`(1 - \lambda) L_{elbo} + \lambda L_{ckgc}`.
    - *Regeneration*: each epoch, after the denoiser's training, the ``top`` best entities of each restored
      row are taken; of these pairs, those that a triple states, in either direction, are the regenerated
      graph, thinned.
    - Loss: BPR, :math:`\lambda_1` times InfoNCE between the encodings of the two graphs with all nodes as
      negatives, over the batch's users and over its observed items, and the squared norm.

    (Jiang, Yang, Xia and Huang, *DiffKG: Knowledge Graph Diffusion Model for Recommendation*, WSDM 2024,
    and the authors' code. KDiffE is built on this model: the parts are the same in our code.)

    Differs: all triples of an entity send messages, where the authors draw ten once; all relations between
    two entities stay together, where the authors keep one; an edge and its inverse are thinned together;
    the denoiser's input is not scaled to length 1, and it is that of
    :class:`~kdiffe_dgl.diffusion.trainer.GraphDiffusion`, which computes the published loss without wide
    rows. Of the training scripts that the authors published, one replaces the regenerated graph by random
    triples before the recommender trains; here, as in the paper and the other one, it is used.

    Raises
    ------
    InputError
        If the data set has no knowledge graph.
    """

    name: ClassVar[str] = "diffkg"
    Config: ClassVar[type[Component]] = DiffKGConfig
    config: DiffKGConfig

    def __init__(
        self, dataset: RecDataset, config: DiffKGConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        edges = edges_of(dataset, self.name)
        super().__init__(dataset, config, generator, device)
        self.edges, size = edges, edges.n_entities
        self.entity_embedding = xavier_uniform(size - self.n_items, config.dim, generator)
        self.encoder = RelationalAttention(
            edges.n_relations,
            config.dim,
            config.knowledge_layers,
            config.residual,
            config.dropout,
            generator,
        )
        interactions = dataset.matrix("train")
        operator = BipartiteOperator.from_scipy(normalised_adjacency(interactions), self.n_users)
        self.operator = operator.to(device)
        self.item_sum = Propagation.from_scipy(interactions.T.tocsr(), device)
        rows = SparseRows.from_pairs(edges.head, edges.tail, size, size)
        self.diffusion = GraphDiffusion(rows, config.diffusion, config.dim, generator, device)
        self.knowledge = KnowledgeView(knowledge_graph(edges), device)
        self._pairs = pair_keys(edges.head, edges.tail, size).to(device)
        self._take(torch.ones(len(edges), dtype=torch.bool))
        self.to(device)

    # --- diffusion -------------------------------------------------------------------------------

    def _entities(self) -> Tensor:
        return torch.cat([self.item_embedding, self.entity_embedding])

    @torch.no_grad()
    def guidance(self) -> LinearGuidance:
        """Return what the collaborative term asks of a restored row; see the class."""
        entities = self._entities()
        basis = torch.zeros_like(entities)
        basis[: self.n_items] = self.item_sum(self.user_embedding)
        return LinearGuidance(basis, entities)

    def begin_epoch(self, generator: torch.Generator) -> EpochLog:
        """Train the denoiser and regenerate the knowledge graph; see the base class."""
        loss = self.diffusion.train_epoch(None, self.guidance(), generator)
        kept = self.regenerate(generator)
        self._take(kept)
        return {"diffusion/knowledge": loss, "kept": float(kept.float().mean()) if len(kept) else 0.0}

    def regenerate(self, generator: torch.Generator) -> Tensor:
        """Return which edges of the knowledge graph the restored rows propose, thinned; bool ``[edges]``.

        Parameters
        ----------
        generator
            Source of thinning, and of sampling noise, where there is any.
        """
        config, diffusion = self.config, self.diffusion
        if config.candidates == "all":
            rows, columns = diffusion.top_columns(config.top, None, generator)
        else:
            rows, columns = diffusion.top_among(diffusion.matrix, config.top, None, generator)
        proposed = pair_keys(rows, columns, self.edges.n_entities).unique()
        return torch.isin(self._pairs, proposed[thin(proposed, config.keep, generator)])

    def _take(self, kept: Tensor) -> None:
        self._kept = kept.to(self.device)
        self._regenerated = KnowledgeView(knowledge_graph(self.edges, kept.cpu()), self.device)

    def graph_state(self) -> dict[str, Tensor]:
        """Return which edges the regenerated graph has; see the base class."""
        return {_KEPT: self._kept}

    def load_graph_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the regenerated graph of an epoch; see the base class."""
        kept = state.get(_KEPT)
        if kept is None or len(state) > 1 or kept.shape != self._kept.shape or kept.dtype != torch.bool:
            raise ValueError(f"model {self.name}: expected {_KEPT} of {len(self._kept)} edges")
        self._take(kept)

    # --- views and losses ------------------------------------------------------------------------

    def _encode(self, knowledge: KnowledgeView, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        entities = self.encoder(knowledge, self._entities(), generator)
        return propagate(self.operator, self.user_embedding, entities[: self.n_items], self.config.layers)

    def _graphs(self) -> tuple[KnowledgeView, KnowledgeView]:
        """Return the graph of the scores, and the other one."""
        both = self._regenerated, self.knowledge
        return both if self.config.scored_by == "regenerated" else both[::-1]

    def views(self) -> tuple[Tensor, Tensor]:
        """Return the encoding of the graph of the scores; see the base class."""
        return self._encode(self._graphs()[0], None)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute BPR, the contrast of the two graphs and the norm; see the base class."""
        config = self.config
        main, other = (self._encode(graph, generator) for graph in self._graphs())
        terms = self.pair_losses(main, users, positives, negatives)
        terms["regularisation"] = config.regularisation * squared_norm(self.recommender_parameters())
        contrast = [
            contrast_nodes(second, first, rows, config.temperature, "all")
            for first, second, rows in zip(main, other, (users, positives), strict=True)
        ]
        return {**terms, "contrast": config.contrast_weight * torch.stack(contrast).sum()}

    # --- optimisers ------------------------------------------------------------------------------

    def recommender_parameters(self) -> list[nn.Parameter]:
        """Return all parameters but those of the denoiser."""
        side = {id(parameter) for parameter in self.diffusion.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in side]

    def side_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimiser of the denoiser."""
        return {"knowledge": self.diffusion.optimiser}
