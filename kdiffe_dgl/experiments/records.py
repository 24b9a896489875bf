"""What was measured of runs, in small files: a comparison can be passed on and extended without its weights.

=========================================== ==========================================================
``DATASET/MODEL-DIGEST.parquet``            all seeds of the same settings: ``seed``, ``user`` (evaluated
                                            ones), a float64 column a metric (null where a seed was not
                                            measured by it); what else is known of each run lies in the
                                            metadata of the file, as JSON
``DATASET/search-MODEL-DIGEST.json``        the best values that a search of settings found
=========================================== ==========================================================

The digests are of data, of the settings that are not the defaults and, for searches, of all else that a
search insists on: a version that knows more settings still finds what an older one measured. Files are
written whole and sorted: the same content gives the same bytes. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from kdiffe_dgl.config import Component, parse_config
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.experiments.jobs import identity_name, trained_settings
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.output import file_name
from kdiffe_dgl.experiments.results import RunResult
from kdiffe_dgl.serving import files
from kdiffe_dgl.training.config import RunConfig, resolve
from kg_builders.formats.atomic import writing

__all__ = ["Records"]

_SCHEMA_VERSION = 1
_KEY = b"kdiffe_records"
_EXPECTED = "expected a file of records written by kdiffe compare"
# Means are summed in another order on another machine; a value that was edited differs by more.
_ROUNDING = 1e-9


class _Run(Component):
    """What a file says of one seed."""

    seed: Annotated[int, Field(ge=0)]
    best_epoch: int
    epochs: int
    seconds: float
    mask: tuple[Literal["train", "validation"], ...]
    cutoffs: Annotated[tuple[int, ...], Field(min_length=1)]
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    """Metrics with values by user."""
    validation: dict[str, float]
    test: dict[str, float]
    groups: dict[str, dict[str, dict[str, int | float]]]
    versions: dict[str, str]


class _File(Component):
    """What a file says of itself and of its runs."""

    schema_version: int
    dataset: str
    fingerprint: str
    settings: dict[str, Any]
    runs: Annotated[tuple[_Run, ...], Field(min_length=1)]


class _Best(Component):
    """What a search found."""

    schema_version: int
    identity: dict[str, Any]
    trials: int
    value: float
    values: dict[str, Any]


@dataclass(frozen=True)
class Records:
    """The records in a folder.

    Parameters
    ----------
    folder
        The folder.
    """

    folder: Path

    def make(self) -> None:
        """Make the folder, so that who can't is told before anything is trained."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def file(self, dataset: RecDataset, config: RunConfig) -> Path:
        """Return the file for the runs of these settings on a data set."""
        name = identity_name(config.name, [_lasting(trained_settings(config)), dataset.fingerprint])
        return self.folder / file_name(dataset.name) / f"{name}.parquet"

    def runs(self, dataset: RecDataset, config: RunConfig) -> dict[int, Measured]:
        """Return what is recorded of the runs of these settings, by seed.

        Raises
        ------
        InputError
            If the file is damaged, was edited, or is another than its name says.
        """
        file = self.file(dataset, config)
        if not file.exists():
            return {}
        table = _read_parquet(file)
        about = _about(file, table)
        if about.fingerprint != dataset.fingerprint:
            raise InputError(f"{file}: holds runs of another fingerprint; expected that of its name")
        if _lasting(about.settings, str(file)) != _lasting(trained_settings(config)):
            raise InputError(
                f"{file}: holds runs of other settings; expected those of its name (if the default of a "
                "setting has changed since, delete the file)"
            )
        metrics = sorted({metric for run in about.runs for metric in run.metrics})
        if table.schema.remove_metadata() != _schema(metrics):
            raise InputError(
                f"{file}: has the columns {', '.join(map(str, table.schema.names))}; expected seed and user "
                f"(int32), {', '.join(metrics)} (float64)"
            )
        users = np.flatnonzero(np.diff(dataset.matrix("test").indptr)).astype(np.int64)
        seeds = [run.seed for run in about.runs]
        if len(set(seeds)) < len(seeds) or not np.array_equal(
            np.stack([table[name].to_numpy() for name in ("seed", "user")]),
            [np.repeat(seeds, len(users)), np.tile(users, len(seeds))],
        ):
            raise InputError(
                f"{file}: its rows are not those of its seeds; expected one for each of the {len(users)} "
                f"evaluated users and the seeds {', '.join(map(str, seeds))}"
            )
        return {
            run.seed: _measured(file, run, table.slice(place * len(users), len(users)), users, dataset)
            for place, run in enumerate(about.runs)
        }

    def keep(self, dataset: RecDataset, config: RunConfig, measured: Mapping[int, Measured]) -> None:
        """Record runs by seed, beside those that are recorded; another measurement of a seed is replaced."""
        # Read again: another comparison may have written since.
        held = {**self.runs(dataset, config), **measured}
        found = [held[seed] for seed in sorted(held)]
        metrics = sorted({metric for _, test in found for metric in test.per_user})
        about = {
            "schema_version": _SCHEMA_VERSION,
            "dataset": dataset.name,
            "fingerprint": dataset.fingerprint,
            "settings": trained_settings(config),
            "runs": [
                {
                    **{name: value for name, value in vars(run).items() if name not in ("folder", "record")},
                    "mask": sorted(test.mask),
                    "cutoffs": test.cutoffs,
                    "metrics": sorted(test.per_user),
                }
                for run, test in found
            ],
        }
        seeds = np.concatenate([np.full(len(test.users), run.seed, np.int32) for run, test in found])
        users = np.concatenate([test.users.astype(np.int32) for _, test in found])
        columns = [pa.array(seeds), pa.array(users), *(_column(metric, found) for metric in metrics)]
        # Not sorted by key: groups stand in the order of their tables.
        metadata = {_KEY: json.dumps(about, ensure_ascii=False, allow_nan=False)}
        table = pa.table(columns, schema=_schema(metrics).with_metadata(metadata))
        file = self.file(dataset, config)
        _make_folder_of(file)
        with files.atomic_file(file) as temporary:
            # Values of a metric are few, users ascend.
            pq.write_table(
                table,
                temporary,
                compression="zstd",
                use_dictionary=["seed", *metrics],
                column_encoding={"user": "DELTA_BINARY_PACKED"},
                write_page_checksum=True,
            )

    def search_file(self, dataset: RecDataset, identity: Mapping[str, Any], trials: int) -> Path:
        """Return the file for a search of so many trials: with more, it is another search."""
        name = identity_name(str(identity["model"]), {**_lasting_search(identity), "trials": trials})
        return self.folder / file_name(dataset.name) / f"search-{name}.json"

    def search(
        self, dataset: RecDataset, identity: Mapping[str, Any], trials: int, names: Sequence[str]
    ) -> tuple[float, dict[str, Any]] | None:
        """Return the best validation metric of a search and the values that gave it; null without a record.

        Parameters
        ----------
        dataset
            The data set.
        identity
            See :func:`kdiffe_dgl.experiments.tuning.identity`.
        trials
            Trials of the whole search.
        names
            The settings that are searched.

        Raises
        ------
        InputError
            If the file is damaged, was edited, or is another than its name says.
        """
        file = self.search_file(dataset, identity, trials)
        if not file.exists():
            return None
        stored = files.read_json(file, dict, _EXPECTED)
        _check_version(file, stored)
        best = parse_config(_Best, stored, str(file))
        stored_as = _lasting_search(best.identity, str(file))
        if (stored_as, best.trials) != (_lasting_search(identity), trials):
            raise InputError(f"{file}: holds another search; expected that of its name")
        if best.values.keys() != set(names):
            raise InputError(
                f"{file}: holds the settings {', '.join(sorted(best.values)) or '(none)'}; expected "
                f"{', '.join(sorted(names))}"
            )
        return best.value, best.values

    def keep_search(
        self,
        dataset: RecDataset,
        identity: Mapping[str, Any],
        trials: int,
        value: float,
        values: Mapping[str, Any],
    ) -> Path:
        """Record what a search found, and return the file; parameters as of :meth:`search`."""
        found = {
            "schema_version": _SCHEMA_VERSION,
            "identity": dict(identity),
            "trials": trials,
            "value": value,
            "values": dict(sorted(values.items())),
        }
        file = self.search_file(dataset, identity, trials)
        _make_folder_of(file)
        files.write_json(file, found)
        return file


def _make_folder_of(file: Path) -> None:
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def _lasting(settings: Mapping[str, Any], where: str = "") -> Any:
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


def _lasting_search(identity: Mapping[str, Any], where: str = "") -> Any:
    """Return what a search insists on, its settings without the defaults."""
    settings = identity.get("settings")
    if not isinstance(settings, Mapping) or "training" not in settings:
        return _plain(identity)
    return _plain({**identity, "settings": _lasting(settings, where)})


def _schema(metrics: Sequence[str]) -> Any:
    return pa.schema(
        [("seed", pa.int32()), ("user", pa.int32()), *((metric, pa.float64()) for metric in metrics)]
    )


def _column(metric: str, found: Sequence[Measured]) -> Any:
    """Return the values of a metric, null for runs that were not measured by it."""
    parts = [
        pa.array(test.per_user[metric])
        if metric in test.per_user
        else pa.nulls(len(test.users), pa.float64())
        for _, test in found
    ]
    return pa.concat_arrays(parts)


def _read_parquet(file: Path) -> Any:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            return parquet.read()
    # Names that are no UTF-8 are a ValueError.
    except (pa.ArrowException, OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{file}: is not a readable Parquet file ({told}); {_EXPECTED}") from error


def _check_version(file: Path, stored: Mapping[str, Any]) -> None:
    version = stored.get("schema_version")
    if version != _SCHEMA_VERSION:
        raise InputError(f"{file}: schema version {version!r}; expected {_SCHEMA_VERSION}")


def _about(file: Path, table: Any) -> _File:
    """Read what the metadata of a file say."""
    text = (table.schema.metadata or {}).get(_KEY)
    try:
        stored = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise InputError(f"{file}: does not tell what its values are of; {_EXPECTED}")
    _check_version(file, stored)
    return parse_config(_File, stored, str(file))


def _measured(file: Path, run: _Run, rows: Any, users: np.ndarray, dataset: RecDataset) -> Measured:
    """Put together what a file holds of one seed."""
    for name in (*run.metrics, *(f"recall@{cutoff}" for cutoff in run.cutoffs)):
        if name not in run.test:
            raise InputError(f"{file}: seed {run.seed} has no mean of {name}; {_EXPECTED}")
    per_user = {metric: np.ascontiguousarray(rows[metric].to_numpy()) for metric in run.metrics}
    for metric, values in per_user.items():
        mean = float(values.mean())
        if not math.isclose(mean, run.test[metric], rel_tol=_ROUNDING, abs_tol=_ROUNDING):
            raise InputError(
                f"{file}: the mean of {metric} over the users of seed {run.seed} is {mean:.6g}; expected "
                f"{run.test[metric]:.6g}, as the file itself says (was it edited?)"
            )
    left_out = dataset.n_users - len(users)
    test = Evaluation("test", run.mask, run.cutoffs, run.test, per_user, users, left_out)
    facts = {name: getattr(run, name) for name in ("best_epoch", "epochs", "seconds", "validation", "test")}
    result = RunResult(
        seed=run.seed, folder=None, **facts, groups=run.groups, versions=run.versions, record=file
    )
    try:
        Measures(run.metrics, run.mask, run.cutoffs).of((result, test))
    except (KeyError, ValueError) as error:
        raise InputError(f"{file}: seed {run.seed} has no figures of {error}; {_EXPECTED}") from error
    return result, test
