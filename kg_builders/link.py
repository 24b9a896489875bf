"""A given knowledge graph joined to the catalogue: its entities of linked items become items.

The links are a map of ids that comes with the graph, or are found by label (``link_by_label``) and checked in
a review.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from pydantic import Field

from kg_builders.agreement import Agreement
from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.resolve import NameSettings, name_forms, near_duplicates
from kg_builders.review import KEEP, MERGE, REVIEW_SCHEMA, Review
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph
from kg_builders.sources.triples import ExternalTriples

__all__ = [
    "LabelCoverage",
    "LabelLinkReport",
    "LabelLinkSettings",
    "LinkReport",
    "link_by_label",
    "link_external",
]


@dataclass(frozen=True)
class LinkReport:
    """How a given graph meets the catalogue.

    Parameters
    ----------
    file, link_file
        Names of the files of triples and links.
    items, linked
        Number of catalogue items, and of those with a link to an entity that has a triple.
    unlinked
        A few of the other items.
    foreign_links
        Links of items that the catalogue doesn't have; their entities stay as they are.
    idle_links
        Links of catalogue items to entities without a triple.
    shared_entities
        Entities that several items are linked to; each such item gets the triples.
    triples
        Number of triples after linking, repeated ones once.
    repeated, loops
        Triples of the file that say what another says, and triples from an entity to itself; left out.
    agreement
        Whether the graph agrees with the items' own metadata better than by chance, where it was
        compared.
    """

    file: str
    link_file: str
    items: int
    linked: int
    unlinked: tuple[str, ...]
    foreign_links: int
    idle_links: int
    shared_entities: int
    triples: int
    repeated: int
    loops: int
    agreement: Agreement | None = None

    @property
    def coverage(self) -> float:
        """Share of the catalogue items that the graph knows something about."""
        return self.linked / self.items if self.items else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        agreement = None if self.agreement is None else self.agreement.to_dict()
        return {**asdict(self), "coverage": self.coverage, "agreement": agreement}

    def warning(self) -> str | None:
        """Say that the links look wrong, if they do."""
        if self.agreement is None or not self.agreement.by_chance:
            return None
        return (
            f"what {self.file} says of {self.agreement.items:,} items agrees with their metadata no better "
            f"than by chance (score {self.agreement.score:.1f}); the item ids of {self.link_file} are "
            "probably those of another catalogue"
        )

    def sentence(self) -> str:
        """Say it in a line."""
        return (
            f"{self.file}: {self.triples:,} triples; {self.linked:,} of {self.items:,} items are linked "
            f"({self.coverage:.1%}), {self.foreign_links:,} links are of other items, "
            f"{self.repeated + self.loops:,} triples repeated or from an entity to itself"
        )


def link_external(
    external: ExternalTriples,
    items: pl.DataFrame,
    kind: str = "external",
    others: pl.DataFrame | None = None,
) -> tuple[KnowledgeGraph, LinkReport]:
    """Make a graph of given triples in which linked entities are the catalogue's items.

    Parameters
    ----------
    external
        Triples in their own ids, and the links; a column ``kind`` among the links says of which kind of own
        entity ``item`` is an id, where it isn't an item's.
    items
        Columns ``id`` and ``label``: the catalogue.
    kind
        Kind of the entities that are no items, such as ``freebase``; an id of theirs that equals an item's
        id is another thing all the same.
    others
        Columns ``id`` and ``label``: names of items besides the catalogue's, by which the entities that
        are linked to them are called.

    Returns
    -------
    KnowledgeGraph
        All catalogue items and the given triples, with relation names as given and
        ``file:relation:given`` as source. Join it to another by ``KnowledgeGraph.union``.
    LinkReport
        What was linked and what was not.

    Raises
    ------
    InputError
        If ``kind`` is that of items, or a relation has a name that marks inverses.
    """
    if kind == ITEM:
        raise InputError(
            f"{external.file}: entity kind {ITEM!r} is kept for catalogue items; expected another"
        )
    marked = external.triples.filter(pl.col("relation").str.ends_with("^-1"))
    if len(marked):
        line, relation = marked.select("line", "relation").row(0)
        raise InputError(
            f"{external.file}, line {line}: relation {relation!r} ends with '^-1', which marks inverses; "
            "expected another name"
        )
    catalogue = items.select(pl.col("id").cast(pl.Utf8), pl.col("label").cast(pl.Utf8))
    every = _with_kind(external.links)
    of_items = every.filter(pl.col("kind") == ITEM)
    known = of_items.join(catalogue.select(item="id"), on="item", how="semi", maintain_order="left")
    links = pl.concat([known, every.filter(pl.col("kind") != ITEM)])
    triples = external.triples.select("head", "relation", "tail").unique(maintain_order=True)
    resolved = _resolve(_resolve(triples, links, "head"), links, "tail")
    named = resolved.select(
        _kind_of("head", kind),
        pl.coalesce("head_item", "head").alias("head_id"),
        "relation",
        _kind_of("tail", kind),
        pl.coalesce("tail_item", "tail").alias("tail_id"),
        pl.lit(None, pl.Utf8).alias("tail_label"),
        (pl.lit(f"{external.file}:") + pl.col("relation") + ":given").alias("source"),
    )
    loop = (pl.col("head_kind") == pl.col("tail_kind")) & (pl.col("head_id") == pl.col("tail_id"))
    straight = named.filter(~loop).select(list(NAMED_SCHEMA))
    kg = KnowledgeGraph.from_named(straight, catalogue, entities=_names(external, others, kind))
    used = pl.concat([triples["head"], triples["tail"].alias("head")]).unique()
    active = known.filter(pl.col("entity").is_in(used.implode()))
    unlinked = catalogue.join(active, left_on="id", right_on="item", how="anti", maintain_order="left")
    report = LinkReport(
        file=external.file,
        link_file=external.link_file,
        items=len(catalogue),
        linked=active["item"].n_unique(),
        unlinked=tuple(unlinked["label"].fill_null(unlinked["id"])[:5]),
        foreign_links=len(of_items) - len(known),
        idle_links=len(known) - len(active),
        shared_entities=active.filter(pl.col("entity").is_duplicated())["entity"].n_unique(),
        triples=kg.n_triples,
        repeated=len(external.triples) - len(triples),
        loops=len(named) - len(straight),
    )
    return kg, report


def _resolve(triples: pl.DataFrame, links: pl.DataFrame, end: str) -> pl.DataFrame:
    """Add the item that an end is linked to, or null; an entity of several items makes several rows."""
    return triples.join(
        links.select(
            pl.col("entity").alias(end),
            pl.col("item").alias(f"{end}_item"),
            pl.col("kind").alias(f"{end}_own_kind"),
        ),
        on=end,
        how="left",
    )


def _with_kind(links: pl.DataFrame) -> pl.DataFrame:
    """Return columns ``kind``, ``item`` and ``entity``; without a kind, a link is that of an item."""
    kind = pl.col("kind").fill_null(ITEM) if "kind" in links.columns else pl.lit(ITEM)
    return links.select(kind.cast(pl.Utf8).alias("kind"), "item", "entity")


def _names(external: ExternalTriples, others: pl.DataFrame | None, kind: str) -> pl.DataFrame | None:
    """Return the names of entities that are linked to named items."""
    if others is None:
        return None
    named = others.select(pl.col("id").cast(pl.Utf8).alias("item"), pl.col("label").cast(pl.Utf8))
    linked = (
        _with_kind(external.links)
        .filter(pl.col("kind") == ITEM)
        .join(named, on="item", maintain_order="left")
        .unique("entity", keep="first")
    )
    return linked.select(pl.lit(kind).alias("kind"), pl.col("entity").alias("id"), "label")


def _kind_of(end: str, kind: str) -> pl.Expr:
    return pl.col(f"{end}_own_kind").fill_null(kind).alias(f"{end}_kind")


class LabelLinkSettings(NameSettings):
    """When an entity of the own graph and one of another are taken for the same, by their labels."""

    types: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Kind of own entity to the types that its external entity may have; other kinds admit all."""
    same: dict[str, str] = Field(default_factory=dict)
    """Column of the own entities to the column of the external ones that must hold the same value."""
    near: float | None = Field(default=None, gt=0.0, le=1.0)
    """Labels of this similarity or more are listed for the review, where no other fits; null for none."""


@dataclass(frozen=True)
class LabelCoverage:
    """What was linked of a kind of entities.

    Parameters
    ----------
    kind
        Kind of the own entities.
    entities, linked
        How many there are, and how many are linked.
    ambiguous
        Not linked, because several entities have the label, here or there.
    unconfirmed
        Not linked, because a value that must be the same is missing, or the label is only nearly the same.
    unlinked
        Not linked, because no entity that is admitted has the label, or a person says so.
    ambiguous_examples, unlinked_examples
        A few labels of each.
    """

    kind: str
    entities: int
    linked: int
    ambiguous: int
    unconfirmed: int
    unlinked: int
    ambiguous_examples: tuple[str, ...]
    unlinked_examples: tuple[str, ...]

    def sentence(self) -> str:
        """Say it in a line."""
        share = self.linked / self.entities if self.entities else 0.0
        return (
            f"{self.kind}: {self.linked:,} of {self.entities:,} linked by label ({share:.1%}), "
            f"{self.ambiguous:,} ambiguous, {self.unconfirmed:,} unconfirmed, {self.unlinked:,} unmatched"
        )


@dataclass(frozen=True)
class LabelLinkReport:
    """What was linked by label, of each kind of own entities, sorted by kind."""

    kinds: tuple[LabelCoverage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"kinds": [asdict(coverage) for coverage in self.kinds]}

    def sentence(self) -> str:
        """Say it in a line a kind."""
        return "\n".join(coverage.sentence() for coverage in self.kinds)


def link_by_label(
    own: pl.DataFrame,
    entities: pl.DataFrame,
    settings: LabelLinkSettings | None = None,
    reviewed: Review | None = None,
) -> tuple[pl.DataFrame, Review, LabelLinkReport]:
    """Link own entities to those of another graph that have the same label.

    A label links only if it is that of one own entity of the kind and of one external entity that the
    settings admit. All others are listed in the review, where a person can decide.

    Parameters
    ----------
    own
        Columns ``id`` and ``label``, ``kind`` where not all are items, and what ``settings.same`` names.
    entities
        Columns ``id`` and ``label``; several rows with the same id are several labels of an entity. ``type``
        (a text or a list of texts) where types are asked for, and what ``settings.same`` names.
    settings
        What counts as the same label and what else must fit.
    reviewed
        Decisions of a person on the review of an earlier run; they win.

    Returns
    -------
    pl.DataFrame
        Columns ``kind``, ``item`` (own id), ``entity`` (external id) and ``line`` (from 1): the links, as
        ``ExternalTriples`` takes them. An own entity has at most one.
    Review
        Each candidate and its decision; the canonical id is the own one. ``method`` is ``normal form``,
        ``ambiguous``, ``unconfirmed`` (a value that must be the same is missing) or ``near``.
    LabelLinkReport
        How much is linked.

    Raises
    ------
    InputError
        If a column that the settings need is missing, or the review is one of merges within a graph.
    """
    settings = settings or LabelLinkSettings()
    reviewed = reviewed or Review(pl.DataFrame(schema=REVIEW_SCHEMA), external=True)
    if not reviewed.external:
        raise InputError("link: the review is one of merges within a graph; expected one of links to another")
    mine = _linkable(own, [*settings.same], settings, "own entities")
    needed = [*settings.same.values(), *(["type"] if settings.types else [])]
    theirs = _linkable(entities, needed, settings, "external entities")
    found = _candidates(mine, theirs, settings)
    places = reviewed.table.join(
        mine.select("kind", canonical_id="id").unique(), on=["kind", "canonical_id"], how="semi"
    ).join(theirs.select(merged_id="id").unique(), on="merged_id", how="semi")
    pair = ["kind", "canonical_id", "merged_id"]
    stale = reviewed.table.join(places, on=pair, how="anti", maintain_order="left")
    told = places.select(*pair, told="decision", told_method="method", told_score="score")
    table = found.join(told, on=pair, how="full", coalesce=True).with_columns(
        # Who is linked by a person is linked once.
        settled=(pl.col("told") == MERGE).any().over("kind", "canonical_id")
        | (pl.col("told") == MERGE).any().over("kind", "merged_id"),
    )
    proposal = pl.when((pl.col("method") == "normal form") & ~pl.col("settled")).then(pl.lit(MERGE))
    table = table.with_columns(
        decision=pl.coalesce("told", proposal.otherwise(pl.lit(KEEP))),
        score=pl.coalesce("score", "told_score"),
        method=pl.coalesce("method", "told_method", pl.lit("review")),
    )
    names = mine.select("kind", canonical_id="id", canonical_label="label")
    names = names.unique(["kind", "canonical_id"], keep="first", maintain_order=True)
    others = theirs.select(merged_id="id", merged_label="label").unique(
        "merged_id", keep="first", maintain_order=True
    )
    table = (
        table.join(names, on=["kind", "canonical_id"], how="left")
        .join(others, on="merged_id", how="left")
        .with_columns(canonical_items=pl.lit(None, pl.Int64), merged_items=pl.lit(None, pl.Int64))
    )
    review = Review(table.select(list(REVIEW_SCHEMA)), stale, external=True)
    links = review.table.filter(decision=MERGE).select("kind", item="canonical_id", entity="merged_id")
    numbered = links.with_row_index("line", offset=1).with_columns(pl.col("line").cast(pl.Int64))
    return numbered.select("kind", "item", "entity", "line"), review, _coverage(mine, review)


def _linkable(frame: pl.DataFrame, needed: list[str], settings: LabelLinkSettings, what: str) -> pl.DataFrame:
    """Return the entities with their normal forms; those without a label can't be linked by it."""
    for column in ("id", "label", *needed):
        if column not in frame.columns:
            raise InputError(f"link: the {what} have no column {column!r}{nearest(column, frame.columns)}")
    kind = pl.col("kind").cast(pl.Utf8).fill_null(ITEM) if "kind" in frame.columns else pl.lit(ITEM)
    frame = frame.with_columns(kind.alias("kind"), pl.col("id", "label").cast(pl.Utf8))
    frame = frame.filter(pl.col("id").is_not_null())
    return frame.with_columns(name_forms(frame["label"], settings))


def _candidates(mine: pl.DataFrame, theirs: pl.DataFrame, settings: LabelLinkSettings) -> pl.DataFrame:
    """Return the pairs that may be linked, with the columns ``method`` and ``score``."""
    left = mine.select("kind", "form", "key", canonical_id="id", **_values(settings.same, "own"))
    external = theirs.select(
        "form", "key", merged_id="id", **_values(settings.same.values(), "external"),
        type="type" if settings.types else pl.lit(None, pl.Utf8),
    )  # fmt: skip
    same = left.join(external.drop("form"), on="key").with_columns(score=pl.lit(1.0))
    parts = [_admitted(same, settings)]
    if settings.near is not None:
        matched = parts[0].select("kind", "canonical_id")
        rest = left.join(matched, on=["kind", "canonical_id"], how="anti").drop_nulls("key")
        known = external.drop_nulls("key")
        forms = pl.concat([rest.select("form", "key"), known.select("form", "key")])
        pairs = near_duplicates(forms.with_columns(kind=pl.lit("")), settings.near)
        pairs = pairs.filter((pl.col("first") < len(rest)) & (pl.col("second") >= len(rest)))
        near = pl.concat(
            [rest.drop("form", "key")[pairs["first"]], known.drop("form", "key")[pairs["second"] - len(rest)],
             pairs.select("score")],
            how="horizontal",
        )  # fmt: skip
        parts.append(
            _admitted(near.with_columns(key=pl.lit("")), settings).with_columns(method=pl.lit("near"))
        )
    best = pl.concat([part.select("kind", "canonical_id", "merged_id", "method", "score") for part in parts])
    pair = ["kind", "canonical_id", "merged_id"]
    best = best.sort([*pair, "method", "score"], descending=[False, False, False, False, True])
    best = best.unique(pair, keep="first", maintain_order=True)
    exact = pl.col("method") == "normal form"
    several = (exact.sum().over("kind", "canonical_id") > 1) | (exact.sum().over("kind", "merged_id") > 1)
    return best.with_columns(method=pl.when(exact & several).then(pl.lit("ambiguous")).otherwise("method"))


def _values(columns: Iterable[str], side: str) -> dict[str, pl.Expr]:
    """Return the expressions of what must be the same; 1995 and 1995.0 are."""
    return {
        f"{side}_{place}": pl.col(column).cast(pl.Utf8).str.strip_chars().str.replace(r"\.0+$", "")
        for place, column in enumerate(columns)
    }


def _admitted(pairs: pl.DataFrame, settings: LabelLinkSettings) -> pl.DataFrame:
    """Return the pairs of fitting types in which no value differs; ``method`` says whether one is missing."""
    if settings.types:
        kinds = sorted(settings.types)
        types = pl.col("type") if isinstance(pairs.schema["type"], pl.List) else pl.concat_list("type")
        fits = pl.any_horizontal(
            (pl.col("kind") == kind)
            & types.list.eval(pl.element().is_in(list(settings.types[kind]))).list.any()
            for kind in kinds
        )
        pairs = pairs.filter(~pl.col("kind").is_in(kinds) | fits.fill_null(False))
    missing = pl.lit(False)
    for place in range(len(settings.same)):
        one, other = pl.col(f"own_{place}"), pl.col(f"external_{place}")
        pairs = pairs.filter((one == other).fill_null(True))
        missing = missing | one.is_null() | other.is_null()
    return pairs.with_columns(
        method=pl.when(missing).then(pl.lit("unconfirmed")).otherwise(pl.lit("normal form"))
    )


def _coverage(mine: pl.DataFrame, review: Review) -> LabelLinkReport:
    """Count what is linked, and say what is not."""
    state = review.table.group_by("kind", id="canonical_id").agg(
        linked=(pl.col("decision") == MERGE).any(),
        ambiguous=(pl.col("method") == "ambiguous").any(),
        unconfirmed=pl.col("method").is_in(["unconfirmed", "near"]).any(),
    )
    entities = mine.unique(["kind", "id"], keep="first", maintain_order=True).join(
        state, on=["kind", "id"], how="left", maintain_order="left"
    )
    entities = entities.with_columns(
        pl.col("linked", "ambiguous", "unconfirmed").fill_null(False)
    ).with_columns(
        ambiguous=pl.col("ambiguous") & ~pl.col("linked"),
        unconfirmed=pl.col("unconfirmed") & ~pl.col("linked") & ~pl.col("ambiguous"),
        name=pl.coalesce("label", "id"),
    )
    entities = entities.with_columns(
        unlinked=~(pl.col("linked") | pl.col("ambiguous") | pl.col("unconfirmed"))
    )
    kinds = []
    for (kind,), group in entities.sort("kind", maintain_order=True).group_by("kind", maintain_order=True):
        count = group.select(pl.col("linked", "ambiguous", "unconfirmed", "unlinked").sum()).row(0)
        linked, ambiguous, unconfirmed, unlinked = count
        kinds.append(
            LabelCoverage(
                kind=str(kind),
                entities=len(group),
                linked=linked,
                ambiguous=ambiguous,
                unconfirmed=unconfirmed,
                unlinked=unlinked,
                ambiguous_examples=tuple(group.filter(pl.col("ambiguous"))["name"][:5]),
                unlinked_examples=tuple(group.filter(pl.col("unlinked"))["name"][:5]),
            )
        )
    return LabelLinkReport(tuple(kinds))
