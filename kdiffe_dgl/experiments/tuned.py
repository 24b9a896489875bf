"""What a search found: the best settings, tables, figures, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kdiffe_dgl.display import tables_html
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.output import write_figures
from kdiffe_dgl.experiments.study import Trial
from kdiffe_dgl.experiments.tables import Cell, ResultTable
from kdiffe_dgl.search import Searched
from kdiffe_dgl.serving import files
from kdiffe_dgl.training.config import RunConfig, resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Tuning", "value_of", "with_values"]

BEST = "best.yaml"
RESULTS = "trials.json"
_SHOWN = 10


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
        return with_values(self.settings, self.best.values)

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


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return settings with some of them changed, validated again."""
    overrides = [f"{name}={yaml.safe_dump(value).splitlines()[0]}" for name, value in values.items()]
    return resolve(config.to_dict(), overrides)


def value_of(config: RunConfig, name: str) -> Any:
    """Return the value of a setting, such as ``"model.dim"``."""
    value: Any = config.to_dict()
    for part in name.split("."):
        value = value[part]
    return value
