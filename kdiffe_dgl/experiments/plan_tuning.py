"""The same budget for all: settings of each entry, searched on each data set before they are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.grid import Watcher
from kdiffe_dgl.experiments.jobs import Source, Sources, identity_name
from kdiffe_dgl.experiments.output import SEARCHES, file_name
from kdiffe_dgl.experiments.plan import Budget, Plan, entry_config
from kdiffe_dgl.experiments.search_records import SearchRecords
from kdiffe_dgl.experiments.tuned import with_values
from kdiffe_dgl.experiments.tuning import JOURNAL, TuneOptions, declared_space, identity, search
from kdiffe_dgl.search import Searched
from kdiffe_dgl.training.config import RunConfig

__all__ = ["Search", "Searches", "recorded_searches", "search_settings"]


@dataclass(frozen=True)
class Search:
    """What a search of settings brought.

    Parameters
    ----------
    settings
        The best settings.
    folder
        Where the journal, tables and figures of the search are; null where only its record is there.
    trials
        Trials that have ended, stopped and failed ones included.
    value
        The best trial's validation metric.
    record
        The file that tells of it, see :class:`kdiffe_dgl.experiments.search_records.SearchRecords`; null
        where no records are kept.
    """

    settings: RunConfig
    folder: Path | None
    trials: int
    value: float
    record: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "trials": self.trials,
            "value": self.value,
            "record": None if self.record is None else str(self.record),
        }


Searches = Mapping[tuple[str, str], Search]
"""Data set and entry of a plan -> what the search of its settings brought."""


def recorded_searches(plan: Plan, sources: Sources | None = None) -> dict[tuple[str, str], Search | None]:
    """Return what the records of a plan hold of its searches.

    Parameters
    ----------
    plan
        The plan.
    sources
        Loads the data sets.

    Returns
    -------
    dict
        Data set and entry -> search, null where it is not recorded with exactly as many trials; empty where
        the plan names no records or no budget.

    Raises
    ------
    InputError
        If a record is damaged.
    """
    if plan.tune is None or plan.records is None:
        return {}
    records = SearchRecords(plan.records)
    tasks = _tasks(plan, plan.tune, sources or Sources())
    return {(task.name, task.entry): _recorded(task, records) for task in tasks}


def search_settings(
    plan: Plan,
    *,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
    known: Searches | None = None,
    sources: Sources | None = None,
) -> Searches:
    """Search the settings of all entries that have some to search, with the budget of the plan.

    Trials that ended in earlier calls count, and entries of the same settings share a search. What an entry
    names under ``set`` is not searched. An entry of which no trial came to its end keeps the settings that it
    started from. Where the plan names records, what is found is recorded.

    Parameters
    ----------
    plan
        A plan with a budget.
    jobs, threads, device, watcher
        As of :func:`kdiffe_dgl.experiments.compare`.
    known
        Searches that are not carried out, from :func:`recorded_searches`.
    sources
        Loads the data sets.

    Raises
    ------
    InputError
        If Optuna is missing and there is something to search.
    """
    found = dict(known or {})
    budget = plan.tune
    if budget is None:
        return found
    records = None if plan.records is None else SearchRecords(plan.records)
    for task in _tasks(plan, budget, sources or Sources()):
        if (task.name, task.entry) in found:
            continue
        result = search(
            plan.datasets[task.name],
            task.dataset,
            task.folder,
            task.config,
            task.space,
            task.options,
            jobs=jobs,
            threads=threads,
            device=device,
            watcher=watcher,
            label=f"{task.entry} on {task.name}, ",
        )
        try:
            best = result.best
        except InputError:
            continue  # its runs have the settings of the first trial, and tell why
        result.write()
        value, trials, kept = best.value or 0.0, len(result.trials), None
        if records is not None:
            kept = records.keep(task.dataset, task.identity, trials, value, best.values)
        found[task.name, task.entry] = Search(result.best_settings(), task.folder, trials, value, kept)
    return found


@dataclass(frozen=True)
class _Task:
    """A search that a plan asks for."""

    name: str
    entry: str
    dataset: RecDataset
    config: RunConfig
    space: Mapping[str, Searched]
    options: TuneOptions
    identity: Mapping[str, Any]
    folder: Path


def _tasks(plan: Plan, budget: Budget, sources: Sources) -> Iterator[_Task]:
    """Yield the searches of a plan, data set by data set."""
    options = TuneOptions(budget.trials, None, budget.seed, budget.pruner)
    for name, path in plan.datasets.items():
        for entry, own in plan.entries.items():
            if name in own.skip or not own.tune:
                continue
            dataset, config = sources.load(Source(path)), entry_config(plan, entry, name)
            space = declared_space(config, dataset, (*plan.overrides, *own.for_dataset(name).set))
            if space:
                # Named by what a search insists on: other settings, or another space, are another search.
                about = identity(dataset, config, space, options)
                folder = plan.output / SEARCHES / file_name(dataset.name) / identity_name(config.name, about)
                yield _Task(name, entry, dataset, config, space, options, about, folder)


def _recorded(task: _Task, records: SearchRecords) -> Search | None:
    """Return what the records hold of a search; null where that is nothing."""
    trials = task.options.trials
    known = records.best(task.dataset, task.identity, trials, list(task.space))
    if known is None:
        return None
    value, values = known
    file = records.file(task.dataset, task.identity, trials)
    try:
        chosen = with_values(task.config, values)
    except InputError as error:
        raise InputError(f"{file}: holds values that do not fit ({error})") from error
    return Search(chosen, task.folder if (task.folder / JOURNAL).is_file() else None, trials, value, file)
