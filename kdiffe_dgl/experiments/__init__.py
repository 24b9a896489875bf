"""Experiments of many training runs: comparisons of models over data sets and seeds."""

from kdiffe_dgl.experiments.comparison import Comparison, compare
from kdiffe_dgl.experiments.plan import Entry, Plan, read_plan

__all__ = ["Comparison", "Entry", "Plan", "compare", "read_plan"]
