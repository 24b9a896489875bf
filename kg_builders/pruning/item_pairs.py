"""Pairs of items that a relation joins, and which of them a user chose both of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["count_explained", "item_pairs"]

MOST_PAIRS = 100_000
"""Pairs of items of a relation that are looked at, drawn at random."""
MOST_SHARING = 200
"""A tail that more items share joins too many pairs to mean anything."""


def item_pairs(
    head: NDArray[np.int64], tail: NDArray[np.int64], is_item: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return [pairs, 2] different items that a relation joins directly or by a tail that few share."""
    from_item, to_item = is_item[head], is_item[tail]
    between = from_item & to_item
    found = [np.stack([head[between], tail[between]], axis=1)]
    one = from_item ^ to_item
    item, other = np.where(from_item, head, tail)[one], np.where(from_item, tail, head)[one]
    if len(item):
        distinct = np.unique(np.stack([other, item], axis=1), axis=0)
        starts = np.flatnonzero(np.concatenate([[True], distinct[1:, 0] != distinct[:-1, 0]]))
        sizes = np.diff(np.append(starts, len(distinct)))
        fit = (sizes > 1) & (sizes <= MOST_SHARING)
        starts, sizes = starts[fit], sizes[fit]
        if len(sizes):
            # A pair is drawn by a tail, in proportion to its pairs, and two of its items.
            weight = np.cumsum(sizes * (sizes - 1) // 2)
            number = int(min(MOST_PAIRS, 4 * weight[-1]))
            group = np.searchsorted(weight, rng.integers(0, weight[-1], number), side="right")
            first = rng.integers(0, sizes[group])
            second = (first + 1 + rng.integers(0, sizes[group] - 1)) % sizes[group]
            members = distinct[:, 1]
            found.append(np.stack([members[starts[group] + first], members[starts[group] + second]], axis=1))
    pairs = np.sort(np.concatenate(found), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    if len(pairs) > MOST_PAIRS:
        pairs = pairs[np.sort(rng.choice(len(pairs), MOST_PAIRS, replace=False))]
    return pairs


def count_explained(
    pairs: NDArray[np.int64], known: sparse.csr_matrix, more: sparse.csr_matrix
) -> tuple[int, int]:
    """Count the pairs chosen together in ``more`` among those that aren't in ``known``, and the latter."""
    unknown = pairs[~_chosen_together(pairs, known)]
    return int(_chosen_together(unknown, more).sum()), len(unknown)


def _chosen_together(
    pairs: NDArray[np.int64], matrix: sparse.csr_matrix, block: int = 20_000
) -> NDArray[np.bool_]:
    """Return for each pair of items whether a user chose both."""
    found = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), block):
        part = pairs[start : start + block]
        both = matrix[part[:, 0]].multiply(matrix[part[:, 1]])
        found[start : start + block] = np.asarray(both.sum(axis=1)).ravel() > 0
    return found
