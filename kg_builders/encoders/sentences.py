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

from kg_builders.encoders.base import Encoded, Encoder, RawInput, import_extra
from kg_builders.encoders.models import (
    ModelSettings,
    describe_model,
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


class SentenceEncoder(Encoder[SentenceSettings]):
    """Vectors of a pretrained sentence model."""

    name = "sentence-transformers"
    version = "1"
    modality = "text"
    libraries = ("sentence-transformers", "transformers", "torch")
    Settings = SentenceSettings

    _model: Any = None

    def __init__(self, settings: SentenceSettings | None = None) -> None:
        super().__init__(settings)
        self.batch_size = 16 * self.settings.batch_size

    def describe(self) -> dict[str, Any]:
        """Return what decides the output; a local model with the hash of its files."""
        model = describe_model(self.settings.model, self.settings.revision)
        settings = self.settings.model_dump(mode="json", exclude={"model", "revision"})
        return super().describe() | {"settings": settings, "model": model}

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
