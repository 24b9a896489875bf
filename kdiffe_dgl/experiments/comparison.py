"""Models x data sets x seeds: from a plan to tables, figures and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdiffe_dgl.display import tables_html
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.grid import NoWatcher, Watcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, Source, Sources, run_name
from kdiffe_dgl.experiments.lock import only_one
from kdiffe_dgl.experiments.output import (
    RUNS,
    TABLES,
    file_name,
    file_names,
    require_output,
    write_results,
)
from kdiffe_dgl.experiments.plan import Plan, entry_config, read_plan
from kdiffe_dgl.experiments.plan_measuring import PlanMeasuring
from kdiffe_dgl.experiments.plan_tuning import Searches, recorded_searches, search_settings
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.experiments.results import DatasetResult
from kdiffe_dgl.experiments.study import require_optuna
from kdiffe_dgl.experiments.summaries import dataset_tables
from kdiffe_dgl.experiments.tables import ResultTable, latex_tables
from kdiffe_dgl.serving import files
from kdiffe_dgl.serving.run_folder import installed_versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "compare", "plan_jobs"]

_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Comparison:
    """What a comparison brought.

    Parameters
    ----------
    plan
        What it was made of.
    datasets
        Its results, a data set each.
    recorded
        How many runs were taken from the records of the plan.
    """

    plan: Plan
    datasets: tuple[DatasetResult, ...]
    recorded: int = 0

    @property
    def failures(self) -> list[str]:
        """Return a sentence for each run that failed."""
        return [
            f"{entry.name} on {result.name}, seed {seed}: {reason}"
            for result in self.datasets
            for entry in result.entries
            for seed, reason in entry.failures.items()
        ]

    def tables(self) -> list[ResultTable]:
        """Return the tables: of each data set that by metrics, then those by groups."""
        return [table for result in self.datasets for table in dataset_tables(result)]

    def figures(self) -> dict[str, Figure]:
        """Return the figures, by file name without suffix."""
        # Imported here: who only wants the tables does not wait for matplotlib.
        from kdiffe_dgl.experiments.figures import dataset_figures  # noqa: PLC0415

        names = file_names(result.name for result in self.datasets)
        return {
            f"{names[result.name]}-{kind}": figure
            for result in self.datasets
            for kind, figure in dataset_figures(result).items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as types that JSON knows."""
        return {
            "schema_version": _SCHEMA_VERSION,
            "plan": self.plan.to_dict(),
            "versions": installed_versions(),
            "datasets": {result.name: result.to_dict() for result in self.datasets},
        }

    def markdown(self) -> str:
        """Return all tables as Markdown."""
        return "\n".join(table.markdown() for table in self.tables())

    def latex(self) -> str:
        """Return all tables as LaTeX, for the package booktabs."""
        head = "% Needs \\usepackage{booktabs} and a document in UTF-8.\n"
        return head + latex_tables(self.tables())

    def write(self, folder: Path | None = None) -> list[Path]:
        """Write results.json, tables.md, tables.tex, and the figures as PNG and SVG.

        Figures that the results which were there before had, and these have not, are removed.

        Parameters
        ----------
        folder
            Where to; by default the output of the plan.

        Returns
        -------
        list of Path
            The files.
        """
        target = folder or self.plan.output
        target.mkdir(parents=True, exist_ok=True)
        texts = {f"{TABLES}.md": self.markdown(), f"{TABLES}.tex": self.latex()}
        for name, text in texts.items():
            with files.atomic_file(target / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        written = [target / name for name in texts]
        return [*written, *write_results(target, self.figures(), self.to_dict())]

    def _repr_html_(self) -> str:
        """Show the tables by metrics in a notebook."""
        return tables_html(*(dataset_tables(result)[0].rich() for result in self.datasets))


def plan_jobs(
    plan: Plan, device: str = "auto", found: Searches | None = None, sources: Sources | None = None
) -> dict[str, dict[tuple[str, int], Job]]:
    """Return the jobs of a plan; every mistake in it is told before anything is trained.

    Parameters
    ----------
    plan
        The plan.
    device
        Where to compute.
    found
        Data set and entry -> search whose best settings take the place of those that the plan starts from.
    sources
        Loads the data sets.

    Returns
    -------
    dict
        Data set -> (entry, seed) -> job. Entries of the same settings share their runs.

    Raises
    ------
    InputError
        If a data set can't be read, lacks a split, or a setting does not fit.
    """
    searches, sources, jobs = found or {}, sources or Sources(), dict[str, dict[tuple[str, int], Job]]()
    for name, path in plan.datasets.items():
        dataset = sources.load(Source(path))
        for split in ("train", "validation", "test"):
            if not len(dataset.pairs(split)):
                raise InputError(f"data set {name}: the {split} split is empty; expected interactions in it")
        folder = plan.output / RUNS / file_name(dataset.name)
        configs = {
            entry: searches[name, entry].settings
            if (name, entry) in searches
            else entry_config(plan, entry, name)
            for entry in plan.entries
            if name not in plan.entries[entry].skip
        }
        # By seed first: what is there after an interruption is of all entries.
        jobs[name] = {
            (entry, seed): Job(
                f"{entry} on {name}, seed {seed}",
                Source(path),
                config,
                seed,
                folder / run_name(config, seed, dataset.fingerprint),
                device,
            )
            for seed in plan.seeds
            for entry, config in configs.items()
        }
    return jobs


def compare(
    plan: Plan | str | Path | Mapping[str, Any],
    *,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Comparison:
    """Train what is missing, measure all of it, and test who differs.

    Where the plan has a budget for tuning, settings are searched first, on validation. The epoch of every
    run is chosen on validation, too, and the test split is read at that epoch alone. Where it names records,
    runs and searches in them need no training, and what is measured now is kept there.

    Parameters
    ----------
    plan
        A plan, its file, or what such a file holds.
    jobs
        Runs at a time, each in a process of its own where there are more than one.
    threads
        Threads of each; by default the cores are shared out.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    watcher
        Whom to tell of runs and epochs.

    Returns
    -------
    Comparison
        Tables, figures and everything behind them; :meth:`Comparison.write` writes them.

    Raises
    ------
    InputError
        If the plan has a mistake, a record is damaged or can't be written, or another process is at work in
        its output. A run that fails is part of the result.

    Examples
    --------
    >>> found = compare("plan.yaml", jobs=4)  # doctest: +SKIP
    >>> found.write()  # doctest: +SKIP
    """
    if not isinstance(plan, Plan):
        plan = read_plan(plan)
    records = None if plan.records is None else Records(plan.records, plan.mask)
    require_output(plan.output, plan.records)
    sources = Sources()
    planned = plan_jobs(plan, device, sources=sources)
    if plan.tune is not None and records is None:
        require_optuna()  # with records, there may be nothing to search
    with only_one(plan.output):
        measuring = PlanMeasuring(plan, records, watcher or NoWatcher())
        # First: what is wrong with the records is told before anything is trained.
        held = recorded_searches(plan, sources)
        known = {which: search for which, search in held.items() if search is not None}
        if known:
            planned = plan_jobs(plan, device, known, sources)
        recorded = measuring.recorded(planned, sources, {name for name, _ in held.keys() - known.keys()})
        found = search_settings(
            plan,
            jobs=jobs,
            threads=threads,
            device=device,
            watcher=watcher,
            known=known,
            sources=sources,
        )
        if found.keys() != known.keys():
            planned = plan_jobs(plan, device, found, sources)
            recorded = measuring.recorded(planned, sources)
        del sources  # the grid loads its own, and two data sets at once may not fit in memory
        unique = {job.folder: job for mine in planned.values() for job in mine.values()}
        (plan.output / RUNS).mkdir(exist_ok=True)
        results = run_grid(unique.values(), n_jobs=jobs, threads=threads, watcher=watcher, recorded=recorded)
        ended = {result.job.folder: result for result in results}
        measuring.begins(ended)
        datasets = tuple(measuring.dataset(name, mine, ended, found) for name, mine in planned.items())
    return Comparison(plan, datasets, len(recorded))
