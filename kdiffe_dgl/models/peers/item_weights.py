"""What item-item models share: the score of an item is a weighted sum over what the user has met."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.closed_form import ClosedFormModel

__all__ = ["ItemWeightsConfig", "ItemWeightsModel", "nearest_by_product"]

Weigh = Callable[
    [npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]], npt.NDArray[np.float64]
]
_GIB = 2**30
_BLOCK_ENTRIES = 1 << 22


class ItemWeightsConfig(Component):
    """Settings of an item-item model."""

    max_gib: float = Field(4.0, gt=0)
    """Most memory of the representations, in GiB; training takes up to three times as much."""


class ItemWeightsModel(ClosedFormModel):
    r"""Base of models :math:`s_{ui} = \sum_j x_{uj} W_{ji}`, X the binary training interactions.

    The representation of a user is the row of X, that of an item its column of W, ``[users, items]`` and
    ``[items, items]``, both dense. That spends memory on zeros, but scores stay a dot product, so that
    evaluation, recommendation and comparison are the same code as for every other model, and the scores
    are exact: a truncated factorisation of W would be another model. Data for which this is too much are
    refused beforehand.

    Raises
    ------
    InputError
        If the representations need more memory than ``max_gib``.
    """

    config: ItemWeightsConfig

    def __init__(
        self, dataset: RecDataset, config: ItemWeightsConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.config = config
        needed = 4 * (self.n_users + self.n_items) * self.n_items / _GIB
        if needed > config.max_gib:
            raise InputError(
                f"model {self.name}: the representations of {self.n_users} users and {self.n_items} items "
                f"need {needed:.1f} GiB of memory; expected at most model.max_gib={config.max_gib:g}, which "
                "can be set higher"
            )
        self._train = dataset.matrix("train")
        weights = self.fit_weights(self._train).T
        self._columns = weights if sp.issparse(weights) else np.ascontiguousarray(weights, dtype=np.float32)

    @abstractmethod
    def fit_weights(self, train: sp.csr_matrix) -> npt.NDArray[np.floating] | sp.csr_matrix:
        """Return W from the training interactions ``[users, items]``; entry (j, i) leads from j to i."""

    def representations(self) -> tuple[Tensor, Tensor]:
        """Return the rows of X ``[users, items]`` and the columns of W ``[items, items]``, float32."""
        columns = self._columns
        if sp.issparse(columns):
            columns = sp.csr_matrix(columns, dtype=np.float32).toarray()
        users = torch.from_numpy(self._train.toarray())
        return users.to(self.device), torch.from_numpy(columns).to(self.device)


def nearest_by_product(left: sp.csr_matrix, right: sp.csr_matrix, weigh: Weigh, count: int) -> sp.csr_matrix:
    """Return a weighted product of two matrices, without its diagonal, with the largest entries of each row.

    The product is made in blocks of rows, so that what is thinned out is never there at once.

    Parameters
    ----------
    left, right
        ``[items, users]`` and ``[users, items]``, non-negative.
    weigh
        Function of rows, columns and values of the product's entries that returns their weights.
    count
        Most entries of a row; of equal ones, those in the first columns are kept.

    Returns
    -------
    csr_matrix
        ``[items, items]``, float64, sorted columns.
    """
    n_items = left.shape[0]
    step = max(1, _BLOCK_ENTRIES // max(1, n_items))
    blocks = []
    for start in range(0, n_items, step):
        block = sp.coo_matrix(left[start : start + step] @ right)
        others = block.row + start != block.col
        rows, columns = block.row[others], block.col[others]
        values = weigh(rows + start, columns, block.data[others])
        blocks.append(_largest_of_rows(sp.csr_matrix((values, (rows, columns)), shape=block.shape), count))
    return sp.vstack(blocks, format="csr")


def _largest_of_rows(matrix: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """Keep the largest entries of each row; of equal ones, those in the first columns."""
    matrix.sort_indices()
    lengths = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    # The sort is stable, and columns ascend within a row.
    order = np.lexsort((-matrix.data, rows))
    place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], lengths)
    kept = np.sort(order[place < count])
    pointers = np.concatenate([[0], np.cumsum(np.minimum(lengths, count))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], pointers), shape=matrix.shape)
