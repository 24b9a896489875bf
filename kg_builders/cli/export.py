"""``kg-build export``: a knowledge graph in another format, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kg_builders.cli.options import FORCE, OUT, parse_assignments
from kg_builders.cli.shell import PATH, examples
from kg_builders.io import export_formats, export_graph, import_graph

__all__ = ["export"]

_FORMATS = {form.name: form for form in export_formats()}
_NAMES = click.Choice(list(_FORMATS))


@click.command(
    "export",
    epilog=examples(
        "kg-build export kg --format recbole --out recbole/shop",
        "kg-build export kg --format graphml --out kg.graphml",
        "kg-build export kg --format ntriples --set base=https://example.org/ --out kg.nt",
        "kg-build export kgat --from kgat --format parquet --out kg",
    ),
)
@click.argument("graph", type=PATH)
@click.option(
    "--format",
    "wanted",
    type=_NAMES,
    required=True,
    help="; ".join(f"{form.name}: {form.summary}" for form in _FORMATS.values()) + ".",
)
@click.option("--from", "given", type=_NAMES, default="parquet", show_default=True, help="Format of GRAPH.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Option of the format.")
@OUT
@FORCE
def export(
    *, graph: Path, wanted: str, given: str, settings: Sequence[str], out: Path, overwrite: bool
) -> None:
    """Write the knowledge graph GRAPH in another format."""
    options: dict[str, Any] = parse_assignments(settings)
    reading = {name: value for name, value in options.items() if name in _FORMATS[given].read_options}
    writing = {
        name: value
        for name, value in options.items()
        if name not in reading or name in _FORMATS[wanted].write_options
    }
    kg = import_graph(graph, given, **reading)
    export_graph(kg, out, wanted, overwrite, **writing)
    click.echo(f"written to {out}: {kg.n_triples:,} triples of {kg.n_entities:,} entities")
