"""The best entries of each row, in NumPy.

The same order as :func:`kdiffe_dgl.evaluation.ranking.rank_items`, which works on torch tensors and
their devices; serving must not need torch.
"""

from __future__ import annotations

import numpy as np

__all__ = ["rank_rows"]

_CHUNK = 64
"""Columns whose greatest score is looked at first, where there are many columns."""


def rank_rows(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` best columns of each row, ties in favour of the lower column.

    Parameters
    ----------
    scores
        Greater is better, ``-inf`` for what must not be chosen, no NaN. shape: ``[rows, columns]``
    k
        Length of the lists, from 1; at most all columns are returned.

    Returns
    -------
    columns
        int64, best first. shape: ``[rows, min(k, columns)]``
    values
        Their scores; ``-inf`` marks places that nothing was left for. Same shape.
    """
    n_columns = scores.shape[1]
    if n_columns >= 4 * _CHUNK * k:
        return _rank_within_chunks(scores, k)
    if k >= n_columns:
        columns = np.broadcast_to(np.arange(n_columns), scores.shape)
    else:
        negative = -scores
        # Both neighbours of the boundary are put in their places, which shows whether they tie.
        columns = np.argpartition(negative, [k - 1, k], axis=1)[:, : k + 1]
        edge = np.take_along_axis(scores, columns[:, k - 1 :], axis=1)
        columns = columns[:, :k]
        tied = np.flatnonzero((edge[:, 0] == edge[:, 1]) & (edge[:, 0] > -np.inf))
        if len(tied):
            columns[tied] = _first_of_tied(scores[tied], edge[tied, 0], k)
        columns = np.sort(columns, axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _rank_within_chunks(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rank only the columns of the ``k`` best chunks, by greatest scores: no other holds one of the best.

    A column of another chunk is beaten by the best column of each of these: by its score, or, where the
    scores are equal, by its lower number.
    """
    n_columns = scores.shape[1]
    greatest = np.maximum.reduceat(scores, np.arange(0, n_columns, _CHUNK), axis=1)
    chunks = np.sort(rank_rows(greatest, k)[0], axis=1)
    columns = (chunks[:, :, None] * _CHUNK + np.arange(_CHUNK)).reshape(len(scores), -1)
    within = np.take_along_axis(scores, np.minimum(columns, n_columns - 1), axis=1)
    within[columns >= n_columns] = -np.inf
    # The chosen columns are in the order of their numbers, so ties among them go the right way.
    places, values = rank_rows(within, k)
    return np.minimum(np.take_along_axis(columns, places, axis=1), n_columns - 1), values


def _first_of_tied(scores: np.ndarray, last: np.ndarray, k: int) -> np.ndarray:
    """Return, for each row, the columns above the value ``last`` and the first of those that equal it."""
    above = scores > last[:, None]
    equal = scores == last[:, None]
    places = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= places))
    return np.nonzero(chosen)[1].reshape(-1, k)
