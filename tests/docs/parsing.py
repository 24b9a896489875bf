"""Our command lines and names, looked up as the programs do it, without running anything."""

from __future__ import annotations

import importlib

import click
from programs import PROGRAMS

from kdiffe_dgl.cli.train import settings_for


def parse(words: tuple[str, ...]) -> click.Context:
    """Parse a command line with click's own commands and run nothing."""
    command: click.Command = PROGRAMS[words[0]]
    context, name, rest = None, words[0], list(words[1:])
    while isinstance(command, click.Group):
        # With the group's settings: a command remembers the names of its help option from its first context.
        context = click.Context(command, info_name=name, parent=context, **command.context_settings)
        given = rest
        _, rest, _ = command.make_parser(context).parse_args(list(given))
        if not rest:
            if given:
                # --help and --version end the parsing here.
                command.make_context(name, given, parent=context.parent)
            raise click.UsageError("names no command")
        found, inner, rest = command.resolve_command(context, rest)
        assert inner is not None
        assert found is not None
        command, name = inner, found
    return command.make_context(name, rest, parent=context)


def check_settings(context: click.Context) -> None:
    """Check the settings that a training command gives: --set, --preset and --model."""
    given = context.params
    if context.info_name == "train" and not given["resume"]:
        settings_for(given["preset_name"], None, given["overrides"], given["model"])
    if context.info_name == "quickstart":
        settings_for(overrides=given["overrides"])


def resolves(path: str) -> bool:
    """Whether a dotted path names something: a module, and what it holds."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False
