r"""Tables of profile views: one row an item, whose products with other rows say how well two items agree.

For facts, R holds one row for each item with the inverse document frequency of its neighbours in the
knowledge graph, of length 1, and :math:`K = R V` with the first right singular vectors V of R (Deerwester et
al., *Indexing by Latent Semantic Analysis*, J. Am. Soc. Inf. Sci. 1990). For a modality, K holds the first
principal components of its features, whitened, each row of length 1. For interactions, the product of two
rows of K is the partial correlation of two items, see :func:`interaction_table`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd

__all__ = [
    "FactTable",
    "Ids",
    "Table",
    "fact_directions",
    "fact_weights",
    "feature_table",
    "interaction_table",
]

Table = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
_LEAST = 1e-12


def fact_weights(items: Ids, entities: Ids, shape: tuple[int, int]) -> sp.csr_array:
    r"""Return R before its rows have length 1: neighbours of each item, rare ones weighing more.

    Parameters
    ----------
    items, entities
        The edges from items to their neighbours, int64 ``[edges]`` each; an edge may occur several times.
    shape
        Numbers of items and of all entities.

    Returns
    -------
    scipy.sparse.csr_array
        float64 ``[items, entities]``: :math:`\ln(n / n_t)` of neighbour t, which n_t of the n items have.
    """
    known = sp.csr_array((np.ones(len(items)), (items, entities)), shape=shape)
    known.sum_duplicates()
    known.data[:] = 1.0
    frequency: npt.NDArray[np.float64] = known.sum(axis=0)
    return (known @ sp.diags_array(np.log(shape[0] / np.maximum(frequency, 1.0)))).tocsr()


def fact_directions(rows: sp.csr_array, rank: int) -> npt.NDArray[np.float64]:
    """Return V, the first right singular vectors of R, ``[entities, rank]``, or as many as R has."""
    rank = min(rank, *rows.shape)
    _, values, directions = randomized_svd(rows, rank, n_iter=7, random_state=0)
    found: npt.NDArray[np.float64] = directions[values > _LEAST].T
    return found


@dataclass(frozen=True)
class FactTable:
    """What K is made of where it holds facts.

    Parameters
    ----------
    weights
        R before its rows have length 1, see :func:`fact_weights`, ``[items, entities]``.
    directions
        V, ``[entities, rank]``.
    """

    weights: sp.csr_array
    directions: npt.NDArray[np.float64]

    @classmethod
    def of(cls, weights: sp.csr_array, rank: int) -> FactTable:
        """Find the directions."""
        return cls(weights, fact_directions(normalize(weights), rank))

    @property
    def table(self) -> Table:
        """K, float32 ``[items, rank]``."""
        found: Table = (normalize(self.weights) @ self.directions).astype(np.float32)
        return found


def feature_table(features: Table, rank: int) -> Table:
    """Return whitened principal components of features ``[items, width]``, rows of length 1."""
    rank = min(rank, features.shape[1], max(1, features.shape[0] - 1))
    components = PCA(rank, whiten=True, svd_solver="full").fit_transform(features.astype(np.float64))
    table: Table = normalize(components).astype(np.float32)
    return table


def interaction_table(interactions: sp.csr_matrix, rank: int, ridge: float) -> Table:
    r"""Return K whose products are the partial correlations of items in who met them.

    With X the interactions and :math:`P = (X^T X + \lambda I)^{-1}`, items i and j agree, all others
    given, as :math:`-P_{ij} / \sqrt{P_{ii} P_{jj}}`: the weights of EASE (Steck, *Embarrassingly Shallow
    Autoencoders for Sparse Data*, WWW 2019, equation 8) made symmetric. With the singular values s and right
    singular vectors V of X and :math:`f = s^2 / (s^2 + \lambda)` it is :math:`\sum_r f_r V_{ir} V_{jr} /
    \sqrt{(1 - q_i) (1 - q_j)}`, :math:`q_i = \sum_r f_r V_{ir}^2`, exactly where all singular vectors
    are taken, for items that differ. X is not centred, so these are correlations about 0. With fewer
    singular vectors, what few users share is smoothed away; no matrix of items by items is inverted.

    Parameters
    ----------
    interactions
        X, 0 or 1, ``[users, items]``.
    rank
        Most singular vectors.
    ridge
        λ as a multiple of the mean number of users of an item.

    Returns
    -------
    ndarray
        float32 ``[items, rank]``; an item that nobody met has a row of zeros.
    """
    rank = min(rank, *interactions.shape)
    matrix = interactions.astype(np.float64)
    _, values, directions = randomized_svd(matrix, rank, n_iter=7, random_state=0)
    squares = values**2
    # Without interactions nothing agrees.
    shares = squares / np.maximum(squares + ridge * matrix.nnz / matrix.shape[1], _LEAST)
    rows = directions.T * np.sqrt(shares)
    # A ridge of almost nothing leaves an item nothing that is not known from others.
    left = np.maximum(1.0 - np.einsum("ir,ir->i", rows, rows), _LEAST)
    table: Table = (rows / np.sqrt(left)[:, None]).astype(np.float32)
    return table
