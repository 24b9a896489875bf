"""A given graph read, cut to what lies around the items, and linked to the catalogue, as a recipe says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from kg_builders.config import shown
from kg_builders.errors import InputError
from kg_builders.expand import ExpansionReport, extract_neighbourhood
from kg_builders.label_link import LabelLinkReport, link_by_label
from kg_builders.link import LinkReport, link_external
from kg_builders.recipe import ExternalSettings, LabelledGraph, RdfGraph, RecbolePair
from kg_builders.review import Review, read_review
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources import (
    BadRecords,
    ExternalTriples,
    read_item_links,
    read_recbole_kg,
    read_triples,
)
from kg_builders.sources.delimited import read_delimited
from kg_builders.sources.rdf import read_rdf

__all__ = ["LinkedGraph", "link_given"]


@dataclass(frozen=True)
class LinkedGraph:
    """A given graph in which linked entities are the catalogue's items.

    Parameters
    ----------
    graph
        Its triples, with all items of the catalogue.
    report
        How it meets the catalogue.
    labels, review
        Where it was linked by labels: how much fits, and each candidate with its decision.
    expansion
        Where only a neighbourhood was taken: what each step took and left.
    bad
        What was left out while reading, where the format tolerates it.
    """

    graph: KnowledgeGraph
    report: LinkReport
    labels: LabelLinkReport | None = None
    review: Review | None = None
    expansion: ExpansionReport | None = None
    bad: BadRecords | None = None


def link_given(
    given: ExternalSettings,
    folder: Path,
    catalogue: pl.DataFrame,
    others: pl.DataFrame | None = None,
    reviewed: Review | None = None,
) -> LinkedGraph:
    """Read a given graph and link it.

    Parameters
    ----------
    given
        Where it is and how it is linked.
    folder
        Where its relative paths begin.
    catalogue
        Columns ``id`` and ``label``: the items, and further columns that labels are compared by.
    others
        Names of items besides the catalogue's, see ``link_external``.
    reviewed
        Decided links by label, in place of the file that the settings name.

    Raises
    ------
    InputError
        If a file can't be read, or the parts don't fit together, such as an id map of other items.
    """
    external, entities, bad = _read(given, folder)
    review, labels = reviewed, None
    if isinstance(given, LabelledGraph) and given.links is None:
        if entities is None:
            raise InputError(f"{given.triples}: has neither links nor labels; expected one of them")
        if review is None and given.review is not None:
            review = read_review(folder / given.review, external=True)
        links, review, labels = link_by_label(catalogue, entities, given.by_label, review)
        external = replace(external, links=links, link_file="labels")
    else:
        _refuse_strangers(external, catalogue)
    expansion = None
    if given.neighbourhood is not None:
        around = given.neighbourhood
        mine = external.links.join(catalogue.select(item="id"), on="item", how="semi")
        triples, expansion = extract_neighbourhood(
            external.triples,
            mine["entity"].unique(maintain_order=True).to_list(),
            around.hops,
            around.max_triples,
            around.max_per_entity,
            around.relations,
            around.directions,
        )
        external = replace(external, triples=triples)
    graph, report = link_external(external, catalogue.select("id", "label"), given.entity, others)
    if entities is not None:
        graph = _named(graph, entities, given.entity)
    return LinkedGraph(graph, report, labels, review if labels is not None else None, expansion, bad)


def _refuse_strangers(external: ExternalTriples, catalogue: pl.DataFrame) -> None:
    """Refuse an id map none of whose items is in the catalogue, or none of whose entities has a triple."""
    links = external.links
    known = links.join(catalogue.select(pl.col("id").cast(pl.Utf8).alias("item")), on="item", how="semi")
    if known.is_empty():
        raise InputError(
            f"{external.link_file}: links no item of the catalogue, whose ids look like "
            f"{_example(catalogue['id'])}; its own look like {_example(links['item'])}"
        )
    ends = pl.concat([external.triples["head"], external.triples["tail"].alias("head")])
    if not known["entity"].is_in(ends.unique().implode()).any():
        raise InputError(
            f"{external.link_file}: no entity that it links is in {external.file}, whose entities look like "
            f"{_example(ends)}; its own look like {_example(known['entity'])}"
        )


def _example(ids: pl.Series) -> str:
    return shown(str(ids[0])) if len(ids) else "none"


def _read(
    given: ExternalSettings, folder: Path
) -> tuple[ExternalTriples, pl.DataFrame | None, BadRecords | None]:
    """Return the triples, linked if there is an id map, and the names of their entities, if there are."""
    path = folder / given.triples
    if isinstance(given, RecbolePair):
        return read_recbole_kg(path, folder / given.links), None, None
    none = pl.DataFrame(schema={"item": pl.Utf8, "entity": pl.Utf8, "line": pl.Int64})
    if isinstance(given, RdfGraph):
        tables = read_rdf(path, languages=given.languages)
        links = none if given.links is None else read_item_links(folder / given.links)
        # A label with each type: an entity may have several.
        entities = tables.entities.select("id", "label").join(
            tables.types.group_by("id").agg("type"), on="id", how="left", maintain_order="left"
        )
        return tables.external(links, given.links or "labels"), entities, tables.bad
    triples = read_triples(path, given.delimiter)
    if given.links is not None:
        links = read_item_links(folder / given.links, given.delimiter)
        return ExternalTriples(triples, links, path.name, Path(given.links).name), None, None
    assert given.labels is not None
    return ExternalTriples(triples, none, path.name, "labels"), _labels(folder / given.labels), None


def _labels(path: Path) -> pl.DataFrame:
    delimiter = "," if path.suffix.lower() == ".csv" else "\t"
    frame = read_delimited(path, delimiter, quote='"')
    for column in ("id", "label"):
        if column not in frame.columns:
            raise InputError(f"{path}: no column {column!r}; expected id, label and perhaps type")
    return frame.select(name for name in ("id", "label", "type") if name in frame.columns)


def _named(graph: KnowledgeGraph, entities: pl.DataFrame, kind: str) -> KnowledgeGraph:
    """Call the entities of a kind by their given labels."""
    told = entities.drop_nulls("label").unique("id", keep="first", maintain_order=True)
    named = graph.entities.join(
        told.select(pl.lit(kind).alias("kind"), "id", told="label"),
        on=["kind", "id"],
        how="left",
        maintain_order="left",
    )
    entity_table = named.with_columns(pl.coalesce("told", "label").alias("label")).drop("told")
    return KnowledgeGraph(entity_table, graph.relations, graph.triples)
