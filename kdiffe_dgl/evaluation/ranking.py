"""The best items of each user, in one order that does not depend on the hardware."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rank_items"]

_CHUNK = 64
"""Items whose greatest score is looked at first, where there are many items."""


def rank_items(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the ``k`` best items of each user, ties broken in favour of the lower item index.

    ``torch.topk`` finds the right *values* but any of the items that share one, and which ones
    depends on the device and the thread count. So the rows where a tie straddles the cutoff choose
    again among their tied items, by index, and every row is then sorted by value and index.

    Parameters
    ----------
    scores
        Scores, greater is better, ``-inf`` for items that must not be recommended. No NaN.
        shape: ``[users, items]``
    k
        Length of the lists, at most the number of items.

    Returns
    -------
    items
        int64, best first. shape: ``[users, k]``
    values
        Their scores; ``-inf`` marks places that no recommendable item was left for.
        shape: ``[users, k]``
    """
    n_items = scores.shape[1]
    if n_items >= 4 * _CHUNK * k:
        return _rank_within_chunks(scores, k)
    values, items = torch.topk(scores, min(k + 1, n_items), dim=1)
    if n_items > k:
        last = values[:, k - 1]
        # Places at -inf are not recommendations, so it does not matter who stands there.
        tied = torch.nonzero((last == values[:, k]) & (last > -torch.inf)).squeeze(1)
        items = items[:, :k]
        if len(tied):
            items[tied] = _first_of_tied(scores[tied], last[tied], k)
    items = items.sort(dim=1).values
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return items.gather(1, order), values


def _rank_within_chunks(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Rank only the items of the ``k`` best chunks, by greatest scores: no other holds one of the best.

    An item of another chunk is beaten by the best item of each of these: by its score, or, where the
    scores are equal, by its lower index.
    """
    n_items = scores.shape[1]
    whole = n_items // _CHUNK
    greatest = scores[:, : whole * _CHUNK].unflatten(1, (whole, _CHUNK)).amax(dim=2)
    if whole * _CHUNK < n_items:
        greatest = torch.cat([greatest, scores[:, whole * _CHUNK :].amax(dim=1, keepdim=True)], dim=1)
    chunks = rank_items(greatest, k)[0].sort(dim=1).values
    items = (chunks.unsqueeze(2) * _CHUNK + torch.arange(_CHUNK, device=scores.device)).flatten(1)
    within = scores.gather(1, items.clamp(max=n_items - 1)).masked_fill_(items >= n_items, -torch.inf)
    # The chosen items are in the order of their indices, so ties among them go the right way.
    places, values = rank_items(within, k)
    return items.gather(1, places).clamp_(max=n_items - 1), values


def _first_of_tied(scores: Tensor, last: Tensor, k: int) -> Tensor:
    """Return, for each row, the items above the value ``last`` and the first of those that equal it."""
    above = scores > last[:, None]
    equal = scores == last[:, None]
    places = k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= places))
    # Exactly k entries of each row are chosen, so their column numbers form a matrix.
    return chosen.nonzero()[:, 1].view(-1, k)
