"""The tables of a comparison: entries by metric with marks of significance, and results by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdiffe_dgl.evaluation.significance import SeedSummary
from kdiffe_dgl.experiments.results import DatasetResult, EntryResult
from kdiffe_dgl.experiments.tables import Cell, ResultTable, ranked

__all__ = ["dataset_tables", "group_table", "group_tables", "main_table", "significance_note"]

_MISSING = "–"
_KINDS = {
    "users": "Users by number of training interactions",
    "items": "Items by popularity in training",
}


def _figure(summary: SeedSummary | None, deviations: bool) -> str:
    if summary is None:
        return _MISSING
    return f"{summary.mean:.4f} ± {summary.std:.4f}" if deviations else f"{summary.mean:.4f}"


def significance_note(result: DatasetResult) -> str:
    """Say in a sentence how the marks were computed; empty where nothing was compared."""
    if not result.contrasts:
        return ""
    n_seeds = {len(entry.runs) for entry in result.entries if entry.runs}
    over = "values averaged over seeds" if max(n_seeds) > 1 else "one run of each"
    against = result.reference or "the best of the column"
    number = len(result.contrasts)
    return (
        f"Marks: differs from {against} with p < 0.05 (*) or p < 0.01 (**) in both a paired t-test and "
        f"Wilcoxon's signed-rank test over {result.n_users:,} users, on {over}, p-values "
        f"Holm-corrected for {number} comparison{'s' if number > 1 else ''}."
    )


def main_table(result: DatasetResult) -> ResultTable:
    """Return the table of a data set: a row an entry, a column a metric.

    Parameters
    ----------
    result
        What its runs brought.
    """
    summaries = [entry.summary() for entry in result.entries]
    deviations = any(len(entry.runs) > 1 for entry in result.entries)
    columns: list[list[Cell]] = []
    for metric in result.metrics:
        found = [summary.get(metric) for summary in summaries]
        best, second = ranked([one.mean if one else None for one in found])
        column = []
        for place, (entry, one) in enumerate(zip(result.entries, found, strict=True)):
            contrast = result.contrast(metric, entry.name)
            mark = contrast.mark if contrast else ""
            column.append(Cell(_figure(one, deviations), place in best, place in second, mark))
        columns.append(column)
    seconds = [Cell(_seconds(entry)) for entry in result.entries]
    rows = tuple(
        (Cell(entry.name), *(column[place] for column in columns), seconds[place])
        for place, entry in enumerate(result.entries)
    )
    return ResultTable(
        f"{result.name}: test split, {_spread(result)}",
        ("", *result.metrics, "training [s]"),
        rows,
        tuple(
            note
            for note in (
                "±: sample standard deviation, divisor n − 1." if deviations else "",
                significance_note(result),
                _search_note(result),
                *_failures(result),
            )
            if note
        ),
        result.name,
    )


def _search_note(result: DatasetResult) -> str:
    """Say whose settings were searched, and by how many trials; empty where nobody's were."""
    searched = [(entry.name, entry.search.trials) for entry in result.entries if entry.search is not None]
    if not searched:
        return ""
    told = ", ".join(f"{name} ({trials})" for name, trials in searched)
    return f"Settings are the best on validation of so many trials: {told}."


def _spread(result: DatasetResult) -> str:
    counts = sorted({len(entry.runs) for entry in result.entries if entry.runs})
    if not counts:
        return "no finished run"
    if counts == [1]:
        return "one run of each"
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean ± standard deviation over {number} seeds"


def _seconds(entry: EntryResult) -> str:
    if not entry.runs:
        return _MISSING
    mean = sum(run.seconds for run in entry.runs) / len(entry.runs)
    return f"{mean:.1f}" if mean < 10 else f"{mean:.0f}"


def _failures(result: DatasetResult) -> list[str]:
    notes = []
    for entry in result.entries:
        # One reason often holds for all seeds.
        by_reason: dict[str, list[int]] = {}
        for seed, reason in entry.failures.items():
            by_reason.setdefault(reason, []).append(seed)
        for reason, seeds in by_reason.items():
            word = "seed" if len(seeds) == 1 else "seeds"
            notes.append(f"{entry.name} failed with {word} {', '.join(map(str, seeds))}: {reason}.")
    return notes


def group_table(
    title: str, rows: Mapping[str, Mapping[str, Mapping[str, SeedSummary]]], metric: str, name: str
) -> ResultTable | None:
    """Return a table of one metric: a row an entry, a column a group; null without groups.

    Parameters
    ----------
    title
        What it shows.
    rows
        Entry -> label of a group -> metric -> mean and deviation; ``"n"`` is the size of the group.
    metric
        The metric.
    name
        Short name.
    """
    first = next((groups for groups in rows.values() if groups), None)
    if first is None:
        return None
    deviations = any(one[metric].n > 1 for groups in rows.values() for one in groups.values())
    columns = []
    for label in first:
        found = [groups[label][metric] if label in groups else None for groups in rows.values()]
        best, second = ranked([one.mean if one else None for one in found])
        if len(rows) < 2:
            best, second = set(), set()
        columns.append(
            [
                Cell(_figure(one, deviations), place in best, place in second)
                for place, one in enumerate(found)
            ]
        )
    sizes = tuple(Cell(f"{groups['n'].mean:,.0f}") for groups in first.values())
    body = tuple((Cell(entry), *(column[place] for column in columns)) for place, entry in enumerate(rows))
    return ResultTable(title, ("", *first), ((Cell("n"), *sizes), *body), (), name)


def group_tables(
    name: str, entries: Mapping[str, Mapping[str, Mapping[str, Mapping[str, SeedSummary]]]]
) -> list[ResultTable]:
    """Return the tables by groups: for users every metric, for items the share of found test pairs.

    Parameters
    ----------
    name
        Name of the data set.
    entries
        Entry -> ``"users"`` and ``"items"`` -> label of a group -> metric -> mean and deviation.
    """
    tables = []
    for kind, heading in _KINDS.items():
        rows = {entry: groups.get(kind, {}) for entry, groups in entries.items()}
        first = next((groups for groups in rows.values() if groups), {})
        metrics: Sequence[str] = [one for one in next(iter(first.values()), {}) if one != "n"]
        unit = "evaluated users" if kind == "users" else "test interactions"
        for metric in metrics:
            title = f"{name}: {metric}. {heading}; n: {unit}"
            table = group_table(title, rows, metric, f"{name}-{kind}-{metric}")
            if table is not None:
                tables.append(table)
    return tables


def dataset_tables(result: DatasetResult) -> list[ResultTable]:
    """Return all tables of a data set, the one by metrics first."""
    groups = {entry.name: {kind: entry.group_summary(kind) for kind in _KINDS} for entry in result.entries}
    return [main_table(result), *group_tables(result.name, groups)]
