"""The attention of the random-walk matrix against degree."""

from __future__ import annotations

import numpy as np
import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.explain.edges import Pairs, ScoreEdges
from kdiffe_dgl.models.kdiffe import KDiffE

__all__ = ["walk_attention"]


def walk_attention(model: KDiffE, dataset: RecDataset) -> pl.DataFrame | None:
    r"""Return what the random walks weigh the interactions of each user and item with.

    The similarity of a user and an item is that of the sets that random walks with restart from either
    visit, :math:`S_{ui} = |\Gamma(u) \cap \Gamma(i)| / |\Gamma(u) \cup \Gamma(i)|`; it adds ε·S to the 1 of
    an interaction in the propagation matrix (KDiffE, attention-aware matrix).

    Returns
    -------
    polars.DataFrame
        ``side`` (user or item), ``number``, ``id``, ``label``, ``degree`` (training interactions) and
        ``attention`` (the mean of S over them); nodes without interactions are left out. Null: the model has
        no walks, ε being 0.
    """
    pairs = ScoreEdges.from_model(model).pairs
    if not pairs.epsilon:
        return None
    return pl.concat(
        [
            _of_side("user", dataset.users, pairs, pairs.users),
            _of_side("item", dataset.items, pairs, pairs.items),
        ]
    )


def _of_side(side: str, table: pl.DataFrame, pairs: Pairs, nodes: np.ndarray) -> pl.DataFrame:
    seen, size = pairs.observed, len(table)
    degree = np.bincount(nodes[seen], minlength=size)
    present = np.flatnonzero(degree)
    total = np.bincount(nodes[seen], pairs.attention[seen], size)
    chosen = table[present]
    return pl.DataFrame(
        {
            "side": pl.Series([side]).new_from_index(0, len(present)),
            "number": present,
            "id": chosen["id"],
            "label": chosen["label"],
            "degree": degree[present],
            "attention": total[present] / degree[present],
        }
    )
