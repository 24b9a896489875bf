"""Item-item graphs of multimodal peers: each item and those that are most similar in a modality."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from kg_builders.modality import ModalitySettings, find_neighbours
from kg_builders.neighbours import unit_rows

__all__ = ["item_graph"]


def item_graph(features: np.ndarray, k: int, weighted: bool) -> sp.csr_matrix:
    r"""Return the normalised nearest-neighbour graph of the items in one modality.

    .. math:: S = D^{-1/2} W D^{-1/2}, \qquad D_{ii} = \sum_j W_{ij}

    where :math:`W_{ij}` is the cosine of the features of i and j, or 1, if j is one of the k items that
    are most similar to i, itself included, and 0 otherwise. W is directed, so S is not symmetric.
    (Zhang et al., *Mining Latent Structures for Multimedia Recommendation* (LATTICE), MM 2021, the
    modality-aware item graph; taken up by MGCN, with cosines, and FREEDOM, with ones.)

    Differs from the published code where that has no answer or a harmful one: an item without the
    feature (a row of zeros) has itself alone (there: not a number), and an item whose cosine is not
    positive is no neighbour (there it is, and the root of a negative sum is possible). Equally similar
    items are taken in their order. Beyond 50,000 items neighbours are approximate, with the extra
    ``faiss``.

    Parameters
    ----------
    features
        ``[items, width]``.
    k
        Neighbours of an item, itself included, at least 1.
    weighted
        Whether W holds cosines or ones.

    Returns
    -------
    csr_matrix
        ``[items, items]``, float32.
    """
    # No centring, as published.
    unit, usable = unit_rows(np.asarray(features), centre=False)
    settings = ModalitySettings(neighbours=k - 1, centre=False)
    (rows, columns, cosines), _, _ = find_neighbours(unit, usable, settings)
    n_items = len(unit)
    values = cosines if weighted else np.ones(len(rows))
    weights = sp.csr_matrix((values, (rows, columns)), shape=(n_items, n_items)) + sp.identity(n_items)
    scale = sp.diags(1 / np.sqrt(np.asarray(weights.sum(axis=1)).ravel()))
    return sp.csr_matrix(scale @ weights @ scale, dtype=np.float32)
