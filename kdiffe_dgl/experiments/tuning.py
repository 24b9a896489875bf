"""Settings chosen on validation: a search over what a model's configuration declares."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from kdiffe_dgl.api import settings_for
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.grid import NoWatcher, Watcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, JobResult, Source, trained_settings
from kdiffe_dgl.experiments.lock import LOCK, only_one
from kdiffe_dgl.experiments.study import Pruner, Study, require_optuna
from kdiffe_dgl.experiments.tuned import Tuning, value_of, with_values
from kdiffe_dgl.models.closed_form import ClosedFormModel
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.search import Needs, Searched, search_space
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import RunConfig
from kg_builders.config import nearest

__all__ = ["JOURNAL", "TuneOptions", "declared_space", "identity", "search", "tune", "without_test"]

JOURNAL = "study.jsonl"
TRIALS = "trials"


def without_test(dataset: RecDataset) -> RecDataset:
    """Return the data set without its test interactions, so that no choice can depend on them."""
    kept = dataset.interactions.filter(pl.col("split").ne_missing("test"))
    return dataset.replace(interactions=kept)


def declared_space(
    config: RunConfig, dataset: RecDataset, fixed: Sequence[str] = (), only: Sequence[str] = ()
) -> dict[str, Searched]:
    """Return what is tried of a model on a data set.

    Parameters
    ----------
    config
        The settings that the search starts from.
    dataset
        Settings of parts that read what the data set lacks are left out, and those that change nothing beside
        the others.
    fixed
        Settings ``key=value`` that were given: they, and all within them, are not searched.
    only
        Settings or groups of them, such as ``model.contrast``, that are searched alone; empty: all.

    Returns
    -------
    dict of str to Searched
        Empty where nothing is left to search.

    Raises
    ------
    InputError
        If one of ``only`` names nothing that would be searched without it.
    """
    has: list[Needs] = []
    if dataset.kg is not None and len(dataset.kg.triples):
        has.append("kg")
    if dataset.features:
        has.append("features")
    found = search_space(config.model, "model.", has)
    if not issubclass(model_class(config.name), ClosedFormModel):
        found.update(search_space(config.training, "training."))
    given = [setting.partition("=")[0].strip() for setting in fixed]
    space = {name: searched for name, searched in found.items() if not _within(name, given)}
    for key in only:
        if not any(_within(name, [key]) for name in space):
            raise InputError(
                f"search {key!r}: names nothing that can be searched here{nearest(key, _names(space))}"
            )
    return {name: searched for name, searched in space.items() if not only or _within(name, only)}


def _within(name: str, keys: Sequence[str]) -> bool:
    """Whether a setting is one of several, or in one of several groups of settings."""
    return any(f"{name}.".startswith(f"{key}.") for key in keys)


def _names(space: Mapping[str, Searched]) -> list[str]:
    """Return the names of settings and of the groups that they are in."""
    groups = {name.rpartition(".")[0] for name in space}
    return sorted({*space, *groups})


def identity(
    dataset: RecDataset, config: RunConfig, space: Mapping[str, Searched], options: TuneOptions
) -> dict[str, Any]:
    """Return what a search is a search of: with anything else its trials say nothing."""
    return {
        "data set": dataset.fingerprint,
        "model": config.name,
        "space": {name: list(map(str, vars(searched).values())) for name, searched in space.items()},
        "settings": trained_settings(config),
        "seed": options.seed,
        "pruner": options.pruner,
    }


@dataclass(frozen=True)
class TuneOptions:
    """How a search is carried out.

    Parameters
    ----------
    trials
        Trials of the whole study, those of earlier calls included.
    timeout
        Seconds after which no trial is begun any more; null: no limit.
    seed
        Seed of the sampler and of each training.
    pruner
        Which trials are stopped early, see :class:`kdiffe_dgl.experiments.study.Study`.
    """

    trials: int = 30
    timeout: float | None = None
    seed: int = 0
    pruner: Pruner = "median"


class _Search(NoWatcher):
    """Asks a study what to try next, and tells it what came of it.

    Parameters
    ----------
    study
        The study.
    options
        How many trials, and how long.
    config
        Settings that a trial starts from.
    source, folder, device
        Data, folder and device of the trials.
    watcher
        Whom to tell.
    label
        What stands before the number of a trial.
    """

    def __init__(
        self,
        study: Study,
        options: TuneOptions,
        config: RunConfig,
        source: Source,
        folder: Path,
        device: str,
        watcher: Watcher,
        label: str,
    ) -> None:
        self._label = label
        self._study, self._options, self._config = study, options, config
        self._source, self._folder, self._device, self._watcher = source, folder, device, watcher
        self._numbers: dict[Path, int] = {}

    def jobs(self) -> Iterator[Job]:
        """Yield a job for each trial until the budget is spent."""
        started = time.monotonic()
        left = self._options.trials - len(self._study.ended())
        self._watcher.grid_begins(max(0, left))
        for _ in range(left):
            if self._options.timeout is not None and time.monotonic() - started >= self._options.timeout:
                return
            number, values = self._study.ask()
            try:
                config = with_values(self._config, values)
            except InputError as error:
                self._study.end(number, None, 0.0, str(error))
                continue
            folder = self._folder / f"{number:05d}"
            self._numbers[folder] = number
            yield Job(
                f"{self._label}trial {number}", self._source, config, self._options.seed, folder, self._device
            )

    def job_begins(self, job: Job) -> None:
        """Pass it on."""
        self._watcher.job_begins(job)

    def epoch_ends(self, job: Job, record: dict[str, Any], best: bool) -> bool:
        """Report a validation, and stop what is not promising."""
        wished = self._watcher.epoch_ends(job, record, best)
        if not record["validation"]:
            return wished
        number = self._numbers[job.folder]
        value = float(record["validation"][self._config.training.monitor])
        return self._study.promising(number, int(record["epoch"]), value) and wished

    def job_ends(self, result: JobResult) -> None:
        """End the trial; its run is not kept."""
        number = self._numbers.pop(result.job.folder)
        best = None
        if result.done:
            # Not the best of the epochs: weights of the score may have been fitted after them.
            found = RunFolder(result.job.folder).metrics()["validation"]
            best = float(found[self._config.training.monitor]) if found else None
        reason = result.reason or ("no epoch was validated" if result.done and best is None else "")
        self._study.end(number, best, result.seconds, reason)
        shutil.rmtree(result.job.folder, ignore_errors=True)
        self._watcher.job_ends(result)


def tune(
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    model: str | None = None,
    preset_name: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    options: TuneOptions | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
    label: str = "",
) -> Tuning:
    """Search settings by the best validation metric (``training.monitor``, by default Recall@20).

    The test interactions are removed before anything is trained. A search that was stopped goes on with the
    same call, and one that is over with more trials.

    Parameters
    ----------
    data
        Folder of the data set.
    folder
        Where the journal and the results go.
    model, preset_name, config, overrides
        Settings to start from, as of :meth:`kdiffe_dgl.api.Run.train`; what ``overrides`` names is not
        searched. The first trial has these settings.
    only
        Settings or groups of them that are searched alone, see :func:`declared_space`; empty: all.
    options
        Number of trials, and how they are chosen.
    jobs, threads, device, watcher
        As of :func:`kdiffe_dgl.experiments.compare`. With more than one job, what is tried depends on which
        trial ends first.
    label
        What is told before the number of a trial, such as ``"LightGCN, "``.

    Returns
    -------
    Tuning
        The best settings, tables and figures; :meth:`Tuning.write` writes them.

    Raises
    ------
    InputError
        If Optuna is missing, a setting does not fit or is none that can be searched, nothing can be searched,
        or the folder is taken or in use.
    """
    options = options or TuneOptions()
    require_optuna()
    dataset = RecDataset.load(data)
    settings = settings_for(preset_name, config, overrides, model)
    space = declared_space(settings, dataset, overrides, only)
    if not space:
        raise InputError(f"model {settings.name}: has no setting to search; expected one that declares some")
    return search(
        Path(data),
        dataset,
        Path(folder),
        settings,
        space,
        options,
        jobs=jobs,
        threads=threads,
        device=device,
        watcher=watcher,
        label=label,
    )


def search(
    data: Path,
    dataset: RecDataset,
    folder: Path,
    settings: RunConfig,
    space: Mapping[str, Searched],
    options: TuneOptions,
    *,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
    label: str = "",
) -> Tuning:
    """Search settings, as :func:`tune` does, with data and settings that have been read.

    Parameters
    ----------
    data, dataset
        Folder of the data set, and what was read from it.
    folder, options, jobs, threads, device, watcher, label
        As of :func:`tune`.
    settings
        Settings to start from.
    space
        What is tried, see :func:`declared_space`.

    Raises
    ------
    InputError
        If Optuna is missing, a split is empty, or the folder is taken or in use.
    """
    require_optuna()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the search")
    others = {path.name for path in folder.iterdir()} - {LOCK} if folder.is_dir() else set()
    if others and not (folder / JOURNAL).is_file():
        raise InputError(f"{folder}: holds other files; expected a new or empty folder, or one of a search")
    for split in ("train", "validation"):
        if not len(dataset.pairs(split)):
            raise InputError(
                f"data set {dataset.name!r}: the {split} split is empty; expected interactions in it"
            )
    about = identity(dataset, settings, space, options)
    start = {name: value_of(settings, name) for name in space}
    with only_one(folder):
        study = Study(folder / JOURNAL, about, space, start, options.seed, options.pruner)
        # Runs of a process that was killed.
        shutil.rmtree(folder / TRIALS, ignore_errors=True)
        watching = _Search(
            study,
            options,
            settings,
            Source(data, without_test),
            folder / TRIALS,
            device,
            watcher or NoWatcher(),
            label,
        )
        try:
            run_grid(watching.jobs(), n_jobs=jobs, threads=threads, watcher=watching)
        finally:
            shutil.rmtree(folder / TRIALS, ignore_errors=True)
    return Tuning(
        dataset.name,
        settings.name,
        settings.training.monitor,
        folder,
        space,
        tuple(study.ended()),
        study.importance(),
        settings,
    )
