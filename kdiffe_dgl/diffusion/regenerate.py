"""From edge scores to the edges of a regenerated knowledge graph, as tensors throughout."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["keep_top", "pair_keys", "thin"]


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
    if not len(rows):
        return torch.zeros(0, dtype=torch.bool, device=rows.device)
    # Three stable sorts, least significant key first: column, falling score, row.
    order = torch.argsort(columns, stable=True)
    order = order[torch.argsort(scores[order], descending=True, stable=True)]
    order = order[torch.argsort(rows[order], stable=True)]
    counts = torch.bincount(rows)
    starts = torch.cumsum(counts, 0) - counts
    sorted_rows = rows[order]
    rank = torch.arange(len(rows), device=rows.device) - starts[sorted_rows]
    quota = torch.clamp(torch.ceil(counts.double() * share - 1e-9).long(), min=top)
    kept = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    kept[order] = rank < quota[sorted_rows]
    return kept


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
