r"""Profile views of the score where edges weigh less, or are deleted.

A user's profile is the mean :math:`\sum_j w_j K_j / \sum_j w_j` over her interactions, w their weights: a
deleted interaction leaves the mean, and without any the profile is 0. For facts, a link's weight scales its
entries of the rows of R, which then have length 1 again, and :math:`K_i = R_i V` (folding-in; Deerwester et
al., 1990). What was found in the whole data stays as it is: inverse document frequencies, the directions V
and the scale. A modality's K depends on no edge, and that of interactions is kept as it was found, too: of an
interaction, the profile follows the deletion, the agreement of items does not. The pairwise view's product
is kept as it was found as well: it is of a network of its own, and what a deletion would change there is not
computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kdiffe_dgl.diffusion.regenerate import pair_keys
from kdiffe_dgl.edge_products import EdgeProducts
from kdiffe_dgl.explain.edges import Links, Pairs, ScoreEdges
from kdiffe_dgl.models.profile_tables import FactTable
from kdiffe_dgl.models.profiles import PAIRS, ProfileView

__all__ = ["ProfileScore", "Reweighed"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reweighed:
    """Edges that have other weights than 1, in a batch of copies of the graph.

    Parameters
    ----------
    edges, batch
        Numbers of pairs or of links, and the copy, int64 ``[n]`` each; an edge at most once in a copy.
    weights
        float64 ``[n]``; 0 deletes. Scores can be differentiated by them.
    """

    edges: Tensor
    batch: Tensor
    weights: Tensor

    @classmethod
    def deleted(cls, edges: Ids, batch: Ids) -> Reweighed:
        """Delete edges."""
        weights = torch.zeros(len(edges), dtype=torch.float64)
        return cls(torch.from_numpy(edges), torch.from_numpy(batch), weights)

    @classmethod
    def single(cls, edges: Ids, weights: Tensor) -> Reweighed:
        """Weigh edges in one copy."""
        found = torch.from_numpy(edges)
        return cls(found, torch.zeros_like(found), weights)


class ProfileScore:
    """What profile views add to a score, edges weighed.

    Parameters
    ----------
    views
        The model's, for the whole graph.
    edges
        Its edges. Without links the facts stay as they are.
    """

    def __init__(self, views: list[ProfileView], edges: ScoreEdges) -> None:
        self._pairs = edges.pairs
        self._tables: list[_Table | _Facts] = [
            _Table(view) if view.facts is None else _Facts(view, view.facts, edges.links)
            for view in views
            if view.source != PAIRS
        ]
        self._fixed = [view for view in views if view.source == PAIRS]

    def __call__(self, user: int, item: int, pairs: Reweighed, links: Reweighed, size: int) -> Tensor:
        """Return what is added in each copy, float64 ``[size]``."""
        numbers = _of_user(self._pairs, user)
        met = self._pairs.items[numbers]
        weights = torch.ones(size, len(met), dtype=torch.float64)
        place = np.searchsorted(numbers, pairs.edges.numpy())
        own = np.append(numbers, -1)[place] == pairs.edges.numpy()
        at = pairs.batch[own], torch.from_numpy(place[own])
        weights = weights.index_put(at, pairs.weights[own])
        sums = weights.sum(dim=1)
        found = torch.zeros(size, dtype=torch.float64)
        for table in self._tables:
            found = found + table.agreement(met, weights, item, links)
        return found / torch.where(sums > 0, sums, torch.ones_like(sums)) + self.fixed(user, item)

    def fixed(self, user: int, item: int) -> float:
        """Return what of it depends on no edge: the part of the pairwise view."""
        return sum(float(view.users[user].astype(np.float64) @ view.items[item]) for view in self._fixed)


def _of_user(pairs: Pairs, user: int) -> Ids:
    """Return the numbers of a user's training interactions, ascending."""
    first, last = np.searchsorted(pairs.users, [user, user + 1])
    return np.arange(first, last)[pairs.observed[first:last]]


class _Table:
    """A view whose K does not depend on edges."""

    def __init__(self, view: ProfileView) -> None:
        self.items = torch.from_numpy(view.items).double()

    def agreement(self, met: Ids, weights: Tensor, item: int, links: Reweighed) -> Tensor:
        """Return K_i times the weighed sum of the items met, ``[size]``."""
        return weights @ (self.items[met] @ self.items[item])


class _Facts(_Table):
    """The view of facts."""

    def __init__(self, view: ProfileView, facts: FactTable, links: Links | None) -> None:
        super().__init__(view)
        self._scale, self._directions = view.scale, torch.from_numpy(facts.directions)
        rows = facts.weights
        self._starts, self._links = torch.from_numpy(rows.indptr.astype(np.int64)), links
        self._tails = torch.from_numpy(rows.indices.astype(np.int64))
        self._values = torch.from_numpy(rows.data)
        everything = torch.arange(rows.shape[0])
        if links is not None:
            heads = torch.repeat_interleave(everything, self._starts.diff())
            keys = torch.from_numpy(links.first * links.n_entities + links.second)
            self._link = torch.searchsorted(keys, pair_keys(heads, self._tails, links.n_entities))
        nothing = Reweighed.deleted(*(np.empty(0, dtype=np.int64) for _ in range(2)))
        self.items = self._encode(everything, torch.zeros_like(everything), nothing)

    def agreement(self, met: Ids, weights: Tensor, item: int, links: Reweighed) -> Tensor:
        """Return K_i times the weighed sum of the items met, ``[size]``; both follow the links."""
        size = len(weights)
        sums = weights @ self.items[met]
        wanted = self.items[item].expand(size, -1)
        if self._links is not None and len(links.edges):
            rows, batch = self._changed(links, np.append(met, item), size)
            change = self._encode(rows, batch, links) - self.items[rows]
            place = np.searchsorted(met, rows.numpy())
            is_met = torch.from_numpy(np.append(met, -1)[place] == rows.numpy())
            share = weights[batch[is_met], torch.from_numpy(place)[is_met]]
            sums = sums.index_add(0, batch[is_met], share.unsqueeze(1) * change[is_met])
            is_item = rows == item
            wanted = wanted.index_add(0, batch[is_item], change[is_item])
        return (sums * wanted).sum(dim=1)

    def _changed(self, links: Reweighed, items: Ids, size: int) -> tuple[Tensor, Tensor]:
        """Return which of some items have another row in which copy, each once."""
        assert self._links is not None
        ends = np.stack([self._links.first[links.edges], self._links.second[links.edges]])
        copies = np.broadcast_to(links.batch.numpy(), ends.shape)
        chosen = np.isin(ends, items)
        keys = torch.from_numpy(np.unique(ends[chosen] * size + copies[chosen]))
        return keys // size, keys % size

    def _encode(self, rows: Tensor, batch: Tensor, links: Reweighed) -> Tensor:
        """Return K of items in copies of the graph, times the scale, ``[rows, rank]``."""
        counts = self._starts[rows + 1] - self._starts[rows]
        owner = torch.repeat_interleave(torch.arange(len(rows)), counts)
        entries = torch.arange(len(owner)) + (self._starts[rows] - counts.cumsum(0) + counts)[owner]
        values = self._values[entries]
        if len(links.edges):
            keys, order = _keys(links.edges, links.batch, links).sort()
            own = _keys(self._link[entries], batch[owner], links)
            place = torch.searchsorted(keys, own).clamp(max=len(keys) - 1)
            weighed = values * links.weights[order[place]]
            values = torch.where(keys[place] == own, weighed, values)
        squares = values.new_zeros(len(rows)).index_add(0, owner, values.square())
        # A row that has lost all it held is 0.
        length = torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt()
        products = EdgeProducts.of(owner, self._tails[entries], len(rows), len(self._directions))
        return products.weighted_sum(values, self._directions) * (self._scale / length).unsqueeze(1)


def _keys(edges: Tensor, batch: Tensor, links: Reweighed) -> Tensor:
    """Return a number for each edge of a copy."""
    size = int(links.batch.max()) + 1
    # A copy without other weights has no key.
    return torch.where(batch < size, edges * size + batch, torch.full_like(batch, -1))
