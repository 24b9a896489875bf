"""Variants of a model on one data set over several seeds: trained or found, and compared with the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.evaluation.metrics import cutoff_of
from kdiffe_dgl.experiments.grid import NoWatcher, Watcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, JobResult, Source, run_name, trained_alike
from kdiffe_dgl.experiments.lock import only_one
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.measuring import Measuring
from kdiffe_dgl.experiments.output import RUNS, file_name, require_output
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.experiments.results import DatasetResult, EntryResult, RunResult, measure_run
from kdiffe_dgl.training.config import RunConfig, resolve

__all__ = ["METRICS", "Resources", "Setup", "StudyResult", "Variant", "alike", "changed", "measure_jobs"]

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


@dataclass(frozen=True)
class Setup:
    """What variants are trained on and with: all but what varies.

    Parameters
    ----------
    data
        Folder of the data set.
    base
        Settings that the variants change.
    output
        Where runs and results go.
    seeds
        Seeds of the runs of each variant.
    metrics
        What is compared.
    resources
        Jobs, threads, device, and whom to tell.
    records
        Folder of what was measured before, where more is kept, see
        :class:`kdiffe_dgl.experiments.records.Records`; null: none. Runs of variants that change interactions
        are none of them: they are judged by other splits than their own.
    """

    data: Path
    base: RunConfig
    output: Path
    seeds: Sequence[int] = range(5)
    metrics: Sequence[str] = METRICS
    resources: Resources = Resources()
    records: Path | None = None

    @cached_property
    def dataset(self) -> RecDataset:
        """The data set as it is stored, read once.

        Raises
        ------
        InputError
            If it can't be read, or one of its splits is empty.
        """
        dataset = RecDataset.load(self.data)
        for split in ("train", "validation", "test"):
            if not len(dataset.pairs(split)):
                raise InputError(f"{self.data}: the {split} split is empty; expected interactions in it")
        return dataset

    @property
    def measured(self) -> RunConfig:
        """The base settings, with the cutoffs of the metrics among those that are measured."""
        evaluation = self.base.evaluation
        cutoffs = {*evaluation.cutoffs, *(cutoff_of(metric) for metric in self.metrics)}
        return replace(
            self.base, evaluation=evaluation.model_copy(update={"cutoffs": tuple(sorted(cutoffs))})
        )

    def run(self, variants: Sequence[Variant]) -> StudyResult:
        """Train what is missing, and compare each variant with the first.

        Variants of the same data and settings share their runs. Epochs are chosen on validation; the test
        split is read at that epoch alone. All are measured on the splits of the data set as it is stored:
        what a variant adds to training is not left out of its lists.

        Parameters
        ----------
        variants
            At least one, of different names.

        Raises
        ------
        InputError
            If the data can't be read, a setting does not fit, or another process is at work in the output.
            A run that fails is part of the result.
        """
        require_output(self.output, self.records)
        jobs, measuring = self._jobs(variants), self._measuring()
        with only_one(self.output):
            recorded = self._recorded(variants, jobs, measuring)
            (self.output / RUNS).mkdir(exist_ok=True)
            results = run_grid(
                {job.folder: job for mine in jobs.values() for job in mine}.values(),
                n_jobs=self.resources.jobs,
                threads=self.resources.threads,
                watcher=self.resources.watcher,
                recorded=recorded,
            )
            ended = {result.job.folder: result for result in results}
            measuring.begins(ended)
            measured: dict[Path, Measured] = {}
            entries = []
            for variant in variants:
                mine = jobs[variant.name]
                measured.update(self._measured(variant, mine, ended, measuring, measured))
                done = [measured[job.folder] for job in mine if ended[job.folder].done]
                failures = {job.seed: ended[job.folder].reason for job in mine if not ended[job.folder].done}
                entries.append(EntryResult.of(variant.name, mine[0].config, done, failures))
        found = DatasetResult.of(self.dataset.name, self.dataset, self.metrics, entries, variants[0].name)
        return StudyResult(found, jobs)

    def recorded(self, variants: Sequence[Variant]) -> set[Path]:
        """Return the folders of the runs that are in the records, so that none will be trained.

        Raises
        ------
        InputError
            If a record is damaged, or runs are missing and can't be recorded, or the output holds something
            else: to be told before training, and before anything is made.
        """
        require_output(self.output, self.records)
        return self._recorded(variants, self._jobs(variants), self._measuring())

    def _measuring(self) -> Measuring:
        how = self.measured.evaluation
        measures = Measures(tuple(self.metrics), how.test_mask, how.cutoffs)
        records = None if self.records is None else Records(self.records, how.test_mask)
        return Measuring(measures, records, self.resources.watcher or NoWatcher())

    def _recorded(
        self, variants: Sequence[Variant], jobs: Mapping[str, Sequence[Job]], measuring: Measuring
    ) -> set[Path]:
        """Return the folders of the runs that need not be trained; what is wrong with records is told now."""
        found: set[Path] = set()
        if self.records is None:
            return found
        for variant in variants:
            trained_on = self.trained_on(variant)
            if self._judges_itself(trained_on):
                found |= measuring.recorded(trained_on, jobs[variant.name])
                if any(job.folder not in found for job in jobs[variant.name]):
                    measuring.require_writable(self.dataset)
        return found

    def _measured(
        self,
        variant: Variant,
        jobs: Sequence[Job],
        ended: Mapping[Path, JobResult],
        measuring: Measuring,
        known: Mapping[Path, Measured],
    ) -> dict[Path, Measured]:
        """Measure the finished runs of a variant that were not: variants may share their runs."""
        new = [job for job in jobs if ended[job.folder].done and job.folder not in known]
        if not new:
            return {}
        trained_on = self.trained_on(variant)
        judge = None if self._judges_itself(trained_on) else self.dataset
        return measuring.runs(trained_on, new, judge)

    def trained_on(self, variant: Variant) -> RecDataset:
        """Return the data set as a variant changes it."""
        return self.dataset if variant.change is None else variant.change(self.dataset)

    def _judges_itself(self, trained_on: RecDataset) -> bool:
        return trained_on is self.dataset or trained_on.interactions.equals(self.dataset.interactions)

    def _jobs(self, variants: Sequence[Variant]) -> dict[str, list[Job]]:
        """Return the jobs of each variant; mistakes are told before anything is trained."""
        base = self.measured
        configs = {variant.name: changed(base, variant.overrides) for variant in variants}
        folder = self.output / RUNS / file_name(self.dataset.name)
        jobs: dict[str, list[Job]] = {}
        for variant in variants:
            source, config = Source(self.data, variant.change), configs[variant.name]
            fingerprint = self.trained_on(variant).fingerprint
            jobs[variant.name] = [
                Job(
                    f"{variant.name}, seed {seed}", source, config, seed,
                    folder / run_name(config, seed, fingerprint), self.resources.device,
                )
                for seed in self.seeds
            ]  # fmt: skip
        return jobs


def measure_jobs(jobs: Sequence[Job], metrics: Sequence[str]) -> list[tuple[RunResult, Evaluation]]:
    """Measure the finished runs of one variant by the data that they were trained on.

    Parameters
    ----------
    jobs
        Jobs of the same data.
    metrics
        Metrics whose values by user are kept.
    """
    if not jobs:
        return []
    trained_on = jobs[0].source.load()
    found = []
    for job in jobs:
        how = job.config.evaluation
        found.append(measure_run(trained_on, job.folder, metrics, how.test_mask, how.cutoffs))
    return found


def alike(base: RunConfig, variant: Variant) -> bool:
    """Say whether a variant changes nothing that a model is trained by."""
    return variant.change is None and trained_alike(base, changed(base, variant.overrides))
