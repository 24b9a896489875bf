"""``kdiffe inspect``: what diffusion did in a run, as one page, as JSON, or as a summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from kdiffe_dgl.cli.output import OVERWRITE, choose_form, emit, emit_folder, require_new, require_no_old
from kdiffe_dgl.errors import InputError
from kg_builders.cli.shell import PATH, examples, out_option, render

if TYPE_CHECKING:
    from kdiffe_dgl.inspection import Inspection

__all__ = ["inspect"]

_EPILOG = examples(
    "kdiffe inspect runs/ml-100k --data ml-100k",
    "kdiffe inspect runs/ml-100k --data ml-100k --out inside.html",
    "kdiffe inspect runs/ml-100k --data ml-100k --colour-by genre --map tsne --out inside",
    "kdiffe inspect runs/shop --data shop --user ann --pictures pictures --out inside.html",
    "kdiffe inspect runs/ml-100k --data ml-100k --format json --out inside.json",
)
_SUFFIXES = {".html": "html", ".htm": "html", ".json": "json", ".txt": "text"}


def _text(inspection: Inspection) -> bytes:
    from kdiffe_dgl.inspection.words import summary  # noqa: PLC0415

    return render(summary(inspection)).encode("utf-8", "replace")


def _content(inspection: Inspection, form: str) -> bytes:
    if form == "text":
        return _text(inspection)
    told = inspection.to_html() if form == "html" else inspection.to_json()
    return told.encode("utf-8", "replace")


def _choose_format(form: str | None, out: Path | None) -> str:
    """Return the format asked for, or that of the suffix; ``folder`` for a name without one."""
    if form is None and out is not None and (not out.suffix or out.is_dir()):
        return "folder"
    return choose_form(form, out, _SUFFIXES) or "text"


def _write_folder(inspection: Inspection, folder: Path, overwrite: bool) -> None:
    """Write page, JSON and figures into a folder; nothing is written before all of it is made."""
    from kdiffe_dgl.inspection.figures import names_of  # noqa: PLC0415
    from kdiffe_dgl.inspection.page import png  # noqa: PLC0415

    files = {f"inspection.{form}": _content(inspection, form) for form in ("html", "json")}
    files |= {f"{name}.png": png(inspection, name) for name in names_of(inspection)}
    emit_folder(files, folder, _is_ours, overwrite)


def _is_ours(name: str) -> bool:
    """Whether a folder of :func:`_write_folder` holds a file of that name."""
    from kdiffe_dgl.inspection.figures import FIGURES  # noqa: PLC0415

    return name in {"inspection.html", "inspection.json", *(f"{figure}.png" for figure in FIGURES)}


@click.command(epilog=_EPILOG)
@click.argument("run", type=PATH)
@click.option("--data", type=PATH, required=True, help="Data set folder that the run was trained on.")
@out_option("out", "Page (.html), .json or .txt to write; or a folder, for page, JSON and figures as PNG.")
@OVERWRITE
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "json"]),
    help="Form; by default that of --out's suffix, or text.",
)
@click.option(
    "--colour-by", metavar="RELATION_OR_ENTITY",
    help="Relation whose values colour the map of the items, or an entity that some of them have.  "
    "[default: the relation that tells most items apart]",
)  # fmt: skip
@click.option(
    "--map", "projection", type=click.Choice(["pca", "tsne"]), default="pca", show_default=True,
    help="How the items come into the plane.",
)  # fmt: skip
@click.option(
    "--user", "users", multiple=True, metavar="ID",
    help="Original id of a user whose list is shown; may be repeated.  [default: three of them]",
)  # fmt: skip
@click.option("-k", "k", type=click.IntRange(1, 100), default=10, show_default=True, help="Items of a list.")
@click.option(
    "--top", type=click.IntRange(1, 50), default=10, show_default=True,
    help="Entities told of those most strengthened, and of those most weakened.",
)  # fmt: skip
@click.option("--pictures", type=PATH, help="Folder of pictures named by item ids, for the lists.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of what is drawn at random.",
)
def inspect(
    *,
    run: Path,
    data: Path,
    out: Path | None,
    overwrite: bool,
    form: str | None,
    colour_by: str | None,
    projection: Literal["pca", "tsne"],
    users: tuple[str, ...],
    k: int,
    top: int,
    pictures: Path | None,
    seed: int,
) -> None:
    """Show what diffusion did in the run in folder RUN, what the model attends to, and how training went.

    A summary is printed; --out writes one page that needs nothing else, with figures and lists.
    """
    chosen = _choose_format(form, out)
    if chosen == "folder" and out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; expected a folder, or a name that ends with .html")
    if chosen != "folder" and out is not None and out.is_dir():
        raise InputError(f"--out {out}: is a folder; expected a file for --format {chosen}")
    if chosen == "folder" and out is not None:
        require_no_old(out, _is_ours, overwrite)
    else:
        require_new(out, overwrite)
    from kdiffe_dgl.inspection import (  # noqa: PLC0415  (bad options are told without waiting for torch)
        Inspection,
        InspectionOptions,
    )

    options = InspectionOptions(
        colour_by=colour_by, projection=projection, users=users, k=k, top=top, pictures=pictures, seed=seed
    )
    inspection = Inspection.load(run, data, options)
    if out is None:
        emit(_content(inspection, chosen), None)
        return
    if chosen == "folder":
        _write_folder(inspection, out, overwrite)
    else:
        emit(_content(inspection, chosen), out)
    if chosen in ("html", "folder"):
        click.echo(_text(inspection), nl=False)
    click.echo(f"written  {out}")
