"""The command ``kg-build``: one file a command, imported when it is used."""

from __future__ import annotations

import click

from kg_builders.cli.shell import LazyGroup

__all__ = ["main"]

# Command -> module:attribute, and its line in the list, which so needs no import.
_COMMANDS: dict[str, tuple[str, str]] = {
    "infer": ("kg_builders.cli.infer:infer", "Propose what the fields of an unknown file hold."),
    "build": ("kg_builders.cli.build:build", "Build a knowledge graph from item metadata."),
    "encode": ("kg_builders.cli.encode:encode", "Encode texts, pictures or sounds of items as features."),
    "link": ("kg_builders.cli.link:link", "Join a given knowledge graph to one, by id or by label."),
    "prune": ("kg_builders.cli.prune:prune", "Take away what helps nobody, or put it back."),
    "report": ("kg_builders.cli.report:report", "Say what a knowledge graph holds."),
    "export": ("kg_builders.cli.export:export", "Write a knowledge graph in another format."),
}


@click.group(
    name="kg-build", cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
def main() -> None:
    """Build, prune and explain knowledge graphs from raw item metadata."""
