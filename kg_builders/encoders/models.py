"""What all pretrained encoders share: where a model is, what it is, and errors that say what to do.

``torch`` is imported when a model is loaded, never before.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from kg_builders.config import StrictModel
from kg_builders.encoders.base import Encoder, import_extra
from kg_builders.errors import InputError

__all__ = [
    "ModelSettings",
    "PretrainedEncoder",
    "describe_model",
    "device_of",
    "load_model",
    "load_transformer",
    "mean_over_positions",
    "model_place",
    "quiet",
]

Loaded = TypeVar("Loaded")

_BLOCK = 1 << 20

_TALKATIVE = ("transformers", "sentence_transformers", "huggingface_hub", "timm")


class ModelSettings(StrictModel):
    """What the settings of pretrained encoders have in common."""

    model: str = Field(min_length=1)
    """Local folder, or the name at its hub."""
    revision: str | None = None
    """Commit at the hub; without it a later run may get another model of the same name."""
    device: str = "cpu"
    """Where the model runs, such as ``cpu`` or ``cuda``."""
    batch_size: int = Field(default=32, ge=1)
    """Inputs encoded at a time."""


ModelSettingsT = TypeVar("ModelSettingsT", bound=ModelSettings)


class PretrainedEncoder(Encoder[ModelSettingsT]):
    """An encoder whose output is that of a pretrained model."""

    model_batches: ClassVar[int] = 1
    """How many of the model's batches are encoded at a time."""
    model_settings: ClassVar[frozenset[str]] = frozenset({"model", "revision"})
    """Settings that ``model_facts`` tells of."""

    def __init__(self, settings: ModelSettingsT | None = None) -> None:
        super().__init__(settings)
        self.batch_size = self.model_batches * self.settings.batch_size

    def describe(self) -> dict[str, Any]:
        """Return what decides the output; a local model with the hash of its files."""
        settings = self.settings.model_dump(mode="json", exclude=set(self.model_settings))
        return super().describe() | {"settings": settings, "model": self.model_facts()}

    def model_facts(self) -> dict[str, Any]:
        """Return which model it is."""
        return describe_model(self.settings.model, self.settings.revision)


def model_place(model: str) -> str:
    """Return a folder's full path, or a hub's name as it is.

    Raises
    ------
    InputError
        If it looks like a path and there is nothing.
    """
    path = Path(model).expanduser()
    if path.exists():
        return str(path.resolve())
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise InputError(f"model {model!r}: no such file or folder; expected one, or the name at a hub")
    return model


def describe_model(model: str, revision: str | None = None) -> dict[str, Any]:
    """Return the name of a model, and the hash of its files if it is local, or its revision at the hub."""
    place = Path(model_place(model))
    if not place.exists():
        return {"name": model, "revision": revision}
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        name = path.name if place.is_file() else path.relative_to(place).as_posix()
        digest.update(f"{len(name)}:{name}{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return {"name": place.name, "hash": digest.hexdigest()}


def load_model(encoder: str, model: str, load: Callable[[], Loaded]) -> Loaded:
    """Call ``load``; what goes wrong with a model becomes one sentence.

    Raises
    ------
    InputError
        If the model is not there, not readable, or of another kind.
    """
    try:
        with quiet():
            return load()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, ImportError) as error:
        # The text of these libraries goes on for lines; the first says what is wrong.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"encoder {encoder!r}: model {model!r} can't be loaded ({reason}); expected a local folder "
            "with the model as safetensors, or a name at the hub and a connection to it"
        ) from error


def load_transformer(encoder: str, settings: ModelSettings, device: Any) -> Any:
    """Load a model of transformers for inference; from safetensors only, and no code of the hub is run.

    Raises
    ------
    InputError
        If weights are missing beside those of a pooler, which isn't used: they would be random.
    """
    library = import_extra("transformers", "text", f"encoder {encoder}")
    model, found = library.AutoModel.from_pretrained(
        model_place(settings.model),
        revision=settings.revision,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(key for key in found["missing_keys"] if "pooler" not in key)
    if missing:
        raise InputError(
            f"encoder {encoder!r}: model {settings.model!r} lacks the weights {missing[0]!r} and "
            f"{len(missing) - 1:,} more; expected a complete model"
        )
    return model.to(device).eval()


def mean_over_positions(output: Any) -> Any:
    """Return the mean of a model's last hidden states, [inputs, width].

    A pooler, where there is one, is not used: checkpoints of classifiers have none, and it is then random.
    """
    last = output.last_hidden_state
    # [inputs, positions, width], or [inputs, width, rows, columns] of a convolution.
    return last.mean(dim=1) if last.dim() == 3 else last.mean(dim=(2, 3))


def device_of(settings: ModelSettings) -> Any:
    """Return the torch device.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    torch = import_extra("torch", "text", "a pretrained encoder")
    try:
        device = torch.device(settings.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {settings.device!r} can't be used here; expected cpu or cuda") from error
    return device


@contextmanager
def quiet() -> Any:
    """Keep the hubs' libraries from printing bars and hints between ours."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    transformers: Any = sys.modules.get("transformers")
    bars = transformers is not None and transformers.utils.logging.is_progress_bar_enabled()
    try:
        if bars:
            transformers.utils.logging.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
