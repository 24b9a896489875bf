"""Settings of KDiffE, one class a part of the method."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from kdiffe_dgl.config import Component, Layers
from kdiffe_dgl.diffusion.trainer import DiffusionConfig
from kdiffe_dgl.models.modality import Projection
from kdiffe_dgl.models.pairwise_view import PairwiseViewConfig
from kdiffe_dgl.models.profiles import ProfileConfig
from kdiffe_dgl.search import Between, Choices, Needs, SearchSpace

__all__ = [
    "AttentionConfig",
    "CandidateSource",
    "ContrastConfig",
    "KDiffEConfig",
    "KnowledgeConfig",
    "ModalityConfig",
    "SamplingConfig",
    "Scoring",
    "Selection",
]


CandidateSource = Literal["two_hop", "neighbours"]
Scoring = Literal["reconstruction", "held_out", "context", "structure"]
Selection = Literal["scored", "random", "all"]


class AttentionConfig(Component):
    """Attention-aware matrix by random walk with restart."""

    SEARCH: ClassVar[SearchSpace] = {"epsilon": Between(0.0, 1.0)}

    walk_length: int = Field(50, ge=1)
    """Steps M of a walk."""
    n_walks: int = Field(8, ge=1)
    """Walks R from each node."""
    restart_prob: float = Field(0.2, ge=0, le=1)
    """Probability of jumping back to the seed at a step."""
    epsilon: float = Field(0.9, ge=0)
    """Weight ε of the similarity in the propagation matrix; 0 leaves the walks out."""


class KnowledgeConfig(Component):
    """Knowledge view and regeneration of the knowledge graph."""

    NEEDS: ClassVar[Needs] = "kg"
    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "residual": Between(0.0, 1.0),
        "dropout": Between(0.0, 0.5),
        "normalise": Choices((True, False)),
        "passing": Between(0.05, 0.6),
        "top": Between(1, 4),
    }

    layers: Layers = 1
    """Layers of relational attention; 0 leaves the knowledge graph out of the views.

    The profile of facts has a weight of its own, ``profile.knowledge_weight``.
    """
    residual: float = Field(0.5, ge=0)
    """Weight λ_res of the earlier layers."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Message dropout."""
    normalise: bool = True
    """Whether every layer gives vectors of length 1 (paper), or the mean of an entity and its context, which
    leaves an item its length, and so its popularity."""
    main: Literal["full", "regenerated"] = "full"
    """Which knowledge graph the main view reads; the other one is contrasted with it."""
    scoring: Scoring = "reconstruction"
    """What regeneration scores a known edge by: the row that the denoiser reconstructs (paper); or evidence
    without the edge itself, set against random triples: what the denoiser reconstructs of a row that lacks
    the edge (``held_out``), whether the entity's items are liked by the same users (``context``), or whether
    the rest of the graph makes the triple likely (``structure``)."""
    passing: float = Field(0.2, ge=0, le=1)
    """Share of random triples that may pass, where the scoring is by evidence; known edges with a better
    score stay."""
    selection: Selection = "scored"
    """Controls of regeneration: the best-scored edges stay; as many of each row, drawn at random; or all."""
    top: int = Field(1, ge=0)
    """Least number q of entities kept of each regenerated row."""
    top_share: float = Field(0.0, ge=0, le=1)
    """Share of a row's known neighbours to keep, where that is more than ``top``."""
    keep_rate: float = Field(1.0, gt=0, le=1)
    """Share of the kept pairs that survive random thinning."""
    candidates: tuple[CandidateSource, ...] = ()
    """Edges that regeneration may propose beside the known ones: entities two hops away, or entities of items
    that are similar in some modality."""
    proposals: int = Field(8, ge=1)
    """Most proposals of each source for an entity."""
    guidance_columns: Literal["entities", "items"] = "entities"
    """Whose collaborative context guides: that of all proposed entities, or of items alone (paper)."""
    diffusion: DiffusionConfig = DiffusionConfig()
    """Diffusion over knowledge graph rows."""

    def idle(self) -> set[str]:
        """Known edges pass by evidence, or the best of each row are kept; ``all`` keeps everything."""
        if self.selection == "all":
            return {"passing", "top"}
        return {"passing"} if self.scoring == "reconstruction" else {"top"}

    @model_validator(mode="after")
    def _only_scores_propose(self) -> KnowledgeConfig:
        if self.candidates and (self.scoring != "reconstruction" or self.selection == "all"):
            raise ValueError(
                "candidates only where edges are scored by reconstruction, since evidence is of known edges"
            )
        return self


class ModalityConfig(Component):
    """Modality views and their generated user-item graphs."""

    NEEDS: ClassVar[Needs] = "features"
    SEARCH: ClassVar[SearchSpace] = {
        "gated": Choices((False, True)),
        "score_weight": Choices((0.0, 0.1, 0.3, 1.0)),
        "adjacency_weight": Between(0.0, 0.6),
        "residual": Between(0.0, 1.0),
        "dropout": Between(0.0, 0.5),
        "top": Between(1, 5),
    }

    projection: Projection = "linear"
    """How raw features reach the embedding space."""
    gated: bool = False
    """Whether the multimodal view reads a projected feature as a gate on the item's embedding."""
    score_weight: float = Field(1.0, ge=0)
    """Weight of the multimodal view's dot product in the score, beside that of the main view (paper: 1);
    0: it does not speak there, and features only through contrast and profiles."""
    adjacency_weight: float = Field(0.2, ge=0)
    """Weight λ_adj of the embeddings aggregated over the generated graph."""
    residual: float = Field(0.5, ge=0)
    """Weight λ_res of the normalised fusion."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the projected features."""
    top: int = Field(1, ge=1)
    """Items q kept of each regenerated user row."""
    candidates: tuple[CandidateSource, ...] = ()
    """What else than the user's own items regeneration may keep: items of users who share an item, or items
    similar in the modality. Empty: all items, at a cost of users times items."""
    proposals: int = Field(64, ge=1)
    """Most proposals of each source for a user."""
    selection: Selection = "scored"
    """Controls of generation: the best-scored items of a user; as many, drawn at random; or the user's own
    items, all of them."""
    diffusion: DiffusionConfig = DiffusionConfig()
    """Diffusion over user rows, one a modality."""


class ContrastConfig(Component):
    """Contrastive terms."""

    SEARCH: ClassVar[SearchSpace] = {
        "temperature": Between(0.05, 1.0, log=True),
        "knowledge_weight": Between(1e-3, 0.3, log=True),
        "modality_weight": Between(1e-3, 0.3, log=True),
    }

    method: Literal["main", "modalities"] = "main"
    """Contrast each modality with the main view (method 1), or modalities in pairs (method 0)."""
    temperature: float = Field(0.5, gt=0)
    """Temperature τ."""
    knowledge_weight: float = Field(0.01, ge=0)
    """Weight of knowledge view against regenerated knowledge view."""
    modality_weight: float = Field(0.01, ge=0)
    """Weight of the modality terms."""
    negatives: Literal["all", "batch", "sampled"] = "all"
    """Whether all nodes are negatives (paper), those of the batch, or those and a weighted sample of the
    others, whose sum estimates that over all."""
    samples: int = Field(2048, ge=1)
    """Users, and items, drawn for a batch where negatives are sampled."""
    distinct: bool = False
    """Whether a node that occurs several times in a batch is contrasted once."""
    anchors: int = Field(0, ge=0)
    """Users, and items, of a batch that are contrasted, drawn at random; 0: all of them."""


class SamplingConfig(Component):
    """Steps on neighbour-sampled parts of the graph, where a step over the whole takes too long."""

    fanouts: tuple[int, ...] = ()
    """Neighbours of a node that are followed at each hop, for each relation; -1: all. Empty: steps read the
    whole graph."""
    negatives: int = Field(2048, ge=1)
    """Items drawn for a batch to estimate the sum of the softmax loss over all items."""


class KDiffEConfig(Component):
    """Settings of KDiffE; see the presets for those of the paper."""

    SEARCH: ClassVar[SearchSpace] = {
        "layers": Between(1, 3),
        "ranking": Choices(("bpr", "softmax")),
        "regularisation": Between(1e-6, 1e-2, log=True),
        # 0 is the dot product; as temperatures, values around 0.2 are usual for cosines.
        "score_temperature": Choices((0.0, 0.1, 0.15, 0.2, 0.3)),
    }

    dim: int = Field(64, ge=1)
    """Embedding size d."""
    layers: Layers = 1
    """Propagation layers over the attention-aware matrix."""
    ranking: Literal["bpr", "softmax"] = "bpr"
    """Ranking loss: pairs with a sampled negative (paper), or cross entropy over all items."""
    score_temperature: float = Field(0.0, ge=0)
    """Temperature τ of a score: the cosine of user and item over all views, divided by τ. 0: their dot
    product (paper)."""
    item_bias: bool = False
    """Whether an item has a learned bias in its score, which starts at the log of its popularity. Both
    views normalise item vectors, so that without it popularity is hard to express."""
    regularisation: float = Field(1e-5, ge=0)
    """Weight of the squared norm of user and entity embeddings."""
    neighbours: int = Field(10, ge=1)
    """Similar items of an item in each modality, where regeneration proposes by them."""
    attention: AttentionConfig = AttentionConfig()
    knowledge: KnowledgeConfig = KnowledgeConfig()
    modality: ModalityConfig = ModalityConfig()
    contrast: ContrastConfig = ContrastConfig()
    sampling: SamplingConfig = SamplingConfig()
    profile: ProfileConfig = ProfileConfig()
    pairwise: PairwiseViewConfig = PairwiseViewConfig()

    def idle(self) -> set[str]:
        """Of a weight that is fitted, the settings say no more than where the fit begins."""
        return {"pairwise.weight"} if self.profile.fit_weights and self.pairwise.weight else set()
