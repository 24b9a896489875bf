"""Items that are similar in a modality, as rows of an adjacency."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from kdiffe_dgl.diffusion.rows import SparseRows
from kg_builders.modality import ModalitySettings
from kg_builders.neighbours import nearest_neighbours, unit_rows

__all__ = ["similar_items"]


def similar_items(features: Iterable[np.ndarray], k: int, size: int | None = None) -> SparseRows:
    """Return the nearest items of each item by cosine, of any of some modalities.

    Parameters
    ----------
    features
        One matrix ``[items, width]`` a modality.
    k
        Neighbours of an item in a modality.
    size
        Rows and columns of the result, where there are other entities after the items.
    """
    pairs, n_items = [np.empty((2, 0), dtype=np.int64)], 0
    for matrix in features:
        n_items = len(matrix)
        unit, usable = unit_rows(np.asarray(matrix), ModalitySettings().centre)
        rows, columns, _ = nearest_neighbours(unit, usable, k)
        pairs.append(np.stack([rows, columns]).astype(np.int64))
    rows, columns = torch.from_numpy(np.concatenate(pairs, axis=1))
    return SparseRows.from_pairs(rows, columns, size or n_items, size or n_items)
