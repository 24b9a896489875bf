"""Experiments of many training runs: comparisons over data sets and seeds, searches of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kg_builders.late_names import late_names as _late_names

if TYPE_CHECKING:
    from kdiffe_dgl.experiments.comparison import Comparison, compare
    from kdiffe_dgl.experiments.plan import Budget, Entry, Plan, read_plan
    from kdiffe_dgl.experiments.tuned import Tuning
    from kdiffe_dgl.experiments.tuning import TuneOptions, tune

__all__ = ["Budget", "Comparison", "Entry", "Plan", "TuneOptions", "Tuning", "compare", "read_plan", "tune"]

# Imported when they are first used: a process that only trains runs needs neither tests nor figures, whose
# libraries would take a third of its start.
_HOMES = {
    "comparison": ("Comparison", "compare"),
    "plan": ("Budget", "Entry", "Plan", "read_plan"),
    "tuned": ("Tuning",),
    "tuning": ("TuneOptions", "tune"),
}

__getattr__, __dir__ = _late_names(__name__, _HOMES)
