"""Items that are similar in a modality, as rows of an adjacency."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from kdiffe_dgl.diffusion.rows import SparseRows
from kg_builders.modality import ModalitySettings, find_neighbours
from kg_builders.neighbours import unit_rows

__all__ = ["similar_items"]


def similar_items(features: Iterable[np.ndarray], k: int, size: int | None = None) -> SparseRows:
    """Return the nearest items of each item by cosine, in any of some modalities.

    Beyond 50,000 items they are approximate, with the extra ``faiss``.

    Parameters
    ----------
    features
        One matrix ``[items, width]`` a modality.
    k
        Neighbours of an item in a modality.
    size
        Rows and columns of the result, where there are other entities after the items.
    """
    settings = ModalitySettings(neighbours=k)
    pairs, n_items = [np.empty((2, 0), dtype=np.int64)], 0
    for matrix in features:
        n_items = len(matrix)
        unit, usable = unit_rows(np.asarray(matrix), settings.centre)
        (rows, columns, _), _, _ = find_neighbours(unit, usable, settings)
        pairs.append(np.stack([rows, columns]).astype(np.int64))
    rows, columns = torch.from_numpy(np.concatenate(pairs, axis=1))
    return SparseRows.from_pairs(rows, columns, size or n_items, size or n_items)
