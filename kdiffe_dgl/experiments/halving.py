"""Successive halving that a stopped search goes on with as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

__all__ = ["Halving"]

Counts = Callable[["optuna.trial.FrozenTrial"], bool]


class _Counted:
    """A study of which only the trials that count are seen.

    Parameters
    ----------
    study
        The study.
    counts
        Whether a trial counts.
    """

    def __init__(self, study: optuna.Study, counts: Counts) -> None:
        self._all, self._counts = study, counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._all, name)

    def get_trials(self, *args: Any, **options: Any) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that count; parameters as of the study."""
        return [trial for trial in self._all.get_trials(*args, **options) if self._counts(trial)]


class Halving:
    """A pruner for Optuna: its successive halving, in which interrupted trials are no competitors.

    Optuna's own sets a trial against all that were begun: one that was cut off and is tried again would
    compete with itself. It also forgets with its process what it took as the first rung.

    Parameters
    ----------
    package
        Optuna.
    counts
        Whether a trial counts.
    """

    def __init__(self, package: Any, counts: Counts) -> None:
        self._package, self._counts = package, counts

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Return whether a trial is to be stopped."""
        state = self._package.trial.TrialState
        complete = study.get_trials(deepcopy=False, states=(state.COMPLETE,))
        ends = [(one.datetime_complete, one.last_step) for one in complete if one.last_step is not None]
        if not ends:
            return False
        # As Optuna estimates it, but always from the trial that was the first to end.
        _, last_step = min(ends)
        halving = self._package.pruners.SuccessiveHalvingPruner(min_resource=max(last_step // 100, 1))
        stop: bool = halving.prune(_Counted(study, self._counts), trial)
        return stop
