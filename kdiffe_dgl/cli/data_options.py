"""Options that several ``kdiffe data`` commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from kdiffe_dgl.data.split import STRATEGIES
from kdiffe_dgl.errors import InputError
from kg_builders.cli.shell import out_option

__all__ = ["INTERACTIONS", "OUT", "OVERWRITE", "SPLIT", "by_name"]

Command = Callable[..., Any]


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


def _options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def by_name(option: str, named: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Return name -> path of an option that may be repeated.

    Raises
    ------
    InputError
        If a name is given twice, so that one of its files would be left out.
    """
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise InputError(f"{option}: {name!r} is given as {found[name]} and as {path}; expected one file")
        found[name] = path
    return found


OUT = out_option("out", "Folder to make.", required=True)
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
