"""What the commands of both packages share: lazy groups, one-sentence errors, tables, help texts."""

from __future__ import annotations

import difflib
import importlib
import io
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from kg_builders.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "INTERRUPTED",
    "NAMED_PATH",
    "OUT",
    "PATH",
    "LazyGroup",
    "examples",
    "given",
    "out_option",
    "render",
]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_HELP_WIDTH = 74
_PIPED_WIDTH = 120
PATH = click.Path(path_type=Path)
"""A file or folder to read."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it: 128 + SIGINT."""


class _BadInput(click.ClickException):
    """One sentence on standard error, exit status 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        # What input made it into the sentence must not break the promise of one line.
        click.echo(f"error: {' '.join(self.format_message().split())}", file=file, err=file is None)


def _of_usage(error: click.UsageError) -> click.ClickException:
    """Return what says in one sentence which option is wrong, and where they are told."""
    # Of click 8.2 and later: the help that a group without arguments shows.
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error
    said = error.format_message().rstrip(".")
    command = "" if error.ctx is None else f" ({error.ctx.command_path} --help tells the options)"
    return _BadInput(f"{said[:1].lower()}{said[1:]}{command}")


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and tells bad input and usage in one sentence.

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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options of the group itself."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _of_usage(error) from error

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
        except click.UsageError as error:
            raise _of_usage(error) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


class _NamedPath(click.ParamType):
    """``NAME=PATH``."""

    name = "NAME=PATH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        if isinstance(value, tuple):
            return value
        name, equals, path = str(value).partition("=")
        if not (name and equals and path):
            self.fail(f"{value!r} is not NAME=PATH, such as image=image_feat.npy", param, ctx)
        return name, Path(path)


NAMED_PATH = _NamedPath()
"""``image=a.npy`` -> ``("image", Path("a.npy"))``."""


class _Out(click.Path):
    """A place to write to; the empty name, which means the current folder elsewhere, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse the empty name."""
        if isinstance(value, str) and not value:
            option = param.opts[0] if param is not None else "the output"
            raise InputError(f"{option} '': names nothing; expected a file or folder to write")
        return super().convert(value, param, ctx)


OUT = _Out(path_type=Path)
"""A file or folder to write."""


def out_option(name: str, help_text: str, **more: Any) -> Callable[[CommandT], CommandT]:
    """Return the option of what a command writes: by the name that the command uses, and by the other.

    Parameters
    ----------
    name
        ``out`` or ``output``: the parameter of the command, and the option that ``--help`` names first.
    help_text, more
        As for ``click.option``.
    """
    names = sorted(("--out", "--output"), key=lambda option: option != f"--{name}")
    return click.option(*names, name, type=OUT, help=help_text, **more)


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given: neither null nor, where they can be repeated, empty."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def render(renderable: RenderableType) -> str:
    """Draw something of rich's as plain text, as wide as the terminal, or 120 columns without one."""
    from rich.console import Console  # noqa: PLC0415  (only who prints a table waits for it)

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    # A console on a buffer is no terminal, so the text holds no escape sequences.
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(renderable)
    return buffer.getvalue()


def examples(*commands: str) -> str:
    """Return the end of a command's help: examples, one a line, long ones broken where an option begins."""
    lines = []
    for command in commands:
        words = [word if number == 0 else f"--{word}" for number, word in enumerate(command.split(" --"))]
        line = "  " + words[0]
        for word in words[1:]:
            if len(line) + len(word) > _HELP_WIDTH:
                lines.append(line + " \\")
                line = "     "
            line += " " + word
        lines.append(line)
    # The backspace tells click to keep the lines as they are.
    return "\n".join(["\b", "Examples:", *lines])
