"""Experiments of many training runs: comparisons over data sets and seeds, searches of settings."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdiffe_dgl.experiments.comparison import Comparison, compare
    from kdiffe_dgl.experiments.plan import Entry, Plan, read_plan
    from kdiffe_dgl.experiments.tuned import Tuning
    from kdiffe_dgl.experiments.tuning import TuneOptions, tune

__all__ = ["Comparison", "Entry", "Plan", "TuneOptions", "Tuning", "compare", "read_plan", "tune"]

# Imported when they are first used: a process that only trains runs needs neither tests nor figures, whose
# libraries would take a third of its start.
_HOME_OF = {
    "Comparison": "comparison",
    "Entry": "plan",
    "Plan": "plan",
    "TuneOptions": "tuning",
    "Tuning": "tuned",
    "compare": "comparison",
    "read_plan": "plan",
    "tune": "tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
