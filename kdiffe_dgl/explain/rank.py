"""Which paths carry a score: an estimate by derivatives, then actual deletion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdiffe_dgl.explain.paths import PathTable
from kdiffe_dgl.explain.score import EdgeScore

__all__ = ["RankedPath", "rank_paths"]

SHORTLIST = 16
"""Paths whose deletion is computed for each rank."""


@dataclass(frozen=True)
class RankedPath:
    """A path and what it is worth.

    Parameters
    ----------
    path
        Row of the table.
    contribution
        What the score loses when its edges go after those of the paths before it.
    alone
        What it loses when only its edges go.
    """

    path: int
    contribution: float
    alone: float


def rank_paths(
    score: EdgeScore, user: int, item: int, paths: PathTable, count: int, shortlist: int = SHORTLIST
) -> list[RankedPath]:
    """Rank the paths by what the score loses with them.

    Paths share edges, foremost those between the user and the items of their history, so what several are
    worth together is not the sum of what each is worth. The first is therefore the one whose deletion costs
    the score most, the second the one that costs most once the first is gone, and so on: contributions add
    up to what the deletion of all of them costs.

    Parameters
    ----------
    score
        The model.
    user, item
        Dense numbers.
    paths
        Candidates.
    count
        Most paths wanted.
    shortlist
        For each rank, how many paths are deleted on trial: those of the greatest first-order estimate,
        the sum of the derivatives of the score by the weights of the edges that are still there.

    Returns
    -------
    list of RankedPath
        Best first; it ends where no path of the shortlist lowers the score any more.
    """
    if not len(paths) or count < 1:
        return []
    used = np.unique(paths.edges[paths.edges >= 0])
    slope = score.gradient(user, item, used[used >= len(score.edges.pairs)])
    # The place after the last is that of missing edges.
    slope = np.append(slope, 0.0)
    gone = np.empty(0, dtype=np.int64)
    before = whole = score.score(user, item)
    chosen: list[tuple[int, float]] = []
    open_paths = np.ones(len(paths), dtype=bool)
    while len(chosen) < count:
        estimate = np.where(open_paths, slope[paths.edges].sum(axis=1), -np.inf)
        best = np.argsort(-estimate, kind="stable")[:shortlist]
        best = best[open_paths[best]]
        if not len(best):
            break
        after = score.without(user, item, [np.union1d(gone, paths.edges_of(path)) for path in best])
        place = int(np.argmin(after))
        if after[place] >= before:
            break
        path = int(best[place])
        chosen.append((path, float(before - after[place])))
        gone, before = np.union1d(gone, paths.edges_of(path)), float(after[place])
        slope[gone] = 0.0
        # A path without an edge left has nothing to lose.
        open_paths[path] = False
        open_paths &= ~np.isin(paths.edges, np.append(gone, -1)).all(axis=1)
    alone = whole - score.without(user, item, [paths.edges_of(path) for path, _ in chosen])
    return [
        RankedPath(path, contribution, float(own))
        for (path, contribution), own in zip(chosen, alone, strict=True)
    ]
