"""The memory of a search: trials in a journal of JSON lines, so that a search goes on where it stopped."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.halving import Halving
from kdiffe_dgl.search import Choices, Searched
from kg_builders.errors import install_hint

if TYPE_CHECKING:
    import optuna

__all__ = ["Pruner", "Study", "Trial", "require_optuna"]

Pruner = Literal["median", "halving", "none"]
Values = dict[str, Any]

_REASON = "reason"
_AGAIN = "again"  # number of the interrupted trial that a trial takes up
_STARTUP = 8  # trials drawn at random before the sampler learns, and kept from the pruner


def require_optuna() -> Any:
    """Return the package Optuna.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(f"tuning needs Optuna; expected {install_hint('tune')}") from error
    return optuna


def _forget_half_a_line(file: Path) -> None:
    """Cut off what a killed process was about to write: the next line would be appended to it."""
    if not file.is_file():
        return
    with file.open("r+b") as stream:
        written = stream.read()
        if written and not written.startswith(b'{"op_code"'):
            raise ValueError("no journal")
        stream.truncate(written.rfind(b"\n") + 1)


def _forget_the_lock(file: Path) -> None:
    """Remove what Optuna locked the journal with in a process that was killed: it would be waited for.

    Who opens a journal keeps others out of its folder, so that nobody alive can hold it.
    """
    for path in file.parent.glob(f"{glob.escape(file.name)}.lock*"):
        if path.is_symlink():
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Parameters
    ----------
    number
        Its number in the study.
    state
        ``"complete"``, ``"pruned"`` where it was stopped as not promising, or ``"failed"``.
    value
        Best validation metric of its epochs; null where none was validated.
    values
        Setting -> value that was tried.
    epochs
        Number of the last validated epoch.
    seconds
        Time that it took.
    reason
        Why it failed.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    values: Mapping[str, Any]
    epochs: int
    seconds: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        return dict(vars(self))


class Study:
    """A search that is kept in a file.

    Parameters
    ----------
    file
        The journal; it is made where it is not there.
    about
        What is searched: a study goes on only with the same. JSON types.
    space
        Setting -> what is tried.
    start
        Values to begin with; those outside the space are left out.
    seed
        Seed of the sampler: trial by trial, so that a search that was stopped goes on as if it had not been.
    pruner
        ``"median"``: stop a trial below the median of the others at the same epoch; ``"halving"``:
        successive halving; ``"none"``.

    Raises
    ------
    InputError
        If Optuna is missing, or the file is of another search or damaged.
    """

    def __init__(
        self,
        file: Path,
        about: Mapping[str, Any],
        space: Mapping[str, Searched],
        start: Values,
        seed: int,
        pruner: Pruner,
    ) -> None:
        self._optuna = require_optuna()
        self._space, self._seed = dict(space), seed
        self._study = self._open(file, pruner)
        stored = self._study.user_attrs.get("about")
        if stored is None:
            self._study.set_user_attr("about", dict(about))
        elif stored != dict(about):
            odd = next(name for name in (*about, *stored) if stored.get(name) != about.get(name))
            raise InputError(f"{file}: is a search with another {odd}; expected the same, or another folder")
        if not self._study.get_trials(deepcopy=False):
            inside = {
                name: value for name, value in start.items() if name in space and space[name].holds(value)
            }
            self._study.enqueue_trial(inside)
        self._running: dict[int, optuna.Trial] = {}
        self._give_up_interrupted()

    def _open(self, file: Path, pruner: Pruner) -> optuna.Study:
        package = self._optuna
        pruners: dict[str, Callable[[], Any]] = {
            "median": lambda: package.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=2),
            "halving": lambda: Halving(package, lambda trial: not self._was_interrupted(trial)),
            "none": package.pruners.NopPruner,
        }
        verbosity = package.logging.get_verbosity()
        # A line a trial on standard error would tear the bars; what it says is shown by who watches.
        package.logging.set_verbosity(package.logging.WARNING)
        try:
            _forget_half_a_line(file)
            _forget_the_lock(file)
            # Optuna's lock is a link to the path that it is given: a relative one would lead nowhere from the
            # folder of the journal, and Optuna would wait for such a lock for ever.
            backend = package.storages.journal.JournalFileBackend(str(file.resolve()))
            storage = package.storages.JournalStorage(backend)
            study: optuna.Study = package.create_study(
                storage=storage,
                study_name="kdiffe",
                direction="maximize",
                pruner=pruners[pruner](),
                load_if_exists=True,
            )
        # Optuna asserts what an operation may be.
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}: is a damaged journal of a search; expected that of kdiffe tune"
            ) from error
        finally:
            package.logging.set_verbosity(verbosity)
        return study

    def _give_up_interrupted(self) -> None:
        """Let trials of a process that was stopped be tried again; they are not part of the budget."""
        state = self._optuna.trial.TrialState
        taken_up = {trial.user_attrs.get(_AGAIN) for trial in self._study.get_trials(deepcopy=False)}
        for trial in self._study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            values = self._values_again(trial)
            # Before the interrupted one ends: a process that is stopped in between loses nothing.
            if values and trial.number not in taken_up:
                self._study.enqueue_trial(values, user_attrs={_AGAIN: trial.number})
            self._study.tell(trial.number, state=state.FAIL)

    def _was_interrupted(self, trial: optuna.trial.FrozenTrial) -> bool:
        return bool(trial.state == self._optuna.trial.TrialState.FAIL and _REASON not in trial.user_attrs)

    def _values_again(self, trial: optuna.trial.FrozenTrial) -> Values:
        """Return the values to begin an interrupted trial with; empty where it is drawn anew, or had failed.

        A trial of which only some values were written is drawn as a whole, by the seed of its place: to keep
        those would draw the others differently. Only what was fixed before it began stays.
        """
        if _REASON in trial.user_attrs:
            return {}
        if trial.params.keys() >= self._space.keys():
            return dict(trial.params)
        return dict(trial.system_attrs.get("fixed_params", {}))

    def ask(self) -> tuple[int, Values]:
        """Begin a trial; returns its number and the values to try."""
        begun = len(self.ended()) + len(self._running)
        seed = int(np.random.SeedSequence([self._seed, begun]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
        trial = self._study.ask()
        values = {name: self._suggest(trial, name, searched) for name, searched in self._space.items()}
        self._running[trial.number] = trial
        return trial.number, values

    @staticmethod
    def _suggest(trial: optuna.Trial, name: str, searched: Searched) -> Any:
        if isinstance(searched, Choices):
            return trial.suggest_categorical(name, searched.values)
        if searched.whole:
            return trial.suggest_int(name, int(searched.low), int(searched.high), log=searched.log)
        return trial.suggest_float(name, searched.low, searched.high, log=searched.log)

    def promising(self, number: int, epoch: int, value: float) -> bool:
        """Note the validation metric of an epoch; returns whether the trial is worth going on with."""
        trial = self._running[number]
        trial.report(value, epoch)
        return not trial.should_prune()

    def end(self, number: int, value: float | None, seconds: float, reason: str = "") -> None:
        """End a trial.

        Parameters
        ----------
        number
            Its number.
        value
            Best validation metric, where it was trained to its end.
        seconds
            Time that it took.
        reason
            Why it failed; without value and reason, it was stopped as not promising.
        """
        state = self._optuna.trial.TrialState
        trial = self._running.pop(number)
        trial.set_user_attr("seconds", seconds)
        if reason:
            trial.set_user_attr(_REASON, reason)
            self._study.tell(trial, state=state.FAIL)
        elif value is None:
            self._study.tell(trial, state=state.PRUNED)
        else:
            self._study.tell(trial, value)

    def ended(self) -> list[Trial]:
        """Return the trials that have ended, by number; those that were interrupted are none of them."""
        state = self._optuna.trial.TrialState
        names: dict[Any, Literal["complete", "pruned", "failed"]] = {
            state.COMPLETE: "complete",
            state.PRUNED: "pruned",
            state.FAIL: "failed",
        }
        found = []
        for one in self._study.get_trials(deepcopy=False, states=tuple(names)):
            if self._was_interrupted(one):
                continue
            reason = one.user_attrs.get(_REASON, "")
            reached = one.intermediate_values
            value = one.value if one.state == state.COMPLETE else max(reached.values(), default=None)
            seconds = float(one.user_attrs.get("seconds", 0.0))
            found.append(
                Trial(
                    one.number,
                    names[one.state],
                    value,
                    dict(one.params),
                    max(reached, default=0),
                    seconds,
                    reason,
                )
            )
        return found

    def importance(self) -> dict[str, float]:
        """Return setting -> share of the variance of the metric that it explains, by functional ANOVA.

        Hutter, Hoos and Leyton-Brown, *An efficient approach for assessing hyperparameter importance*, ICML
        2014, over the trials that were trained to their end. Empty where fewer than four differ.
        """
        complete = [trial for trial in self.ended() if trial.state == "complete"]
        if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
            return {}
        evaluator = self._optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
        found: dict[str, float] = self._optuna.importance.get_param_importances(
            self._study, evaluator=evaluator
        )
        return {name: float(share) for name, share in found.items()}
