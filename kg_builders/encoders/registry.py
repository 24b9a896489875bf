"""Encoders by name, imported when they are used; others' come from installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from kg_builders.config import StrictModel, nearest, parse_settings
from kg_builders.encoders.base import Encoder
from kg_builders.errors import InputError

__all__ = ["GROUP", "create_encoder", "encoder_names", "find_encoder"]

GROUP = "kg_builders.encoders"
"""Entry-point group by which a package offers encoders: ``name = module:Class``."""

_BUILT_IN = {
    "tfidf": ("kg_builders.encoders.tfidf", "TfidfEncoder"),
    "sentence-transformers": ("kg_builders.encoders.sentences", "SentenceEncoder"),
    "picture-descriptor": ("kg_builders.encoders.pictures", "PictureDescriptor"),
    "timm": ("kg_builders.encoders.picture_models", "TimmEncoder"),
    "torchvision": ("kg_builders.encoders.picture_models", "TorchvisionEncoder"),
    "transformers-image": ("kg_builders.encoders.picture_models", "TransformersImageEncoder"),
    "log-mel": ("kg_builders.encoders.sounds", "LogMelEncoder"),
    "transformers-sound": ("kg_builders.encoders.sound_models", "TransformersSoundEncoder"),
}
"""Name to module and class."""


def encoder_names() -> list[str]:
    """Return the names of all encoders: ours, then others' in alphabetical order."""
    return [*_BUILT_IN, *sorted(_plug_ins())]


def find_encoder(kind: str) -> type[Encoder[Any]]:
    """Return the class of an encoder.

    Raises
    ------
    InputError
        If there is none of that name, or another package's can't be imported.
    """
    if kind in _BUILT_IN:
        module, name = _BUILT_IN[kind]
        found = getattr(import_module(module), name)
    elif kind in (plug_ins := _plug_ins()):
        try:
            found = plug_ins[kind].load()
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"encoder {kind!r}: {plug_ins[kind].value} can't be imported ({error}); "
                "expected a class that its package provides"
            ) from error
        if not (isinstance(found, type) and issubclass(found, Encoder)):
            raise InputError(f"encoder {kind!r}: {plug_ins[kind].value} is no subclass of Encoder")
    else:
        raise InputError(f"unknown encoder {kind!r}{nearest(kind, encoder_names())}")
    return found


def create_encoder(kind: str, settings: StrictModel | Mapping[str, Any] | None = None) -> Encoder[Any]:
    """Make an encoder.

    Parameters
    ----------
    kind
        One of ``encoder_names()``.
    settings
        For it; by default its defaults.

    Raises
    ------
    InputError
        If there is no such encoder or its settings are not valid.
    """
    found = find_encoder(kind)
    given = {} if settings is None else settings
    return found(parse_settings(found.Settings, given, f"encoder {kind}"))


def _plug_ins() -> dict[str, EntryPoint]:
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value), reverse=True)
    return {point.name: point for point in found if point.name not in _BUILT_IN}
