"""Declarative rules: which field of the metadata becomes which relation, and how.

A rule file is YAML: an optional ``label`` (the field that names an item) and a list of ``rules``, each with
its ``kind``, its ``field`` and the options of that kind. Rule files of known data sets are presets.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kg_builders.config import StrictModel, load_yaml, nearest, parse_settings
from kg_builders.errors import InputError
from kg_builders.schema import ITEM

__all__ = [
    "CategoricalRule",
    "DecadeRule",
    "KeywordRule",
    "ListRule",
    "NamedRule",
    "NumberRule",
    "Rule",
    "Rules",
    "YearRule",
    "load_rules",
    "parse_rules",
    "preset_names",
]


class BaseRule(StrictModel):
    """What all rules share."""

    field: str = Field(min_length=1)
    """Field of the item records."""
    relation: str = Field(default="", validate_default=True)
    """Name of the relation from the item to the entity; by default the name of the field."""
    entity: str = Field(default="", validate_default=True)
    """Kind of the entities; by default the name of the relation."""
    relation_label: str | None = None
    """Name of the relation for people."""
    missing: tuple[str, ...] = ()
    """Values that stand for none, such as ``unknown``."""
    exclude: tuple[str, ...] = ()
    """Values that say nothing about an item and make no entity; all their spellings are meant."""
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label of an entity to other names for it; all their spellings are meant."""
    spelling: Literal["exact", "clean", "merge"] = "clean"
    """What counts as the same value. ``exact``: the same characters, space around them apart.
    ``clean``: HTML entities, Unicode forms, spaces and case don't matter. ``merge``: nor do punctuation,
    spaces between words and Latin accents. The commonest spelling becomes the label."""
    min_items: int = Field(default=1, ge=1)
    """An entity used for fewer items is dropped."""
    max_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """An entity used for more than this share of the items is dropped."""

    @model_validator(mode="before")
    @classmethod
    def _fill_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("field"), str):
            data = {**data, "relation": data.get("relation") or data["field"]}
            data["entity"] = data.get("entity") or data["relation"]
        return data

    @field_validator("relation")
    @classmethod
    def _check_relation(cls, value: str) -> str:
        if value.endswith("^-1"):
            raise ValueError(
                f"relation {value!r} ends with '^-1', which marks inverses; expected another name"
            )
        return value

    @field_validator("entity")
    @classmethod
    def _check_entity(cls, value: str) -> str:
        if value == ITEM:
            raise ValueError(f"entity kind {ITEM!r} is kept for catalogue items; expected another name")
        return value


class NamedRule(BaseRule):
    """A rule whose values are names."""

    max_words: int | None = Field(default=None, ge=1)
    """Values of more words are left out: they are sentences, not names."""


class CategoricalRule(NamedRule):
    """One value an item, such as a brand."""

    kind: Literal["categorical"]


class ListRule(NamedRule):
    """Several values an item: a list, or a text with a delimiter."""

    kind: Literal["list"]
    delimiter: str | None = Field(default=None, min_length=1)
    """Between the values, where the field is a text."""


class TolerantRule(BaseRule):
    """A rule that needs values of a certain form."""

    max_bad: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of the values that may have another form; they are counted and left out, past it is an error."""


class YearRule(TolerantRule):
    """The year of a year or of a date that begins with one."""

    kind: Literal["year"]


class DecadeRule(TolerantRule):
    """The decade of a year or of a date that begins with one."""

    kind: Literal["decade"]


class NumberRule(TolerantRule):
    """A number, put into bins."""

    kind: Literal["number"]
    bins: int | None = Field(default=None, ge=2, le=1000)
    """Number of quantile bins, each with about as many items."""
    edges: tuple[float, ...] = ()
    """Bounds between given bins, ascending; a number on a bound is in the upper bin."""

    @model_validator(mode="after")
    def _check_bins(self) -> NumberRule:
        if (self.bins is None) == (not self.edges):
            raise ValueError("expected either bins (a number of quantiles) or edges (bounds between bins)")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"edges are {list(self.edges)}; expected ascending numbers")
        return self


class KeywordRule(BaseRule):
    """The words of a text, such as a title; ``min_items`` and ``max_share`` bound how many items have one."""

    kind: Literal["keyword"]
    stop_words: Literal["english", "none"] = "english"
    """Words to leave out: scikit-learn's English list, or none; add others by ``exclude``."""
    min_length: int = Field(default=3, ge=1)
    """Shorter words are left out."""
    numbers: bool = False
    """Whether numbers count as words."""


Rule = Annotated[
    CategoricalRule | ListRule | YearRule | DecadeRule | NumberRule | KeywordRule, Field(discriminator="kind")
]


class Rules(StrictModel):
    """The rules of a data set."""

    label: str | None = None
    """Field that names an item for people."""
    rules: tuple[Rule, ...] = Field(min_length=1)
    """One entry a relation."""


def preset_names() -> list[str]:
    """Return the names of the rule files that come with the package."""
    folder = resources.files("kg_builders") / "presets"
    return sorted(entry.name[: -len(".yaml")] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_rules(source: str | Path) -> Rules:
    """Load rules from a preset, by its name, or from a YAML file.

    Raises
    ------
    InputError
        If there is neither, or the rules are not valid, naming the place and the nearest valid key.
    """
    if str(source) in preset_names():
        with resources.as_file(resources.files("kg_builders") / "presets" / f"{source}.yaml") as path:
            return parse_rules(load_yaml(path), f"preset {source}")
    path = Path(source)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise InputError(
            f"rules {str(source)!r}: neither a preset nor a file{nearest(str(source), preset_names())}"
        )
    return parse_rules(load_yaml(path), str(path))


def parse_rules(data: Any, where: str = "rules") -> Rules:
    """Validate rules given as plain Python values; ``where`` names them in messages."""
    if isinstance(data, list):
        data = {"rules": data}
    return parse_settings(Rules, data, where)
