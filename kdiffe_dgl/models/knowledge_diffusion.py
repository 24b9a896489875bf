"""Diffusion over the knowledge graph: collaborative context, guidance, and the edges that stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.diffusion.candidates import from_neighbours, two_hop, unite
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.regenerate import pair_keys, row_quota, thin
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import GraphDiffusion
from kdiffe_dgl.graph.hetero import KnowledgeEdges
from kdiffe_dgl.graph.operators import Propagation, row_normalised
from kdiffe_dgl.models.kdiffe_config import KnowledgeConfig

__all__ = ["KnowledgeDiffusion", "Regenerated"]


@dataclass(frozen=True)
class Regenerated:
    """What diffusion made of the knowledge graph.

    Attributes
    ----------
    kept
        Which of the known edges stay, bool ``[edges]``.
    head, tail
        Ends of the proposed edges, which no triple states, int64 ``[proposed]``, both directions.
    """

    kept: Tensor
    head: Tensor
    tail: Tensor


class KnowledgeDiffusion(GraphDiffusion):
    """Guided diffusion over the rows of the knowledge graph (KDiffE, guided diffusion).

    Parameters
    ----------
    edges
        The knowledge graph, inverses included.
    interactions
        Training interactions, binary ``[users, items]``.
    n_entities
        Number of entities, items first.
    config
        Settings.
    context_dim
        Embedding size.
    generator
        Source of the initial weights (on the CPU).
    device
        Where to compute.
    neighbours
        Entities that are similar in some modality, ``[entities, entities]``, where proposals come from them.
    """

    def __init__(
        self,
        edges: KnowledgeEdges,
        interactions: sp.csr_matrix,
        n_entities: int,
        config: KnowledgeConfig,
        context_dim: int,
        generator: torch.Generator,
        device: torch.device,
        neighbours: SparseRows | None = None,
    ) -> None:
        rows = SparseRows.from_pairs(edges.head, edges.tail, n_entities, n_entities)
        super().__init__(rows, config.diffusion, context_dim, generator, device)
        self.edges, self.settings, self.n_items = edges, config, interactions.shape[1]
        # What regeneration needs of the edges is the same every epoch.
        proposals = []
        if "two_hop" in config.candidates:
            proposals.append(two_hop(self.matrix, config.proposals))
        if neighbours is not None:
            proposals.append(from_neighbours(self.matrix, neighbours, config.proposals, of="rows"))
        self._candidates = unite(self.matrix, *proposals).edges if proposals else self.matrix
        self._quota = row_quota(self.matrix.indptr.diff(), config.top, config.top_share)
        self._edge_pairs = pair_keys(edges.head, edges.tail, n_entities)
        self._item_mean = Propagation.from_scipy(row_normalised(interactions.T.tocsr())).to(device)
        # Entities without interactions of their own take the mean context of the items they touch.
        with_items = edges.tail < self.n_items
        ends = torch.stack([edges.head[with_items], edges.tail[with_items]]).unique(dim=1).cpu().numpy()
        incidence = np.ones(ends.shape[1], dtype=np.float32), (ends[0], ends[1])
        from_items = row_normalised(sp.csr_matrix(incidence, shape=(n_entities, self.n_items)))
        self._entity_mean = Propagation.from_scipy(from_items).to(device)

    def context(self, users: Tensor) -> Tensor:
        """Return the collaborative context of every entity, ``[entities, dim]``.

        For an item: the mean of the embeddings of its users. For another entity: the mean context of
        the items it touches; zero where it touches none.
        """
        items = self._item_mean(users)
        context = self._entity_mean(items)
        context[: self.n_items] = items
        return context

    def train_guided(self, context: Tensor, entities: Tensor, generator: torch.Generator) -> float:
        """Train one epoch under the collaborative guidance; return the mean loss of a row.

        Parameters
        ----------
        context
            From :meth:`context`.
        entities
            Embeddings, ``[entities, dim]``: what a proposed neighbourhood should amount to.
        generator
            Source of order, timesteps, noise and dropout.
        """
        basis = context
        if self.settings.guidance_columns == "items":
            basis = torch.zeros_like(context)
            basis[: self.n_items] = context[: self.n_items]
        return self.train_epoch(context, LinearGuidance(basis=basis, target=entities), generator)

    def regenerate(self, context: Tensor, generator: torch.Generator) -> Regenerated:
        """Choose the edges whose regenerated scores are best in their rows.

        An edge is kept together with all edges between the same two entities, its inverse among them;
        what joins two entities without a known edge is a proposal.
        """
        rows, columns = self.top_among(self._candidates, self._quota, context, generator)
        size = self.matrix.n_rows
        pairs = pair_keys(rows, columns, size).unique()
        pairs = pairs[thin(pairs, self.settings.keep_rate, generator)]
        new = pairs[~torch.isin(pairs, self._edge_pairs)] if self.settings.candidates else pairs[:0]
        ends = torch.div(new, size, rounding_mode="floor"), new % size
        return Regenerated(
            torch.isin(self._edge_pairs, pairs), torch.cat([ends[0], ends[1]]), torch.cat([ends[1], ends[0]])
        )
