"""What was measured of runs, in small files: a comparison can be passed on and extended without its weights.

A file, ``DATASET/MODEL-DIGEST.parquet``, is of all seeds of the same settings: ``seed``, ``user`` (evaluated
ones), a float64 column a metric (null where a seed was not measured by it). What else is known of each run
lies in the metadata of the file, as JSON.

The digest is of data, of the mask, and of the settings that are not the defaults: a version that knows more
settings still finds what an older one measured. Files are written whole and sorted: the same content gives
the same bytes. Nothing is pickled.
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
from kdiffe_dgl.experiments.lock import in_turn
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.record_files import (
    EXPECTED,
    SCHEMA_VERSION,
    check_version,
    dataset_folder,
    lasting,
    require_writable,
)
from kdiffe_dgl.experiments.results import RunResult
from kdiffe_dgl.serving import files
from kdiffe_dgl.training.config import RunConfig

__all__ = ["Records"]

_KEY = b"kdiffe_records"
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


@dataclass(frozen=True)
class Records:
    """The records of runs in a folder, measured with the same mask.

    Parameters
    ----------
    folder
        The folder.
    mask
        Splits whose items are left out of the lists: with another mask, the same runs are in other files.
    """

    folder: Path
    mask: tuple[str, ...]

    def file(self, dataset: RecDataset, config: RunConfig) -> Path:
        """Return the file for the runs of these settings on a data set."""
        about = [lasting(trained_settings(config)), dataset.fingerprint, sorted(set(self.mask))]
        return dataset_folder(self.folder, dataset) / f"{identity_name(config.name, about)}.parquet"

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
            raise InputError(f"{file}: holds runs of other data; expected those of its name")
        if lasting(about.settings, str(file)) != lasting(trained_settings(config)):
            raise InputError(
                f"{file}: holds runs of other settings; expected those of its name (if the default of a "
                "setting has changed since, delete the file)"
            )
        if any(set(run.mask) != set(self.mask) for run in about.runs):
            raise InputError(f"{file}: holds runs of another mask; expected those of its name")
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
        file = self.file(dataset, config)
        require_writable(file.parent)
        # In turn, and read again: another comparison may have written since, or be about to.
        with in_turn(file.parent):
            self._write(file, dataset, config, {**self.runs(dataset, config), **measured})

    def _write(
        self, file: Path, dataset: RecDataset, config: RunConfig, held: Mapping[int, Measured]
    ) -> None:
        found = [held[seed] for seed in sorted(held)]
        metrics = sorted({metric for _, test in found for metric in test.per_user})
        about = {
            "schema_version": SCHEMA_VERSION,
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
        raise InputError(f"{file}: is not a readable Parquet file ({told}); {EXPECTED}") from error


def _about(file: Path, table: Any) -> _File:
    """Read what the metadata of a file say."""
    text = (table.schema.metadata or {}).get(_KEY)
    try:
        stored = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise InputError(f"{file}: does not tell what its values are of; {EXPECTED}")
    check_version(file, stored)
    return parse_config(_File, stored, str(file))


def _measured(file: Path, run: _Run, rows: Any, users: np.ndarray, dataset: RecDataset) -> Measured:
    """Put together what a file holds of one seed."""
    for name in (*run.metrics, *(f"recall@{cutoff}" for cutoff in run.cutoffs)):
        if name not in run.test:
            raise InputError(f"{file}: seed {run.seed} has no mean of {name}; {EXPECTED}")
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
        raise InputError(f"{file}: seed {run.seed} has no figures of {error}; {EXPECTED}") from error
    return result, test
