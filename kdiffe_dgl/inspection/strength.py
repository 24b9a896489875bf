r"""What items attend to, before and after diffusion.

The relational attention α of an item sums to 1 over its facts
(:func:`kdiffe_dgl.models.knowledge.attention_weights`). Weighed once over the knowledge graph as it was built
and once over the regenerated one, with the same trained embeddings, it tells what diffusion strengthened:
where facts go, the others of the item take over their attention. Attention of items alone is counted, since
recommendations read the rows of items; it is that of the first layer, the one layer that reads embeddings
alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from kdiffe_dgl.explain.facts import PROPOSED
from kdiffe_dgl.inspection.change import KnowledgeChange
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.knowledge import KnowledgeView, attention_weights

__all__ = ["Attention", "entity_strength", "relation_strength"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Attention:
    """Sums of the attention that items pay over one graph.

    Parameters
    ----------
    by_relation
        float64 ``[relations + 1]``, an inverse counted with its relation; what diffusion proposes comes last.
    by_entity
        What each entity gets, float64 ``[entities]``.
    items
        Items with at least one fact: the sum of either.
    """

    by_relation: Floats
    by_entity: Floats
    items: int

    @classmethod
    @torch.no_grad()
    def from_view(cls, model: KDiffE, view: KnowledgeView, symmetric: npt.NDArray[np.bool_]) -> Attention:
        """Weigh a graph with the model's embeddings.

        Parameters
        ----------
        view
            The knowledge graph, or what diffusion made of it.
        symmetric
            Which relations have no inverse, bool ``[relations]``.
        """
        encoder = model.knowledge_encoder
        assert encoder is not None
        weights = attention_weights(view, model.entity_embedding, encoder.relations, encoder.weight)
        of_items = view.head < model.n_items
        alpha = weights[of_items].double().cpu().numpy()
        # The model numbers a relation and its inverse one after the other, and proposals after all.
        stored = np.repeat(np.arange(len(symmetric) + 1), [*np.where(symmetric, 1, 2), 1])
        relation = stored[view.relation[of_items].cpu().numpy()]
        return cls(
            np.bincount(relation, alpha, len(symmetric) + 1).astype(np.float64),
            np.bincount(view.tail[of_items].cpu().numpy(), alpha, len(model.entity_embedding)).astype(
                np.float64
            ),
            int(view.head[of_items].unique().numel()),
        )


def relation_strength(before: Attention, after: Attention, change: KnowledgeChange) -> pl.DataFrame:
    """Return the share of the items' attention that goes to each relation.

    Returns
    -------
    polars.DataFrame
        ``relation``, ``label``, ``before`` and ``after`` (shares, each adding up to 1) and ``change``; the
        most strengthened first, the most weakened last.
    """
    relations = change.kg.relations
    shares = [found.by_relation / max(1, found.items) for found in (before, after)]
    proposed = pl.Series([PROPOSED])
    frame = pl.DataFrame(
        {
            "relation": relations["name"].append(proposed),
            "label": relations["label"].fill_null(relations["name"]).append(proposed),
            "before": shares[0],
            "after": shares[1],
            "change": shares[1] - shares[0],
        }
    )
    if not len(change.proposed):
        frame = frame.head(len(relations))
    return frame.sort("change", descending=True, maintain_order=True)


def entity_strength(before: Attention, after: Attention, change: KnowledgeChange) -> pl.DataFrame:
    """Return the attention that each entity gets from the items.

    Returns
    -------
    polars.DataFrame
        ``entity``, ``kind``, ``id``, ``label``, ``before`` and ``after`` (attention, as so many items'
        worth), ``change``, ``neighbours_before`` and ``neighbours_after``; the most strengthened first.
        Entities without neighbours in either graph are left out.
    """
    old, new = change.neighbours
    entities = change.kg.entities
    frame = entities.select(
        "entity", "kind", "id", pl.col("label").fill_null(pl.col("id"))
    ).with_columns(
        before=before.by_entity, after=after.by_entity, change=after.by_entity - before.by_entity,
        neighbours_before=old, neighbours_after=new,
    )  # fmt: skip
    joined = (pl.col("neighbours_before") > 0) | (pl.col("neighbours_after") > 0)
    return frame.filter(joined).sort("change", "entity", descending=[True, False])
