"""The same budget for all: settings of each entry, searched on each data set before they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.grid import Watcher
from kdiffe_dgl.experiments.jobs import identity_name
from kdiffe_dgl.experiments.output import SEARCHES, file_name
from kdiffe_dgl.experiments.plan import Plan, entry_config
from kdiffe_dgl.experiments.tuning import TuneOptions, declared_space, identity, tune
from kdiffe_dgl.training.config import RunConfig

__all__ = ["Search", "Searches", "search_settings"]


@dataclass(frozen=True)
class Search:
    """What a search of settings brought.

    Parameters
    ----------
    settings
        The best settings.
    folder
        Where the journal, tables and figures of the search are.
    trials
        Trials that have ended, stopped and failed ones included.
    value
        The best trial's validation metric.
    """

    settings: RunConfig
    folder: Path
    trials: int
    value: float

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        return {"folder": str(self.folder), "trials": self.trials, "value": self.value}


Searches = Mapping[tuple[str, str], Search]
"""Data set and entry of a plan -> what the search of its settings brought."""


def search_settings(
    plan: Plan,
    *,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Searches:
    """Search the settings of all entries that have some to search, with the budget of the plan.

    Trials that ended in earlier calls count, and entries of the same settings share a search. What an entry
    names under ``set`` is not searched. An entry of which no trial came to its end keeps the settings that it
    started from.

    Parameters
    ----------
    plan
        A plan with a budget.
    jobs, threads, device, watcher
        As of :func:`kdiffe_dgl.experiments.compare`.
    """
    found: dict[tuple[str, str], Search] = {}
    budget = plan.tune
    if budget is None:
        return found
    for name, path in plan.datasets.items():
        dataset = RecDataset.load(path)
        for entry, own in plan.entries.items():
            if name in own.skip or not own.tune:
                continue
            config = entry_config(plan, entry, name)
            settings = own.for_dataset(name)
            overrides = (*plan.overrides, *settings.set)
            space = declared_space(config, dataset, overrides)
            if not space:
                continue
            options = TuneOptions(budget.trials, None, budget.seed, budget.pruner)
            # Named by what a search insists on: other settings, or another space, are another search.
            own_name = identity_name(config.name, identity(dataset, config, space, options))
            result = tune(
                path,
                plan.output / SEARCHES / file_name(dataset.name) / own_name,
                model=settings.model,
                preset_name=settings.preset,
                config=settings.config,
                overrides=overrides,
                options=options,
                jobs=jobs,
                threads=threads,
                device=device,
                watcher=watcher,
                label=f"{entry} on {name}, ",
            )
            try:
                best = result.best
            except InputError:
                continue  # its runs have the settings of the first trial, and tell why
            result.write()
            chosen = replace(result.best_settings(), evaluation=plan.evaluation)
            found[name, entry] = Search(chosen, result.folder, len(result.trials), best.value or 0.0)
    return found
