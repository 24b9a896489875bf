"""What a comparison is made of: data sets, entries, seeds and metrics, read from YAML and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from kdiffe_dgl.api import settings_for
from kdiffe_dgl.config import Component, parse_config, read_yaml
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.metrics import ACCURACY_METRICS, MOST_CUTOFF, cutoff_of, is_measured
from kdiffe_dgl.experiments.study import Pruner
from kdiffe_dgl.training.config import EvaluationConfig, RunConfig

__all__ = ["EXAMPLE", "Budget", "Entry", "Plan", "Settings", "entry_config", "read_plan"]

EXAMPLE = """\
# kdiffe compare plan.yaml: every entry is trained on every data set with every seed. Paths are
# relative to this file. What is finished is used again, so this plan may be changed at any time.
output: runs/comparison
datasets:                       # name in the tables: folder
  MovieLens 100K: data/ml-100k
entries:                        # name in the tables: settings
  KDiffE: {preset: default}
  LightGCN:
    model: lightgcn
    set: [training.learning_rate=1e-2]
    # Settings may differ by data set:
    # datasets: {MovieLens 100K: {set: [model.layers=2]}}
  RP3beta: {model: rp3beta}
seeds: 5                        # or a list, such as [0, 7, 11]
metrics: [recall@20, ndcg@20]
# tune: 20                      # trials on validation for the settings of each entry on each data set
# records: records              # small files of what was measured, to pass on and to extend
# reference: KDiffE             # what the others are tested against; by default the best
"""
"""A plan to start from."""

_SEEDS = 5
_MOST_SEEDS = 1000  # a greater number is a seed that somebody forgot to put into a list


class Settings(Component):
    """Where the settings of an entry come from, the later over the earlier."""

    model: str | None = None
    """Name of the model; null: that of the preset."""
    preset: str | None = None
    """Name of a preset, or a file of one; null: ``default``."""
    config: Path | None = None
    """YAML file of settings, over the preset."""
    set: tuple[str, ...] = ()
    """Settings of the form ``model.dim=64``, over all others."""


class Entry(Settings):
    """A row of the tables."""

    datasets: dict[str, Settings] = Field(default_factory=dict)
    """Data set -> what differs there: names take the place of the entry's, ``set`` comes after its."""
    skip: tuple[str, ...] = ()
    """Data sets that it is not trained on."""
    tune: bool = True
    """Whether its settings are searched, where the plan has a budget for that."""

    def for_dataset(self, name: str) -> Settings:
        """Return the settings on a data set."""
        base, own = Settings(**self.model_dump(include=set(Settings.model_fields))), self.datasets.get(name)
        if own is None:
            return base
        given = {field: value for field, value in own.model_dump().items() if value is not None}
        return base.model_copy(update={**given, "set": (*base.set, *own.set)})


class Budget(Component):
    """What is spent on the settings of each entry on each data set, before they are compared.

    It has no limit of time: entries would have other numbers of trials, and the same plan other settings.
    """

    trials: int = Field(30, ge=1)
    """Trials of a search."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the search and of each of its trainings."""
    pruner: Pruner = "median"
    """Which trials are stopped early, as of ``kdiffe tune``."""


class _PlanFile(Component):
    """A plan as it is written; parts with names are read one by one, so that a message can name them."""

    output: Path | None = None
    datasets: dict[str, Any] = Field(min_length=1)
    entries: dict[str, Any] = Field(min_length=1)
    set: tuple[str, ...] = ()
    seeds: int | tuple[int, ...] = _SEEDS
    metrics: tuple[str, ...] = Field(("recall@20", "ndcg@20"), min_length=1)
    cutoffs: tuple[Annotated[int, Field(ge=1, le=MOST_CUTOFF, strict=True)], ...] = Field(
        (5, 10, 20, 50), min_length=1
    )
    mask: tuple[Literal["train", "validation"], ...] = ("train",)
    reference: str | None = None
    tune: Budget | None = None
    records: Path | None = None

    @field_validator("tune", mode="before")
    @classmethod
    def _trials_alone(cls, value: Any) -> Any:
        if type(value) is int:
            return {"trials": value}
        if value is not None and not isinstance(value, Mapping):
            raise ValueError("a number of trials, or settings such as {trials: 20, seed: 1}")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _some_seeds(cls, value: Any) -> Any:
        several = isinstance(value, (list, tuple))
        numbers = list(value) if several else [value]
        if not numbers or any(type(number) is not int for number in numbers):
            raise ValueError("a number of at least 1, or a list of seeds")
        if not several and not 1 <= value <= _MOST_SEEDS:
            raise ValueError(f"a number from 1 to {_MOST_SEEDS}, or a list of seeds")
        if several and not all(0 <= number < 2**31 for number in numbers):
            raise ValueError("seeds from 0, less than 2**31")
        if len(set(numbers)) < len(numbers):
            raise ValueError("a list of different seeds")
        return value

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for metric in value:
            # Another name, such as recall@020, would be looked for in vain after all is trained.
            if not is_measured(metric):
                raise ValueError(
                    f"metrics with a cutoff, such as recall@20, not {metric!r}; metrics: "
                    f"{', '.join(ACCURACY_METRICS)}"
                )
        return tuple(dict.fromkeys(value))


@dataclass(frozen=True)
class Plan:
    """A comparison.

    Parameters
    ----------
    datasets
        Name in the tables -> folder.
    entries
        Name in the tables -> where its settings come from.
    output
        Where runs and results go.
    overrides
        Settings for all entries, before their own.
    seeds
        Seeds of the runs.
    metrics
        Metrics of the tables; a test is made for each.
    cutoffs
        Lengths of lists that are measured beside those of the metrics.
    mask
        Splits whose items are left out of the lists when testing.
    reference
        Entry that the others are tested against; null: the best, by metric.
    tune
        What is spent on settings; null: those of the plan hold.
    records
        Folder of what was measured, see :class:`kdiffe_dgl.experiments.records.Records`: a run that it
        holds needs no training; null: none is kept.
    """

    datasets: Mapping[str, Path]
    entries: Mapping[str, Entry]
    output: Path = Path("runs/comparison")
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = tuple(range(_SEEDS))
    metrics: tuple[str, ...] = ("recall@20", "ndcg@20")
    cutoffs: tuple[int, ...] = (5, 10, 20, 50)
    mask: tuple[Literal["train", "validation"], ...] = ("train",)
    reference: str | None = None
    tune: Budget | None = None
    records: Path | None = None

    def __post_init__(self) -> None:
        if self.reference is not None and self.reference not in self.entries:
            raise InputError(
                f"reference {self.reference!r} is no entry; expected one of {', '.join(self.entries)}"
            )
        for name, entry in self.entries.items():
            for dataset in (*entry.datasets, *entry.skip):
                if dataset not in self.datasets:
                    raise InputError(
                        f"entry {name}: {dataset!r} is no data set of the plan; expected one of "
                        f"{', '.join(self.datasets)}"
                    )

    @property
    def evaluation(self) -> EvaluationConfig:
        """How all runs are measured: cutoffs of the metrics included."""
        own = {cutoff_of(metric) for metric in self.metrics}
        return EvaluationConfig(cutoffs=tuple(sorted({*self.cutoffs, *own})), test_mask=self.mask)

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON and YAML know."""
        return {
            "output": str(self.output),
            "datasets": {name: str(path) for name, path in self.datasets.items()},
            "entries": {
                name: entry.model_dump(mode="json", exclude_defaults=True)
                for name, entry in self.entries.items()
            },
            "set": list(self.overrides),
            "seeds": list(self.seeds),
            "metrics": list(self.metrics),
            "cutoffs": list(self.cutoffs),
            "mask": list(self.mask),
            "reference": self.reference,
            "tune": None if self.tune is None else self.tune.model_dump(),
            "records": None if self.records is None else str(self.records),
        }


def read_plan(given: str | Path | Mapping[str, Any]) -> Plan:
    """Read a plan.

    Parameters
    ----------
    given
        A YAML file, to whose folder paths are relative; or what such a file holds, with paths relative
        to the working folder.

    Raises
    ------
    InputError
        Naming the place and what is wrong with it.
    """
    values: Mapping[str, Any]
    if isinstance(given, (str, Path)):
        file_name = Path(given)
        values, where, folder = read_yaml(file_name), str(given), file_name.parent
        output = Path("runs") / file_name.stem
    else:
        values, where, folder, output = given, "plan", Path(), Path("runs/comparison")
    file = parse_config(_PlanFile, values, where)
    datasets = {}
    for name, path in file.datasets.items():
        if not isinstance(path, (str, Path)) or not str(path):
            raise InputError(f"{where}: data set {name} is {path!r}; expected its folder")
        datasets[name] = folder / path
    entries = {name: _entry(value, f"{where}, entry {name}", folder) for name, value in file.entries.items()}
    seeds = file.seeds if isinstance(file.seeds, tuple) else tuple(range(file.seeds))
    try:
        return Plan(
            datasets,
            entries,
            folder / (file.output or output),
            file.set,
            seeds,
            file.metrics,
            file.cutoffs,
            file.mask,
            file.reference,
            file.tune,
            None if file.records is None else folder / file.records,
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _entry(value: Any, where: str, folder: Path) -> Entry:
    """Return an entry whose files are relative to the working folder, no longer to the plan."""
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"{where}: is {value!r}; expected settings, such as {{model: lightgcn}}")
    entry = parse_config(Entry, value or {}, where)

    def anchor(settings: Settings) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if settings.config is not None:
            changes["config"] = folder / settings.config
        if settings.preset is not None and settings.preset.endswith((".yaml", ".yml")):
            changes["preset"] = str(folder / settings.preset)
        return changes

    datasets = {name: own.model_copy(update=anchor(own)) for name, own in entry.datasets.items()}
    return entry.model_copy(update={**anchor(entry), "datasets": datasets})


def entry_config(plan: Plan, entry: str, dataset: str) -> RunConfig:
    """Resolve the settings of an entry on a data set.

    Parameters
    ----------
    plan
        The plan.
    entry, dataset
        Their names in it.

    Raises
    ------
    InputError
        If a setting, preset or model does not exist, or a value does not fit.
    """
    own = plan.entries[entry].for_dataset(dataset)
    try:
        config = settings_for(own.preset, own.config, (*plan.overrides, *own.set), own.model)
    except InputError as error:
        told = str(error).removeprefix("--model: ").replace("--set ", "set ")
        raise InputError(f"entry {entry} on {dataset}: {told}") from error
    return replace(config, evaluation=plan.evaluation)
