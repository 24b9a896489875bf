"""Pictures: reading files that may be anything, and a descriptor of colour, texture and gradients.

References
----------
Ojala, Pietikäinen and Mäenpää, "Multiresolution Gray-Scale and Rotation Invariant Texture Classification
with Local Binary Patterns", PAMI 2002.
Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
Arandjelović and Zisserman, "Three Things Everyone Should Know to Improve Object Retrieval", CVPR 2012
(the square root of histograms).
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kg_builders.config import StrictModel
from kg_builders.encoders.base import Encoded, Encoder, RawInput, UnreadableError, import_extra

__all__ = ["PictureDescriptor", "PictureSettings", "open_picture"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read; among Pillow's other formats are some that run a program."""

_BROKEN = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise at bytes that are no picture."""


def open_picture(path: str | Path, side: int | None = None, max_pixels: int = 50_000_000) -> Any:
    """Read a picture as RGB; transparent parts become white, and of several frames the first counts.

    Parameters
    ----------
    side
        Smallest length of a side that is needed: a JPEG is then decoded at a smaller scale, if it has one.
    max_pixels
        A picture that says it has more is not decoded.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, turned as its EXIF orientation says.

    Raises
    ------
    UnreadableError
        If the file is missing, too large, or no picture.
    """
    image_module = import_extra("PIL.Image", "image", "reading pictures")
    operations = import_extra("PIL.ImageOps", "image", "reading pictures")
    # Neither a folder nor a pipe, which would never end.
    if not Path(path).is_file():
        raise UnreadableError("no such file")
    with warnings.catch_warnings():
        # Odd metadata is no matter here; Pillow's own limit of size is above ours or becomes an error.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", image_module.DecompressionBombWarning)
        try:
            with image_module.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise UnreadableError(f"has {width} x {height} pixels, more than {max_pixels:,}")
                if side is not None:
                    image.draft("RGB", (2 * side, 2 * side))
                return _as_rgb(operations.exif_transpose(image), image_module)
        except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
            raise UnreadableError(f"has more than {max_pixels:,} pixels") from error
        except image_module.UnidentifiedImageError as error:
            raise UnreadableError(f"no picture of the kinds {', '.join(FORMATS)}") from error
        except _BROKEN as error:
            raise UnreadableError(f"broken picture ({type(error).__name__}: {error})"[:120]) from error


def _as_rgb(image: Any, image_module: Any) -> Any:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # More than 8 bits a pixel: the whole range of values is mapped to 0 to 255.
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise UnreadableError("holds values that are not finite numbers")
        scaled = (values - low) / (high - low) * 255 if high > low else np.zeros_like(values)
        return image_module.fromarray(scaled.round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        ground = image_module.new("RGBA", opaque.size, "white")
        return image_module.alpha_composite(ground, opaque).convert("RGB")
    return image.convert("RGB")


class PictureSettings(StrictModel):
    """Settings of ``PictureDescriptor``."""

    side: int = Field(default=128, ge=32, le=1024)
    """Pictures are scaled to a square of so many pixels a side."""
    colour: float = Field(default=1.0, ge=0.0)
    """Weight of the colours; 0 leaves them without effect."""
    texture: float = Field(default=1.0, ge=0.0)
    """Weight of the texture."""
    gradients: float = Field(default=1.0, ge=0.0)
    """Weight of the outlines."""
    max_pixels: int = Field(default=50_000_000, ge=1)
    """Pictures with more pixels are not read."""


class PictureDescriptor(Encoder[PictureSettings]):
    """What can be said of a picture without a model, [282] numbers.

    Four histograms or sets of averages: colours (hue 8 x saturation 3 x value 3), mean and deviation of
    the colour channels in a 3 x 3 grid, local binary patterns at two radii, and oriented gradients in a
    4 x 4 grid. Each is scaled to length 1, so that its weight is what the settings say.
    """

    name = "picture-descriptor"
    version = "1"
    modality = "image"
    libraries = ("scikit-image", "pillow", "numpy")
    Settings = PictureSettings
    batch_size = 64

    width = 72 + 54 + 28 + 128

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Import what is needed."""
        import_extra("PIL.Image", "image", f"encoder {self.name}")
        import_extra("skimage.feature", "image", f"encoder {self.name}")

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Describe pictures."""
        matrix = np.zeros((len(inputs), self.width), dtype=np.float32)
        problems: dict[int, str] = {}
        for row, path in enumerate(inputs):
            try:
                matrix[row] = self._describe_picture(path)
            except UnreadableError as error:
                problems[row] = str(error)
        return Encoded(matrix, problems)

    def _describe_picture(self, path: RawInput) -> NDArray[np.float64]:
        if path is None:
            raise UnreadableError("no picture")
        settings: PictureSettings = self.settings
        square = open_picture(path, settings.side, settings.max_pixels).resize((settings.side,) * 2)
        rgb = np.asarray(square, dtype=np.float64) / 255
        gray = np.asarray(square.convert("L"))
        hsv = np.asarray(square.convert("HSV"))
        half = settings.colour * 0.5**0.5
        return np.concatenate(
            [
                half * _colour_histogram(hsv),
                half * _colour_grid(rgb),
                settings.texture * _texture(gray),
                settings.gradients * _gradients(gray),
            ]
        )


def _colour_histogram(hsv: NDArray[np.uint8]) -> NDArray[np.float64]:
    hue, saturation, value = (hsv[..., channel].astype(np.int64) for channel in range(3))
    # Gray has no hue: all of it is in the first bin.
    saturation, value = saturation * 3 // 256, value * 3 // 256
    hue = np.where((saturation == 0) | (value == 0), 0, hue * 8 // 256)
    counts = np.bincount((hue * 9 + saturation * 3 + value).ravel(), minlength=72)
    return np.sqrt(counts / counts.sum())


def _colour_grid(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    cells = [
        cell.reshape(-1, 3)
        for band in np.array_split(rgb, 3, axis=0)
        for cell in np.array_split(band, 3, axis=1)
    ]
    values = np.concatenate([np.concatenate([cell.mean(axis=0), cell.std(axis=0)]) for cell in cells])
    return _unit(values)


def _texture(gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    feature = import_extra("skimage.feature", "image", "the texture of pictures")
    parts = []
    for points, radius in ((8, 1), (16, 3)):
        patterns = feature.local_binary_pattern(gray, points, radius, method="uniform").astype(np.int64)
        parts.append(np.bincount(patterns.ravel(), minlength=points + 2) / patterns.size / 2)
    return np.sqrt(np.concatenate(parts))


def _gradients(gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    feature = import_extra("skimage.feature", "image", "the gradients of pictures")
    cell = gray.shape[0] // 4
    values = feature.hog(
        gray[: 4 * cell, : 4 * cell] / 255.0,
        orientations=8,
        pixels_per_cell=(cell, cell),
        cells_per_block=(1, 1),
    )
    return _unit(values)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(values)
    return values / length if length > 0 else values
