"""The folder of a training run: everything that evaluation, recommendation and reports need.

========================== ==========================================================================
``run.json``               schema version, model, data set and its fingerprint, seed, versions
``config.yaml``            the resolved configuration
``users.parquet``          ``user``, ``id`` (original), ``label``, in the order of the representations
``items.parquet``          ``item``, ``id`` (original), ``label``, in the order of the representations
``seen.parquet``           ``user``, ``item``, ``split``: what a user has met already
``model.safetensors``      weights
``graphs.safetensors``     edges that diffusion kept, proposed and generated in the best epoch
``representations.safetensors`` ``user`` [users, dim] and ``item`` [items, dim]; score = dot product
``history.json``           a list of epochs
``metrics.json``           validation and test metrics
========================== ==========================================================================

Reading and writing need neither DGL nor torch. No file is pickled, and each appears whole or not at all.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving import files
from kg_builders.formats.atomic import staged_folder

if TYPE_CHECKING:
    from kdiffe_dgl.data.dataset import RecDataset

__all__ = ["SCHEMA_VERSION", "RunFolder", "RunInfo", "require_free"]

SCHEMA_VERSION = 1
INDEX = "run.json"
CONFIG = "config.yaml"
WEIGHTS = "model.safetensors"
GRAPHS = "graphs.safetensors"
REPRESENTATIONS = "representations.safetensors"
HISTORY = "history.json"
METRICS = "metrics.json"
SEEN = "seen.parquet"

_SEEN_SCHEMA = {"user": pl.Int64, "item": pl.Int64, "split": pl.Utf8}
_PACKAGES = ("kdiffe-dgl", "dgl", "torch", "numpy", "scipy", "polars", "safetensors")
_HINT = "expected a run folder written by kdiffe train"
_UNFINISHED = f"{_HINT} to its end"
_INFO_TYPES: dict[str, type] = {
    "model": str,
    "dataset": str,
    "fingerprint": str,
    "seed": int,
    "versions": dict,
}


@dataclass(frozen=True)
class RunInfo:
    """What ``run.json`` says.

    Parameters
    ----------
    model
        Name of the model in the registry.
    dataset
        Name of the data set.
    fingerprint
        Its ``RecDataset.fingerprint``.
    seed
        Seed of the run.
    versions
        Package -> version, Python included.
    """

    model: str
    dataset: str
    fingerprint: str
    seed: int
    versions: Mapping[str, str]


def installed_versions() -> dict[str, str]:
    """Return the versions that a result depends on; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


class RunFolder:
    """A run folder that exists. :meth:`create` makes one.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    InputError
        If the folder is not a run folder, or of a version that this code does not know.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.info = self._read_info()
        self._identity_tables: dict[str, pl.DataFrame] = {}

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        dataset: RecDataset,
        *,
        model: str,
        seed: int,
        config: Mapping[str, Any],
        seen: Sequence[str] = ("train", "validation"),
        overwrite: bool = False,
    ) -> RunFolder:
        """Make a run folder with configuration, id maps and what each user has seen.

        The folder is prepared beside its place and renamed.

        Parameters
        ----------
        path
            Where the folder will be; parents are made.
        dataset
            The data set that the model is trained on.
        model
            Name of the model.
        seed
            Seed of the run.
        config
            The resolved configuration, of types that YAML knows.
        seen
            Splits that :class:`~kdiffe_dgl.serving.Recommender` leaves out of recommendations.
        overwrite
            Whether an earlier run in this place is removed, with all that its folder holds.

        Raises
        ------
        InputError
            If the place is taken: by a run, unless ``overwrite``; by anything else, always.
        """
        target = Path(path)
        require_free(target, overwrite)
        with staged_folder(target) as temporary:
            files.write_yaml(temporary / CONFIG, config)
            files.write_table(temporary / "users.parquet", dataset.users.select("user", "id", "label"))
            files.write_table(temporary / "items.parquet", dataset.items.select("item", "id", "label"))
            known = dataset.interactions.filter(pl.col("split").is_in(list(seen)))
            files.write_table(temporary / SEEN, known.select(list(_SEEN_SCHEMA)).sort("user", "item"))
            info = {
                "schema_version": SCHEMA_VERSION,
                "model": model,
                "dataset": dataset.name,
                "fingerprint": dataset.fingerprint,
                "seed": seed,
                "versions": installed_versions(),
            }
            files.write_json(temporary / INDEX, info)
        return cls(target)

    def _read_info(self) -> RunInfo:
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such folder; {_HINT}")
        file = self.path / INDEX
        content = files.read_json(file, dict, _HINT)
        if content.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"{file}: schema version {content.get('schema_version')!r}; expected {SCHEMA_VERSION}"
            )
        for key, kind in _INFO_TYPES.items():
            if not isinstance(content.get(key), kind):
                raise InputError(f"{file}: field {key!r} is missing or not a {kind.__name__}")
        if isinstance(content["seed"], bool) or content["seed"] < 0:
            raise InputError(f"{file}: field 'seed' is {content['seed']}; expected a whole number from 0")
        return RunInfo(**{key: content[key] for key in _INFO_TYPES})

    def check_dataset(self, dataset: RecDataset) -> None:
        """Refuse a data set that the run was not trained on.

        Raises
        ------
        InputError
            If the fingerprints differ.
        """
        if dataset.fingerprint != self.info.fingerprint:
            raise InputError(
                f"{self.path}: the run belongs to data set {self.info.dataset!r} with fingerprint "
                f"{self.info.fingerprint[:12]}, not to {dataset.name!r} with {dataset.fingerprint[:12]}; "
                "expected the data set that it was trained on"
            )

    def write_weights(self, state: Mapping[str, Any]) -> None:
        """Write the weights: name -> array or torch tensor."""
        files.write_tensors(self.path / WEIGHTS, state)

    def weights(self) -> dict[str, np.ndarray]:
        """Read the weights.

        Raises
        ------
        InputError
            If the file is missing or damaged, or a weight is NaN or infinite.
        """
        file = self.path / WEIGHTS
        weights = files.read_tensors(file, _UNFINISHED)
        for name, value in weights.items():
            if np.issubdtype(value.dtype, np.inexact) and not np.isfinite(value).all():
                raise InputError(f"{file}: {name!r} holds NaN or infinite values; expected finite numbers")
        return weights

    def write_graphs(self, state: Mapping[str, Any]) -> None:
        """Write the graphs of the best epoch: name -> array or torch tensor."""
        files.write_tensors(self.path / GRAPHS, state)

    def graphs(self) -> dict[str, np.ndarray]:
        """Read the graphs of the best epoch."""
        return files.read_tensors(self.path / GRAPHS, _UNFINISHED)

    def write_representations(self, user: Any, item: Any) -> None:
        """Write the final representations, arrays or torch tensors, as float32.

        Parameters
        ----------
        user, item
            shapes: ``[users, dim]``, ``[items, dim]``; the score of a pair is the dot product.
        """
        tables = {
            name: tensor.detach().float() if hasattr(tensor, "detach") else np.asarray(tensor, np.float32)
            for name, tensor in (("user", user), ("item", item))
        }
        files.write_tensors(self.path / REPRESENTATIONS, tables)

    def representations(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the representations of users and items.

        Returns
        -------
        tuple
            float32 ``[users, dim]`` and ``[items, dim]``.

        Raises
        ------
        InputError
            If one is missing, not finite, or does not fit the id maps or the other.
        """
        file = self.path / REPRESENTATIONS
        tables = files.read_tensors(file, _UNFINISHED)
        widths = set()
        for name, expected in (("user", len(self.users())), ("item", len(self.items()))):
            table = tables.get(name)
            if table is None or table.ndim != 2 or table.dtype != np.float32:
                raise InputError(f"{file}: lacks a float32 matrix {name!r}; expected 'user' and 'item'")
            if len(table) != expected:
                raise InputError(
                    f"{file}: {name!r} has {len(table)} rows; expected {expected}, one for each of "
                    f"{name}s.parquet"
                )
            if not np.isfinite(table).all():
                raise InputError(f"{file}: {name!r} holds NaN or infinite values; expected finite numbers")
            widths.add(table.shape[1])
        if len(widths) > 1:
            raise InputError(
                f"{file}: users have {tables['user'].shape[1]} dimensions and items "
                f"{tables['item'].shape[1]}; expected the same"
            )
        return tables["user"], tables["item"]

    def write_history(self, epochs: Sequence[Mapping[str, Any]]) -> None:
        """Write the list of epochs: ``epoch``, ``seconds``, ``losses``, ``validation`` (or null)."""
        files.write_json(self.path / HISTORY, list(epochs))

    def history(self) -> list[dict[str, Any]]:
        """Read the list of epochs."""
        return files.read_json(self.path / HISTORY, list, _HINT)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics: ``validation`` and ``test`` (name -> value), ``mask`` (splits)."""
        files.write_json(self.path / METRICS, dict(metrics))

    def metrics(self) -> dict[str, Any]:
        """Read the metrics."""
        return files.read_json(self.path / METRICS, dict, _UNFINISHED)

    def config(self) -> dict[str, Any]:
        """Read the resolved configuration."""
        return files.read_yaml(self.path / CONFIG, _HINT)

    def users(self) -> pl.DataFrame:
        """Read the users: ``user``, ``id``, ``label``."""
        return self._identities("user")

    def items(self) -> pl.DataFrame:
        """Read the items: ``item``, ``id``, ``label``."""
        return self._identities("item")

    def _identities(self, key: str) -> pl.DataFrame:
        # Several readers check themselves against the id maps, which never change within a run.
        if key not in self._identity_tables:
            self._identity_tables[key] = self._read_identities(key)
        return self._identity_tables[key]

    def _read_identities(self, key: str) -> pl.DataFrame:
        file = self.path / f"{key}s.parquet"
        frame = files.read_table(file, {key: pl.Int64, "id": pl.Utf8, "label": pl.Utf8}, _HINT)
        if not frame[key].equals(pl.Series(key, range(len(frame)), dtype=pl.Int64)):
            raise InputError(f"{file}: {key} numbers must be 0, 1, 2, ... in row order")
        return frame

    def seen(self) -> pl.DataFrame:
        """Read what users have met: ``user``, ``item``, ``split``, sorted by user and item."""
        file = self.path / SEEN
        frame = files.read_table(file, _SEEN_SCHEMA, _HINT)
        for column, bound in (("user", len(self.users())), ("item", len(self.items()))):
            bad = frame.filter((pl.col(column) < 0) | (pl.col(column) >= bound))
            if len(bad):
                raise InputError(
                    f"{file}: refers to unknown {column} {bad[column][0]}; "
                    f"expected a number from 0 to {bound - 1}"
                )
        return frame.sort("user", "item")


def require_free(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Refuse a place where no run folder can be made.

    Raises
    ------
    InputError
        If the place is taken: by a run, unless ``overwrite``; by anything else, always.
    """
    target = Path(path)
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target}: is a file; expected a place for a run folder")
    if not any(target.iterdir()):
        return
    if not (target / INDEX).is_file():
        raise InputError(f"{target}: holds other files and no {INDEX}; expected a new or empty folder")
    if not overwrite:
        raise InputError(
            f"{target}: holds a run already; expected a new folder, or --resume to go on with it, or "
            "--overwrite to remove it"
        )
