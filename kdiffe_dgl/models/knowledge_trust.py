"""How far each triple of the knowledge graph is to be trusted: evidence, set against random triples."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.diffusion.calibration import calibrate, threshold_of
from kdiffe_dgl.diffusion.decoys import Ends, proportional, random_triples
from kdiffe_dgl.diffusion.evidence import context_agreement, structure_evidence
from kdiffe_dgl.graph.hetero import KnowledgeEdges

__all__ = ["Evidence", "TripleTrust"]

Evidence = Literal["held_out", "context", "structure"]

DECOY_SHARE = 0.1
"""Decoys put into the graph, as a share of a relation's triples."""
LEAST_DECOYS = 100
"""Least decoys of a relation, where it has so many triples: fewer tell little of what chance does."""


class TripleTrust:
    """Scores the triples of a knowledge graph, each by all others and by the interactions.

    Decoys, random triples of the same relations, are put among them before anything is computed, so that an
    added random triple and a decoy are alike in all that is looked at.

    Parameters
    ----------
    edges
        The knowledge graph, inverses included.
    n_items
        Number of items, the first entities.
    evidence
        ``"context"``: whether an entity's items are liked by the same users, which tells what matters for the
        recommendation; ``"structure"``: whether the rest of the graph makes the triple likely, which tells
        what may be true; ``"held_out"``: what a denoiser makes of rows without the triple, which is gathered
        elsewhere (:mod:`kdiffe_dgl.diffusion.held_out`).
    generator
        Source of the decoys (on the CPU).

    Attributes
    ----------
    head, tail
        Ends of the triples and of the decoys among them, int64 ``[triples + decoys]`` each, on the CPU.
    """

    def __init__(
        self, edges: KnowledgeEdges, n_items: int, evidence: Evidence, generator: torch.Generator
    ) -> None:
        # A relation comes before its inverse; of a symmetric one either edge stands for the triple.
        by_triple = np.lexsort([edges.relation.cpu().numpy(), edges.triple.cpu().numpy()])
        found, first = np.unique(edges.triple.cpu().numpy()[by_triple], return_index=True)
        triples, chosen = torch.from_numpy(found), torch.from_numpy(by_triple[first])
        head, relation, tail = (x.cpu()[chosen] for x in (edges.head, edges.relation, edges.tail))
        self._triple_of_edge = torch.searchsorted(triples, edges.triple.cpu())
        n_relations = edges.n_relations
        known = torch.bincount(relation, minlength=n_relations)
        counts = proportional(relation, DECOY_SHARE, n_relations).maximum(known.clamp(max=LEAST_DECOYS))
        kinds = [torch.zeros(len(head), dtype=torch.int64)]
        # What joins a relation's own heads and tails is hard to tell; what joins anything is another thing.
        # Of the context only the former tell: between two entities that are no items there is none.
        sorts: tuple[Ends, ...] = ("relation",) if evidence == "context" else ("relation", "any")
        for kind, ends in enumerate(sorts, start=1):
            drawn = random_triples(head, relation, tail, counts, edges.n_entities, generator, ends)
            kinds.append(torch.full((len(drawn[0]),), kind))
            head, relation, tail = (
                torch.cat(both) for both in zip((head, relation, tail), drawn, strict=True)
            )
        self.head, self.tail, self._relation = head, tail, relation.numpy()
        sides = head.numpy(), tail.numpy()
        self._n_relations, self._kind = n_relations, torch.cat(kinds).numpy()
        shape = edges.n_entities, edges.n_entities
        pairs = np.stack(sides), np.stack(sides[::-1])
        rows, columns = (each.ravel() for each in pairs)
        adjacency = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
        adjacency.setdiag(0)
        adjacency.eliminate_zeros()
        adjacency.data[:] = 1
        self._incidence = adjacency[:, :n_items].tocsr()
        # The graph stands still, and so does what it says.
        self._structure = (
            structure_evidence(adjacency, self._relation, *sides) if evidence == "structure" else None
        )
        self._of_structure: list[np.ndarray] | None = None

    def gather(self, context: Tensor) -> np.ndarray:
        """Gather what speaks for each triple and decoy, by context or structure.

        Parameters
        ----------
        context
            Collaborative context of each item, in the first rows, ``[entities, dim]``.

        Returns
        -------
        numpy.ndarray
            float64 ``[triples + decoys, kinds]``.
        """
        if self._structure is not None:
            return self._structure
        items = context[: self._incidence.shape[1]].cpu().double().numpy()
        return context_agreement(self._incidence, items, self.head.numpy(), self.tail.numpy())[:, None]

    def scores(self, evidence: np.ndarray) -> Tensor:
        """Score all edges of the graph.

        Parameters
        ----------
        evidence
            What speaks for each triple and decoy, ``[triples + decoys, kinds]``.

        Returns
        -------
        Tensor
            An inverse like its triple, float64 ``[edges]`` on the CPU: the probability that it is more than a
            random triple, see :mod:`kdiffe_dgl.diffusion.calibration`; of two kinds of random triples, the
            lesser one.
        """
        found = self._by_kind(evidence)
        least = np.min([each[self._kind == 0] for each in found], axis=0)
        return torch.from_numpy(least)[self._triple_of_edge]

    def kept(self, evidence: np.ndarray, passing: float) -> Tensor:
        """Tell which edges have a score that only a share of random ones reaches, of each kind of these.

        Parameters
        ----------
        evidence
            As for :meth:`scores`.
        passing
            That share.

        Returns
        -------
        Tensor
            bool ``[edges]``.
        """
        stays = [
            score[self._kind == 0] > threshold_of(score[self._kind == kind], passing)
            for kind, score in enumerate(self._by_kind(evidence), start=1)
        ]
        return torch.from_numpy(np.all(stays, axis=0))[self._triple_of_edge]

    def _by_kind(self, evidence: np.ndarray) -> list[np.ndarray]:
        """Return the scores against each kind of decoys: see :meth:`_calibrated`."""
        if evidence is not self._structure:
            return self._calibrated(evidence)
        if self._of_structure is None:
            self._of_structure = self._calibrated(evidence)
        return self._of_structure

    def _calibrated(self, evidence: np.ndarray) -> list[np.ndarray]:
        """Set the triples against each kind of decoys alone: together, the easy kind would hide the hard one.

        Returns
        -------
        list of numpy.ndarray
            For each kind, scores of the triples and of its decoys, in their places; NaN at other decoys.
        """
        found = []
        for kind in range(1, int(self._kind.max(initial=1)) + 1):
            own = (self._kind == 0) | (self._kind == kind)
            relation, decoy = self._relation[own], self._kind[own] > 0
            score = np.full(len(own), np.nan)
            # A graph that leaves room for no random triple has nothing to be set against: all of it stays.
            score[own] = (
                calibrate(evidence[own], relation, decoy, self._n_relations).score if decoy.any() else 0.0
            )
            found.append(score)
        return found
