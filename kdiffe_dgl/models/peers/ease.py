"""EASE: the linear autoencoder with an exact solution."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp
from pydantic import Field

from kdiffe_dgl.config import Component
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.peers.item_weights import ItemWeightsConfig, ItemWeightsModel
from kdiffe_dgl.search import Between, SearchSpace

__all__ = ["EASE", "EASEConfig"]

_ROWS = 512


class EASEConfig(ItemWeightsConfig):
    """Settings of EASE."""

    SEARCH: ClassVar[SearchSpace] = {
        "regularisation": Between(1.0, 5e3, log=True),
    }

    regularisation: float = Field(100.0, gt=0)
    """λ, weight of the squared norm of W."""


class EASE(ItemWeightsModel):
    r"""Ridge regression of every item on all others.

    .. math:: \min_W \|X - XW\|_F^2 + \lambda \|W\|_F^2 \quad\text{with } W_{ii} = 0
        \qquad\Rightarrow\qquad
        P = (X^T X + \lambda I)^{-1}, \quad W_{ji} = -P_{ji} / P_{ii} \; (j \neq i)

    (Steck, *Embarrassingly Shallow Autoencoders for Sparse Data*, WWW 2019, equations 2, 3 and 8.) No
    difference; P is computed in double precision, by Cholesky's factorisation.
    """

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[Component]] = EASEConfig
    config: EASEConfig

    def fit_weights(self, train: sp.csr_matrix) -> npt.NDArray[np.float32]:
        """Return W of the closed form."""
        gram = _common_users(train)
        gram[np.diag_indices_from(gram)] += self.config.regularisation
        # Each routine takes and leaves the upper triangle in place; what is below it is zero.
        factor, failed = scipy.linalg.lapack.dpotrf(gram.T, overwrite_a=True)
        if not failed:
            upper, failed = scipy.linalg.lapack.dpotri(factor, overwrite_c=True)
        if failed:
            raise InputError(
                f"model {self.name}: model.regularisation={self.config.regularisation:g} is too small for "
                "these interactions, X'X + λI has no inverse; expected a greater one"
            )
        half = upper.astype(np.float32)
        # The large matrix goes before the sum is made, which halves the peak of memory.
        del gram, factor, upper
        weights: npt.NDArray[np.float32] = half + half.T
        weights /= -np.diag(half)
        np.fill_diagonal(weights, 0.0)
        return weights


def _common_users(train: sp.csr_matrix) -> npt.NDArray[np.float64]:
    """Return X'X, dense ``[items, items]``, from sparse products of some rows at a time."""
    by_item = sp.csr_matrix(train.T)
    gram = np.empty((train.shape[1], train.shape[1]))
    for start in range(0, len(gram), _ROWS):
        gram[start : start + _ROWS] = (by_item[start : start + _ROWS] @ train).toarray()
    return gram
