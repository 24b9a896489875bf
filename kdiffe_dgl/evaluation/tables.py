"""Metrics as a table: one row a metric and split, one column a cutoff."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

__all__ = ["by_cutoff", "group_tables", "metrics_table"]


def by_cutoff(metrics: Mapping[str, float]) -> tuple[list[int], dict[str, dict[int, float]]]:
    """Arrange ``"recall@20" -> value`` by metric and cutoff.

    Returns
    -------
    cutoffs
        All cutoffs, ascending.
    rows
        Metric -> cutoff -> value, in the order given. Names without a cutoff are left out.
    """
    rows: dict[str, dict[int, float]] = {}
    for key, value in metrics.items():
        name, _, cutoff = key.rpartition("@")
        if name and cutoff.isascii() and cutoff.isdigit():
            rows.setdefault(name, {})[int(cutoff)] = value
    return sorted({cutoff for row in rows.values() for cutoff in row}), rows


def metrics_table(splits: Mapping[str, Mapping[str, float]], title: str | None = None) -> Table:
    """Return a table of the metrics of one or more splits.

    Parameters
    ----------
    splits
        Split -> ``"recall@20"`` -> value.
    title
        Printed above the table, as it is (no markup).
    """
    arranged = {split: by_cutoff(metrics)[1] for split, metrics in splits.items()}
    cutoffs = sorted({cutoff for metrics in splits.values() for cutoff in by_cutoff(metrics)[0]})
    table = Table(title=Text(title) if title else None)
    table.add_column("split")
    table.add_column("metric")
    for cutoff in cutoffs:
        table.add_column(f"@{cutoff}", justify="right")
    for split, rows in arranged.items():
        for name, values in rows.items():
            table.add_row(Text(split), Text(name), *_cells(values, cutoffs))
    return table


def group_tables(values: Mapping[str, Mapping[str, Mapping[str, float | int]]]) -> list[Table]:
    """Return a table of the users by activity, and one of the items by popularity.

    Parameters
    ----------
    values
        As of :func:`kdiffe_dgl.evaluation.groups.group_values`.
    """
    headings = {
        "users": ("Users by number of training interactions", "users"),
        "items": ("Items by popularity in training: share of their pairs that are found", "pairs"),
    }
    tables = []
    for kind, (heading, unit) in headings.items():
        groups = values.get(kind, {})
        table = Table(title=heading)
        table.add_column("training interactions")
        names = [name for name in next(iter(groups.values()), {}) if name != "n"]
        for column in (unit, *names):
            table.add_column(column, justify="right")
        for label, row in groups.items():
            table.add_row(Text(label), f"{row['n']:,}", *(f"{row[name]:.4f}" for name in names))
        tables.append(table)
    return tables


def _cells(values: Mapping[int, float], cutoffs: Iterable[int]) -> list[str]:
    return [f"{values[cutoff]:.4f}" if cutoff in values else "" for cutoff in cutoffs]


def fitted_weights(weights: Mapping[str, float]) -> str:
    """Return weights that were fitted, by what they weigh, in a line."""
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
