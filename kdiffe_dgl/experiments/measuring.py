"""The figures of finished runs: taken from records, or measured now and recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.experiments.grid import Watcher
from kdiffe_dgl.experiments.jobs import Job, JobResult
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.record_files import dataset_folder, require_writable
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.serving.run_folder import METRICS

__all__ = ["Measuring"]


class Measuring:
    """Puts the figures of runs together: from the records, or measured now, and then recorded.

    Parameters
    ----------
    measures
        How runs are measured.
    records
        What was measured before; null: nothing is kept.
    watcher
        Whom to tell.
    """

    def __init__(self, measures: Measures, records: Records | None, watcher: Watcher) -> None:
        self._measures, self._records, self._watcher = measures, records, watcher
        self._done = self._total = 0

    def recorded(self, dataset: RecDataset, jobs: Sequence[Job]) -> set[Path]:
        """Return the folders of the runs that the records hold.

        Parameters
        ----------
        dataset
            The data set that they are trained on.
        jobs
            Jobs of the same settings.

        Raises
        ------
        InputError
            If the record is damaged.
        """
        held = self._held(dataset, jobs)
        return {
            job.folder for job in jobs if job.seed in held and self._measures.of(held[job.seed]) is not None
        }

    def require_writable(self, dataset: RecDataset) -> None:
        """Refuse a folder of records in which no file can be written with ``InputError``.

        Only to be asked where something is missing: records that hold everything may lie where nobody writes.
        """
        if self._records is not None:
            require_writable(dataset_folder(self._records.folder, dataset))

    def begins(self, ended: Mapping[Path, JobResult]) -> None:
        """Tell how many runs there are to measure."""
        self._total = sum(result.done and result.state != "recorded" for result in ended.values())
        if self._total:
            self._watcher.measured(0, self._total)

    def runs(
        self, dataset: RecDataset, jobs: Sequence[Job], judge: RecDataset | None = None
    ) -> dict[Path, Measured]:
        """Return what was measured of finished runs of the same settings, by folder.

        Parameters
        ----------
        dataset
            The data set that they were trained on.
        jobs
            Their jobs.
        judge
            See :func:`kdiffe_dgl.experiments.results.measure_run`. Nothing is recorded then, nor taken from
            the records: these are of runs that are judged by their own data.
        """
        if not jobs:
            return {}
        records = self._records if judge is None else None
        held = {} if records is None else self._held(dataset, jobs)
        new: dict[int, Measured] = {}
        for job in jobs:
            known = held.get(job.seed)
            if known is None or self._measures.of(known) is None:
                new[job.seed] = self._measures.measure(dataset, job.folder, known, judge)
                self._done += 1
                self._watcher.measured(self._done, self._total)
        file = None
        if records is not None:
            file = records.file(dataset, jobs[0].config)
            if new:
                records.keep(dataset, jobs[0].config, new)
        found: dict[Path, Measured] = {}
        for job in jobs:
            asked = self._measures.of({**held, **new}[job.seed])
            assert asked is not None
            folder = job.folder if (job.folder / METRICS).is_file() else None
            found[job.folder] = replace(asked[0], folder=folder, record=file), asked[1]
        return found

    def _held(self, dataset: RecDataset, jobs: Sequence[Job]) -> dict[int, Measured]:
        return {} if self._records is None else self._records.runs(dataset, jobs[0].config)
