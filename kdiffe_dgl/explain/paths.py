"""Paths that connect a user with an item, as tables of edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from kdiffe_dgl.explain.edges import ScoreEdges

__all__ = ["Cut", "Limits", "PathTable", "connecting_paths"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """How far and how wide paths are sought.

    Parameters
    ----------
    hops
        Most edges of a path.
    neighbours
        Most neighbours of a node that are followed, those of greatest weight.
    paths
        Most paths of a kind.
    """

    hops: int = 3
    neighbours: int = 500
    paths: int = 100_000


@dataclass(frozen=True)
class Cut:
    """A neighbourhood that was too large to follow whole.

    Parameters
    ----------
    what
        Whose neighbours, or which paths.
    kept, found
        How many were followed, of how many.
    """

    what: str
    kept: int
    found: int

    def __str__(self) -> str:
        return f"{self.what}: the {self.kept:,} of greatest weight of {self.found:,}"


@dataclass(frozen=True)
class PathTable:
    """Paths from one user to one item; shorter ones are filled up with -1.

    Parameters
    ----------
    nodes
        Users by their numbers, entities by theirs after the number of users, int64 ``[paths, hops + 1]``.
    edges
        Numbers of the edges, see :class:`~kdiffe_dgl.explain.edges.ScoreEdges`, int64 ``[paths, hops]``.
    cuts
        What was left out.
    """

    nodes: Ids
    edges: Ids
    cuts: tuple[Cut, ...] = ()

    def __len__(self) -> int:
        return len(self.nodes)

    def without_users(self, n_users: int) -> PathTable:
        """Return the paths that lead over no other user."""
        others = self.nodes[:, 1:]
        over_facts = ~((others >= 0) & (others < n_users)).any(axis=1)
        return PathTable(self.nodes[over_facts], self.edges[over_facts], self.cuts)

    def edges_of(self, path: int) -> Ids:
        """Return the edges of a path, int64 ``[length]``."""
        row = self.edges[path]
        return row[row >= 0]


class _Search:
    """One search; collects what it cuts."""

    def __init__(self, edges: ScoreEdges, attention: Floats | None, user: int, item: int, limits: Limits):
        self.pairs, self.links, self.limits = edges.pairs, edges.links, limits
        self.user, self.item = user, item
        self.cuts: list[Cut] = []
        self.weight_of_link = np.zeros(0 if self.links is None else len(self.links))
        if self.links is not None and attention is not None:
            # A link weighs as much as the weightier of its directions.
            np.maximum.at(self.weight_of_link, self.links.link.numpy(), attention)

    def row(self, matrix: sp.csr_matrix, row: int, weight: Floats, what: str) -> tuple[Ids, Ids]:
        """Return neighbours and edges of one node, cut by weight."""
        found = slice(matrix.indptr[row], matrix.indptr[row + 1])
        nodes, edges = matrix.indices[found].astype(np.int64), matrix.data[found] - 1
        chosen = self.heaviest(weight[edges], self.limits.neighbours, what)
        return nodes[chosen], edges[chosen]

    def heaviest(self, weight: Floats, most: int, what: str) -> Ids:
        """Return which to keep, in order; ties go to the first."""
        if len(weight) <= most:
            return np.arange(len(weight))
        self.cuts.append(Cut(what, most, len(weight)))
        return np.sort(np.argsort(-weight, kind="stable")[:most])

    def through_users(self) -> tuple[Ids, Ids]:
        """Return nodes and edges of user, item of theirs, another user, item."""
        pairs, weight = self.pairs, self.pairs.weight
        items, own = self.row(pairs.numbers, self.user, weight, "items of the user")
        users, theirs = self.row(pairs.by_item, self.item, weight, "users of the item")
        own, items = own[items != self.item], items[items != self.item]
        theirs, users = theirs[users != self.user], users[users != self.user]
        middle = pairs.numbers[users][:, items].tocoo()
        shared = middle.data - 1
        strength = weight[own][middle.col] * weight[shared] * weight[theirs][middle.row]
        chosen = self.heaviest(strength, self.limits.paths, "paths through other users")
        user, item = middle.row[chosen], middle.col[chosen]
        ends = np.full(len(chosen), self.user), np.full(len(chosen), pairs.n_users + self.item)
        nodes = np.stack([ends[0], items[item] + pairs.n_users, users[user], ends[1]], axis=1)
        return nodes, np.stack([own[item], shared[chosen], theirs[user]], axis=1)

    def through_entities(self) -> list[tuple[Ids, Ids]]:
        """Return nodes and edges of paths of each length whose last edges are links."""
        assert self.links is not None
        n_users, n_pairs = self.pairs.n_users, len(self.pairs)
        items, own = self.row(self.pairs.numbers, self.user, self.pairs.weight, "items of the user")
        own_pair = np.full(self.links.n_entities, -1)
        own_pair[items] = own
        own_pair[self.item] = -1
        nodes, edges = np.array([[self.item]]), np.empty((1, 0), dtype=np.int64)
        weight, found = np.ones(1), []
        for hop in range(self.limits.hops - 1):
            # Grown backwards from the item: its facts are fewer than what a user's items have.
            if hop:
                nodes, edges, weight = self._cut(nodes, edges, weight)
            owner, tails, links = self._expand(nodes[:, 0])
            fresh = ~(nodes[owner] == tails[:, None]).any(axis=1)
            owner, tails, links = owner[fresh], tails[fresh], links[fresh]
            nodes = np.concatenate([tails[:, None], nodes[owner]], axis=1)
            edges = np.concatenate([links[:, None] + n_pairs, edges[owner]], axis=1)
            weight = weight[owner] * self.weight_of_link[links]
            ends = np.flatnonzero(own_pair[tails] >= 0)
            ends = ends[self.heaviest(weight[ends], self.limits.paths, f"paths over {hop + 1} facts")]
            pair = own_pair[tails[ends]]
            found.append(
                (
                    np.insert(nodes[ends] + n_users, 0, self.user, axis=1),
                    np.concatenate([pair[:, None], edges[ends]], axis=1),
                )
            )
        return found

    def _cut(self, nodes: Ids, edges: Ids, weight: Floats) -> tuple[Ids, Ids, Floats]:
        """Leave out what is not followed further: the lighter neighbours of hubs, and the lightest paths."""
        most = self.limits.neighbours
        # Begun paths with the same second node come from its neighbourhood.
        hub = np.unique(nodes[:, 1:], axis=0, return_inverse=True)[1].ravel()
        counts = np.bincount(hub)
        if counts.max(initial=0) > most:
            order = np.lexsort((-weight, hub))
            rank = np.arange(len(hub)) - np.repeat(np.cumsum(counts) - counts, counts)
            kept = np.sort(order[rank < most])
            n_hubs = int((counts > most).sum())
            what = "neighbours of an entity" if n_hubs == 1 else f"neighbours of {n_hubs} entities"
            self.cuts.append(Cut(what, most * n_hubs, int(counts[counts > most].sum())))
            nodes, edges, weight = nodes[kept], edges[kept], weight[kept]
        kept = self.heaviest(weight, self.limits.paths, "begun paths over facts")
        return nodes[kept], edges[kept], weight[kept]

    def _expand(self, heads: Ids) -> tuple[Ids, Ids, Ids]:
        """Return owner, neighbour and link of all links of heads."""
        assert self.links is not None
        part = self.links.numbers[heads]
        owner = np.repeat(np.arange(len(heads)), np.diff(part.indptr))
        return owner, part.indices.astype(np.int64), part.data - 1


def connecting_paths(
    edges: ScoreEdges, attention: Floats | None, user: int, item: int, limits: Limits | None = None
) -> PathTable:
    """Find the simple paths between a user and an item.

    They are of these kinds: the edge between the two, where there is one (diffusion generated it, or the
    user has met the item); user, an item of theirs, entities, item; user, an item of theirs, another user,
    item.

    Parameters
    ----------
    edges
        The graphs.
    attention
        Relational attention of each directed edge, ``[edges]``, by which links are cut.
    user, item
        Dense numbers.
    limits
        How far and wide.

    Returns
    -------
    PathTable
        The shorter paths first.
    """
    limits = limits or Limits()
    search, n_users = _Search(edges, attention, user, item, limits), edges.pairs.n_users
    direct = edges.pairs.numbers[user, item] - 1
    parts: list[tuple[Ids, Ids]] = []
    if direct >= 0:
        parts.append((np.array([[user, n_users + item]]), np.array([[direct]])))
    if edges.links is not None:
        parts += search.through_entities()
    if limits.hops >= 3:
        parts.append(search.through_users())
    parts.sort(key=lambda part: part[0].shape[1])
    return PathTable(
        np.concatenate(
            [
                np.empty((0, limits.hops + 1), np.int64),
                *(_filled(nodes, limits.hops + 1) for nodes, _ in parts),
            ]
        ),
        np.concatenate(
            [np.empty((0, limits.hops), np.int64), *(_filled(steps, limits.hops) for _, steps in parts)]
        ),
        tuple(dict.fromkeys(search.cuts)),
    )


def _filled(table: Ids, width: int) -> Ids:
    return np.pad(table.astype(np.int64), ((0, 0), (0, width - table.shape[1])), constant_values=-1)
