"""Settings of a run: model, training and evaluation, from presets, files and overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model, field_validator

from kdiffe_dgl.config import Component, apply_overrides, merge, parse_config, read_yaml
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.metrics import ACCURACY_METRICS, MOST_CUTOFF, is_measured
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.search import Between, Choices, SearchSpace

__all__ = [
    "DEFAULT_PRESET",
    "EvaluationConfig",
    "RunConfig",
    "TrainingConfig",
    "layer",
    "preset",
    "preset_names",
    "resolve",
]

DEFAULT_PRESET = "default"
"""Settings where no preset is named."""
_MODEL = "kdiffe"
"""Model where no name is given."""


class TrainingConfig(Component):
    """Settings of the training loop."""

    SEARCH: ClassVar[SearchSpace] = {
        "batch_size": Choices((512, 1024, 2048, 4096)),
        "learning_rate": Between(1e-4, 3e-2, log=True),
    }

    epochs: int = Field(200, ge=1)
    """Most epochs."""
    batch_size: int = Field(2048, ge=1)
    """Most interactions a step."""
    min_steps: int = Field(16, ge=1)
    """Least steps an epoch: data with few interactions get smaller batches."""
    learning_rate: float = Field(1e-3, gt=0)
    """Step size of the recommender's optimiser (Adam)."""
    patience: int = Field(15, ge=1)
    """Validations without improvement after which training stops."""
    validate_every: int = Field(1, ge=1)
    """Epochs between validations."""
    monitor: str = "recall@20"
    """Validation metric that chooses the epoch, such as ``recall@20``."""
    fit_metric: str | None = None
    """Validation metric that weights of the score are fitted on, ``ndcg@20`` say; null: the monitored one."""
    checkpoint_seconds: float = Field(30.0, ge=0)
    """Least time between two checkpoints; it does not change the result."""

    @property
    def fitted_on(self) -> str:
        """Validation metric that weights of the score are fitted on."""
        return self.fit_metric or self.monitor

    @field_validator("monitor", "fit_metric")
    @classmethod
    def _known_metric(cls, value: str | None) -> str | None:
        if value is not None and not is_measured(value):
            raise ValueError(
                f"a metric and a cutoff, such as recall@20; metrics: {', '.join(ACCURACY_METRICS)}"
            )
        return value


class EvaluationConfig(Component):
    """Settings of the evaluation."""

    cutoffs: tuple[Annotated[int, Field(ge=1, le=MOST_CUTOFF, strict=True)], ...] = Field(
        (5, 10, 20, 50), min_length=1
    )
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

    Parameters
    ----------
    name
        One of :func:`preset_names`, or a YAML file, such as the one that ``kdiffe tune`` writes.

    Raises
    ------
    InputError
        If there is none of that name, and the message offers the nearest; or no such file.
    """
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name))
    names = preset_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
        raise InputError(f"unknown preset {name!r}; {hint}")
    with resources.as_file(resources.files("kdiffe_dgl") / "presets" / f"{name}.yaml") as path:
        return read_yaml(path)


def layer(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the leaves of ``change`` put in place.

    Where ``change`` names another model, the model settings of ``base`` are dropped: they are not of
    that model.
    """
    old, new = base.get("model"), change.get("model")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        name = old.get("name", _MODEL)
        if new.get("name", name) != name:
            base = {**base, "model": {}}
    return merge(base, change)


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

    def origin(key: str) -> str:
        key = key.partition("[")[0]
        for setting in reversed(overrides):
            given = setting.partition("=")[0].strip()
            if f"{key}.".startswith(f"{given}.") or f"{given}.".startswith(f"{key}."):
                return f"--set {setting}"
        return where

    if model is not None:
        values = layer(values, {"model": {"name": model}})
    values = layer({"model": {}, "training": {}, "evaluation": {}}, values)
    values = layer(values, apply_overrides({}, overrides))
    settings = values["model"]
    if not isinstance(settings, Mapping):
        raise InputError(f"{origin('model')}: model is {settings!r}; expected a mapping of settings")
    name = settings.get("name", _MODEL)
    try:
        cls = model_class(str(name))
    except InputError as error:
        place = "--model" if model is not None and name == model else origin("model.name")
        raise InputError(f"{place}: {error}") from error
    parts: dict[str, type[Component]] = {
        "model": cls.Config,
        "training": TrainingConfig,
        "evaluation": EvaluationConfig,
    }
    fields: dict[str, Any] = {part: (kind, ...) for part, kind in parts.items()}
    whole = create_model("Settings", __base__=Component, **fields)
    own = {key: value for key, value in settings.items() if key != "name"}
    parsed = parse_config(whole, {**values, "model": own}, origin)
    return RunConfig(cls.name, *(getattr(parsed, part) for part in parts))
