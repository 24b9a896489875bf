"""Sounds -> a pretrained model's vectors by transformers: wav2vec 2.0, AST, CLAP, Whisper and their like.

References
----------
Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations",
NeurIPS 2020.
Wu et al., "Large-Scale Contrastive Language-Audio Pretraining", ICASSP 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kg_builders.encoders.base import Encoded, RawInput, UnreadableError, import_extra
from kg_builders.encoders.models import (
    ModelSettings,
    PretrainedEncoder,
    device_of,
    load_model,
    load_transformer,
    mean_over_positions,
    model_place,
    quiet,
)
from kg_builders.encoders.sounds import read_sound

__all__ = ["TransformersSoundEncoder", "TransformersSoundSettings"]

_SHORTEST = 0.1
"""In seconds; shorter sounds are padded with silence, since models can't take them."""


class TransformersSoundSettings(ModelSettings):
    """Settings of ``TransformersSoundEncoder``."""

    model: str = Field(default="laion/clap-htsat-unfused", min_length=1)
    """Local folder, or the name at the Hugging Face hub."""
    max_seconds: float = Field(default=30.0, gt=0.0, le=3600.0)
    """What comes later in a sound is not heard."""


class TransformersSoundEncoder(PretrainedEncoder[TransformersSoundSettings]):
    """Audio vectors where the model has them, or else its output, averaged over time.

    Sounds go through the model one by one, so that their padding has no effect on others.
    """

    name = "transformers-sound"
    version = "1"
    modality = "sound"
    libraries = ("transformers", "torch", "soundfile", "librosa", "soxr")
    Settings = TransformersSoundSettings

    _model: Any = None
    _extractor: Any = None
    _device: Any = None
    _width = 0

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Load the model, and learn its width from a second of noise."""
        import_extra("soundfile", "sound", f"encoder {self.name}")
        self._device = device_of(self.settings)
        load_model(self.name, self.settings.model, self._load)
        noise = np.random.default_rng(0).normal(size=int(self._extractor.sampling_rate)).astype(np.float32)
        self._width = load_model(self.name, self.settings.model, lambda: len(self._vector(noise)))

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Encode sounds."""
        matrix = np.zeros((len(inputs), self._width), dtype=np.float32)
        problems: dict[int, str] = {}
        rate = int(self._extractor.sampling_rate)
        for row, path in enumerate(inputs):
            try:
                if path is None:
                    raise UnreadableError("no sound")
                samples = read_sound(path, rate, self.settings.max_seconds)
                if not samples.any():
                    raise UnreadableError("is silent")
                matrix[row] = self._vector(samples)
            except UnreadableError as error:
                problems[row] = str(error)
        return Encoded(matrix, problems)

    def _load(self) -> None:
        library = import_extra("transformers", "text", f"encoder {self.name}")
        place, revision = model_place(self.settings.model), self.settings.revision
        self._extractor = library.AutoFeatureExtractor.from_pretrained(place, revision=revision)
        self._model = load_transformer(self.name, self.settings, self._device)

    def _vector(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        torch = import_extra("torch", "sound", f"encoder {self.name}")
        rate = int(self._extractor.sampling_rate)
        samples = np.pad(samples, (0, max(0, int(_SHORTEST * rate) - len(samples))))
        with torch.inference_mode(), quiet():
            inputs = self._extractor(samples, sampling_rate=rate, return_tensors="pt")
            name = self._extractor.model_input_names[0]
            given = {name: inputs[name].to(self._device)}
            if hasattr(self._model, "get_audio_features"):
                found = self._model.get_audio_features(**given)
                # Before version 5 it is the tensor itself.
                output = found if hasattr(found, "shape") else found.pooler_output
            else:
                whole = getattr(self._model.config, "is_encoder_decoder", False)
                output = mean_over_positions((self._model.get_encoder() if whole else self._model)(**given))
            return output.flatten().float().cpu().numpy()
