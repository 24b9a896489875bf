"""Nearest neighbours by cosine: exact in blocks, or approximate for millions; ties are broken alike."""

from __future__ import annotations

import importlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kg_builders.errors import InputError, install_hint

__all__ = [
    "Found",
    "approximate_neighbours",
    "estimate_recall",
    "mutual_pairs",
    "nearest_neighbours",
    "neighbour_pairs",
    "unit_rows",
]

Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Rows, their neighbours and the cosines, [pairs], sorted by row and neighbour."""

DECIMALS = 9
"""Similarities that agree to so many decimals count as equal, so that rounding in sums decides nothing."""

_ROWS = 16_384
_BYTES = 1 << 27
_QUERIES = 4096
_PER_CELL = 40
_SPARE = 8


def unit_rows(
    matrix: NDArray[np.floating], centre: bool, missing: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scale rows to length 1, after taking off their common mean where ``centre`` says so.

    Rows of zeros stand for items without the feature: they take no part in the mean. Many encoders give
    all items a large common part, beside which every cosine is near 1; the mean takes it off.

    Parameters
    ----------
    matrix
        Features [items, width], finite.
    missing
        [items], true where a row was filled in and stands for nothing, whatever it holds.

    Returns
    -------
    unit
        [items, width], rows of length 1 or of zeros.
    usable
        [items], false for rows of zeros, missing ones, and those that equal the mean as far as their
        type can tell: they have no direction.
    """
    count, width = matrix.shape
    unit = np.zeros((count, width))
    usable = np.zeros(count, dtype=bool)
    total, present_rows = np.zeros(width), 0
    for start in range(0, count if centre else 0, _ROWS):
        rows, present, _ = _present(matrix, missing, start)
        total += rows[present].sum(axis=0)
        present_rows += int(present.sum())
    mean = total / max(present_rows, 1)
    kind = matrix.dtype
    # What rounding leaves of a row that equals the mean is no direction.
    smallest = max(1e-10, float(np.finfo(kind).eps)) if kind.kind == "f" else 1e-10
    for start in range(0, count, _ROWS):
        rows, present, scale = _present(matrix, missing, start)
        if centre:
            rows = rows - mean
        largest = np.abs(rows).max(axis=1, initial=0.0)
        directed = present & (largest > smallest * scale)
        # Scaled first, so that squares of tiny or huge numbers neither vanish nor overflow.
        rows = np.where(directed[:, None], rows, 0.0) / np.where(directed, largest, 1.0)[:, None]
        length = np.linalg.norm(rows, axis=1)
        unit[start : start + _ROWS] = rows / np.where(directed, length, 1.0)[:, None]
        usable[start : start + _ROWS] = directed
    return unit, usable


def _present(
    matrix: NDArray[np.floating], missing: NDArray[np.bool_] | None, start: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return a block of rows, which of them stand for something, and the largest number of each."""
    rows = np.asarray(matrix[start : start + _ROWS], dtype=np.float64)
    scale = np.abs(rows).max(axis=1, initial=0.0)
    present = scale > 0
    return rows, present if missing is None else present & ~missing[start : start + _ROWS], scale


def nearest_neighbours(
    unit: NDArray[np.float64],
    usable: NDArray[np.bool_],
    k: int,
    min_similarity: float = 0.0,
    block: int = 1024,
) -> Found:
    """Find the ``k`` most similar other rows of each row, by comparing all with all.

    Parameters
    ----------
    unit, usable
        From ``unit_rows``; rows that are not usable have no neighbours and are none.
    k
        Number of neighbours; of equally similar ones the first rows are taken.
    min_similarity
        Only rows of a greater cosine are neighbours.
    block
        Rows compared at a time; fewer where ``block * items`` similarities would be more than 128 MB.

    Returns
    -------
    row, neighbour
        [pairs], sorted by row and neighbour.
    similarity
        [pairs], cosine.
    """
    count = len(unit)
    block = max(1, min(block, _BYTES // (8 * max(count, 1))))
    every = np.arange(count)
    parts = [
        _compare(unit, usable, every[start : start + block], k, min_similarity)
        for start in range(0, count, block)
    ]
    return _joined(parts)


def approximate_neighbours(
    unit: NDArray[np.float64],
    usable: NDArray[np.bool_],
    k: int,
    min_similarity: float = 0.0,
    probes: int = 32,
    seed: int = 0,
) -> Found:
    """Find most of the ``k`` most similar other rows of each row, by an inverted file of cells.

    The rows are put in about ``4 sqrt(items)`` cells, and each is compared with those of the ``probes``
    cells that are nearest to it. The cosines of what is found are exact, and ties are broken as in
    ``nearest_neighbours``, whose parameters and result these are.

    Parameters
    ----------
    probes
        More cells cost more time and miss fewer neighbours.
    seed
        Of the rows from which the cells are learned.

    Raises
    ------
    InputError
        If faiss is not installed.

    References
    ----------
    Johnson, Douze and Jégou, "Billion-Scale Similarity Search with GPUs", IEEE Trans. Big Data 2021.
    """
    try:
        faiss = importlib.import_module("faiss")
    except ImportError as error:
        raise InputError(
            "approximate neighbours need faiss, which is not installed; expected: "
            f"{install_hint('faiss')}, or the method 'exact'"
        ) from error
    rows = np.flatnonzero(usable)
    k = min(k, len(rows) - 1)
    if k <= 0:
        return _joined([])
    vectors = unit[rows].astype(np.float32)
    cells = max(1, min(round(4 * len(rows) ** 0.5), len(rows) // _PER_CELL))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed, index.cp.niter, index.cp.spherical = seed % 2**31, 10, True
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _PER_CELL
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(rows), min(len(rows), _PER_CELL * cells), replace=False))
    threads = faiss.omp_get_max_threads()
    try:
        # Cells must not depend on the number of threads; the comparisons of a row don't.
        faiss.omp_set_num_threads(1)
        index.train(vectors[sample])
    finally:
        faiss.omp_set_num_threads(threads)
    index.add(vectors)
    index.nprobe = min(probes, cells)
    wanted = min(k + 1 + _SPARE, len(rows))
    parts: list[Found] = []
    for start in range(0, len(rows), _QUERIES):
        _, near = index.search(vectors[start : start + _QUERIES], wanted)
        parts.append(_rank(unit, rows, rows[start : start + _QUERIES], near, k, min_similarity))
    return _joined(parts)


def estimate_recall(
    unit: NDArray[np.float64],
    usable: NDArray[np.bool_],
    found: Found,
    k: int,
    min_similarity: float = 0.0,
    sample: int = 200,
    seed: int = 0,
) -> float | None:
    """Return the share of the exact neighbours of randomly drawn rows that are among those found.

    ``None`` if the rows drawn have no neighbours.
    """
    rows = np.flatnonzero(usable)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(rows, min(sample, len(rows)), replace=False))
    block = max(1, _BYTES // (8 * max(len(unit), 1)))
    parts = [
        _compare(unit, usable, drawn[start : start + block], k, min_similarity)
        for start in range(0, len(drawn), block)
    ]
    row, neighbour, _ = _joined(parts)
    if not len(row):
        return None
    near = np.isin(found[0], drawn)
    known = found[0][near] * len(unit) + found[1][near]
    return float(np.isin(row * len(unit) + neighbour, known).mean())


def _compare(
    unit: NDArray[np.float64],
    usable: NDArray[np.bool_],
    rows: NDArray[np.int64],
    k: int,
    min_similarity: float,
) -> Found:
    """Compare some rows with all."""
    count = len(unit)
    k = min(k, count - 1)
    if k <= 0:
        return _joined([])
    similarity = unit[rows] @ unit.T
    np.round(similarity, DECIMALS, out=similarity)
    similarity[:, ~usable] = -np.inf
    similarity[~usable[rows]] = -np.inf
    similarity[np.arange(len(rows)), rows] = -np.inf
    # The k-th largest is the bar; those above it are in, those on it as far as there is room.
    bar = np.partition(similarity, count - k, axis=1)[:, count - k, None]
    chosen = similarity >= bar
    crowded = np.flatnonzero(chosen.sum(axis=1) > k)
    if len(crowded):
        above = similarity[crowded] > bar[crowded]
        level = chosen[crowded] & ~above
        room = k - above.sum(axis=1, keepdims=True)
        chosen[crowded] = above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= room))
    chosen &= similarity > min_similarity
    row, neighbour = np.nonzero(chosen)
    return rows[row], neighbour, similarity[row, neighbour]


def _rank(
    unit: NDArray[np.float64],
    rows: NDArray[np.int64],
    queries: NDArray[np.int64],
    near: NDArray[np.int64],
    k: int,
    min_similarity: float,
) -> Found:
    """Take the best of the candidates ``near`` [queries, candidates], which count among ``rows``."""
    other = rows[near]
    cosine = np.round(np.einsum("qw,qcw->qc", unit[queries], unit[other]), DECIMALS)
    cosine[(near < 0) | (other == queries[:, None])] = -np.inf
    order = np.lexsort((other, -cosine), axis=1)[:, :k]
    other, cosine = np.take_along_axis(other, order, axis=1), np.take_along_axis(cosine, order, axis=1)
    order = np.argsort(other, axis=1, kind="stable")
    other, cosine = np.take_along_axis(other, order, axis=1), np.take_along_axis(cosine, order, axis=1)
    kept = cosine > min_similarity
    return np.broadcast_to(queries[:, None], other.shape)[kept], other[kept], cosine[kept]


def _joined(parts: list[Found]) -> Found:
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty.copy(), np.empty(0)
    row, neighbour, cosine = (np.concatenate(part) for part in zip(*parts, strict=True))
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
