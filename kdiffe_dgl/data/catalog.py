"""Data sets that can be fetched: what they are, their terms, and how their files are got and checked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from kdiffe_dgl.data.storage import sha256_file
from kdiffe_dgl.errors import InputError
from kg_builders.config import nearest

__all__ = ["CATALOG", "CatalogEntry", "cache_folder", "catalog_entry", "fetch_files"]

_PIP_SECONDS = 600


@dataclass(frozen=True)
class CatalogEntry:
    """A data set inside a published Python package.

    Parameters
    ----------
    name
        Name on the command line.
    title
        One line for people.
    terms
        Under what conditions the data may be used, and where that is written.
    requirement
        What pip is asked for: one exact version.
    wheel
        File name of the wheel.
    sha256
        Of the wheel, as published on PyPI.
    files
        Path inside the wheel -> file name in the raw folder.
    item_label
        How the fields of ``.item`` make a label.
    text
        Fields of ``.item`` that make the text modality.
    recipe
        Name of the ``kg_builders`` preset that makes the knowledge graph.
    """

    name: str
    title: str
    terms: str
    requirement: str
    wheel: str
    sha256: str
    files: dict[str, str] = field(default_factory=dict)
    item_label: str | None = None
    text: tuple[str, ...] = ()
    recipe: str | None = None


_ML_100K = CatalogEntry(
    name="ml-100k",
    title="MovieLens 100K: 100,000 ratings of 1,682 films by 943 people, with Freebase triples",
    terms=(
        "MovieLens 100K is by the GroupLens Research Project, University of Minnesota. It may be used for "
        "research, with acknowledgement (Harper and Konstan 2015, The MovieLens Datasets: History and "
        "Context, doi:10.1145/2827872). It may not be used for commercial or revenue-bearing purposes "
        "without permission, nor passed on without it. Terms: "
        "https://files.grouplens.org/datasets/movielens/ml-100k-README.txt. The files are those in the "
        "RecBole 1.2.1 wheel (MIT licence); the triples come from Freebase (CC BY)."
    ),
    requirement="recbole==1.2.1",
    wheel="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    files={
        f"recbole/dataset_example/ml-100k/ml-100k.{suffix}": f"ml-100k.{suffix}"
        for suffix in ("inter", "item", "user", "kg", "link")
    },
    item_label="{movie_title} ({release_year})",
    text=("movie_title", "release_year", "class"),
    recipe="ml-100k",
)

CATALOG = {entry.name: entry for entry in (_ML_100K,)}
"""Name -> entry of every data set that can be fetched."""


def catalog_entry(name: str) -> CatalogEntry:
    """Look a data set up by name.

    Raises
    ------
    InputError
        If there is none of that name; the nearest is offered.
    """
    if name not in CATALOG:
        raise InputError(f"data set {name!r} can't be fetched{nearest(name, CATALOG)}")
    return CATALOG[name]


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
