"""The folder of an experiment: what lies in it, and how its figures are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.lock import LOCK
from kdiffe_dgl.serving import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FIGURES",
    "RESULTS",
    "RUNS",
    "SEARCHES",
    "TABLES",
    "file_name",
    "file_names",
    "require_output",
    "write_figures",
    "write_results",
]

RESULTS = "results.json"
TABLES = "tables"
FIGURES = "figures"
RUNS = "runs"
SEARCHES = "searches"


def write_figures(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures as PNG and SVG, each file whole.

    Parameters
    ----------
    figures
        File name without suffix -> figure.
    folder
        Where to; it is made.

    Returns
    -------
    list of Path
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        for suffix in ("png", "svg"):
            with files.atomic_file(folder / f"{name}.{suffix}") as temporary:
                figure.savefig(temporary, dpi=120, format=suffix)
            written.append(folder / f"{name}.{suffix}")
    return written


def write_results(folder: Path, figures: Mapping[str, Figure], facts: Mapping[str, Any]) -> list[Path]:
    """Write figures/, and results.json with their names; figures of earlier results that are none of them go.

    Parameters
    ----------
    folder
        Where to; it is there.
    figures
        File name without suffix -> figure.
    facts
        The results, as types that JSON knows.

    Returns
    -------
    list of Path
        The files.
    """
    earlier = _figures_of(folder / RESULTS)
    written = write_figures(figures, folder / FIGURES)
    # Without case: on some systems such names are of one file.
    kept = {path.name.lower() for path in written}
    for path in (folder / FIGURES / name for name in earlier):
        if path.name.lower() not in kept and path.is_file():
            path.unlink()
    # Last: where it is, the others are of the same results.
    files.write_json(folder / RESULTS, {**facts, "figures": [path.name for path in written]})
    return [*written, folder / RESULTS]


def _figures_of(results: Path) -> list[str]:
    """Return names of the files in figures/ that were written with results; none where they don't tell."""
    try:
        named = files.read_json(results, dict, "").get("figures")
    except (InputError, OSError):
        return []  # results are written anew: what is wrong with these harms nothing
    names = named if isinstance(named, list) else []
    # A file that somebody edited may lead elsewhere.
    return [
        name
        for name in names
        if isinstance(name, str) and re.fullmatch(r"[\w.-]+\.(png|svg)", name, re.ASCII)
    ]


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return names that are safe as parts of file names, different ones for different names."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60] or "data"
        taken, number, one = {made.lower() for made in found.values()}, 2, plain
        while one.lower() in taken:
            one, number = f"{plain}-{number}", number + 1
        found[name] = one
    return found


def file_name(name: str) -> str:
    """Return a name that is safe as part of a file name."""
    return file_names([name])[name]


def require_output(folder: Path, records: Path | None = None) -> None:
    """Refuse a place for results, or for records, that holds something else.

    Parameters
    ----------
    folder
        Where runs and results go.
    records
        Where records are, which may be within it.

    Raises
    ------
    InputError
        If one is a file, both are the same, or the first is a folder with other content than runs or
        results of an experiment.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for runs and results")
    if records is not None:
        if records.exists() and not records.is_dir():
            raise InputError(f"{records}: is a file; expected a folder for records")
        if records.resolve() == folder.resolve():
            raise InputError(f"{records}: is the folder of runs and results; expected another for records")
    inside = records.resolve() if records is not None else folder
    if folder.is_dir() and any(
        path.name != LOCK and not inside.is_relative_to(path.resolve()) for path in folder.iterdir()
    ):
        ours = (RUNS, RESULTS, SEARCHES)
        if not any((folder / name).exists() for name in ours):
            raise InputError(
                f"{folder}: holds other files; expected a new or empty folder, or one of an experiment"
            )
