"""``kg-build infer``: what the fields of an unknown file hold."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kg_builders.cli.options import FORCE, write_text
from kg_builders.cli.shell import PATH, examples, render
from kg_builders.infer import infer_mapping

__all__ = ["infer"]


@click.command(
    "infer",
    epilog=examples(
        "kg-build infer items.jsonl.gz",
        "kg-build infer items.csv --mapping mapping.yaml --rules rules.yaml",
        "kg-build build --source table --input items.csv --mapping mapping.yaml --rules rules.yaml --out kg",
    ),
)
@click.argument("file")
@click.option(
    "--sample", type=click.IntRange(min=1), default=10_000, show_default=True, help="Records to look at."
)
@click.option("--mapping", type=PATH, help="Write the mapping to this YAML file.")
@click.option("--rules", type=PATH, help="Write rules to begin with to this YAML file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@FORCE
def infer(
    *, file: str, sample: int, mapping: Path | None, rules: Path | None, as_json: bool, overwrite: bool
) -> None:
    """Look at the records of FILE, a table or JSON lines, and propose what each field holds.

    The mapping says how to read the file, the rules which fields become relations; edit both, then build.
    """
    found = infer_mapping(file, sample)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False, default=str))
    else:
        click.echo(render(found.table()), nl=False)
        for note in (*found.bad.sentences(), *found.notes):
            click.echo(note)
    for path, text in ((mapping, found.to_yaml()), (rules, found.to_rules_yaml())):
        if path is not None:
            write_text(path, text, overwrite)
            click.echo(f"written to {path}", err=as_json)
