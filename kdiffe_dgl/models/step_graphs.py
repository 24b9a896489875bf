"""The graphs that a step of training reads: whole, or a sample with nodes of its own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.operators import Propagation
from kdiffe_dgl.models.knowledge import KnowledgeView

__all__ = ["StepGraphs"]


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
    generated: Mapping[str, Propagation] = field(default_factory=dict)
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
