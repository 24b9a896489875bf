"""The results of a plan, put together from what was measured of its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.experiments.grid import Watcher
from kdiffe_dgl.experiments.jobs import Job, JobResult, Source, Sources
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.measuring import Measuring
from kdiffe_dgl.experiments.plan import Plan
from kdiffe_dgl.experiments.plan_tuning import Searches
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.experiments.results import DatasetResult, EntryResult

__all__ = ["PlanMeasuring"]

EntryJobs = Mapping[tuple[str, int], Job]
"""Entry and seed -> job, on one data set."""


def _by_entry(jobs: EntryJobs) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    for (entry, _), job in jobs.items():
        found.setdefault(entry, []).append(job)
    return found


class PlanMeasuring:
    """Puts the results of a plan together.

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
        self._plan = plan
        measures = Measures(plan.metrics, plan.mask, plan.evaluation.cutoffs)
        self._measuring = Measuring(measures, records, watcher)
        self.begins = self._measuring.begins

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
        if self._plan.records is None:
            return found
        for name, jobs in planned.items():
            dataset = sources.load(Source(self._plan.datasets[name]))
            for mine in _by_entry(jobs).values():
                found |= self._measuring.recorded(dataset, mine)
            if name in unsearched or any(job.folder not in found for job in jobs.values()):
                self._measuring.require_writable(dataset)
        return found

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
            measured.update(
                self._measuring.runs(dataset, [job for job in done if job.folder not in measured])
            )
            failures = {job.seed: ended[job.folder].reason for job in mine if job not in done}
            found = [measured[job.folder] for job in done]
            search = searches.get((name, entry))
            entries.append(EntryResult.of(entry, mine[0].config, found, failures, search))
        return DatasetResult.of(name, dataset, self._plan.metrics, entries, self._plan.reference)
