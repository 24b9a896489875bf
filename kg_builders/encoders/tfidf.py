"""Texts -> TF-IDF -> truncated SVD: latent semantic analysis, offline and without a model.

References
----------
Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 1990.
Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review 2011 (the randomised SVD).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kg_builders.config import StrictModel
from kg_builders.encoders.base import Encoded, Encoder, RawInput
from kg_builders.errors import InputError

__all__ = ["TfidfEncoder", "TfidfSettings"]


class TfidfSettings(StrictModel):
    """Settings of ``TfidfEncoder``."""

    width: int = Field(default=128, ge=1)
    """Columns of the result; fewer if the texts have fewer terms or are fewer."""
    min_items: int = Field(default=2, ge=1)
    """Terms of fewer items are left out: they can't relate two items."""
    max_share: float = Field(default=0.5, gt=0.0, le=1.0)
    """Terms of a larger share of the items are left out."""
    max_terms: int = Field(default=50_000, ge=1)
    """The most frequent terms are kept."""
    words: int = Field(default=2, ge=1, le=5)
    """Most words of a term: 2 for words and pairs of words."""
    stop_words: Literal["english"] | None = "english"
    """Words that are no term."""
    iterations: int = Field(default=5, ge=1)
    """Power iterations of the SVD."""
    sample: int = Field(default=200_000, ge=1)
    """Terms and directions are learned from so many texts, drawn at random, if there are more."""
    max_characters: int = Field(default=20_000, ge=1)
    """Longer texts are cut."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the SVD and the sample."""


class TfidfEncoder(Encoder[TfidfSettings]):
    """TF-IDF with logarithmic counts, projected on its first singular directions; rows of length 1.

    The cosine of two rows is the similarity of the texts in the space of those directions. A text
    without a known term has no row.
    """

    name = "tfidf"
    version = "1"
    modality = "text"
    libraries = ("scikit-learn", "scipy", "numpy")
    Settings = TfidfSettings
    batch_size = 16_384

    _vectoriser: Any = None
    _directions: NDArray[np.float32]

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Learn the terms, their weights and the directions.

        Raises
        ------
        InputError
            If no term is left.
        """
        # Imported here: it takes seconds.
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
        from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415

        settings: TfidfSettings = self.settings
        rng = np.random.default_rng(settings.seed)
        present = np.flatnonzero([_has_text(text) for text in inputs])
        if len(present) > settings.sample:
            present = np.sort(rng.choice(present, settings.sample, replace=False))
        # With few items, a share below which no term can be would leave nothing.
        vectoriser = TfidfVectorizer(
            min_df=min(settings.min_items, max(len(present), 1)),
            max_df=max(settings.max_share, min(1.0, settings.min_items / max(len(present), 1))),
            max_features=settings.max_terms,
            ngram_range=(1, settings.words),
            stop_words=settings.stop_words,
            strip_accents="unicode",
            sublinear_tf=True,
            dtype=np.float32,
        )
        try:
            weights = vectoriser.fit_transform(self._cut(inputs[row]) for row in present.tolist())
        except ValueError as error:
            raise InputError(
                f"{self.name}: no term is left of {len(present):,} texts ({str(error).rstrip('.')}); "
                f"expected terms in at least min_items={settings.min_items} items "
                f"and at most max_share={settings.max_share} of them"
            ) from error
        width = min(settings.width, *weights.shape)
        # One thread, since the order of sums depends on their number.
        with threadpool_limits(1):
            _, _, directions = randomized_svd(
                weights, width, n_iter=settings.iterations, random_state=settings.seed, flip_sign=True
            )
        self._vectoriser = vectoriser
        self._directions = np.ascontiguousarray(directions.T, dtype=np.float32)

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Encode texts; empty ones and those without a known term are told as problems."""
        with threadpool_limits(1):
            weights = self._vectoriser.transform(self._cut(text) for text in inputs)
            rows = np.asarray(weights @ self._directions, dtype=np.float32)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        # A projection that rounding alone has left is none.
        known = length[:, 0] > 1e-6
        rows = np.where(known[:, None], rows / np.where(known[:, None], length, 1), 0).astype(np.float32)
        problems = {
            int(row): "no term that the others have" if _has_text(inputs[int(row)]) else "no text"
            for row in np.flatnonzero(~known)
        }
        return Encoded(rows, problems)

    def _cut(self, text: RawInput) -> str:
        return str(text or "")[: self.settings.max_characters]


def _has_text(text: RawInput) -> bool:
    return bool(text) and not str(text).isspace()
