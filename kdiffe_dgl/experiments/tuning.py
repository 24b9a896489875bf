"""Settings chosen on validation: a search over what a model's configuration declares."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from kdiffe_dgl.api import settings_for
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.display import tables_html
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.comparison import write_figures
from kdiffe_dgl.experiments.grid import NoWatcher, Watcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, JobResult, Source
from kdiffe_dgl.experiments.study import Pruner, Study, Trial, require_optuna
from kdiffe_dgl.experiments.tables import Cell, ResultTable
from kdiffe_dgl.models.closed_form import ClosedFormModel
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.search import Needs, Searched, search_space
from kdiffe_dgl.serving import files
from kdiffe_dgl.training.config import RunConfig, TrainingConfig, resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TuneOptions", "Tuning", "declared_space", "tune", "without_test"]

JOURNAL = "study.jsonl"
BEST = "best.yaml"
RESULTS = "trials.json"
TRIALS = "trials"
_SHOWN = 10


def without_test(dataset: RecDataset) -> RecDataset:
    """Return the data set without its test interactions, so that no choice can depend on them."""
    kept = dataset.interactions.filter(pl.col("split").ne_missing("test"))
    return dataset.replace(interactions=kept)


def declared_space(config: RunConfig, dataset: RecDataset, fixed: Sequence[str] = ()) -> dict[str, Searched]:
    """Return what is tried of a model on a data set.

    Parameters
    ----------
    config
        The settings that the search starts from.
    dataset
        Settings of parts that read what the data set lacks are left out.
    fixed
        Settings ``key=value`` that were given: they, and all within them, are not searched.

    Raises
    ------
    InputError
        If nothing is left.
    """
    has: list[Needs] = []
    if dataset.kg is not None and len(dataset.kg.triples):
        has.append("kg")
    if dataset.features:
        has.append("features")
    found = search_space(type(config.model), "model.", has)
    if not issubclass(model_class(config.name), ClosedFormModel):
        found.update(search_space(TrainingConfig, "training."))
    given = [setting.partition("=")[0].strip() for setting in fixed]
    left = {
        name: searched
        for name, searched in found.items()
        if not any(f"{name}.".startswith(f"{key}.") for key in given)
    }
    if not left:
        raise InputError(f"model {config.name}: has no setting to search; expected one that declares some")
    return left


@dataclass(frozen=True)
class TuneOptions:
    """How a search is carried out.

    Parameters
    ----------
    trials
        Trials of the whole study, those of earlier calls included.
    timeout
        Seconds after which no trial is begun any more; null: no limit.
    seed
        Seed of the sampler and of each training.
    pruner
        Which trials are stopped early, see :class:`kdiffe_dgl.experiments.study.Study`.
    """

    trials: int = 30
    timeout: float | None = None
    seed: int = 0
    pruner: Pruner = "median"


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Parameters
    ----------
    dataset, model, monitor
        Names of data set, model, and validation metric.
    folder
        Where the journal is.
    space
        What was tried.
    trials
        All trials that have ended.
    importance
        Setting -> share of the variance that it explains.
    settings
        The settings that the search started from.
    """

    dataset: str
    model: str
    monitor: str
    folder: Path
    space: Mapping[str, Searched]
    trials: tuple[Trial, ...]
    importance: Mapping[str, float]
    settings: RunConfig

    @property
    def best(self) -> Trial:
        """The trial with the best validation metric.

        Raises
        ------
        InputError
            If no trial came to its end.
        """
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        if not complete:
            reasons = [trial.reason for trial in self.trials if trial.reason]
            told = f"; the last one failed: {reasons[-1]}" if reasons else "; expected more trials"
            raise InputError(f"{self.folder}: no trial came to its end{told}")
        # Of equals the first.
        return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))

    def best_settings(self) -> RunConfig:
        """Return the settings of the best trial."""
        return _with_values(self.settings, self.best.values)

    def preset(self) -> str:
        """Return the best settings as YAML, which ``kdiffe train --preset FILE`` reads."""
        best = self.best
        values = {key: part for key, part in self.best_settings().to_dict().items() if key != "evaluation"}
        head = (
            f"# {self.model} on {self.dataset}: validation {self.monitor} {best.value:.4f}, "
            f"best of {len(self.trials)} trials (number {best.number}).\n"
        )
        head = "".join(character if character.isprintable() else " " for character in head[:-1]) + "\n"
        return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    def tables(self) -> list[ResultTable]:
        """Return the best trials, and how much each setting matters."""
        complete = sorted(
            (trial for trial in self.trials if trial.state == "complete"),
            key=lambda trial: (-(trial.value or 0.0), trial.number),
        )
        names = sorted(self.space, key=lambda name: -self.importance.get(name, 0.0))[:6]
        rows = [
            (
                Cell(str(trial.number)),
                Cell(f"{trial.value:.4f}", best=not place),
                *(Cell(_short(trial.values.get(name, ""))) for name in names),
            )
            for place, trial in enumerate(complete[:_SHOWN])
        ]
        counts = [sum(trial.state == state for trial in self.trials) for state in ("pruned", "failed")]
        title = f"{self.model} on {self.dataset}: best of {len(self.trials)} trials"
        note = f"{counts[0]} were stopped early, {counts[1]} failed. No test data was read."
        found = [ResultTable(title, ("trial", self.monitor, *names), tuple(rows), (note,), "trials")]
        if self.importance:
            shares = tuple(
                (Cell(name), Cell(f"{share:.3f}"))
                for name, share in sorted(self.importance.items(), key=lambda one: -one[1])
            )
            note = "Share of the metric's variance over the trials (functional ANOVA)."
            found.append(
                ResultTable(
                    "How much each setting matters", ("setting", "importance"), shares, (note,), "importance"
                )
            )
        return found

    def figures(self) -> dict[str, Figure]:
        """Return the course of the search, and the importance of the settings."""
        # Imported here: who only wants the tables does not wait for matplotlib.
        from kdiffe_dgl.experiments.tuning_figures import history, importance_bars  # noqa: PLC0415

        found = {"history": history(self.trials, self.monitor, f"{self.model} on {self.dataset}")}
        if self.importance:
            found["importance"] = importance_bars(self.importance)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as types that JSON knows."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "monitor": self.monitor,
            "space": {name: vars(searched) for name, searched in self.space.items()},
            "settings": self.settings.to_dict(),
            "best": self.best.to_dict(),
            "importance": dict(self.importance),
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def write(self) -> list[Path]:
        """Write best.yaml, trials.json, tables.md, and the figures as PNG and SVG, beside the journal."""
        texts = {
            "tables.md": "\n".join(table.markdown() for table in self.tables()),
            BEST: self.preset(),
        }
        written = write_figures(self.figures(), self.folder / "figures")
        for name, text in texts.items():
            with files.atomic_file(self.folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        files.write_json(self.folder / RESULTS, self.to_dict())
        return [*written, *(self.folder / name for name in (*texts, RESULTS))]

    def _repr_html_(self) -> str:
        """Show the tables in a notebook."""
        return tables_html(*(table.rich() for table in self.tables()))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return settings with some of them changed, validated again."""
    overrides = [f"{name}={yaml.safe_dump(value).splitlines()[0]}" for name, value in values.items()]
    return resolve(config.to_dict(), overrides)


def _value_of(config: RunConfig, name: str) -> Any:
    value: Any = config.to_dict()
    for part in name.split("."):
        value = value[part]
    return value


class _Search(NoWatcher):
    """Asks a study what to try next, and tells it what came of it.

    Parameters
    ----------
    study
        The study.
    options
        How many trials, and how long.
    config
        Settings that a trial starts from.
    source, folder, device
        Data, folder and device of the trials.
    watcher
        Whom to tell.
    """

    def __init__(
        self,
        study: Study,
        options: TuneOptions,
        config: RunConfig,
        source: Source,
        folder: Path,
        device: str,
        watcher: Watcher,
    ) -> None:
        self._study, self._options, self._config = study, options, config
        self._source, self._folder, self._device, self._watcher = source, folder, device, watcher
        self._numbers: dict[Path, int] = {}
        self._best: dict[int, float] = {}

    def jobs(self) -> Iterator[Job]:
        """Yield a job for each trial until the budget is spent."""
        started = time.monotonic()
        left = self._options.trials - len(self._study.ended())
        self._watcher.grid_begins(max(0, left))
        for _ in range(left):
            if self._options.timeout is not None and time.monotonic() - started >= self._options.timeout:
                return
            number, values = self._study.ask()
            try:
                config = _with_values(self._config, values)
            except InputError as error:
                self._study.end(number, None, 0.0, str(error))
                continue
            folder = self._folder / f"{number:05d}"
            self._numbers[folder] = number
            yield Job(f"trial {number}", self._source, config, self._options.seed, folder, self._device)

    def job_begins(self, job: Job) -> None:
        """Pass it on."""
        self._watcher.job_begins(job)

    def epoch_ends(self, job: Job, record: dict[str, Any], best: bool) -> bool:
        """Report a validation, and stop what is not promising."""
        wished = self._watcher.epoch_ends(job, record, best)
        if not record["validation"]:
            return wished
        number = self._numbers[job.folder]
        value = float(record["validation"][self._config.training.monitor])
        self._best[number] = max(value, self._best.get(number, value))
        return self._study.promising(number, int(record["epoch"]), value) and wished

    def job_ends(self, result: JobResult) -> None:
        """End the trial; its run is not kept."""
        number = self._numbers.pop(result.job.folder)
        best = self._best.pop(number, None) if result.done else None
        reason = result.reason or ("no epoch was validated" if result.done and best is None else "")
        self._study.end(number, best, result.seconds, reason)
        shutil.rmtree(result.job.folder, ignore_errors=True)
        self._watcher.job_ends(result)


def tune(
    data: Path,
    folder: Path,
    *,
    model: str | None = None,
    preset_name: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    options: TuneOptions | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Tuning:
    """Search settings by the best validation metric (``training.monitor``, by default Recall@20).

    The test interactions are removed before anything is trained. A search that was stopped goes on with the
    same call, and one that is over with more trials.

    Parameters
    ----------
    data
        Folder of the data set.
    folder
        Where the journal and the results go.
    model, preset_name, config, overrides
        Settings to start from, as of :meth:`kdiffe_dgl.api.Run.train`; what ``overrides`` names is not
        searched. The first trial has these settings.
    options
        Number of trials, and how they are chosen.
    jobs, threads, device, watcher
        As of :func:`kdiffe_dgl.experiments.compare`. With more than one job, what is tried depends on which
        trial ends first.

    Returns
    -------
    Tuning
        The best settings, tables and figures; :meth:`Tuning.write` writes them.

    Raises
    ------
    InputError
        If Optuna is missing, a setting does not fit, nothing can be searched, or the folder is taken.
    """
    options = options or TuneOptions()
    require_optuna()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the search")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).is_file():
        raise InputError(f"{folder}: holds other files; expected a new or empty folder, or one of a search")
    dataset = RecDataset.load(data)
    settings, _ = settings_for(dataset.name, preset_name, config, overrides, model)
    space = declared_space(settings, dataset, overrides)
    for split in ("train", "validation"):
        if not len(dataset.pairs(split)):
            raise InputError(
                f"data set {dataset.name!r}: the {split} split is empty; expected interactions in it"
            )
    about = {
        "data set": dataset.fingerprint,
        "model": settings.name,
        "space": {name: list(map(str, vars(searched).values())) for name, searched in space.items()},
        "settings": settings.to_dict(),
        "seed": options.seed,
        "pruner": options.pruner,
    }
    start = {name: _value_of(settings, name) for name in space}
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(folder / JOURNAL, about, space, start, options.seed, options.pruner)
    # Runs of a process that was killed.
    shutil.rmtree(folder / TRIALS, ignore_errors=True)
    search = _Search(
        study,
        options,
        settings,
        Source(data, without_test),
        folder / TRIALS,
        device,
        watcher or NoWatcher(),
    )
    try:
        run_grid(search.jobs(), n_jobs=jobs, threads=threads, watcher=search)
    finally:
        shutil.rmtree(folder / TRIALS, ignore_errors=True)
    return Tuning(
        dataset.name,
        settings.name,
        settings.training.monitor,
        folder,
        space,
        tuple(study.ended()),
        study.importance(),
        settings,
    )
