"""What a recipe names, read: item records, given graphs, features, rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kg_builders.errors import InputError
from kg_builders.recipe import (
    AmazonSource,
    LastfmSource,
    MovielensSource,
    RecboleSource,
    Recipe,
)
from kg_builders.rules import Rules, load_rules, preset_names, read_vocabularies
from kg_builders.sources import (
    ItemRecords,
    read_amazon,
    read_lastfm,
    read_movielens,
    read_recbole_items,
    read_table,
    read_tabular,
)
from kg_builders.sources.streams import Progress

__all__ = ["read_features", "read_rules", "read_source"]


def read_source(
    recipe: Recipe,
    folder: str | Path = ".",
    fields: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> ItemRecords:
    """Read the item records that a recipe names.

    Parameters
    ----------
    recipe
        The recipe.
    folder
        Where its relative paths begin.
    fields
        Fields that are needed; a source may leave the others unread. By default all.
    progress
        Is told how far the reading is, where the source is a stream.

    Raises
    ------
    InputError
        If there is no source, it can't be read, or too many of its records are bad.
    """
    source = recipe.source
    if source is None:
        raise InputError("recipe: no source; expected a source of item records")
    path = _place(source.path, Path(folder))
    if isinstance(source, AmazonSource):
        # The title names an item in reports, whether a rule reads it or not.
        wanted = None if fields is None else sorted({*fields, "title"})
        return read_amazon(path, source.version, fields=wanted, max_bad=recipe.max_bad, progress=progress)
    if isinstance(source, MovielensSource):
        return read_movielens(path, max_bad=recipe.max_bad, progress=progress)
    if isinstance(source, RecboleSource):
        return read_recbole_items(path, source.id, source.label, max_bad=recipe.max_bad, progress=progress)
    if isinstance(source, LastfmSource):
        return read_lastfm(path, source.artists, source.tags, max_bad=recipe.max_bad, progress=progress)
    if source.mapping is not None:
        return read_table(
            path, Path(folder) / source.mapping, fields=fields, max_bad=recipe.max_bad, progress=progress
        )
    return read_tabular(
        path,
        source.id,
        label=source.label,
        lists=source.lists,
        numbers=source.numbers,
        delimiter=source.delimiter,
        kind=source.format,
        max_bad=recipe.max_bad,
        progress=progress,
    )


def read_rules(rules: str | Rules, folder: Path) -> Rules:
    """Return the rules that a recipe holds or names: a preset, or a file beside it."""
    if isinstance(rules, Rules):
        return read_vocabularies(rules, folder)
    if rules in preset_names():
        return load_rules(rules)
    path = folder / rules
    # A bare name that is no file goes on as it is: the message then offers the nearest preset.
    return load_rules(path if path.exists() or path.suffix in (".yaml", ".yml") else rules)


def read_features(path: str | Path) -> np.ndarray:
    """Read a ``.npy`` matrix, memory-mapped; arrays of Python objects are refused.

    Raises
    ------
    InputError
        If the file is missing, truncated, or of another kind.
    """
    path = Path(path)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected features as .npy") from error
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: can't be read as .npy; the file is truncated, of another kind, or holds Python objects"
        ) from error


def _place(path: str, folder: Path) -> str | Path:
    """Return a path in the folder; an address such as s3://... stays as it is."""
    return path if "://" in path else folder / path
