"""Exact nearest neighbours by cosine, in blocks, with ties that are always broken alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["mutual_pairs", "nearest_neighbours", "neighbour_pairs", "unit_rows"]

DECIMALS = 9
"""Similarities that agree to so many decimals count as equal, so that rounding in sums decides nothing."""


def unit_rows(matrix: NDArray[np.floating], centre: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scale rows to length 1, after taking off their common mean where ``centre`` says so.

    Rows of zeros stand for items without the feature: they take no part in the mean. Many encoders give
    all items a large common part, beside which every cosine is near 1; the mean takes it off.

    Parameters
    ----------
    matrix
        Features [items, width], finite.

    Returns
    -------
    unit
        [items, width], rows of length 1 or of zeros.
    usable
        [items], false for rows of zeros and rows that equal the mean: they have no direction.
    """
    rows = np.asarray(matrix, dtype=np.float64)
    scale = np.abs(rows).max(axis=1, initial=0.0)
    present = scale > 0
    if centre and present.any():
        rows = np.where(present[:, None], rows - rows[present].mean(axis=0), 0.0)
    # What rounding leaves of a row that equals the mean is no direction.
    usable = present & (np.abs(rows).max(axis=1, initial=0.0) > 1e-10 * scale)
    rows = np.where(usable[:, None], rows, 0.0)
    # Scaled first, so that squares of tiny or huge numbers neither vanish nor overflow.
    rows /= np.where(usable, np.abs(rows).max(axis=1, initial=0.0), 1.0)[:, None]
    norm = np.linalg.norm(rows, axis=1)
    return rows / np.where(usable, norm, 1.0)[:, None], usable


def nearest_neighbours(
    unit: NDArray[np.float64],
    usable: NDArray[np.bool_],
    k: int,
    min_similarity: float = 0.0,
    block: int = 1024,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the ``k`` most similar other rows of each row.

    Parameters
    ----------
    unit, usable
        From ``unit_rows``; rows that are not usable have no neighbours and are none.
    k
        Number of neighbours; of equally similar ones the first rows are taken.
    min_similarity
        Only rows of a greater cosine are neighbours.
    block
        Rows compared at a time; memory is ``block * items`` numbers.

    Returns
    -------
    row, neighbour
        [pairs], sorted by row and neighbour.
    similarity
        [pairs], cosine.
    """
    count = len(unit)
    k = min(k, count - 1)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for start in range(0, count if k > 0 else 0, block):
        stop = min(start + block, count)
        similarity = np.round(unit[start:stop] @ unit.T, DECIMALS)
        similarity[:, ~usable] = -np.inf
        similarity[~usable[start:stop]] = -np.inf
        similarity[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        # The k-th largest is the bar; those above it are in, those on it as far as there is room.
        bar = np.partition(similarity, count - k, axis=1)[:, count - k, None]
        above = similarity > bar
        level = similarity == bar
        room = k - above.sum(axis=1, keepdims=True)
        chosen = (above | (level & (np.cumsum(level, axis=1) <= room))) & (similarity > min_similarity)
        row, neighbour = np.nonzero(chosen)
        found.append((row + start, neighbour, similarity[row, neighbour]))
    if not found:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty.copy(), np.empty(0)
    row, neighbour, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return row, neighbour, cosine


def neighbour_pairs(
    row: NDArray[np.int64], neighbour: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each unordered pair of which one is a neighbour of the other, once, lower row first."""
    code = np.unique(np.minimum(row, neighbour) * count + np.maximum(row, neighbour))
    return code // count, code % count


def mutual_pairs(
    row: NDArray[np.int64], neighbour: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each unordered pair of which each is a neighbour of the other, once, lower row first."""
    both = np.intersect1d(row * count + neighbour, neighbour * count + row)
    low, high = both // count, both % count
    return low[low < high], high[low < high]
