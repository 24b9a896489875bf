"""How far items agree with those that users have met, in their facts or features."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.profile_tables import fact_weights
from kg_builders.neighbours import unit_rows

__all__ = ["CELLS", "Cosines", "FactCosines", "FeatureCosines", "Ids", "Table", "agreement"]

Table = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

CELLS = 2**22
"""Most numbers of a block; a block of one user may have more."""
NEAREST = 3
"""How many of the items met count in the agreement with the nearest ones."""


class Cosines(Protocol):
    """Cosines between items that users have met and their candidates."""

    def users_at_once(self, n_met: int, n_candidates: int) -> int:
        """Return how many users with so many items fit into a block."""

    def __call__(self, met: Ids, candidates: Ids) -> Table:
        """Return cosines of ``[users, met]`` and ``[users, candidates]``, ``[users, met, candidates]``."""


class FeatureCosines:
    """Of features, after their mean over the items is taken off.

    Parameters
    ----------
    features
        ``[items, width]``; a row of zeros, an item without the feature, agrees with nothing.
    """

    def __init__(self, features: npt.NDArray[np.floating]) -> None:
        self._unit: Table = unit_rows(np.asarray(features), centre=True)[0].astype(np.float32)

    def users_at_once(self, n_met: int, n_candidates: int) -> int:
        """Return how many users fit; see the protocol."""
        width = self._unit.shape[1]
        return max(1, CELLS // max(n_met * n_candidates, (n_met + n_candidates) * width))

    def __call__(self, met: Ids, candidates: Ids) -> Table:
        """Return the cosines; see the protocol."""
        product: Table = np.matmul(self._unit[met], self._unit[candidates].transpose(0, 2, 1))
        return product


class FactCosines:
    """Of facts: neighbours in the knowledge graph, in either direction, by inverse document frequency.

    Items agree by neighbours that they share; an edge from one to the other is none.

    Parameters
    ----------
    dataset
        With a knowledge graph.
    """

    def __init__(self, dataset: RecDataset) -> None:
        assert dataset.kg is not None
        ends = dataset.kg.triples.select("head", "tail").to_numpy().astype(np.int64)
        items, entities = np.concatenate([ends, ends[:, ::-1]]).T
        of_items = items < dataset.n_items
        shape = dataset.n_items, dataset.kg.n_entities
        unit = normalize(fact_weights(items[of_items], entities[of_items], shape))
        # What one item alone has counts in the length of its row, and in no product.
        shared = np.bincount(unit.indices, minlength=shape[1]) > 1
        self._unit = unit[:, shared].astype(np.float32).tocsr()

    def users_at_once(self, n_met: int, n_candidates: int) -> int:
        """Return how many users fit; see the protocol."""
        return max(1, min(CELLS // (n_met * n_candidates), CELLS // max(1, self._unit.shape[1])))

    def __call__(self, met: Ids, candidates: Ids) -> Table:
        """Return the cosines; see the protocol."""
        n_users, n_candidates = candidates.shape
        product = (self._apart(met) @ self._apart(candidates).T).tocoo()
        found = np.zeros((met.size, n_candidates), dtype=np.float32)
        found[product.row, product.col % n_candidates] = product.data
        return found.reshape(n_users, met.shape[1], n_candidates)

    def _apart(self, items: Ids) -> sp.csr_array:
        """Return rows of items, each user's in columns of her own: products between users vanish."""
        n_users, n_items = items.shape
        width = self._unit.shape[1]
        rows = self._unit[items.ravel()]
        user = np.repeat(np.arange(n_users), n_items)
        columns = rows.indices + width * np.repeat(user, np.diff(rows.indptr))
        return sp.csr_array((rows.data, columns, rows.indptr), shape=(n_users * n_items, n_users * width))


def agreement(cosines: Cosines, met: sp.csr_matrix, candidates: Ids) -> tuple[Table, Table]:
    """Return how far candidates agree with the items met: with all, and with the nearest ones.

    Parameters
    ----------
    cosines
        What is compared.
    met
        Items that users have met, ``[users, items]``.
    candidates
        Items, ``[users, candidates]``.

    Returns
    -------
    tuple of ndarray
        Mean cosine with all items met, and with the :data:`NEAREST` nearest, or as many as there are,
        ``[users, candidates]`` each; 0 for a user who has met none.
    """
    lengths = np.diff(met.indptr)
    mean, nearest = (np.zeros(candidates.shape, dtype=np.float32) for _ in range(2))
    # Users with as many items share a block, so that little of it is padding.
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        rows = order[start : start + cosines.users_at_once(longest, candidates.shape[1])]
        start += len(rows)
        present = np.arange(longest) < lengths[rows, None]
        items = np.zeros(present.shape, dtype=np.int64)
        items[present] = met[rows].indices
        found = cosines(items, candidates[rows])
        found[~present] = 0.0
        mean[rows] = found.sum(axis=1) / np.maximum(lengths[rows], 1)[:, None]
        found[~present] = -np.inf
        if longest > NEAREST:
            found = np.partition(found, longest - NEAREST, axis=1)[:, -NEAREST:]
        found[np.isneginf(found)] = 0.0
        nearest[rows] = found.sum(axis=1) / np.clip(lengths[rows], 1, NEAREST)[:, None]
    return mean, nearest
