"""``kg-build report``: what a knowledge graph holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kg_builders.cli.options import FORCE
from kg_builders.cli.shell import PATH, examples, render
from kg_builders.errors import InputError
from kg_builders.formats.atomic import refuse_existing
from kg_builders.io import BUILD_FILE, read_knowledge_graph
from kg_builders.report import describe, write_report
from kg_builders.report import render as tables

__all__ = ["report"]


@click.command(
    "report",
    epilog=examples(
        "kg-build report kg",
        "kg-build report kg --html report.html",
        "kg-build report kg --json | jq .item_facts",
    ),
)
@click.argument("graph", type=PATH)
@click.option("--html", type=PATH, help="Page to write, with what the graph holds as JSON beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@FORCE
def report(*, graph: Path, html: Path | None, as_json: bool, overwrite: bool) -> None:
    """Say what the knowledge graph in the folder GRAPH holds, and what looks wrong with it."""
    if html is not None:
        if html.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{html}: isn't the name of a page; expected one that ends with .html")
        for file in (html, html.with_suffix(".json")):
            refuse_existing(file, overwrite, "a file", Path.is_file)
    kg = read_knowledge_graph(graph)
    described = describe(kg)
    if as_json:
        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        click.echo(render(tables(described)), nl=False)
    if html is not None:
        page = write_report(kg, html, {**_build(graph), "graph": described}, f"Knowledge graph {graph.name}")
        click.echo(f"written to {page}", err=as_json)


def _build(graph: Path) -> dict[str, object]:
    """Return the record of the build, where the folder has one."""
    file = graph / BUILD_FILE
    if not file.is_file():
        return {}
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: can't be read as JSON; expected the record of a build") from error
    if not isinstance(told, dict):
        raise InputError(f"{file}: holds no record of a build")
    return told
