"""A plain text modality: TF-IDF, reduced by a truncated singular value decomposition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["text_features"]


def text_features(texts: Sequence[str], width: int = 64, seed: int = 0) -> np.ndarray:
    """Return latent semantic vectors of short texts.

    Words of two letters or more are weighted by TF-IDF (logarithmic term frequency) and the matrix is
    reduced to its leading singular directions: latent semantic analysis, Deerwester et al. (1990),
    *Indexing by Latent Semantic Analysis*.

    Parameters
    ----------
    texts
        One text an item.
    width
        Number of directions; fewer if there are fewer words or texts.
    seed
        Seeds the decomposition.

    Returns
    -------
    numpy.ndarray
        float32 ``[texts, width]``, rows of length 1; a text without known words has a row of zeros.
    """
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:
        # No word occurs in two texts: there is nothing to compare items by.
        return np.zeros((len(texts), 1), dtype=np.float32)
    width = max(1, min(width, weights.shape[0] - 1, weights.shape[1] - 1))
    if width >= weights.shape[1]:
        return np.asarray(weights.toarray(), dtype=np.float32)
    # One thread: the order of sums, and with it the last bits, depends on their number.
    with threadpool_limits(1):
        left, values, _ = randomized_svd(weights, width, random_state=seed)
    return np.asarray(normalize(left * values), dtype=np.float32)
