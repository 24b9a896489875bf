"""A recipe: in one YAML file, what a knowledge graph is made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from kg_builders.config import StrictModel, load_yaml, parse_settings, shown
from kg_builders.errors import InputError
from kg_builders.label_link import LabelLinkSettings
from kg_builders.modality import ModalitySettings
from kg_builders.prune import PruneSettings
from kg_builders.resolve import ResolveSettings
from kg_builders.rules import Rules

__all__ = [
    "AmazonSource",
    "ExternalSettings",
    "FeatureSettings",
    "LastfmSource",
    "LabelledGraph",
    "MovielensSource",
    "Neighbourhood",
    "RdfGraph",
    "Recipe",
    "RecbolePair",
    "RecboleSource",
    "TableSource",
    "TriplesPair",
    "load_recipe",
    "parse_recipe",
]


class RecboleSource(StrictModel):
    """Source ``kind: recbole``: items of a RecBole ``.item`` file."""

    kind: Literal["recbole"]
    path: str
    """The file, plain or compressed."""
    id: str = "item_id"
    """Column of the item ids."""
    label: str | None = None
    """Column that names an item."""


class LastfmSource(StrictModel):
    """Source ``kind: lastfm``: artists of Last.fm 2K with their tags."""

    kind: Literal["lastfm"]
    path: str = "."
    """Folder of the files."""
    artists: str = "artists.dat"
    """Table of the artists: their ids and names."""
    tags: str | None = "lfm2k_text.tsv"
    """Table of the artists' tags; null for none."""


class AmazonSource(StrictModel):
    """Source ``kind: amazon``: products of Amazon metadata; the fields are the same for its versions."""

    kind: Literal["amazon"]
    path: str
    """File or URL, plain, gzip or zstd."""
    version: Literal["2014", "2018", "2023"] | None = None
    """Version of the layout; by default, by what the first records hold."""


class MovielensSource(StrictModel):
    """Source ``kind: movielens``: films of MovieLens 100K, 1M, 10M, 20M, 25M, 32M or latest."""

    kind: Literal["movielens"]
    path: str
    """Folder of the release, or its file of films."""


class TableSource(StrictModel):
    """Source ``kind: table``: items of a CSV, TSV, JSON lines or Parquet table."""

    kind: Literal["table"]
    path: str
    """File or URL, plain, gzip or zstd."""
    mapping: str | None = None
    """YAML file that says what each field holds, such as ``kg-build infer`` proposes; then nothing else is
    given."""
    id: str = "id"
    """Field of the item ids."""
    label: str | None = None
    """Field that names an item."""
    lists: dict[str, str] = Field(default_factory=dict)
    """Field to the delimiter of the values in it, such as ``{genres: "|"}``."""
    numbers: tuple[str, ...] = ()
    """Fields of a CSV or TSV file that hold numbers."""
    delimiter: str | None = None
    """Between the columns of a CSV (default a comma) or TSV file (default a tab)."""
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    """By default, by the file's ending."""

    @model_validator(mode="after")
    def _mapping_alone(self) -> TableSource:
        others = self.model_fields_set - {"kind", "path", "mapping"}
        if self.mapping is not None and others:
            raise ValueError(f"a mapping says everything; expected no {sorted(others)[0]!r} beside it")
        return self


class Neighbourhood(StrictModel):
    """How much of a big given graph is taken: what lies around the linked items."""

    hops: int = Field(default=1, ge=1)
    """Steps from the linked items: 1 takes the triples that they are in, 2 those of what these lead to."""
    max_triples: int | None = Field(default=None, ge=1)
    """Most triples in all; null for no limit."""
    max_per_entity: int | None = Field(default=None, ge=1)
    """Most triples that an entity brings; null for no limit."""
    relations: tuple[str, ...] | None = None
    """Relations to follow; null for all."""
    directions: Literal["out", "in", "both"] = "both"
    """Whether triples are followed from head to tail (``out``), from tail to head (``in``), or both."""


class GivenGraph(StrictModel):
    """Options of all external graphs."""

    entity: str = "external"
    """Kind of its entities that are no items."""
    neighbourhood: Neighbourhood | None = None
    """What is taken of it, for graphs that are too big to join whole; by default all."""


class RecbolePair(GivenGraph):
    """External graph ``kind: recbole``: a RecBole ``.kg`` file with its ``.link`` file."""

    kind: Literal["recbole"]
    triples: str
    """The ``.kg`` file: columns ``head_id``, ``relation_id`` and ``tail_id``."""
    links: str
    """The ``.link`` file: columns ``item_id`` and ``entity_id``."""


class LabelledGraph(GivenGraph):
    """Options of external graphs that are linked by an id map or by labels: ``triples``, ``rdf``."""

    triples: str
    """The file of the graph."""
    links: str | None = None
    """Table of item id and entity id without a header; without it, items are linked by their labels."""
    by_label: LabelLinkSettings = LabelLinkSettings()
    """What counts as the same label, where there are no ``links``."""
    review: str | None = None
    """Table of decided links by label, such as an earlier run wrote and a person edited."""


class TriplesPair(LabelledGraph):
    """External graph ``kind: triples``: a file with head, relation and tail in each line, no header.

    It needs either ``links`` or ``labels``.
    """

    kind: Literal["triples"]
    labels: str | None = None
    """Table with columns ``id``, ``label`` and perhaps ``type`` of its entities, where there is no id map:
    ``.csv``, or else separated by tabs."""
    delimiter: str = Field(default="\t", min_length=1)
    """Between the values of ``triples`` and of ``links``; by default a tab."""

    @model_validator(mode="after")
    def _one_way_to_link(self) -> TriplesPair:
        if (self.links is None) == (self.labels is None):
            raise ValueError("expected either links (an id map) or labels (names of its entities)")
        return self


class RdfGraph(LabelledGraph):
    """External graph ``kind: rdf``: N-Triples or Turtle, which name their entities themselves.

    Turtle needs the extra ``rdf``.
    """

    kind: Literal["rdf"]
    languages: tuple[str, ...] = ("en", "")
    """Languages of the labels, the most wanted first; the empty text: labels without one."""


class FeatureSettings(ModalitySettings):
    """A modality of a recipe: how it becomes relations, and where its features are."""

    path: str | None = None
    """Its ``.npy`` file, whose rows are the items in their order. Null where the features are given
    otherwise, as they are when a data set is imported with the recipe."""


Source = Annotated[
    RecboleSource | LastfmSource | AmazonSource | MovielensSource | TableSource, Field(discriminator="kind")
]
ExternalSettings = Annotated[RecbolePair | TriplesPair | RdfGraph, Field(discriminator="kind")]


def _form_of(rules: Any) -> str:
    """Tell rules from the name of some, so that a message is about what was meant."""
    return "file" if isinstance(rules, str) else "inline"


RulesOrName = Annotated[
    Annotated[str, Tag("file")] | Annotated[Rules, Tag("inline")], Discriminator(_form_of)
]


class Recipe(StrictModel):
    """A recipe file: what a knowledge graph is made from; paths are relative to the recipe's folder."""

    source: Source | None = None
    """Item records: ``kind`` is ``amazon``, ``lastfm``, ``movielens``, ``recbole`` or ``table``."""
    rules: RulesOrName | None = None
    """Rules for them: the name of a preset, a file, or the rules themselves."""
    max_bad: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of bad records that is left out; past it, the build stops."""
    resolve: ResolveSettings | None = None
    """Which entities are merged under one name; by default none."""
    review: str | None = None
    """Table of decided merges, such as an earlier build wrote and a person edited."""
    external: tuple[ExternalSettings, ...] = ()
    """Given graphs to join: ``kind`` is ``recbole``, ``triples`` or ``rdf``."""
    features: dict[str, FeatureSettings] = Field(default_factory=dict)
    """Modality to what becomes of it: nearest neighbours and clusters."""
    prune: PruneSettings = PruneSettings()
    """What to take away at the end."""

    @field_validator("rules", mode="before")
    @classmethod
    def _accept_a_list(cls, value: Any) -> Any:
        return {"rules": value} if isinstance(value, list) else value


def parse_recipe(data: Any, where: str = "recipe") -> Recipe:
    """Validate a recipe given as plain Python values; ``where`` names it in messages."""
    if not isinstance(data, (Mapping, Recipe)):
        raise InputError(
            f"{where}: holds {shown(data)}; expected a recipe, in YAML, with keys such as source and rules"
        )
    return parse_settings(Recipe, data, where)


def load_recipe(path: str | Path) -> Recipe:
    """Load a recipe from a YAML file."""
    return parse_recipe(load_yaml(path), str(path))
