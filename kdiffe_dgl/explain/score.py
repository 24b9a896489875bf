r"""The score of one user and one item as a function of the weights of edges.

Both views are linear in the graph of users and items, up to normalisations at the end. So the score needs
no embeddings of all nodes: a vector of node weights, 1 at the user, is pushed back through the propagation,
and meets the embeddings once. For a row r of :math:`\sum_l \hat A^l` (:math:`\hat A` is symmetric), the
main view is :math:`r [U \Vert K]`, and with :math:`a = \hat A r` and :math:`b = \hat A [a_U \Vert 0]` the
multimodal view is :math:`a [U \Vert F] + b [U \Vert F] + a_I I + \lambda_{adj} \sum_m w_m (G_m r) [U \Vert
I]`, plus the normalised fusion, where r is the unit vector. With a temperature, the score is the cosine over
both views together. Profile views are added at the end, see :mod:`kdiffe_dgl.explain.profiles`: their inverse
document frequencies, directions and scales stay those of the whole graph, and so does what the pairwise
view adds. A deletion then costs a few
products of a sparse matrix with four vectors, and many deletions are columns of one product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.explain.edges import ScoreEdges
from kdiffe_dgl.explain.knowledge import LinkEncoder
from kdiffe_dgl.explain.products import Deleted, Weighted, base_matrix
from kdiffe_dgl.explain.profiles import ProfileScore, Reweighed
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.modality import ModalityViews

__all__ = ["EdgeScore"]

Ids = npt.NDArray[np.int64]
# Numbers in a block of node vectors: 64 MiB of float64.
_BLOCK = 8 * 2**20


class _Graph(Protocol):
    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with node vectors ``[nodes, k, batch]``."""


class EdgeScore:
    """Scores of a trained model, its edges weighed or deleted.

    Parameters
    ----------
    model
        A trained KDiffE, on any device; all is computed on the CPU, in double precision.

    Attributes
    ----------
    edges
        What can be weighed.
    """

    def __init__(self, model: KDiffE) -> None:
        self.edges = ScoreEdges.from_model(model)
        self._layers, self._temperature = model.config.layers, model.config.score_temperature
        self._scale = math.sqrt(model.config.modality.score_weight)
        self._users = model.user_embedding.detach().cpu().double()
        entities = model.entity_embedding.detach().cpu().double()
        self._raw_items = entities[: model.n_items]
        self.encoder: LinkEncoder | None = None
        if self.edges.links is not None and model.knowledge_encoder is not None:
            self.encoder = LinkEncoder(model.knowledge_encoder, self.edges.links, entities, model.n_items)
        self._items = self._raw_items if self.encoder is None else self.encoder.items
        self._bias = None if model.item_bias is None else model.item_bias.detach().cpu().double().squeeze(1)
        views = model.scored_modalities
        self._features: Tensor | None = None
        if views is not None:
            self._features = _fused_features(model, views)
            shares = views.adjacency_weight * views.weights().detach().cpu().double()
            named = zip(views.modalities, shares, strict=True)
            self._shares = {name: share for name, share in named if name in self.edges.pairs.generated}
            self._residual = views.residual
        pairs = self.edges.pairs
        self._graphs = {"": pairs.interactions, **pairs.generated}
        self._profiles = ProfileScore(model.profile_views(), self.edges)
        self._matrices = {name: base_matrix(pairs, graph) for name, graph in self._graphs.items()}

    def score(self, user: int, item: int) -> float:
        """Return the score with all edges."""
        return float(self.without(user, item, [np.empty(0, dtype=np.int64)])[0])

    def fixed(self, user: int, item: int) -> float:
        """Return the part of the score that stays whatever is deleted: that of the pairwise view."""
        return self._profiles.fixed(user, item)

    def without(self, user: int, item: int, deleted: Sequence[Ids]) -> npt.NDArray[np.float64]:
        """Return the score after each of several deletions.

        Parameters
        ----------
        user, item
            Whose score.
        deleted
            For each deletion, the numbers of the edges that go, each once. The graphs are those that would be
            built without them: degrees and attention are normalised anew, and so are rows of facts. What
            profile views have found in the whole graph stays: frequencies of facts, directions and scales.

        Returns
        -------
        ndarray
            float64 ``[deletions]``.
        """
        read = self._read(user, item)
        size = max(1, _BLOCK // (4 * (len(self._users) + len(self._raw_items))))
        parts = [
            self._without(user, item, deleted[start : start + size], read)
            for start in range(0, len(deleted), size)
        ]
        return np.concatenate([np.empty(0), *parts])

    @torch.no_grad()
    def _without(
        self, user: int, item: int, deleted: Sequence[Ids], read: Sequence[Tensor]
    ) -> npt.NDArray[np.float64]:
        pairs, n_pairs = self.edges.pairs, len(self.edges.pairs)
        owner = np.repeat(np.arange(len(deleted)), [len(found) for found in deleted])
        edges = np.concatenate([np.empty(0, dtype=np.int64), *deleted])
        is_pair = edges < n_pairs
        of_batch, of_pair = owner[is_pair], edges[is_pair]
        graphs = {
            name: Deleted(pairs, graph, self._matrices[name], of_pair, of_batch, len(deleted))
            for name, graph in self._graphs.items()
        }
        rows, batch, change = [], [], []
        if self.encoder is not None:
            for number, found in enumerate(deleted):
                links = np.unique(found[found >= n_pairs]) - n_pairs
                if len(links):
                    weights = torch.zeros(len(links), dtype=torch.float64)
                    items, values = self.encoder.changed(links, weights, read)
                    rows.append(items)
                    batch.append(torch.full_like(items, number))
                    change.append(values - self._items[items])
        changed = (torch.cat(rows), torch.cat(batch), torch.cat(change)) if rows else None
        score = self._score(user, item, graphs, changed, len(deleted))
        gone = Reweighed.deleted(of_pair, of_batch)
        facts = Reweighed.deleted(edges[~is_pair] - n_pairs, owner[~is_pair])
        return (score + self._profiles(user, item, gone, facts, len(deleted))).numpy()

    def gradient(self, user: int, item: int, links: Ids) -> npt.NDArray[np.float64]:
        """Return the derivative of the score by the weight of each edge, float64 ``[edges]``.

        Profiles are weighted means of interactions; a link's weight scales its entries of the rows of facts,
        before these have length 1.

        Parameters
        ----------
        user, item
            Whose score.
        links
            The links that matter, as numbers of edges; the derivatives by other links are left 0.
        """
        n_pairs = len(self.edges.pairs)
        weights = torch.ones(n_pairs, dtype=torch.float64, requires_grad=True)
        wanted = np.unique(links) - n_pairs
        link_weights = torch.ones(len(wanted), dtype=torch.float64, requires_grad=True)
        score = self._weighted(user, item, weights, wanted, link_weights)
        inputs = [weights, link_weights]
        found = torch.autograd.grad(score, inputs, allow_unused=True)
        result = np.zeros(len(self.edges))
        for place, part in ((slice(0, n_pairs), found[0]), (wanted + n_pairs, found[1])):
            if part is not None:
                result[place] = part.numpy()
        return result

    def _weighted(self, user: int, item: int, pairs: Tensor, links: Ids, link_weights: Tensor) -> Tensor:
        """Return the score, a scalar, with weights of all pairs and of some links."""
        graphs = {name: Weighted(self.edges.pairs, graph, pairs) for name, graph in self._graphs.items()}
        changed = None
        if self.encoder is not None and len(links):
            items, values = self.encoder.changed(links, link_weights, self._read(user, item))
            changed = items, torch.zeros_like(items), values - self._items[items]
        score = self._score(user, item, graphs, changed, 1)
        every_pair = Reweighed.single(np.arange(len(pairs)), pairs)
        facts = Reweighed.single(links, link_weights)
        return (score + self._profiles(user, item, every_pair, facts, 1))[0]

    def _read(self, user: int, item: int) -> list[Tensor]:
        """Return which entities the score depends on: items that propagation joins with the two, and on."""
        if self.encoder is None:
            return []
        matrix, n_users = self._matrices[""], len(self._users)
        reached = torch.zeros(n_users + len(self._raw_items), 1, dtype=torch.float64)
        reached[[user, n_users + item]] = 1.0
        for _ in range(self._layers):
            reached = ((matrix(reached) + reached) > 0).double()
        return self.encoder.read_by(torch.nonzero(reached[n_users:, 0]).squeeze(1))

    def _score(
        self,
        user: int,
        item: int,
        graphs: Mapping[str, _Graph],
        changed: tuple[Tensor, Tensor, Tensor] | None,
        size: int,
    ) -> Tensor:
        """Return the scores ``[size]`` without profiles.

        ``changed``: items, batch and what their encodings differ by.
        """
        n_users, operator = len(self._users), graphs[""]
        unit = torch.zeros(n_users + len(self._raw_items), 2, size, dtype=torch.float64)
        unit[user, 0] = unit[n_users + item, 1] = 1.0
        layer = total = unit
        for _ in range(self._layers):
            layer = operator(layer)
            total = total + layer
        main = _meet(total, self._users, self._items)
        if changed is not None:
            rows, batch, change = changed
            share = total[n_users + rows, :, batch]  # [rows, 2]
            main = main.index_add(0, batch, share.unsqueeze(2) * change.unsqueeze(1))
        views = [main]  # user and item, [size, 2, dim] each
        if self._features is not None:
            fused = self._fused(torch.cat([total, unit], dim=1), graphs)
            view = fused[:, :2] + self._residual * functional.normalize(fused[:, 2:], dim=2)
            views.append(self._scale * view)
        both = torch.cat(views, dim=2)
        if self._temperature:
            score = functional.cosine_similarity(both[:, 0], both[:, 1], dim=1) / self._temperature
        else:
            score = (both[:, 0] * both[:, 1]).sum(dim=1)
        return score if self._bias is None else score + self._bias[item]

    def _fused(self, x: Tensor, graphs: Mapping[str, _Graph]) -> Tensor:
        """Return the fused modalities at node vectors, ``[batch, k, dim]``."""
        assert self._features is not None
        n_users, users, items = len(self._users), self._users, self._raw_items
        first = graphs[""](x)
        of_users = torch.cat([first[:n_users], torch.zeros_like(first[n_users:])])
        fused = _meet(first + graphs[""](of_users), users, self._features)
        fused = fused + torch.einsum("nkb,nd->bkd", first[n_users:], items)
        for name, share in self._shares.items():
            fused = fused + share * _meet(graphs[name](x), users, items)
        return fused


def _fused_features(model: KDiffE, views: ModalityViews) -> Tensor:
    """Return the features that the multimodal view reads, averaged over the modalities, ``[items, dim]``."""
    items = model.entity_embedding.detach()[: model.n_items]
    with torch.no_grad():
        projected = views.project(None).values()
        sources = [views.gate(features, items) if views.gated else features for features in projected]
        return torch.einsum("m,mnd->nd", views.weights(), torch.stack(sources)).cpu().double()


def _meet(x: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return the sums of embeddings that node vectors ``[nodes, k, batch]`` weigh, ``[batch, k, dim]``."""
    of_users = torch.einsum("nkb,nd->bkd", x[: len(users)], users)
    return of_users + torch.einsum("nkb,nd->bkd", x[len(users) :], items)
