"""``kdiffe recommend``: items for users, from a run folder alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click
import polars as pl
from rich.table import Table
from rich.text import Text

from kdiffe_dgl.cli.output import OVERWRITE, choose_form, emit, require_new
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving import Recommender
from kg_builders.cli.shell import examples, out_option, render

__all__ = ["recommend"]

_EPILOG = examples(
    "kdiffe recommend runs/mine --user 12 --user 31 -k 5",
    "kdiffe recommend runs/mine --users-file users.txt --format json",
    "kdiffe recommend runs/mine --all-users -k 20 --output lists.parquet",
    "kdiffe recommend runs/mine --user nobody --unknown popular",
)


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def _json(frame: pl.DataFrame) -> bytes:
    return (json.dumps(frame.to_dicts(), indent=1, ensure_ascii=False) + "\n").encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _table(frame: pl.DataFrame) -> bytes:
    """Draw a table for people; the reason is shown where it is not the model."""
    by_model = bool((frame["reason"] == "model").all())
    columns = [column for column in frame.columns if column != "reason" or not by_model]
    table = Table(*columns)
    for row in frame.select(columns).iter_rows():
        cells = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row)
        # Labels come from anywhere: as Text they are not markup, and without control characters
        # they can't steer the terminal.
        table.add_row(*(Text("".join(c if c.isprintable() else " " for c in cell)) for cell in cells))
    return render(table).encode()


_WRITERS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
_SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}


def _users_in(file: Path) -> list[str]:
    """Read one user id a line; empty lines are skipped."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(
            f"{file}: can't be read ({error.strerror}); expected a text file of user ids"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text ({error.reason}); expected one user id a line") from None
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise InputError(f"{file}: holds no user ids; expected one a line")
    return ids


def _choose_format(output_format: str | None, output: Path | None) -> str:
    """Return the format asked for, or else that of the output's suffix, or else a table."""
    if output_format == "parquet" and output is None:
        raise click.UsageError("--format parquet writes a file; give --output.")
    return choose_form(output_format, output, _SUFFIXES, "--output") or "table"


@click.command(epilog=_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--user", "users", multiple=True, metavar="ID", help="Original user id; may be repeated.")
@click.option("--users-file", type=click.Path(path_type=Path), help="Text file, one user id a line.")
@click.option("--all-users", is_flag=True, help="Every user of the data set.")
@click.option(
    "-k", "--top", "k", type=click.IntRange(min=1), default=20, show_default=True, help="Items for each user."
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(list(_WRITERS)),
    help="Form of the result; by default that of the output file's suffix, otherwise a table.",
)
@out_option("output", "Write to this file.")
@OVERWRITE
@click.option("--include-seen", is_flag=True, help="Also what the user has met in training or validation.")
@click.option(
    "--unknown",
    type=click.Choice(["error", "popular"]),
    default="error",
    show_default=True,
    help="Unknown users: stop, or recommend what is popular.",
)
def recommend(
    *,
    run: Path,
    users: tuple[str, ...],
    users_file: Path | None,
    all_users: bool,
    k: int,
    output_format: str | None,
    output: Path | None,
    overwrite: bool,
    include_seen: bool,
    unknown: Literal["error", "popular"],
) -> None:
    """Recommend items with the model in folder RUN; nothing but that folder is needed.

    Users are given by their original ids. Known users without training items get what is popular.
    """
    if not (users or users_file or all_users):
        raise click.UsageError("No users given: use --user, --users-file or --all-users.")
    chosen = _choose_format(output_format, output)
    require_new(output, overwrite)
    wanted = [*users, *(_users_in(users_file) if users_file else [])]
    recommender = Recommender.load(run)
    if all_users:
        wanted += recommender.users["id"].to_list()
    content = _WRITERS[chosen](recommender.recommend(wanted, k, not include_seen, unknown))
    emit(content, output)
