"""Types of command-line values that several commands share."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["CUTOFFS"]


class _Cutoffs(click.ParamType):
    """Lengths of recommendation lists: whole numbers from 1, with commas between them."""

    name = "K,K,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(re.fullmatch(r"\s*0*[1-9]\d{0,6}\s*", part, re.ASCII) for part in parts):
            self.fail(f"{value!r} is not a list of numbers from 1, such as 10,20", param, ctx)
        return tuple(sorted({int(part) for part in parts}))


CUTOFFS = _Cutoffs()
"""``10,20`` -> ``(10, 20)``."""
