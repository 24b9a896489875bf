"""The figures of a comparison's runs: taken from records, or measured now and recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.experiments.grid import Watcher
from kdiffe_dgl.experiments.jobs import Job, JobResult, Source, Sources
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.plan import Plan
from kdiffe_dgl.experiments.plan_tuning import Searches
from kdiffe_dgl.experiments.record_files import dataset_folder, require_writable
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.experiments.results import DatasetResult, EntryResult
from kdiffe_dgl.serving.run_folder import METRICS

__all__ = ["Measuring"]

EntryJobs = Mapping[tuple[str, int], Job]
"""Entry and seed -> job, on one data set."""


def _by_entry(jobs: EntryJobs) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    for (entry, _), job in jobs.items():
        found.setdefault(entry, []).append(job)
    return found


class Measuring:
    """Puts the figures of runs together: from the records, or measured now, and then recorded.

    Parameters
    ----------
    plan
        The plan.
    records
        What was measured before; null: nothing is kept.
    watcher
        Whom to tell.
    """

    def __init__(self, plan: Plan, records: Records | None, watcher: Watcher) -> None:
        self._plan, self._records, self._watcher = plan, records, watcher
        self._measures = Measures(plan.metrics, plan.mask, plan.evaluation.cutoffs)
        self._done = self._total = 0

    def recorded(
        self, planned: Mapping[str, EntryJobs], sources: Sources, unsearched: Collection[str] = ()
    ) -> set[Path]:
        """Return the folders of the runs that the records hold.

        Parameters
        ----------
        planned
            Data set -> its jobs.
        sources
            Loads the data sets.
        unsearched
            Data sets with a search that is yet to be recorded.

        Raises
        ------
        InputError
            If a record is damaged, or the records of a data set can't be written while some are missing.
        """
        found: set[Path] = set()
        if self._records is None:
            return found
        incomplete = []
        for name, jobs in planned.items():
            dataset = sources.load(Source(self._plan.datasets[name]))
            for mine in _by_entry(jobs).values():
                held = self._held(dataset, mine[0])
                found.update(
                    job.folder
                    for job in mine
                    if job.seed in held and self._measures.of(held[job.seed]) is not None
                )
            if name in unsearched or any(job.folder not in found for job in jobs.values()):
                incomplete.append(dataset_folder(self._records.folder, dataset))
        # Only these: records that hold all that is asked for may lie where nobody can write.
        for folder in incomplete:
            require_writable(folder)
        return found

    def begins(self, ended: Mapping[Path, JobResult]) -> None:
        """Tell how many runs there are to measure."""
        self._total = sum(result.done and result.state != "recorded" for result in ended.values())
        if self._total:
            self._watcher.measured(0, self._total)

    def dataset(
        self,
        name: str,
        jobs: EntryJobs,
        ended: Mapping[Path, JobResult],
        searches: Searches,
    ) -> DatasetResult:
        """Return the results of a data set."""
        dataset = RecDataset.load(self._plan.datasets[name])
        measured: dict[Path, Measured] = {}
        entries = []
        for entry, mine in _by_entry(jobs).items():
            done = [job for job in mine if ended[job.folder].done]
            # Entries of the same settings share their runs.
            measured.update(self._runs(dataset, [job for job in done if job.folder not in measured]))
            failures = {job.seed: ended[job.folder].reason for job in mine if job not in done}
            found = [measured[job.folder] for job in done]
            search = searches.get((name, entry))
            entries.append(EntryResult.of(entry, mine[0].config, found, failures, search))
        return DatasetResult.of(name, dataset, self._plan.metrics, entries, self._plan.reference)

    def _held(self, dataset: RecDataset, job: Job) -> dict[int, Measured]:
        return {} if self._records is None else self._records.runs(dataset, job.config)

    def _runs(self, dataset: RecDataset, jobs: Sequence[Job]) -> dict[Path, Measured]:
        """Return what was measured of finished runs of the same settings."""
        if not jobs:
            return {}
        held, new = self._held(dataset, jobs[0]), dict[int, Measured]()
        for job in jobs:
            known = held.get(job.seed)
            if known is None or self._measures.of(known) is None:
                new[job.seed] = self._measures.measure(dataset, job.folder, known)
                self._done += 1
                self._watcher.measured(self._done, self._total)
        file = None
        if self._records is not None:
            file = self._records.file(dataset, jobs[0].config)
            if new:
                self._records.keep(dataset, jobs[0].config, new)
        found: dict[Path, Measured] = {}
        for job in jobs:
            asked = self._measures.of({**held, **new}[job.seed])
            assert asked is not None
            folder = job.folder if (job.folder / METRICS).is_file() else None
            found[job.folder] = replace(asked[0], folder=folder, record=file), asked[1]
        return found
