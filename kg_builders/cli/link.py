"""``kg-build link``: a given knowledge graph joined to one, by an id map or by labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import polars as pl

from kg_builders.agreement import link_agreement
from kg_builders.build_report import BuildReport
from kg_builders.cli.options import FORCE, OUT
from kg_builders.cli.shell import PATH, examples, given, render
from kg_builders.config import parse_settings
from kg_builders.errors import InputError
from kg_builders.given import link_given
from kg_builders.io import read_knowledge_graph
from kg_builders.output import read_removed, require_free, write_build
from kg_builders.recipe import RdfGraph, RecbolePair, TriplesPair
from kg_builders.report import describe
from kg_builders.review import read_review
from kg_builders.schema import ITEM

__all__ = ["link"]

_KINDS: dict[str, type[RecbolePair] | type[TriplesPair] | type[RdfGraph]] = {
    "recbole": RecbolePair,
    "triples": TriplesPair,
    "rdf": RdfGraph,
}


@click.command(
    "link",
    epilog=examples(
        "kg-build link kg --triples kg.txt --links item2entity.txt --entity freebase --out kg-linked",
        "kg-build link kg --triples wikidata.nt.gz --type item=http://www.wikidata.org/entity/Q215380 "
        "--hops 2 --max-triples 100000 --out kg-linked",
        "kg-build link kg --triples films.kg --links films.link --out kg-linked",
        "kg-build link kg --triples wikidata.nt.gz --review kg-linked/link_review.csv --out kg-linked "
        "--overwrite",
    ),
)
@click.argument("graph", type=PATH)
@click.option("--triples", type=PATH, required=True, help="Given graph: triples a line, .kg, or RDF.")
@click.option("--links", type=PATH, help="Table of item id and entity id; without it, labels are compared.")
@click.option("--labels", type=PATH, help="Table of id, label and perhaps type of the given entities.")
@click.option("--type", "types", multiple=True, metavar="KIND=TYPE", help="Type that an entity must have.")
@click.option("--near", type=float, help="List labels of this similarity for the review, too.")
@click.option("--review", type=PATH, help="Table of decided links, as an earlier run wrote it.")
@click.option("--entity", default="external", show_default=True, help="Kind of entities that are no items.")
@click.option("--hops", type=int, help="Take only what is this many steps around linked items.")
@click.option("--max-triples", type=int, help="Take no more triples than this.")
@click.option("--max-per-entity", type=int, help="Take no more triples of an entity than this.")
@OUT
@FORCE
def link(
    *,
    graph: Path,
    triples: Path,
    links: Path | None,
    labels: Path | None,
    types: Sequence[str],
    near: float | None,
    review: Path | None,
    entity: str,
    hops: int | None,
    max_triples: int | None,
    max_per_entity: int | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Join a given graph to the knowledge graph in the folder GRAPH.

    Who is linked to whom by label stands in link_review.csv of the new graph, where a person can decide.
    """
    require_free(out, overwrite)
    if links is not None and (types or near is not None or review is not None or labels is not None):
        raise InputError(
            "--links say who is who; expected no --labels, --type, --near or --review beside them"
        )
    around = given(hops=hops, max_triples=max_triples, max_per_entity=max_per_entity)
    settings = _settings(
        triples,
        given(
            links=None if links is None else str(links),
            labels=None if labels is None else str(labels),
            entity=entity,
            by_label={"types": _types(types), "near": near} if types or near is not None else None,
            neighbourhood=around or None,
        ),
    )
    kg = read_knowledge_graph(graph)
    items = kg.entities.filter(pl.col("kind") == ITEM).select("id", "label")
    decided = None if review is None else read_review(review, external=True)
    linked = link_given(settings, Path(), items, reviewed=decided)
    report = replace(linked.report, agreement=link_agreement(kg, linked.graph))
    joined = kg.union(linked.graph)
    told = BuildReport(
        bad=linked.bad,
        links=(report,),
        label_links=() if linked.labels is None else (linked.labels,),
        expansions=() if linked.expansion is None else (linked.expansion,),
        link_reviews=() if linked.review is None else (linked.review,),
        graph=describe(joined),
    )
    write_build(joined, told, out, overwrite=overwrite, earlier=read_removed(graph))
    click.echo(render(told.render()), nl=False)
    click.echo(f"written to {out}")


def _settings(triples: Path, values: dict[str, Any]) -> RecbolePair | TriplesPair | RdfGraph:
    name = triples.name.lower().removesuffix(".gz").removesuffix(".zst")
    kind = "recbole" if name.endswith(".kg") else "rdf" if name.endswith((".nt", ".ttl")) else "triples"
    return parse_settings(_KINDS[kind], {"kind": kind, "triples": str(triples), **values}, f"{triples}")


def _types(settings: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for setting in settings:
        kind, equals, wanted = setting.partition("=")
        if not (kind and equals and wanted):
            raise InputError(f"--type {setting}: expected KIND=TYPE")
        found[kind] = (*found.get(kind, ()), wanted)
    return found
