"""A given knowledge graph joined to the catalogue: its entities of linked items become items.

The links are a map of ids that comes with the graph, or are found by label (``label_link``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from kg_builders.agreement import Agreement
from kg_builders.errors import InputError
from kg_builders.schema import ITEM, NAMED_SCHEMA, KnowledgeGraph
from kg_builders.sources.triples import ExternalTriples

__all__ = ["LinkReport", "link_external"]


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
