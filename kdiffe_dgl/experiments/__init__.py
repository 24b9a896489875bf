"""Experiments of many training runs: comparisons over data sets and seeds, searches of settings."""

from kdiffe_dgl.experiments.comparison import Comparison, compare
from kdiffe_dgl.experiments.plan import Entry, Plan, read_plan
from kdiffe_dgl.experiments.tuned import Tuning
from kdiffe_dgl.experiments.tuning import TuneOptions, tune

__all__ = ["Comparison", "Entry", "Plan", "TuneOptions", "Tuning", "compare", "read_plan", "tune"]
