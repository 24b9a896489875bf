"""What all pretrained encoders share: where a model is, what it is, and errors that say what to do.

``torch`` is imported when a model is loaded, never before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from kg_builders.config import StrictModel
from kg_builders.encoders.base import import_extra
from kg_builders.errors import InputError

__all__ = ["ModelSettings", "describe_model", "device_of", "load_model", "model_place", "quiet"]

Loaded = TypeVar("Loaded")

_BLOCK = 1 << 20


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
    import logging  # noqa: PLC0415
    import warnings  # noqa: PLC0415

    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers", "timm")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
