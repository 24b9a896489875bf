"""One training run of an experiment: found finished, gone on with, or trained; never half-written."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.closed_form import ClosedFormModel
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.serving.run_folder import INDEX, METRICS, RunFolder
from kdiffe_dgl.training.config import RunConfig, resolve
from kdiffe_dgl.training.run import resume_run, train_run
from kdiffe_dgl.training.trainer import NoProgress

__all__ = [
    "Job",
    "JobResult",
    "Sources",
    "Source",
    "carry_out",
    "find",
    "run_name",
    "trained_alike",
    "trained_settings",
    "identity_name",
]

EpochTold = Callable[[dict[str, Any], bool], bool]
"""Record of an epoch, and whether it is the best so far -> whether the run may go on."""


@dataclass(frozen=True)
class Source:
    """Where a job's data come from, such that another process can load them too.

    Parameters
    ----------
    path
        Folder of the data set.
    change
        What is done to it once it is loaded; a function of a module, or an instance of a frozen dataclass
        that can be called, so that two equal changes compare as equal and can be sent to a process.
    """

    path: Path
    change: Callable[[RecDataset], RecDataset] | None = None

    def load(self) -> RecDataset:
        """Read and change the data set."""
        dataset = RecDataset.load(self.path)
        return dataset if self.change is None else self.change(dataset)


class Sources:
    """Loads data sets and keeps the last one: jobs of the same data stand beside each other."""

    def __init__(self) -> None:
        self._last: tuple[Source, RecDataset] | None = None

    def load(self, source: Source) -> RecDataset:
        """Return the data set of a source."""
        if self._last is None or self._last[0] != source:
            self._last = None  # two data sets at once may not fit in memory
            self._last = source, source.load()
        return self._last[1]


@dataclass(frozen=True)
class Job:
    """One training run.

    Parameters
    ----------
    label
        What people call it, such as ``"LightGCN on ml-100k, seed 0"``.
    source
        Its data.
    config
        Resolved settings.
    seed
        Seed of all randomness.
    folder
        Its run folder; see :func:`run_name` for a name that belongs to these settings alone.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    """

    label: str
    source: Source
    config: RunConfig
    seed: int
    folder: Path
    device: str = "auto"


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Parameters
    ----------
    job
        The job.
    state
        ``"trained"`` now; ``"found"`` finished from before; ``"recorded"``, so that no run is needed;
        ``"failed"``, for the reason given; or ``"stopped"`` by who watches, before its end.
    reason
        One sentence, where it failed.
    seconds
        Time that the job took now.
    """

    job: Job
    state: Literal["trained", "found", "recorded", "failed", "stopped"]
    reason: str = ""
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether there is a finished run, or its record."""
        return self.state in ("trained", "found", "recorded")


def trained_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that a trained model depends on: how often it is saved or measured is not one.

    Of a model that is computed at once, those of the training loop are none.
    """
    values = config.to_dict()
    training = {name: value for name, value in values["training"].items() if name != "checkpoint_seconds"}
    if issubclass(model_class(config.name), ClosedFormModel):
        training = {"monitor": training["monitor"]}
    return {"model": values["model"], "training": training}


def trained_alike(first: RunConfig, second: RunConfig) -> bool:
    """Say whether two settings train the same model: they may differ in cutoffs and in checkpoints."""
    return trained_settings(first) == trained_settings(second)


def run_name(config: RunConfig, seed: int, fingerprint: str) -> str:
    """Return a folder name that belongs to settings, seed and data alone.

    A plan that is changed so finds the runs that it still needs, and one that is changed back as well.

    Parameters
    ----------
    config
        Resolved settings.
    seed
        Seed of the run.
    fingerprint
        ``RecDataset.fingerprint`` of its data.
    """
    return f"{identity_name(config.name, [trained_settings(config), fingerprint])}-{seed}"


def identity_name(name: str, identity: Any) -> str:
    """Return a folder name that begins with a name and belongs to an identity, of types that JSON knows."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}-{digest}"


def _started(job: Job, dataset: RecDataset) -> RunFolder | None:
    """Return the job's run where its folder holds one.

    Raises
    ------
    InputError
        If that is of other data, settings or seed, or is damaged.
    """
    if not (job.folder / INDEX).is_file():
        return None
    run = RunFolder(job.folder)
    run.check_dataset(dataset)
    stored = resolve(run.config(), where=str(job.folder / "config.yaml"))
    if run.info.seed != job.seed or not trained_alike(stored, job.config):
        raise InputError(f"{job.folder}: holds a run of other settings or seed; expected another folder")
    return run


def find(job: Job, sources: Sources) -> JobResult | None:
    """Return the result of a job that was finished before, or null where something is left to do.

    Parameters
    ----------
    job
        The job.
    sources
        Loads its data, where its folder holds a finished run.

    Raises
    ------
    InputError
        If the folder holds a finished run of other data, settings or seed.
    """
    if not (job.folder / METRICS).is_file():
        return None
    _started(job, sources.load(job.source))
    return JobResult(job, "found")


class _StoppedError(Exception):
    """Who watches has seen enough of a run."""


class _Told(NoProgress):
    """Tells of epochs, and ends the training where that is wished."""

    def __init__(self, told: EpochTold) -> None:
        self._told = told

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Tell what an epoch brought."""
        if not self._told(record, best):
            raise _StoppedError


def carry_out(job: Job, sources: Sources, told: EpochTold) -> JobResult:
    """Find, go on with, or train the run of a job.

    Parameters
    ----------
    job
        The job.
    sources
        Loads its data.
    told
        Hears of each epoch; where it returns False, the run is stopped.

    Returns
    -------
    JobResult
        Whatever went wrong is its ``reason``: one job that fails leaves the others alone.

    Raises
    ------
    KeyboardInterrupt
        If the user stopped the training; the folder holds what it needs to go on.
    """
    started = time.perf_counter()

    def after() -> float:
        return time.perf_counter() - started

    try:
        found = find(job, sources)
        if found is not None:
            return found
        interrupted = _train(job, sources.load(job.source), _Told(told))
    except _StoppedError:
        return JobResult(job, "stopped", seconds=after())
    except InputError as error:
        return JobResult(job, "failed", str(error), after())
    except Exception as error:  # another's model may raise anything, and the other jobs are to go on
        told_as = " ".join(f"{type(error).__name__}: {error}".split())
        return JobResult(job, "failed", told_as, after())
    if interrupted:
        raise KeyboardInterrupt
    return JobResult(job, "trained", seconds=after())


def _train(job: Job, dataset: RecDataset, progress: _Told) -> bool:
    """Train or go on; return whether the user stopped it."""
    run = _started(job, dataset)
    if run is None:
        outcome = train_run(
            dataset, job.folder, job.config, seed=job.seed, device=job.device, progress=progress
        )
    else:
        outcome = resume_run(dataset, job.folder, device=job.device, progress=progress)
    return outcome.fit.interrupted
