"""``kdiffe explain``: why an item was recommended, as picture, page, graph or text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdiffe_dgl.cli.output import OVERWRITE, choose_form, emit, emit_folder, require_new, require_no_old
from kdiffe_dgl.errors import InputError
from kg_builders.cli.shell import PATH, examples, out_option

if TYPE_CHECKING:
    from kdiffe_dgl.explain import Explanation

__all__ = ["explain"]

_EPILOG = examples(
    "kdiffe explain runs/ml-100k --data ml-100k --user 12",
    "kdiffe explain runs/ml-100k --data ml-100k --user 12 --item 50 --out why.png",
    "kdiffe explain runs/ml-100k --data ml-100k --user 12 --top 3 --format html --out why",
    "kdiffe explain runs/ml-100k --data ml-100k --user 12 --item 50 --paths 10 --format json",
)


def _text(explanation: Explanation) -> bytes:
    """Return the sentences; characters that steer a terminal are left out."""
    left = explanation.score - sum(path.contribution for path in explanation.paths)
    lines = [explanation.title, f"score {explanation.score:.4f}, {left:.4f} without the paths below"]
    lines += [
        f"{rank}. -{path.contribution:.4f}  {path.sentence}" for rank, path in enumerate(explanation.paths, 1)
    ]
    lines += explanation.notes
    clean = ("".join(c if c.isprintable() else " " for c in line) for line in lines)
    return ("\n".join(clean) + "\n").encode("utf-8", "replace")


def _picture(form: str) -> Callable[[Explanation], bytes]:
    def write(explanation: Explanation) -> bytes:
        from kdiffe_dgl.explain.picture import picture_bytes  # noqa: PLC0415

        return picture_bytes(explanation, form)

    return write


_WRITERS: dict[str, Callable[[Explanation], bytes]] = {
    "text": _text,
    "html": lambda explanation: explanation.to_html().encode(),
    "png": _picture("png"),
    "svg": _picture("svg"),
    "pdf": _picture("pdf"),
    "json": lambda explanation: explanation.to_json().encode("utf-8", "replace"),
    "graphml": lambda explanation: explanation.to_graphml(),
}
_BINARY = ("png", "pdf")
_SUFFIXES = {f".{name}": name for name in _WRITERS if name != "text"} | {".txt": "text"}


def _choose_format(form: str | None, out: Path | None, several: bool) -> str:
    """Return the format asked for, or that of the suffix, or text."""
    # A folder may have any name.
    chosen = choose_form(form, None if several and form is not None else out, _SUFFIXES) or "text"
    if out is None and chosen in _BINARY:
        raise click.UsageError(f"--format {chosen} writes a file; give --out.")
    return chosen


def _file_name(rank: int, item: str, form: str) -> str:
    """Return a name that is safe on any system; the rank keeps names apart."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", item)[:40].strip("_")
    return f"{rank:02d}-{safe or 'item'}.{'txt' if form == 'text' else form}"


def _is_ours(name: str) -> bool:
    """Whether a name is one of :func:`_file_name`, in any form."""
    return re.fullmatch(r"\d{2,}-[A-Za-z0-9_-]+\.(txt|html|png|svg|pdf|json|graphml)", name) is not None


def _once(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Return the one value of an option; more are refused, of which all but one would be left out."""
    if len(given) > 1:
        name = option.opts[0]
        raise InputError(f"{name} {' and '.join(given)}: given {len(given)} times; expected one {name}")
    return given[0] if given else None


@click.command(epilog=_EPILOG)
@click.argument("run", type=PATH)
@click.option("--data", type=PATH, required=True, help="Data set folder that the run was trained on.")
@click.option("--user", required=True, multiple=True, callback=_once, metavar="ID", help="Original user id.")
@click.option(
    "--item", multiple=True, callback=_once, metavar="ID",
    help="Original item id.  [default: what is recommended first]",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True,
    help="Recommended items to explain, where no item is given.",
)  # fmt: skip
@click.option(
    "--paths", type=click.IntRange(1, 30), default=5, show_default=True, help="Paths to rank and draw."
)
@click.option("--hops", type=click.IntRange(1, 5), default=3, show_default=True, help="Most edges of a path.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_WRITERS)),
    help="Form; by default that of --out's suffix, or text.",
)
@click.option("--facts-only", is_flag=True, help="Only paths over facts, none over other users.")
@out_option("out", "File to write; for several items, a folder to make.")
@OVERWRITE
def explain(
    *,
    run: Path,
    data: Path,
    user: str,
    item: str | None,
    top: int,
    paths: int,
    hops: int,
    facts_only: bool,
    form: str | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Explain why the model in folder RUN recommends an item to a user.

    Paths from the user over items of their history and shared facts, or over other users, to the item are
    ranked by what the item's score loses when their edges are deleted from the graphs.
    """
    if item is not None and top > 1:
        raise InputError(
            f"--item {item} and --top {top}: the one names an item, the other asks for those recommended "
            "first; expected one of them"
        )
    several = top > 1
    chosen = _choose_format(form, out, several)
    if several and (out is None and chosen not in ("text",)):
        raise click.UsageError(f"--top {top} --format {chosen} writes several files; give --out, a folder.")
    if not several:
        require_new(out, overwrite)
    elif out is not None:
        require_no_old(out, _is_ours, overwrite)
    from kdiffe_dgl.api import Run  # noqa: PLC0415  (bad options are told without waiting for torch)

    opened = Run(run, data)
    if item is not None:
        found = [opened.explain(user, item, paths, hops, facts_only)]
    else:
        found = opened.explain_top(user, top, paths, hops, facts_only)
    if not several:
        emit(_WRITERS[chosen](found[0]), out)
    elif out is None:
        emit(b"\n".join(_WRITERS[chosen](one) for one in found), None)
    else:
        # All of them are drawn before one is written.
        named = ((_file_name(rank, one.item.id, chosen), one) for rank, one in enumerate(found, 1))
        emit_folder({name: _WRITERS[chosen](one) for name, one in named}, out, _is_ours, overwrite)
    if out is not None:
        click.echo(f"written  {out}")
