"""Diffusion over the knowledge graph: collaborative context, guidance, and the edges that stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.diffusion.candidates import from_neighbours, two_hop, unite
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.held_out import held_out_evidence
from kdiffe_dgl.diffusion.regenerate import pair_keys, row_quota, thin, top_order
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import GraphDiffusion
from kdiffe_dgl.graph.hetero import KnowledgeEdges
from kdiffe_dgl.graph.operators import Propagation, row_normalised
from kdiffe_dgl.models.kdiffe_config import KnowledgeConfig
from kdiffe_dgl.models.knowledge_trust import TripleTrust

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
        trust: TripleTrust | None = None
        ends = edges.head, edges.tail
        if config.scoring != "reconstruction" and config.selection != "all":
            trust = TripleTrust(edges, interactions.shape[1], config.scoring, generator)
        if trust is not None and config.scoring == "held_out":
            # The denoiser is to know random triples no worse than the others, so it sees them all.
            ends = torch.cat([trust.head, trust.tail]), torch.cat([trust.tail, trust.head])
        rows = SparseRows.from_pairs(*ends, n_entities, n_entities)
        super().__init__(rows, config.diffusion, context_dim, generator, device)
        self._trust = trust
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

    @property
    def _asks_denoiser(self) -> bool:
        """Whether regeneration needs the denoiser; a random choice needs to know how many edges are held."""
        scoring, selection = self.settings.scoring, self.settings.selection
        if scoring == "reconstruction":
            return selection == "scored"
        return scoring == "held_out" and selection != "all"

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

        Returns
        -------
        float
            0 where regeneration does not ask the denoiser, which then is not trained.
        """
        if not self._asks_denoiser:
            return 0.0
        basis, context = context, self._condition(context)
        if self.settings.guidance_columns == "items":
            basis = _of_items(basis, self.n_items)
        return self.train_epoch(context, LinearGuidance(basis=basis, target=entities), generator)

    @torch.no_grad()
    def edge_scores(self, context: Tensor, generator: torch.Generator) -> Tensor:
        """Score the known edges, the better the greater.

        Parameters
        ----------
        context
            From :meth:`context`.
        generator
            Source of sampling noise, where there is any.

        Returns
        -------
        Tensor
            ``[edges]``, an edge and its inverse alike: of a reconstruction, the mean of what the rows of both
            ends give to it; otherwise see :meth:`TripleTrust.scores`.
        """
        if self._trust is not None:
            return self._trust.scores(self._evidence(self._trust, context, generator)).to(context.device)
        rows, columns = self.matrix.coordinates()
        scores = self.score_edges(rows, columns, context, generator)
        keys, width = rows * self.matrix.width + columns, self.matrix.width
        ends = self.edges.head, self.edges.tail
        both = [
            scores[torch.searchsorted(keys, first * width + second)] for first, second in (ends, ends[::-1])
        ]
        return (both[0] + both[1]) / 2

    @torch.no_grad()
    def regenerate(self, context: Tensor, generator: torch.Generator) -> Regenerated:
        """Choose the edges that stay: those whose scores are best in their rows, or that pass by evidence.

        With a reconstruction, an edge is kept together with all edges between the same two entities, its
        inverse among them; what joins two entities without a known edge is a proposal.
        """
        if self.settings.selection == "all" or self._trust is not None:
            kept = self._known_kept(context, generator)
            none = self.rows[:0]
            return Regenerated(kept & thin(self._edge_pairs, self.settings.keep_rate, generator), none, none)
        if self.settings.selection == "random":
            rows, columns = self._candidates.coordinates()
            best = top_order(rows, columns, _random_scores(rows, generator), self._quota)
            rows, columns = rows[best], columns[best]
        else:
            rows, columns = self.top_among(self._candidates, self._quota, context, generator)
        size = self.matrix.n_rows
        pairs = pair_keys(rows, columns, size).unique()
        pairs = pairs[thin(pairs, self.settings.keep_rate, generator)]
        new = pairs[~torch.isin(pairs, self._edge_pairs)] if self.settings.candidates else pairs[:0]
        ends = torch.div(new, size, rounding_mode="floor"), new % size
        return Regenerated(
            torch.isin(self._edge_pairs, pairs), torch.cat([ends[0], ends[1]]), torch.cat([ends[1], ends[0]])
        )

    def _evidence(self, trust: TripleTrust, context: Tensor, generator: torch.Generator) -> np.ndarray:
        """Return what speaks for each triple and decoy, ``[triples + decoys, kinds]``."""
        if self.settings.scoring != "held_out":
            return trust.gather(context)
        head, tail = trust.head.to(self.rows.device), trust.tail.to(self.rows.device)
        found = held_out_evidence(self, head, tail, self._condition(context), generator)
        return found.cpu().double().numpy()

    def _condition(self, context: Tensor) -> Tensor:
        """Return what rows are conditioned on: the context of an entity knows the edges that are held out."""
        return _of_items(context, self.n_items) if self.settings.scoring == "held_out" else context

    def _known_kept(self, context: Tensor, generator: torch.Generator) -> Tensor:
        """Return which edges pass by evidence, as many of each row at random, or all; bool ``[edges]``."""
        everything = torch.ones(len(self.edges), dtype=torch.bool, device=self.rows.device)
        if self._trust is None:
            return everything
        evidence = self._evidence(self._trust, context, generator)
        kept = self._trust.kept(evidence, self.settings.passing).to(everything.device)
        if self.settings.selection == "scored":
            return kept
        # Pairs of entities, each counted at its lower end, so that an edge and its inverse go together.
        pairs, of_edge = self._edge_pairs.unique(return_inverse=True)
        rows = torch.div(pairs, self.matrix.n_rows, rounding_mode="floor")
        stays = torch.zeros(len(pairs), dtype=torch.bool, device=kept.device)
        stays[of_edge[kept]] = True
        quota = torch.bincount(rows[stays], minlength=self.matrix.n_rows)
        drawn = torch.zeros_like(stays)
        drawn[top_order(rows, pairs % self.matrix.n_rows, _random_scores(pairs, generator), quota)] = True
        return drawn[of_edge]


def _of_items(context: Tensor, n_items: int) -> Tensor:
    """Return the context of the items alone, zero for other entities."""
    found = torch.zeros_like(context)
    found[:n_items] = context[:n_items]
    return found


def _random_scores(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many random numbers as there are entries, float32, on their device."""
    return torch.rand(len(like), generator=generator, device=like.device)
