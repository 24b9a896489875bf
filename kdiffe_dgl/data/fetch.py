"""Fetching a data set of the catalogue: download, check, build, with the raw files kept beside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import yaml

from kdiffe_dgl.data.catalog import CatalogEntry, catalog_entry
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.knowledge import with_knowledge
from kdiffe_dgl.data.readers.assemble import ImportOptions, source_files
from kdiffe_dgl.data.readers.recbole import read_recbole
from kdiffe_dgl.data.storage import require_free, sha256_file
from kdiffe_dgl.data.text import text_features
from kdiffe_dgl.errors import InputError
from kg_builders.recipe import parse_recipe
from kg_builders.sources.recbole import read_recbole_items
from kg_builders.sources.records import ItemRecords

__all__ = ["build", "cache_folder", "fetch", "fetch_files"]

_PIP_SECONDS = 600


def fetch(
    name: str,
    out: Path,
    options: ImportOptions | None = None,
    *,
    with_kg: bool = True,
    with_text: bool = True,
    overwrite: bool = False,
) -> RecDataset:
    """Fetch a data set of the catalogue and save it.

    Parameters
    ----------
    name
        Name in the catalogue.
    out
        Folder to make; the raw metadata, the triples and the graph's recipe are kept in its ``raw/``.
    options
        Threshold and split; by default every rating counts, and 8:1:1 of each user's are drawn with
        seed 0.
    with_kg
        Build the knowledge graph from the metadata and the triples.
    with_text
        Make a text modality from the metadata (see :func:`~kdiffe_dgl.data.text.text_features`).
    overwrite
        Replace a data set that is already at ``out``.

    Returns
    -------
    RecDataset
        As it was saved.

    Raises
    ------
    InputError
        If the name is unknown, ``out`` must not be replaced, or the files can't be got.
    """
    entry = catalog_entry(name)
    require_free(out, overwrite)
    with tempfile.TemporaryDirectory(prefix="kdiffe-") as temporary:
        folder = Path(temporary)
        fetch_files(entry, folder)
        dataset = build(entry, folder, options, with_kg=with_kg, with_text=with_text)
        dataset.save(out, overwrite, _keep_raw(entry, folder))
    return dataset


def build(
    entry: CatalogEntry,
    folder: Path,
    options: ImportOptions | None = None,
    *,
    with_kg: bool = True,
    with_text: bool = True,
) -> RecDataset:
    """Make the data set of a catalogue entry from its raw files in ``folder``; see :func:`fetch`."""
    dataset = read_recbole(folder, item_label=entry.item_label, name=entry.name, options=options)
    facts = dict(dataset.provenance) | {
        "catalogue": entry.name,
        "package": entry.requirement,
        "package_sha256": entry.sha256,
        "files": source_files(*sorted(folder.iterdir()), relative_to=folder),
        "terms": entry.terms,
    }
    records = read_recbole_items(folder / f"{entry.name}.item").select_items(dataset.items["id"])
    if with_text and entry.text:
        texts = records.frame.select(
            pl.concat_str(_words(records, entry.text), separator=" ", ignore_nulls=True)
        )
        dataset = dataset.replace(features={"text": text_features(texts.to_series().to_list())})
        facts["features"] = {"text": f"TF-IDF and truncated SVD of {', '.join(entry.text)}"}
    dataset = dataset.replace(provenance=facts)
    if with_kg and entry.recipe is not None:
        dataset = with_knowledge(dataset, parse_recipe(entry.recipe, f"recipe of {entry.name}"), folder)
    return dataset


def _words(records: ItemRecords, fields: Sequence[str]) -> list[pl.Expr]:
    lists = [isinstance(records.frame.schema[field], pl.List) for field in fields]
    return [
        pl.col(field).cast(pl.List(pl.Utf8)).list.join(" ") if is_list else pl.col(field).cast(pl.Utf8)
        for field, is_list in zip(fields, lists, strict=True)
    ]


def _keep_raw(entry: CatalogEntry, folder: Path) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        (target / "raw").mkdir()
        for name in entry.keep:
            shutil.copy(folder / name, target / "raw" / name)
        if entry.recipe is not None:
            recipe = yaml.safe_dump(entry.recipe, sort_keys=False)
            (target / "raw" / "recipe.yaml").write_text(recipe, encoding="utf-8")

    return copy


def cache_folder() -> Path:
    """Return where downloads are kept: ``$KDIFFE_CACHE``, else ``~/.cache/kdiffe-dgl``."""
    chosen = os.environ.get("KDIFFE_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "kdiffe-dgl"


def fetch_files(entry: CatalogEntry, folder: Path) -> None:
    """Put the raw files of a data set into an existing folder.

    The wheel is downloaded once, checked against the pinned hash each time, and never installed.

    Raises
    ------
    InputError
        If it can't be downloaded, or is another file than the one that was pinned.
    """
    wheel = _cached_wheel(entry)
    with zipfile.ZipFile(wheel) as archive:
        for inside, name in entry.files.items():
            with archive.open(inside) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)


def _cached_wheel(entry: CatalogEntry) -> Path:
    cache = cache_folder()
    wheel = cache / entry.wheel
    if wheel.is_file() and sha256_file(wheel) == entry.sha256:
        return wheel
    try:
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".download-", dir=cache))
    except OSError as error:
        raise InputError(
            f"{cache}: can't be written ({error.strerror}); expected a place for downloads (KDIFFE_CACHE)"
        ) from None
    try:
        _pip_download(entry, temporary, wheel)
        downloaded = temporary / entry.wheel
        found = sha256_file(downloaded) if downloaded.is_file() else "no such file"
        if found != entry.sha256:
            raise InputError(
                f"{entry.name}: the downloaded {entry.wheel} has the SHA-256 {found}; expected {entry.sha256}"
            )
        downloaded.replace(wheel)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return wheel


def _pip_download(entry: CatalogEntry, folder: Path, wheel: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), entry.requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_PIP_SECONDS} seconds"
    else:
        if result.returncode == 0:
            return
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no reason given"]
        reason = errors[-1].removeprefix("ERROR:").strip()
    raise InputError(
        f"{entry.name}: pip can't download {entry.requirement} ({reason}); expected a connection to the "
        f"package index, or the wheel at {wheel}"
    )
