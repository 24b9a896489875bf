"""``kg-build encode``: texts, pictures or sounds of items as a feature matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import polars as pl

from kg_builders.cli.options import SOURCES, parse_assignments, read_table_file
from kg_builders.cli.progress import PhaseProgress
from kg_builders.cli.shell import PATH, examples, out_option
from kg_builders.encoders import create_encoder, encode_items, encoder_names
from kg_builders.errors import InputError
from kg_builders.reading import read_source
from kg_builders.recipe import parse_recipe

__all__ = ["encode"]


@click.command(
    "encode",
    epilog=examples(
        "kg-build encode --source amazon --input meta.jsonl.gz --field title --field features --out text.npy",
        "kg-build encode --encoder picture-descriptor --folder pictures --items items.csv --out image.npy",
        "kg-build encode --encoder sentence-transformers --set model=models/minilm --source table "
        "--input items.csv --field title --out features/text.npy",
    ),
)
@click.option("--encoder", "kind", default="tfidf", show_default=True, help="One of --list.")
@click.option("--list", "listing", is_flag=True, help="List the encoders.")
@click.option("--source", type=SOURCES, help="Layout of the metadata.")
@click.option("--input", "source_path", help="Its file, folder or address.")
@click.option("--mapping", help="YAML file that says what the fields of a table hold.")
@click.option("--field", "fields", multiple=True, help="Field of text; may be repeated.")
@click.option("--folder", type=PATH, help="Folder with a picture or sound an item, named by its id.")
@click.option("--path-field", help="Field that holds the path of a picture or sound.")
@click.option("--items", type=PATH, help="Items in the order of the rows: a table with a column id.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Setting of the encoder.")
@click.option(
    "--fill",
    type=click.Choice(["mean", "zeros"]),
    default="mean",
    show_default=True,
    help="Row of an item without input.",
)
@out_option("out", "The .npy file, or a folder for it.")
@click.option("--force", is_flag=True, help="Encode again what has been encoded before.")
@click.option("--overwrite", is_flag=True, help="Replace a matrix that was not encoded here.")
@click.option("--quiet", is_flag=True, help="No progress.")
def encode(
    *,
    kind: str,
    listing: bool,
    source: str | None,
    source_path: str | None,
    mapping: str | None,
    fields: Sequence[str],
    folder: Path | None,
    path_field: str | None,
    items: Path | None,
    settings: Sequence[str],
    fill: Any,
    out: Path | None,
    force: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Encode items as a matrix, a row an item, with a record of what was encoded beside it."""
    if listing:
        click.echo("\n".join(encoder_names()))
        return
    if out is None:
        raise InputError("no --out; expected a .npy file to make")
    if (source is None) != (source_path is None):
        raise InputError(
            "expected --source and --input together: the layout of the metadata, and where it is"
        )
    encoder = create_encoder(kind, parse_assignments(settings))
    ids = None if items is None else _ids(items)
    with PhaseProgress(quiet) as progress:
        records = None
        if source is not None and source_path is not None:
            progress.phase("reading")
            place = {"kind": source, "path": source_path, **({"mapping": mapping} if mapping else {})}
            wanted = [*fields, *([path_field] if path_field else [])]
            records = read_source(parse_recipe({"source": place}, "options"), ".", wanted, progress.read)
        progress.phase("encoding")
        result = encode_items(
            records,
            ids,
            encoder,
            out,
            fields=list(fields) or None,
            folder=folder,
            path_field=path_field,
            fill=fill,
            force=force,
            progress=progress.count,
            overwrite=overwrite,
        )
    click.echo(result.sentence())


def _ids(path: Path) -> list[str]:
    frame = read_table_file(path)
    column = next((name for name in ("id", "item_id", "item") if name in frame.columns), None)
    if column is None:
        raise InputError(f"{path}: no column 'id'; expected the items' ids")
    return frame[column].cast(pl.Utf8).to_list()
