"""Sounds: reading files that may be anything, and statistics of the log-mel spectrogram.

References
----------
Davis and Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition in
Continuously Spoken Sentences", IEEE TASSP 1980 (the mel filters).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kg_builders.config import StrictModel
from kg_builders.encoders.base import Encoded, Encoder, RawInput, UnreadableError, import_extra

__all__ = ["LogMelEncoder", "LogMelSettings", "read_sound"]

_MAX_CHANNELS = 64
_RATES = (1_000, 768_000)
_BLOCK = 65_536
_FRAME = 2048
_HOP = 512


def read_sound(path: str | Path, rate: int, max_seconds: float) -> NDArray[np.float32]:
    """Read the beginning of a sound as one channel.

    Parameters
    ----------
    rate
        Samples a second of the result, in Hz.
    max_seconds
        What comes later is not read.

    Returns
    -------
    numpy.ndarray
        float32 [samples], finite; at least one.

    Raises
    ------
    UnreadableError
        If the file is missing, empty, or no sound.
    """
    soundfile = import_extra("soundfile", "sound", "reading sounds")
    librosa = import_extra("librosa", "sound", "reading sounds")
    if not Path(path).is_file():
        raise UnreadableError("no such file")
    try:
        with soundfile.SoundFile(str(path)) as file:
            if not _RATES[0] <= file.samplerate <= _RATES[1]:
                raise UnreadableError(f"says it has {file.samplerate} samples a second")
            if file.channels > _MAX_CHANNELS:
                raise UnreadableError(f"says it has {file.channels} channels")
            found = int(file.samplerate)
            mono = _mix_down(file, int(max_seconds * found))
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise UnreadableError(f"broken sound ({error})".replace(str(path), "the file")[:120]) from error
    if not len(mono):
        raise UnreadableError("holds no samples")
    if not np.isfinite(mono).all():
        raise UnreadableError("holds samples that are not finite numbers")
    if found != rate:
        mono = librosa.resample(mono, orig_sr=found, target_sr=rate)
    if not len(mono):
        raise UnreadableError("is shorter than a sample")
    return mono


def _mix_down(file: Any, wanted: int) -> NDArray[np.float32]:
    """Read in blocks, since what a file says about its length may be wrong."""
    parts: list[NDArray[np.float32]] = []
    while wanted > 0:
        samples = file.read(min(wanted, _BLOCK), dtype="float32", always_2d=True)
        if not len(samples):
            break
        parts.append(samples.mean(axis=1, dtype=np.float32))
        wanted -= len(samples)
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


class LogMelSettings(StrictModel):
    """Settings of ``LogMelEncoder``."""

    bands: int = Field(default=64, ge=8, le=256)
    """Bands of the mel scale."""
    rate: int = Field(default=22_050, ge=8_000, le=96_000)
    """Sounds are resampled to so many samples a second, in Hz."""
    max_seconds: float = Field(default=60.0, gt=0.0, le=3600.0)
    """What comes later in a sound is not heard."""


class LogMelEncoder(Encoder[LogMelSettings]):
    """Mean, deviation and mean change of each band of the log-mel spectrogram, [3 * bands] numbers.

    Loudness is taken relative to the loudest moment of the sound, in units of 10 decibels, down to -80.
    """

    name = "log-mel"
    version = "1"
    modality = "sound"
    libraries = ("librosa", "soundfile", "soxr", "numpy")
    Settings = LogMelSettings
    batch_size = 64

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Import what is needed."""
        import_extra("soundfile", "sound", f"encoder {self.name}")
        import_extra("librosa", "sound", f"encoder {self.name}")

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Describe sounds; silence has no row."""
        matrix = np.zeros((len(inputs), 3 * self.settings.bands), dtype=np.float32)
        problems: dict[int, str] = {}
        for row, path in enumerate(inputs):
            try:
                if path is None:
                    raise UnreadableError("no sound")
                matrix[row] = self._statistics(
                    read_sound(path, self.settings.rate, self.settings.max_seconds)
                )
            except UnreadableError as error:
                problems[row] = str(error)
        return Encoded(matrix, problems)

    def _statistics(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        librosa = import_extra("librosa", "sound", f"encoder {self.name}")
        if not samples.any():
            raise UnreadableError("is silent")
        # Scaled first, so that squares of tiny or huge samples neither vanish nor overflow.
        samples = samples / np.abs(samples).max()
        padded = np.pad(samples, (0, max(0, _FRAME - len(samples))))
        power = librosa.feature.melspectrogram(
            y=padded, sr=self.settings.rate, n_fft=_FRAME, hop_length=_HOP, n_mels=self.settings.bands
        ).astype(np.float64)
        loudness = np.log10(np.maximum(power / power.max(), 1e-8))
        change = (
            np.abs(np.diff(loudness, axis=1)).mean(axis=1) if loudness.shape[1] > 1 else 0 * loudness[:, 0]
        )
        return np.concatenate([loudness.mean(axis=1), loudness.std(axis=1), change])
