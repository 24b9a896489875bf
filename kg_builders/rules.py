"""Declarative rules: which field of the metadata becomes which relation, and how.

A rule file is YAML: an optional ``label`` (the field that names an item) and a list of ``rules``, each with
its ``kind``, its ``field`` and the options of that kind. Rule files of known data sets are presets.

Kinds: ``categorical``, ``list``, ``path``, ``reference``, ``details``, ``year``, ``decade``, ``number``,
``keyword``, ``text``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kg_builders.clean import Decimal
from kg_builders.config import StrictModel, load_yaml, nearest, parse_settings
from kg_builders.errors import InputError
from kg_builders.schema import ITEM

__all__ = [
    "BaseRule",
    "CategoricalRule",
    "DecadeRule",
    "DetailsRule",
    "KeywordRule",
    "ListRule",
    "NamedRule",
    "NumberRule",
    "PathRule",
    "ReferenceRule",
    "Rule",
    "Rules",
    "TextRule",
    "TolerantRule",
    "ValueRule",
    "WordRule",
    "YearRule",
    "load_rules",
    "parse_rules",
    "preset_names",
    "read_vocabularies",
]


class BaseRule(StrictModel):
    """Options of all rules."""

    field: str = Field(min_length=1)
    """Field of the item records."""
    relation: str = Field(default="", validate_default=True)
    """Name of the relation between item and entity; by default the name of the field."""
    entity: str = Field(default="", validate_default=True)
    """Kind of the entities, such as ``year``; by default the name of the relation. Rules with the same kind
    share entities; a kind is what ``--resolve`` and ``min_degree_of`` name. ``item`` is kept for the
    catalogue."""
    relation_label: str | None = None
    """Name of the relation for people, such as ``is of the brand``."""
    inverse_label: str | None = None
    """Name for people of the relation read backwards, such as ``is the brand of``."""
    direction: Literal["from_item", "to_item"] = "from_item"
    """Whether the item is the head of the triple or its tail."""
    optional: bool = False
    """Whether the field may be missing from the records, as tags are from some releases of MovieLens: then
    the rule makes nothing, and the report says so. Otherwise a missing field is an error; so is one that a
    mapping does not name, in any case."""

    @model_validator(mode="before")
    @classmethod
    def _fill_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("field"), str):
            data = {**data, "relation": data.get("relation") or data["field"]}
            data["entity"] = data.get("entity") or cls._default_entity(data["relation"])
        return data

    @classmethod
    def _default_entity(cls, relation: str) -> str:
        return relation

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


class ValueRule(BaseRule):
    """Options of rules that make entities of values: of all kinds but ``reference``."""

    missing: tuple[str, ...] = ()
    """Values that stand for none, such as ``unknown``; all their spellings are meant. They are no error
    where a rule needs a number or a date."""
    exclude: tuple[str, ...] = ()
    """Values that say nothing about an item and make no entity; all their spellings are meant. A year rule
    takes years here, a decade rule the first years of decades (``"1990"``); a number rule has no use for
    it."""
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label of an entity to other names for it; all their spellings are meant. Years, decades and numbers
    have none."""
    spelling: Literal["exact", "clean", "merge"] = "clean"
    """What counts as the same value. ``exact``: the same characters, space around them apart.
    ``clean``: HTML, Unicode forms, spaces and case don't matter. ``merge``: nor do punctuation,
    spaces between words and Latin accents. The commonest spelling becomes the label."""
    min_items: int = Field(default=1, ge=1)
    """An entity used for fewer items is dropped; counted before entities are resolved."""
    max_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """An entity used for more than this share of the items is dropped."""


class NamedRule(ValueRule):
    """Options of rules whose values are names: ``categorical``, ``list``, ``path``, ``details``."""

    max_words: int | None = Field(default=None, ge=1)
    """Values of more words are left out: they are sentences, not names. Null: no limit."""


class CategoricalRule(NamedRule):
    """Kind ``categorical``: one value an item, such as a brand."""

    kind: Literal["categorical"]


class ListRule(NamedRule):
    """Kind ``list``: several values an item, as a list or as a text with a delimiter.

    A text that is a list in brackets, such as ``['red', 'blue']``, gives the values of that list.
    """

    kind: Literal["list"]
    delimiter: str | None = Field(default=None, min_length=1)
    """Between the values, such as ``|``, where the field is a text; a field that holds lists takes none."""


class PathRule(NamedRule):
    """Kind ``path``: categories from wide to narrow, such as ``Electronics > Audio > Headphones``.

    Each level is an entity that its whole path identifies, so that ``Accessories`` below two parents is two
    entities. The field holds a list of paths (lists of levels), one path (a list of levels), or, with a
    delimiter between the levels, a text or a list of texts. Where a level that says nothing is left out,
    or is used too rarely or too often, what is below it joins to what is above it.
    """

    kind: Literal["path"]
    delimiter: str | None = Field(default=None, min_length=1)
    """Between the levels, such as ``>``, where a path is a text; spaces around it don't count."""
    link: Literal["leaf", "all"] = "leaf"
    """Whether an item is joined to the narrowest level of a path (``leaf``) or to each (``all``)."""
    broader: bool = True
    """Whether each level is joined to the one above it, by the relation ``broader``."""
    skip_levels: int = Field(default=0, ge=0)
    """Number of levels to leave out at the wide end, such as the department that all items share."""
    max_levels: int = Field(default=10, ge=1, le=100)
    """Number of levels to take after those that are skipped; narrower ones are left out."""


class ReferenceRule(BaseRule):
    """Kind ``reference``: other items that an item names by their ids, such as accessories.

    Lists of what is bought or viewed together sum up behaviour and may know held-out interactions: see
    *Relations that sum up behaviour* in the guide to knowledge graphs. An item that names itself is left out.
    """

    kind: Literal["reference"]
    delimiter: str | None = Field(default=None, min_length=1)
    """Between the ids, where the field is a text."""
    symmetric: bool = False
    """Whether the relation holds both ways, so that a pair and its reverse are one triple; it then takes
    neither ``direction`` nor ``inverse_label``."""
    unknown: Literal["drop", "keep"] = "drop"
    """What becomes of ids that are not in the catalogue: ``drop`` counts them and leaves them out, ``keep``
    makes entities of the rule's kind (``entity``, by default ``outside_item``)."""
    min_items: int = Field(default=1, ge=1)
    """With ``unknown: keep``, an unknown id that fewer items name is left out."""

    @classmethod
    def _default_entity(cls, relation: str) -> str:
        return "outside_item"

    @model_validator(mode="after")
    def _check_direction(self) -> ReferenceRule:
        if self.symmetric and (self.direction != "from_item" or self.inverse_label is not None):
            raise ValueError(
                "a symmetric relation is its own inverse; expected no direction, no inverse_label"
            )
        return self


class DetailsRule(NamedRule):
    """Kind ``details``: pairs of key and value, of which each frequent key becomes a relation.

    The relation is called ``<relation>.<key>``, and the values become entities of the kind
    ``<entity>.<key>``. ``missing``, ``exclude``, ``aliases``, ``spelling``, ``min_items``, ``max_share`` and
    ``max_words`` are about the values.
    """

    kind: Literal["details"]
    keys: tuple[str, ...] = ()
    """Keys to take, whatever their spelling; if empty, all that the other options leave."""
    exclude_keys: tuple[str, ...] = ()
    """Keys to leave out, whatever their spelling."""
    max_keys: int = Field(default=20, ge=1, le=1000)
    """Number of keys to take, the most used first."""
    min_key_items: int = Field(default=2, ge=1)
    """A key that fewer items have is left out, also where ``keys`` names it."""
    max_distinct: float = Field(default=0.5, gt=0.0, le=1.0)
    """A key with more different values than this share of its items is left out, as part numbers are, unless
    ``keys`` names it."""


class TolerantRule(ValueRule):
    """Options of rules that need values of a certain form: ``year``, ``decade``, ``number``."""

    max_bad: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of the values that may have another form: they are counted and left out. If there are more, the
    build stops."""


class YearRule(TolerantRule):
    """Kind ``year``: the year of a year or a date, from 1000 to 2100.

    Dates: ISO (``2010-01-05``), with the name of the month in English (``January 5, 2010``,
    ``05 Jan 2010``), numbers with the year at the end (``5.24.2010``), eight digits (``20100524``), and Unix
    times in seconds (from 1973) or milliseconds.
    """

    kind: Literal["year"]


class DecadeRule(TolerantRule):
    """Kind ``decade``: the decade of a year or a date, in the forms that a year rule reads."""

    kind: Literal["decade"]


class NumberRule(TolerantRule):
    """Kind ``number``: a number put into bins; also a price with its currency, such as ``$1,299.00``.

    It takes either ``bins`` or ``edges``.
    """

    kind: Literal["number"]
    bins: int | None = Field(default=None, ge=2, le=1000)
    """Number of quantile bins, each with about as many items; fewer where many values are equal."""
    edges: tuple[float, ...] = ()
    """Bounds between given bins, ascending; a number on a bound is in the upper bin."""
    decimal: Decimal = "."
    """What stands before the decimals where the field is a text: with ``","``, ``1.299,00 €`` is read."""

    @model_validator(mode="after")
    def _check_bins(self) -> NumberRule:
        if (self.bins is None) == (not self.edges):
            raise ValueError("expected either bins (a number of quantiles) or edges (bounds between bins)")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"edges are {list(self.edges)}; expected ascending numbers")
        return self


class WordRule(ValueRule):
    """Options of rules that take the words of a text, or of a list of texts: ``keyword``, ``text``."""

    stop_words: Literal["english", "none"] = "english"
    """Words to leave out: scikit-learn's English list, or none; add others by ``exclude``."""
    min_length: int = Field(default=3, ge=1)
    """Words of fewer characters are left out."""
    numbers: bool = False
    """Whether numbers count as words, such as ``1984``."""


class KeywordRule(WordRule):
    """Kind ``keyword``: the words of a text, such as a title.

    ``min_items`` and ``max_share`` bound how many items have one.
    """

    kind: Literal["keyword"]


class TextRule(WordRule):
    """Kind ``text``: what a text is about, by its words of the highest TF-IDF or by given phrases.

    TF-IDF of a word in a text is its count there times ln((1 + n) / (1 + m)) + 1, where ``m`` of the ``n``
    items have it; equal ones are taken in alphabetical order. See G. Salton and C. Buckley,
    "Term-weighting approaches in automatic text retrieval", 1988, and scikit-learn's ``TfidfVectorizer``.
    """

    kind: Literal["text"]
    top: int = Field(default=5, ge=1, le=1000)
    """Number of words of an item to take, those of the highest TF-IDF. Words of fewer than ``min_items``
    items or more than ``max_share`` of them are left out first; those that then stay with fewer than
    ``min_items`` are dropped, too."""
    pairs: bool = False
    """Whether two words side by side count as one more word, if at least two items (``min_items``, where that
    is more) have them."""
    vocabulary: tuple[str, ...] = ()
    """Phrases to look for, as whole words and whatever their case, in place of TF-IDF. Then only
    ``min_items`` and ``max_share`` count among the other options about values and words."""
    vocabulary_file: str | None = None
    """File with one such phrase a line; lines that begin with ``#`` don't count. Relative paths begin at the
    rule file's folder."""


Rule = Annotated[
    CategoricalRule
    | ListRule
    | PathRule
    | ReferenceRule
    | DetailsRule
    | YearRule
    | DecadeRule
    | NumberRule
    | KeywordRule
    | TextRule,
    Field(discriminator="kind"),
]


class Rules(StrictModel):
    """A rule file: the rules of a data set."""

    label: str | None = None
    """Field that names an item for people, such as ``title``."""
    rules: tuple[Rule, ...]
    """The rules, each with its ``kind``, its ``field`` and the options of that kind; at least one."""

    @field_validator("rules", mode="before")
    @classmethod
    def _refuse_none(cls, value: Any) -> Any:
        # A file of which all is commented out gives null.
        if value is None or value in ([], ()):
            raise ValueError(
                "holds no rule; expected at least one, such as {kind: categorical, field: brand}, or one of "
                "those that are comments without its #"
            )
        return value


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
    return parse_rules(load_yaml(path), str(path), path.parent)


def parse_rules(data: Any, where: str = "rules", folder: str | Path = ".") -> Rules:
    """Validate rules given as plain Python values.

    Parameters
    ----------
    where
        What they are, for messages.
    folder
        Where relative paths of vocabulary files begin.
    """
    if isinstance(data, list):
        data = {"rules": data}
    return read_vocabularies(parse_settings(Rules, data, where), folder)


def read_vocabularies(rules: Rules, folder: str | Path = ".") -> Rules:
    """Return the rules with the phrases of their vocabulary files in them.

    Raises
    ------
    InputError
        If a file can't be read or holds no phrase.
    """
    read = [
        rule.model_copy(update={"vocabulary": _read_phrases(rule, Path(folder)), "vocabulary_file": None})
        if isinstance(rule, TextRule) and rule.vocabulary_file is not None
        else rule
        for rule in rules.rules
    ]
    return rules.model_copy(update={"rules": tuple(read)})


def _read_phrases(rule: TextRule, folder: Path) -> tuple[str, ...]:
    """Return the phrases of a rule with those of its file; empty lines and lines with ``#`` don't count."""
    path = folder / str(rule.vocabulary_file)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read; expected UTF-8 text with one phrase a line") from error
    phrases = tuple(line for line in lines if line and not line.startswith("#"))
    if not phrases:
        raise InputError(f"{path}: holds no phrase; expected one a line")
    return (*rule.vocabulary, *phrases)
