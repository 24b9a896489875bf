"""What all files of records share: where they lie, and how their settings are told."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.output import file_name
from kdiffe_dgl.training.config import resolve
from kg_builders.formats.atomic import writing

__all__ = ["EXPECTED", "SCHEMA_VERSION", "check_version", "dataset_folder", "lasting", "require_writable"]

SCHEMA_VERSION = 1
EXPECTED = "expected a file of records written by kdiffe compare or ablate"


def dataset_folder(folder: Path, dataset: RecDataset) -> Path:
    """Return the folder of a data set within the folder of records."""
    return folder / file_name(dataset.name)


def require_writable(folder: Path) -> None:
    """Make a folder for records, and refuse one in which no file can be written.

    Parameters
    ----------
    folder
        The folder of a data set.

    Raises
    ------
    InputError
        If it can't be made, is a file, or takes no files.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for records")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Tried, not asked for: permissions tell nothing of a full disk or of one that is mounted read-only.
        with tempfile.NamedTemporaryFile(prefix=".try.", dir=folder) as file:
            file.write(b"?")
            file.flush()


def check_version(file: Path, stored: Mapping[str, Any]) -> None:
    """Refuse a file of another version of the format with ``InputError``."""
    version = stored.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(f"{file}: schema version {version!r}; expected {SCHEMA_VERSION}")


def lasting(settings: Mapping[str, Any], where: str = "") -> Any:
    """Return settings without those that are the defaults: they stay the same when settings are added."""
    config = resolve(settings, where=where)
    return {
        "model": {"name": config.name, **config.model.model_dump(mode="json", exclude_defaults=True)},
        "training": {
            name: value
            for name, value in config.training.model_dump(mode="json", exclude_defaults=True).items()
            if name in (settings.get("training") or {})
        },
    }
