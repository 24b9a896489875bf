"""Options that several ``kdiffe data`` commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kdiffe_dgl.data.split import STRATEGIES

__all__ = ["INTERACTIONS", "NAMED_PATH", "OUT", "OVERWRITE", "PATH", "SPLIT", "examples"]

Command = Callable[..., Any]
_HELP_WIDTH = 74
PATH = click.Path(path_type=Path)


class _Ratios(click.ParamType):
    """Three shares with colons between them."""

    name = "TRAIN:VALIDATION:TEST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        if isinstance(value, tuple):
            return value
        try:
            train, validation, test = (float(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not three numbers such as 8:1:1", param, ctx)
        return train, validation, test


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


def _options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


NAMED_PATH = _NamedPath()
"""``image=a.npy`` -> ``("image", Path("a.npy"))``."""

OUT = click.option("--out", type=PATH, required=True, help="Folder to make.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a data set that is already there.")
SPLIT = _options(
    click.option(
        "--ratios", type=_Ratios(), default="8:1:1", show_default=True, help="Shares for ratio and time."
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the split."),
)
INTERACTIONS = _options(
    click.option("--min-rating", type=float, help="Leave out interactions that are rated lower."),
    click.option(
        "--split",
        "strategy",
        type=click.Choice(STRATEGIES),
        help="How to split; by default as given, or by ratio where nothing is given.",
    ),
    SPLIT,
)


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
