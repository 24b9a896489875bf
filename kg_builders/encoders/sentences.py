"""Texts -> a sentence-transformers model's vectors.

References
----------
Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from kg_builders.encoders.base import Encoded, RawInput, import_extra
from kg_builders.encoders.models import (
    ModelSettings,
    PretrainedEncoder,
    device_of,
    load_model,
    model_place,
    quiet,
)

__all__ = ["SentenceEncoder", "SentenceSettings"]


class SentenceSettings(ModelSettings):
    """Settings of ``SentenceEncoder``."""

    model: str = Field(default="sentence-transformers/all-MiniLM-L6-v2", min_length=1)
    """Local folder, or the name at the Hugging Face hub."""
    normalise: bool = True
    """Whether rows get length 1."""
    max_characters: int = Field(default=20_000, ge=1)
    """Longer texts are cut; the model itself reads no more than its number of tokens."""


class SentenceEncoder(PretrainedEncoder[SentenceSettings]):
    """Vectors of a pretrained sentence model."""

    name = "sentence-transformers"
    version = "1"
    modality = "text"
    libraries = ("sentence-transformers", "transformers", "torch")
    Settings = SentenceSettings
    # The library sorts the texts that it gets by length, which saves padding where they are many.
    model_batches = 16

    _model: Any = None

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Load the model; weights are read from safetensors only, and no code of the hub is run."""
        settings: SentenceSettings = self.settings
        library = import_extra("sentence_transformers", "text", f"encoder {self.name}")
        device = device_of(settings)
        self._model = load_model(
            self.name,
            settings.model,
            lambda: library.SentenceTransformer(
                model_place(settings.model),
                revision=settings.revision,
                device=str(device),
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            ),
        )

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Encode texts; empty ones are told as problems."""
        settings: SentenceSettings = self.settings
        rows = [row for row, text in enumerate(inputs) if text is not None and str(text).strip()]
        texts = [str(inputs[row])[: settings.max_characters] for row in rows]
        with quiet():
            vectors = self._model.encode(
                texts or [""],
                batch_size=settings.batch_size,
                normalize_embeddings=settings.normalise,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        matrix = np.zeros((len(inputs), vectors.shape[1]), dtype=np.float32)
        matrix[rows] = vectors[: len(rows)]
        with_text = set(rows)
        return Encoded(matrix, {row: "no text" for row in range(len(inputs)) if row not in with_text})
