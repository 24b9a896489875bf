"""Markup of reStructuredText in docstrings as Markdown knows it: roles as code, formulas as blocks of TeX."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|math|attr|data):`~?([^`]+)`")
# The directive, with what stands beside it, and all lines below that are indented further or empty.
_FORMULA = re.compile(r"^( *)\.\. math::(.*\n(?:(?:\1 +.*|[ ]*)(?:\n|\Z))*)", re.MULTILINE)


class Roles(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    r"""Return a docstring with its roles and formulas in Markdown.

    Examples
    --------
    >>> print(markdown("See :func:`fuse`:\n\n.. math:: a\n    + b\n\nDone."))
    See `fuse`:
    <BLANKLINE>
    ```tex
    a
    + b
    ```
    <BLANKLINE>
    Done.
    """
    return _ROLE.sub(r"`\1`", _FORMULA.sub(_block, f"{text}\n")).removesuffix("\n")


def _block(found: re.Match[str]) -> str:
    indent, body = found[1], found[2]
    first, _, rest = body.partition("\n")
    lines = [*([first.strip()] if first.strip() else []), *textwrap.dedent(rest).strip("\n").splitlines()]
    return "\n".join(f"{indent}{line}".rstrip() for line in ("```tex", *lines, "```")) + "\n\n"
