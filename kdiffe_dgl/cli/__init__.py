"""The command ``kdiffe``: one file a command, imported when it is used."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping
from typing import IO, Any

import click

from kdiffe_dgl import __version__
from kdiffe_dgl.errors import InputError

__all__ = ["LazyGroup", "main"]

# Read by OpenMP when torch loads it. Without it, threads that wait spin, and training beside another
# busy process takes several times as long. The user's own setting stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Command -> module:attribute, and its line in the list of commands. The line stands here so that the
# list needs no import: torch and DGL take seconds.
_COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("kdiffe_dgl.cli.quickstart:quickstart", "From nothing to recommendations on MovieLens."),
    "data": ("kdiffe_dgl.cli.data:data", "Fetch, import, split, make and describe data sets."),
    "train": ("kdiffe_dgl.cli.train:train", "Train a model on a data set."),
    "evaluate": ("kdiffe_dgl.cli.evaluate:evaluate", "Measure a trained model on a split."),
    "recommend": ("kdiffe_dgl.cli.recommend:recommend", "Recommend items with a trained model."),
    "report": ("kdiffe_dgl.cli.report:report", "Write the HTML report of a run."),
}

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it: 128 + SIGINT."""


class _BadInput(click.ClickException):
    """One sentence on standard error, exit status 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        # What input made it into the sentence must not break the promise of one line.
        click.echo(f"error: {' '.join(self.format_message().split())}", file=file, err=file is None)


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and turns ``InputError`` into one sentence.

    Parameters
    ----------
    lazy
        Command -> ("module:attribute", short help).
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the table."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute = self._lazy[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, or offer the nearest."""
        names = self.list_commands(ctx)
        if args[0] not in names:
            near = difflib.get_close_matches(args[0], names, n=1)
            expected = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}."
            ctx.fail(f"No such command {args[0]!r}; {expected}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; bad input and Ctrl-C end it without a traceback."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise _BadInput(str(error)) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    name="kdiffe", cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="kdiffe")
def main() -> None:
    """Knowledge-aware, diffusion-enhanced multimedia recommendation."""
