"""A page about a graph in one file, and beside it what the graph holds as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kg_builders.errors import InputError
from kg_builders.formats.atomic import staged_file
from kg_builders.reporting import graph_sections as graph
from kg_builders.reporting.build_sections import EARLY, build_sections
from kg_builders.reporting.describing import describe
from kg_builders.reporting.markup import Markup, page, paragraph, section, text
from kg_builders.reporting.picture import draw_subgraph
from kg_builders.reporting.plots import svg
from kg_builders.reporting.sample import sample_subgraph
from kg_builders.schema import KnowledgeGraph

__all__ = ["json_text", "write_report"]

NAME = "report.html"


def write_report(
    kg: KnowledgeGraph,
    path: str | Path,
    build_report: Mapping[str, Any] | None = None,
    title: str = "Knowledge graph",
) -> Path:
    """Write a page that tells what a graph holds, what looks wrong, and how it was built.

    The page refers to no other file and runs nothing, so it can be sent as it is; all text is escaped. The
    same graph gives the same bytes.

    Parameters
    ----------
    path
        Folder, which gets ``report.html`` and ``report.json``; or the page itself, ending with ``.html``,
        beside which a file of the same name ending with ``.json`` is put. The JSON holds ``title`` and
        ``graph``, as :func:`~kg_builders.report.describe` returns it.
    build_report
        ``BuildReport.to_dict()``, for the page. Parts that this module doesn't know are shown as they are.
        Its ``graph`` is used if it describes a graph of the same size; otherwise the graph is described anew.
    title
        Heading of the page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the place can't be written to.
    """
    build = dict(build_report or {})
    described = _description(kg, build.pop("graph", None))
    target = _target(Path(path))
    content = _content(kg, described, build, title)
    facts = {"title": title, "graph": described}
    with ExitStack() as files:
        plain = files.enter_context(staged_file(target.with_suffix(".json")))
        shown = files.enter_context(staged_file(target))
        plain.write_text(json_text(facts), encoding="utf-8")
        shown.write_text(page(title, content), encoding="utf-8")
    return target


def json_text(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON for a person: numbers that are none become null, other objects their text."""
    return json.dumps(_plain(facts), ensure_ascii=False, indent=2) + "\n"


def _description(kg: KnowledgeGraph, told: Any) -> dict[str, Any]:
    counts = {"entities": kg.n_entities, "relations": kg.n_relations, "triples": kg.n_triples}
    usable = (
        isinstance(told, Mapping)
        and "provenance" in told
        and all(told.get(key) == counts[key] for key in counts)
    )
    return dict(told) if usable else describe(kg)


def _content(
    kg: KnowledgeGraph, described: Mapping[str, Any], build: Mapping[str, Any], title: str
) -> Iterable[str]:
    told = build_sections(build)
    # What was read comes before what the graph holds, what became of it after.
    before = [entry for entry in told if entry[1] in EARLY]
    after = [entry for entry in told if entry[1] not in EARLY]
    warnings = [*build.get("warnings", ()), *described["warnings"]]
    sections: list[tuple[str, str, Markup]] = [
        ("warnings", f"Warnings ({len(warnings)})", graph.warning_list(warnings)),
        *before,
        ("coverage", "Coverage", graph.coverage(described)),
        ("relations", "Relations", graph.relations(described)),
        ("kinds", "Kinds", graph.kinds(described)),
        ("degrees", "Degrees", graph.degrees(described)),
        ("hubs", "Hubs", graph.hubs(described)),
        ("redundancy", "Redundancy", graph.redundancy(described)),
        *after,
        ("provenance", "Provenance", graph.provenance(described)),
        ("picture", "Picture", _picture(kg)),
    ]
    links = " ".join(f'<a href="#{text(anchor)}">{text(name)}</a>' for anchor, name, _ in sections)
    yield f"<h1>{text(title)}</h1>"
    yield graph.tiles(described)
    yield f'<nav aria-label="Sections">{links}</nav>'
    for _, _, content in sections:
        yield content


def _picture(kg: KnowledgeGraph) -> Markup:
    if not kg.n_triples:
        return section("picture", "A part of the graph", paragraph("There is no triple to draw."))
    sample = sample_subgraph(kg)
    labels, relations = sample.entities["label"], sample.relations["label"]
    facts = [
        (labels[head], relations[relation], labels[tail], source)
        for head, relation, tail, source in sample.triples.iter_rows()
    ]
    caption = (
        f"{sample.n_items} items, what they share and some of what sets them apart: {sample.n_entities} of "
        f"{kg.n_entities:,} entities and {sample.n_triples} of {kg.n_triples:,} triples."
    )
    drawing = svg(draw_subgraph(sample), "drawn", caption, "drawing")
    return section("picture", "A part of the graph", drawing, graph.facts_table(facts))


def _target(path: Path) -> Path:
    if path.suffix.lower() in (".html", ".htm"):
        folder, target = path.parent, path
    else:
        folder, target = path, path / NAME
    for file in (target, target.with_suffix(".json")):
        if file.is_dir():
            raise InputError(f"{file}: is a folder; expected a file to be written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: can't be made ({error.strerror}); expected a folder for the report"
        ) from error
    return target


def _plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are none become null, other objects their text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)
