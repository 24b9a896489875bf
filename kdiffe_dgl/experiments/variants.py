"""Variants of a model on one data set over several seeds: trained or found, and compared with the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.comparison import RUNS, file_names, require_output
from kdiffe_dgl.experiments.grid import Watcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, Source, run_name, trained_alike
from kdiffe_dgl.experiments.lock import only_one
from kdiffe_dgl.experiments.results import DatasetResult, EntryResult, measure_run
from kdiffe_dgl.training.config import RunConfig, resolve

__all__ = ["METRICS", "Resources", "StudyResult", "Variant", "alike", "changed", "run_study"]

METRICS = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Variant:
    """A declared change of a model or of its data.

    Parameters
    ----------
    name
        Its name in the tables.
    overrides
        Settings of the form ``model.dim=64``.
    change
        What is done to the data; null: nothing.
    """

    name: str
    overrides: tuple[str, ...] = ()
    change: Callable[[RecDataset], RecDataset] | None = None


@dataclass(frozen=True)
class Resources:
    """How runs are carried out: see :func:`kdiffe_dgl.experiments.grid.run_grid`."""

    jobs: int = 1
    threads: int | None = None
    device: str = "auto"
    watcher: Watcher | None = None


@dataclass(frozen=True)
class StudyResult:
    """What the variants brought.

    Parameters
    ----------
    result
        Figures by variant and seed, each compared with the first variant.
    jobs
        Variant -> its runs, those that failed included.
    """

    result: DatasetResult
    jobs: Mapping[str, Sequence[Job]]

    @property
    def failures(self) -> list[str]:
        """Return a sentence for each run that failed."""
        return [
            f"{entry.name}, seed {seed}: {reason}"
            for entry in self.result.entries
            for seed, reason in entry.failures.items()
        ]


def changed(base: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """Return settings with some of them changed.

    Raises
    ------
    InputError
        If a setting does not exist or a value doesn't fit.
    """
    return replace(resolve(base.to_dict(), overrides), evaluation=base.evaluation)


def run_study(
    data: Path,
    base: RunConfig,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    output: Path,
    resources: Resources | None = None,
    metrics: Sequence[str] = METRICS,
) -> StudyResult:
    """Train what is missing, and compare each variant with the first.

    Variants of the same data and settings share their runs. Epochs are chosen on validation; the test split
    is read at that epoch alone.

    Parameters
    ----------
    data
        Folder of the data set.
    base
        Settings that the variants change.
    variants
        At least one, of different names.
    seeds
        Seeds of the runs.
    output
        Where runs go.
    resources
        Jobs, threads, device, and whom to tell.
    metrics
        What is compared.

    Raises
    ------
    InputError
        If the data can't be read, a setting does not fit, or another process is at work in the output. A
        run that fails is part of the result.
    """
    require_output(output)
    resources = resources or Resources()
    dataset = RecDataset.load(data)
    for split in ("train", "validation", "test"):
        if not len(dataset.pairs(split)):
            raise InputError(f"{data}: the {split} split is empty; expected interactions in it")
    cutoffs = {*base.evaluation.cutoffs, *(int(metric.partition("@")[2]) for metric in metrics)}
    base = replace(base, evaluation=base.evaluation.model_copy(update={"cutoffs": tuple(sorted(cutoffs))}))
    folder = output / RUNS / file_names([dataset.name])[dataset.name]
    jobs: dict[str, list[Job]] = {}
    configs = {variant.name: changed(base, variant.overrides) for variant in variants}
    for variant in variants:
        source = Source(data, variant.change)
        fingerprint = (dataset if variant.change is None else source.load()).fingerprint
        config = configs[variant.name]
        jobs[variant.name] = [
            Job(
                f"{variant.name}, seed {seed}", source, config, seed,
                folder / run_name(config, seed, fingerprint), resources.device,
            )
            for seed in seeds
        ]  # fmt: skip
    unique = {job.folder: job for mine in jobs.values() for job in mine}
    with only_one(output):
        (output / RUNS).mkdir(exist_ok=True)
        results = run_grid(
            unique.values(), n_jobs=resources.jobs, threads=resources.threads, watcher=resources.watcher
        )
    ended = {result.job.folder: result for result in results}
    entries = []
    for name, mine in jobs.items():
        own = mine[0].source.load() if any(ended[job.folder].done for job in mine) else dataset
        measured = [
            measure_run(own, job.folder, metrics, base.evaluation.test_mask, base.evaluation.cutoffs)
            for job in mine
            if ended[job.folder].done
        ]
        failures = {job.seed: ended[job.folder].reason for job in mine if not ended[job.folder].done}
        entries.append(EntryResult.of(name, configs[name], measured, failures))
    result = DatasetResult.of(dataset.name, dataset, metrics, entries, variants[0].name)
    return StudyResult(result, jobs)


def alike(base: RunConfig, variant: Variant) -> bool:
    """Say whether a variant changes nothing that a model is trained by."""
    return variant.change is None and trained_alike(base, changed(base, variant.overrides))
