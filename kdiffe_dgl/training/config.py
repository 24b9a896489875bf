"""Settings of a run: model, training and evaluation, from presets, files and overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kdiffe_dgl.config import Component, apply_overrides, merge, parse_config, read_yaml
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.registry import model_class

__all__ = ["EvaluationConfig", "RunConfig", "TrainingConfig", "preset", "preset_names", "resolve"]


class TrainingConfig(Component):
    """Settings of the training loop."""

    epochs: int = Field(200, ge=1)
    """Most epochs."""
    batch_size: int = Field(2048, ge=1)
    """Interactions a step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Step size of the recommender's optimiser (Adam)."""
    patience: int = Field(15, ge=1)
    """Validations without improvement after which training stops."""
    validate_every: int = Field(1, ge=1)
    """Epochs between validations."""
    monitor: str = Field("recall@20", pattern=r"^(recall|ndcg|precision|hit_rate|mrr|map)@[1-9]\d*$")
    """Validation metric that chooses the epoch, such as ``recall@20``."""
    checkpoint_seconds: float = Field(30.0, ge=0)
    """Least time between two checkpoints; it does not change the result."""


class EvaluationConfig(Component):
    """Settings of the evaluation."""

    cutoffs: tuple[int, ...] = (5, 10, 20, 50)
    """Lengths of the recommended lists."""
    test_mask: tuple[Literal["train", "validation"], ...] = ("train",)
    """Splits whose items are left out of the lists when testing."""


@dataclass(frozen=True)
class RunConfig:
    """The resolved settings of a run."""

    name: str
    model: Component
    training: TrainingConfig
    evaluation: EvaluationConfig

    def to_dict(self) -> dict[str, Any]:
        """Return types that YAML knows; :func:`resolve` reads them back."""
        return {
            "model": {"name": self.name, **self.model.model_dump(mode="json")},
            "training": self.training.model_dump(mode="json"),
            "evaluation": self.evaluation.model_dump(mode="json"),
        }


def preset_names() -> list[str]:
    """Return the names of the presets, sorted."""
    folder = resources.files("kdiffe_dgl") / "presets"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def preset(name: str) -> dict[str, Any]:
    """Read a preset.

    Raises
    ------
    InputError
        If there is none of that name; the message offers the nearest.
    """
    names = preset_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
        raise InputError(f"unknown preset {name!r}; {hint}")
    with resources.as_file(resources.files("kdiffe_dgl") / "presets" / f"{name}.yaml") as path:
        return read_yaml(path)


def resolve(
    values: Mapping[str, Any],
    overrides: Sequence[str] = (),
    where: str = "configuration",
    model: str | None = None,
) -> RunConfig:
    """Validate the settings of a run.

    Parameters
    ----------
    values
        Mapping with the keys ``model`` (its ``name`` and settings), ``training`` and ``evaluation``;
        each may be left out.
    overrides
        Settings of the form ``a.b=value``, applied last.
    where
        Where the values come from, for messages.
    model
        Model to use in place of the one in ``values``; the model settings of ``values`` are then dropped,
        unless they are of that model.

    Raises
    ------
    InputError
        If a key is unknown or a value is bad.
    """
    values = dict(values)
    if model is not None:
        settings = values.get("model")
        same = isinstance(settings, Mapping) and settings.get("name", "kdiffe") == model
        values["model"] = settings if same else {"name": model}
    values = merge({"model": {"name": "kdiffe"}, "training": {}, "evaluation": {}}, values)
    values = apply_overrides(values, overrides)
    known = ("model", "training", "evaluation")
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
            raise InputError(f"{where}: unknown key {key!r}; {hint}")
        if not isinstance(values[key], Mapping):
            raise InputError(f"{where}: {key} is {values[key]!r}; expected a mapping of settings")
    settings = dict(values["model"])
    cls = model_class(str(settings.pop("name")))
    return RunConfig(
        name=cls.name,
        model=parse_config(cls.Config, settings, f"{where}, model"),
        training=parse_config(TrainingConfig, values["training"], f"{where}, training"),
        evaluation=parse_config(EvaluationConfig, values["evaluation"], f"{where}, evaluation"),
    )
