"""What a step of training reads: graphs, whole or sampled, and the nodes of its batch in their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.models.contrast import Anchors
from kdiffe_dgl.models.knowledge import KnowledgeView

__all__ = ["Step", "StepGraphs"]


@dataclass(frozen=True)
class StepGraphs:
    """Operators and graphs over one numbering of users and entities, items first.

    Attributes
    ----------
    operator
        The attention-aware matrix Â.
    knowledge, regenerated
        The knowledge graph, and what diffusion made of it; null where there is none (yet).
    generated
        Operator of each modality's generated user-item graph.
    users, entities
        Numbers of the nodes in the whole graph, int64; null: this is the whole graph.
    """

    operator: BipartiteOperator
    knowledge: KnowledgeView | None = None
    regenerated: KnowledgeView | None = None
    generated: Mapping[str, BipartiteOperator] = field(default_factory=dict)
    users: Tensor | None = None
    entities: Tensor | None = None

    @property
    def n_items(self) -> int:
        """Number of items among the entities."""
        return self.operator.n_items

    @property
    def items(self) -> Tensor | None:
        """Numbers of the items in the whole graph; null: this is the whole graph."""
        return None if self.entities is None else self.entities[: self.n_items]


@dataclass(frozen=True)
class Step:
    """A batch, in the numbers of its graphs.

    Attributes
    ----------
    graphs
        Whole, or sampled around the batch.
    users, positives, negatives
        Users, observed items and sampled items, int64 ``[batch]`` each.
    anchors
        What is contrasted.
    candidates
        Items among which the softmax loss looks for the observed one; null: all.
    targets
        Position of each observed item among them, int64 ``[batch]``.
    log_weight
        Of each candidate, where they are a sample: see :func:`kdiffe_dgl.training.losses.softmax_loss`.
    """

    graphs: StepGraphs
    users: Tensor
    positives: Tensor
    negatives: Tensor
    anchors: Anchors
    candidates: Tensor | None
    targets: Tensor
    log_weight: Tensor | None = None
