"""A grid of training runs: what is finished is used again, the rest is trained, some at a time.

A job that fails is told with its reason, and the others go on. After Ctrl-C, or after a process was killed,
the same call goes on where it stopped: finished runs are found, and a cut one continues from its checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, Protocol

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.jobs import Job, JobResult, Sources, carry_out, find
from kdiffe_dgl.experiments.workers import Worker, wait_for

__all__ = ["NoWatcher", "Watcher", "run_grid"]


class Watcher(Protocol):
    """Who is told of a grid while it is carried out."""

    def grid_begins(self, jobs: int | None) -> None:
        """Tell how many jobs there are; null where that is not known yet."""

    def job_begins(self, job: Job) -> None:
        """Tell that a job begins; not told of one that was finished before."""

    def epoch_ends(self, job: Job, record: dict[str, Any], best: bool) -> bool:
        """Tell what an epoch brought (its entry in the history); returns whether the run may go on."""

    def job_ends(self, result: JobResult) -> None:
        """Tell how a job ended."""

    def measured(self, runs: int, total: int) -> None:
        """Tell how many of the finished runs have been measured by now; 0 when that begins."""


class NoWatcher:
    """Is told and says nothing."""

    def grid_begins(self, jobs: int | None) -> None:
        """Do nothing."""

    def job_begins(self, job: Job) -> None:
        """Do nothing."""

    def epoch_ends(self, job: Job, record: dict[str, Any], best: bool) -> bool:
        """Let every run go on."""
        return True

    def job_ends(self, result: JobResult) -> None:
        """Do nothing."""

    def measured(self, runs: int, total: int) -> None:
        """Do nothing."""


def run_grid(
    jobs: Iterable[Job],
    *,
    n_jobs: int = 1,
    threads: int | None = None,
    watcher: Watcher | None = None,
    recorded: Container[Path] = (),
) -> list[JobResult]:
    """Carry out jobs and return how each ended, in their order.

    Parameters
    ----------
    jobs
        The jobs. The next one is taken when there is room for it, so a generator may decide by what the
        others have brought. Each has a folder of its own.
    n_jobs
        How many at a time; more than one run in processes of their own.
    threads
        Threads of each process; by default the cores are shared out. With one job at a time, those of
        this process are left as they are.
    watcher
        Whom to tell, in this process.
    recorded
        Folders of jobs whose results are known from elsewhere: nothing is looked for or trained.

    Raises
    ------
    InputError
        If ``n_jobs`` or ``threads`` is less than 1.
    KeyboardInterrupt
        If the user interrupts; what runs has been stopped, and the same call goes on with it.
    """
    for name, value in (("jobs", n_jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; expected at least 1")
    watching = watcher or NoWatcher()
    watching.grid_begins(len(jobs) if isinstance(jobs, Sized) else None)
    if n_jobs == 1 and threads is None:
        return _one_by_one(jobs, watching, recorded)
    threads = threads or max(1, (os.cpu_count() or 1) // n_jobs)
    return _Pool(n_jobs, threads, watching, recorded).run(iter(jobs))


def _one_by_one(jobs: Iterable[Job], watcher: Watcher, recorded: Container[Path]) -> list[JobResult]:
    sources, results = Sources(), []
    for job in jobs:
        result = _found(job, sources, recorded)
        if result is None:
            watcher.job_begins(job)

            def told(record: dict[str, Any], best: bool, job: Job = job) -> bool:
                return watcher.epoch_ends(job, record, best)

            result = carry_out(job, sources, told)
        watcher.job_ends(result)
        results.append(result)
    return results


def _found(job: Job, sources: Sources, recorded: Container[Path]) -> JobResult | None:
    """Return the result of a job that needs no work: it is done, or can't be."""
    if job.folder in recorded:
        return JobResult(job, "recorded")
    try:
        return find(job, sources)
    except InputError as error:
        return JobResult(job, "failed", str(error))


class _Pool:
    """Workers, and the jobs that they have been given.

    Parameters
    ----------
    size
        Most workers.
    threads
        Threads of each.
    watcher
        Whom to tell.
    recorded
        Folders of jobs that need no work.
    """

    def __init__(self, size: int, threads: int, watcher: Watcher, recorded: Container[Path]) -> None:
        self._size, self._threads, self._watcher, self._recorded = size, threads, watcher, recorded
        self._workers: list[Worker] = []
        self._places: dict[Worker, int] = {}
        self._results: dict[int, JobResult] = {}
        self._sources = Sources()

    def run(self, jobs: Iterator[Job]) -> list[JobResult]:
        """Carry out all jobs."""
        try:
            place, more = 0, True
            while more or self._places:
                while more and len(self._places) < self._size:
                    job = next(jobs, None)
                    if job is None:
                        more = False
                        break
                    self._begin(place, job)
                    place += 1
                if self._places:
                    for worker in wait_for(list(self._places)):
                        self._hear(worker)
        finally:
            for worker in self._workers:
                worker.ask_to_stop()
            for worker in self._workers:
                worker.end()
        return [self._results[place] for place in sorted(self._results)]

    def _begin(self, place: int, job: Job) -> None:
        result = _found(job, self._sources, self._recorded)
        if result is not None:
            self._results[place] = result
            self._watcher.job_ends(result)
            return
        idle = [worker for worker in self._workers if worker not in self._places]
        worker = idle[0] if idle else Worker(self._threads)
        if not idle:
            self._workers.append(worker)
        self._places[worker] = place
        self._watcher.job_begins(job)
        worker.give(job)

    def _hear(self, worker: Worker) -> None:
        message = worker.hear()
        if not isinstance(message, JobResult):
            assert worker.job is not None
            worker.go_on(self._watcher.epoch_ends(worker.job, *message))
            return
        self._results[self._places.pop(worker)] = message
        if not worker.alive:
            self._workers.remove(worker)
            worker.end()
        self._watcher.job_ends(message)
