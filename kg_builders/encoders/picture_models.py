"""Pictures -> a pretrained model's vectors: timm, torchvision, or CLIP and its like by transformers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from kg_builders.config import nearest
from kg_builders.encoders.base import Encoded, RawInput, UnreadableError, import_extra
from kg_builders.encoders.models import (
    ModelSettings,
    PretrainedEncoder,
    describe_model,
    device_of,
    load_model,
    load_transformer,
    mean_over_positions,
    model_place,
    quiet,
)
from kg_builders.encoders.pictures import open_picture
from kg_builders.errors import InputError

__all__ = [
    "PictureModel",
    "TimmEncoder",
    "TimmSettings",
    "TorchvisionEncoder",
    "TorchvisionSettings",
    "TransformersImageEncoder",
    "TransformersImageSettings",
]


class PictureModelSettings(ModelSettings):
    """What the settings of picture models have in common."""

    max_pixels: int = Field(default=50_000_000, ge=1)
    """Pictures with more pixels are not read."""


class PictureModel(PretrainedEncoder[Any]):
    """A pretrained model of pictures; a subclass says how it is loaded and asked."""

    modality = "image"

    _device: Any = None
    _width: int | None = None

    @abstractmethod
    def load(self) -> None:
        """Load the model to ``self._device``."""

    @abstractmethod
    def vectors(self, pictures: Sequence[Any]) -> Any:
        """Return the tensor [pictures, width] of RGB pictures; runs without gradients."""

    def prepare(self, inputs: Sequence[RawInput]) -> None:
        """Load the model, and learn its width from a blank picture."""
        import_extra("PIL.Image", "image", f"encoder {self.name}")
        self._device = device_of(self.settings)
        load_model(self.name, self.settings.model, self.load)
        blank = import_extra("PIL.Image", "image", f"encoder {self.name}").new("RGB", (64, 64))
        self._width = load_model(self.name, self.settings.model, lambda: self._ask([blank]).shape[1])

    def encode_batch(self, inputs: Sequence[RawInput]) -> Encoded:
        """Encode pictures."""
        assert self._width is not None
        matrix = np.zeros((len(inputs), self._width), dtype=np.float32)
        problems: dict[int, str] = {}
        pictures: dict[int, Any] = {}
        for row, path in enumerate(inputs):
            try:
                if path is None:
                    raise UnreadableError("no picture")
                pictures[row] = open_picture(path, max_pixels=self.settings.max_pixels)
            except UnreadableError as error:
                problems[row] = str(error)
        if pictures:
            matrix[list(pictures)] = self._ask(list(pictures.values()))
        return Encoded(matrix, problems)

    def _ask(self, pictures: Sequence[Any]) -> np.ndarray:
        torch = import_extra("torch", "image", f"encoder {self.name}")
        with torch.inference_mode(), quiet():
            found = self.vectors(pictures)
            return found.flatten(1).float().cpu().numpy()


class TransformersImageSettings(PictureModelSettings):
    """Settings of ``TransformersImageEncoder``."""

    model: str = Field(default="openai/clip-vit-base-patch32", min_length=1)
    """Local folder, or the name at the Hugging Face hub."""


class TransformersImageEncoder(PictureModel):
    """CLIP, SigLIP, DINOv2, ViT and their like: image vectors, or the mean over the positions.

    References
    ----------
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
    """

    name = "transformers-image"
    version = "1"
    libraries = ("transformers", "torch", "pillow")
    Settings = TransformersImageSettings

    _model: Any = None
    _processor: Any = None

    def load(self) -> None:
        """Load model and preprocessing."""
        library = import_extra("transformers", "text", f"encoder {self.name}")
        place, revision = model_place(self.settings.model), self.settings.revision
        # Pillow's preprocessing, so that the result does not depend on whether torchvision is there.
        self._processor = library.AutoImageProcessor.from_pretrained(place, revision=revision, backend="pil")
        self._model = load_transformer(self.name, self.settings, self._device)

    def vectors(self, pictures: Sequence[Any]) -> Any:
        """Return ``get_image_features`` where the model has it, or else the mean over its positions."""
        inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._device)
        if hasattr(self._model, "get_image_features"):
            found = self._model.get_image_features(pixel_values=inputs["pixel_values"])
            # Before version 5 it is the tensor itself.
            return found if hasattr(found, "shape") else found.pooler_output
        return mean_over_positions(self._model(pixel_values=inputs["pixel_values"]))


class TimmSettings(PictureModelSettings):
    """Settings of ``TimmEncoder``."""

    model: str = Field(default="resnet50.a1_in1k", min_length=1)
    """Local folder with ``config.json`` and ``model.safetensors``, or the name in timm."""


class TimmEncoder(PictureModel):
    """A model of timm without its classifier."""

    name = "timm"
    version = "1"
    libraries = ("timm", "torchvision", "torch", "pillow")
    Settings = TimmSettings

    _model: Any = None
    _transform: Any = None

    def load(self) -> None:
        """Load model and preprocessing."""
        library = import_extra("timm", "image-models", f"encoder {self.name}")
        place = model_place(self.settings.model)
        if Path(place).is_dir():
            place = f"local-dir:{place}"
        elif self.settings.revision is not None:
            place = f"hf-hub:{place}@{self.settings.revision}"
        model = library.create_model(place, pretrained=True)
        # After loading: not every configuration says where the classifier's weights are.
        model.reset_classifier(0)
        self._model = model.to(self._device).eval()
        self._transform = library.data.create_transform(**library.data.resolve_model_data_config(model))

    def vectors(self, pictures: Sequence[Any]) -> Any:
        """Return what the classifier would get."""
        torch = import_extra("torch", "image-models", f"encoder {self.name}")
        batch = torch.stack([self._transform(picture) for picture in pictures])
        return self._model(batch.to(self._device))


class TorchvisionSettings(PictureModelSettings):
    """Settings of ``TorchvisionEncoder``."""

    model: str = Field(default="resnet50", min_length=1)
    """Name of the architecture in torchvision."""
    weights: str = Field(default="DEFAULT", min_length=1)
    """Name of its weights in torchvision, or a ``.safetensors`` file."""


class TorchvisionEncoder(PictureModel):
    """A model of torchvision without its classifier."""

    name = "torchvision"
    version = "1"
    libraries = ("torchvision", "torch", "pillow")
    Settings = TorchvisionSettings
    model_settings = frozenset({"model", "revision", "weights"})

    _model: Any = None
    _transform: Any = None

    def model_facts(self) -> dict[str, Any]:
        """Return which model it is; a file of weights with its hash."""
        weights = self.settings.weights
        model = {"name": self.settings.model, "weights": weights}
        if weights.endswith(".safetensors"):
            model |= {"weights": Path(weights).name, "hash": describe_model(_file(weights)).get("hash")}
        return model

    def load(self) -> None:
        """Load model and preprocessing."""
        models = import_extra("torchvision.models", "image-models", f"encoder {self.name}")
        nn = import_extra("torch.nn", "image-models", f"encoder {self.name}")
        name, weights = self.settings.model, self.settings.weights
        presets = models.get_model_weights(name)
        if weights.endswith(".safetensors"):
            reader = import_extra("safetensors.torch", "image-models", f"encoder {self.name}")
            model, preset = models.get_model(name, weights=None), presets.DEFAULT
            model.load_state_dict(reader.load_file(_file(weights)))
        else:
            if weights not in presets.__members__:
                raise InputError(
                    f"encoder {self.name!r}: no weights {weights!r} of {name!r}"
                    f"{nearest(weights, presets.__members__)}"
                )
            preset = presets[weights]
            model = models.get_model(name, weights=preset)
        last = [part for part in ("fc", "classifier", "heads", "head") if hasattr(model, part)]
        if not last:
            raise InputError(
                f"encoder {self.name!r}: model {name!r} has no classifier that could be left out"
            )
        setattr(model, last[0], nn.Identity())
        self._model, self._transform = model.to(self._device).eval(), preset.transforms()

    def vectors(self, pictures: Sequence[Any]) -> Any:
        """Return what the classifier would get."""
        torch = import_extra("torch", "image-models", f"encoder {self.name}")
        batch = torch.stack([self._transform(picture) for picture in pictures])
        return self._model(batch.to(self._device))


def _file(path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected weights as .safetensors")
    return path
