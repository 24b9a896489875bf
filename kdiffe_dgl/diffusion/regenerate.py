"""From edge scores to the edges of a regenerated knowledge graph, as tensors throughout."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["keep_top", "pair_keys", "row_quota", "thin", "top_of_blocks", "top_order"]


def keep_top(rows: Tensor, columns: Tensor, scores: Tensor, top: int, share: float = 0.0) -> Tensor:
    """Keep the best-scored candidates of every row.

    Parameters
    ----------
    rows, columns
        Candidate edges, int64 ``[edges]`` each.
    scores
        Their scores, ``[edges]``. Ties go to the lower column, so the result does not depend on the
        order of the candidates.
    top
        Least number q of edges that a row keeps, where it has so many.
    share
        Share of a row's candidates to keep, rounded up, where that is more than ``top``.

    Returns
    -------
    Tensor
        Which candidates are kept, bool ``[edges]``.
    """
    quota = row_quota(torch.bincount(rows), top, share)
    kept = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    kept[top_order(rows, columns, scores, quota)] = True
    return kept


def row_quota(counts: Tensor, top: int, share: float) -> Tensor:
    """Return how many candidates each row keeps, int64 ``[rows]``.

    Parameters
    ----------
    counts
        Candidates of each row that ``share`` is a share of, int64 ``[rows]``.
    top, share
        As for :func:`keep_top`.
    """
    return torch.clamp(torch.ceil(counts.double() * share - 1e-9).long(), min=top)


def top_order(rows: Tensor, columns: Tensor, scores: Tensor, quota: int | Tensor) -> Tensor:
    """Return the positions of the best-scored candidates, row by row and best first.

    Parameters
    ----------
    rows, columns, scores
        As for :func:`keep_top`; fastest where they are sorted by row, then column, and the scores are
        float32 or small integers. Rows are below 2^31.
    quota
        How many candidates a row keeps; or for each row how many, int64 ``[rows]``.

    Returns
    -------
    Tensor
        int64 ``[kept]``.
    """
    if not len(rows):
        return torch.zeros(0, dtype=torch.int64, device=rows.device)
    order = _ranked(rows, columns, scores)
    ranked_rows = rows[order]
    counts = torch.bincount(rows)
    starts = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(rows), device=rows.device) - starts[ranked_rows]
    return order[rank < (quota[ranked_rows] if isinstance(quota, Tensor) else quota)]


def _ranked(rows: Tensor, columns: Tensor, scores: Tensor) -> Tensor:
    """Return the order by row, falling score and column, int64 ``[edges]``."""
    ascending = (rows[1:] > rows[:-1]) | ((rows[1:] == rows[:-1]) & (columns[1:] >= columns[:-1]))
    before = None
    if not bool(ascending.all()):
        before = torch.argsort(columns, stable=True)
        before = before[torch.argsort(rows[before], stable=True)]
        rows, scores = rows[before], scores[before]
    # One sort of one key: the row in its upper half, the falling score in its lower one. Read as an
    # integer, a float32 is in order, once the bits of negative ones are turned over; -0 becomes 0.
    half = 1 << 31
    if scores.dtype == torch.float32:
        bits = (scores + 0.0).view(torch.int32)
        bits = torch.where(bits < 0, bits ^ (half - 1), bits).long()
    elif scores.dtype == torch.int64 and -half <= int(scores.amin()) and int(scores.amax()) < half:
        bits = scores
    else:
        bits = torch.unique(scores, return_inverse=True)[1]
    order = torch.argsort((rows << 32) + (half - 1 - bits), stable=True)
    return order if before is None else before[order]


def top_of_blocks(blocks: Iterable[Tensor], k: int) -> Tensor:
    """Return the k best columns of rows that come in blocks of columns.

    Parameters
    ----------
    blocks
        Scores ``[rows, columns of the block]``, from the first column to the last.
    k
        Columns to keep, at most as many as there are.

    Returns
    -------
    Tensor
        int64 ``[rows, k]``, the best first, of equal scores the lower column.
    """
    best: tuple[Tensor, Tensor] | None = None
    start = 0
    for scores in blocks:
        values, columns = _top_of(scores, k)
        columns = columns + start
        start += scores.shape[1]
        if best is not None:
            # Earlier blocks hold the lower columns, so a stable sort leaves ties as they should be.
            values, columns = torch.cat([best[0], values], dim=1), torch.cat([best[1], columns], dim=1)
            order = torch.argsort(values, dim=1, descending=True, stable=True)[:, :k]
            values, columns = values.gather(1, order), columns.gather(1, order)
        best = values, columns
    if best is None:
        raise ValueError("no scores to choose from; expected at least one block")
    return best[1]


def _top_of(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best entries of every row, or all, and their columns, in order, ties by column."""
    k = min(k, scores.shape[1])
    values, columns = scores.topk(k, dim=1)
    if k:
        # Of entries equal to the k-th best, topk may take any: those rows are looked at again.
        bar = values[:, -1:]
        crowded = torch.nonzero((scores >= bar).sum(dim=1) > k).squeeze(1)
        if len(crowded):
            among, level = scores[crowded], bar[crowded]
            among = torch.where(among.isnan(), torch.inf, among)  # the greatest, as topk has it
            room = k - (among > level).sum(dim=1, keepdim=True)
            on_level = among == level
            chosen = (among > level) | (on_level & (on_level.cumsum(dim=1, dtype=torch.int32) <= room))
            columns[crowded] = torch.nonzero(chosen)[:, 1].view(len(crowded), k)
    columns = columns.sort(dim=1).values
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def pair_keys(first: Tensor, second: Tensor, n_nodes: int) -> Tensor:
    """Return a key for each unordered pair of nodes, int64 ``[pairs]``: an edge and its inverse share it."""
    if n_nodes > math.isqrt(torch.iinfo(torch.int64).max):
        raise ValueError("too many nodes for 64-bit pair keys")
    return torch.minimum(first, second) * n_nodes + torch.maximum(first, second)


def thin(keys: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Keep each distinct key with a given probability; equal keys stay or go together.

    Parameters
    ----------
    keys
        int64 ``[edges]``.
    rate
        Keep rate in (0, 1].
    generator
        Source of randomness, on the device of ``keys``.

    Returns
    -------
    Tensor
        bool ``[edges]``.
    """
    if rate >= 1:
        return torch.ones(len(keys), dtype=torch.bool, device=keys.device)
    distinct, inverse = torch.unique(keys, return_inverse=True)
    return (torch.rand(len(distinct), generator=generator, device=keys.device) < rate)[inverse]
