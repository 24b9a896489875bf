"""``kdiffe data``: fetch, import, describe, split, list and make data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from kdiffe_dgl.cli.attach import attach_command
from kdiffe_dgl.cli.data_options import INTERACTIONS, OUT, OVERWRITE, SPLIT, by_name
from kdiffe_dgl.data.catalog import CATALOG, catalog_entry
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.describe import describe, summary_tables
from kdiffe_dgl.data.fetch import fetch
from kdiffe_dgl.data.imports import FORMATS, METADATA_FORMATS, TableOptions, import_dataset
from kdiffe_dgl.data.knowledge import KnowledgeOptions
from kdiffe_dgl.data.planted_files import save_planted
from kdiffe_dgl.data.readers.assemble import ImportOptions, split_facts
from kdiffe_dgl.data.split import STRATEGIES, split_interactions
from kdiffe_dgl.data.storage import INDEX, copy_sidecars, require_free
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError
from kg_builders.cli.shell import NAMED_PATH, PATH, examples, given, out_option, render

__all__ = ["data", "knowledge_notes"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Fetch, import, describe, split, list and make data sets."""


data.add_command(attach_command)


@data.command(
    "list",
    epilog=examples(
        "kdiffe data list",
        "kdiffe data list data",
    ),
)
@click.argument("folder", type=PATH, required=False)
def list_command(folder: Path | None) -> None:
    """List the data sets that can be fetched, or with FOLDER those that lie in it."""
    if folder is None:
        table = Table("name", "what it is")
        for entry in CATALOG.values():
            table.add_row(entry.name, entry.title)
    else:
        if not folder.is_dir():
            raise InputError(f"{folder}: missing folder")
        table = Table("folder", Column("name", no_wrap=True), "users", "items", "interactions")
        for index in sorted(folder.glob(f"*/{INDEX}")):
            dataset = RecDataset.load(index.parent)
            counts = (dataset.n_users, dataset.n_items, len(dataset.interactions))
            table.add_row(index.parent.name, dataset.name, *(f"{count:,}" for count in counts))
    click.echo(render(table), nl=False)


@data.command(
    "fetch",
    epilog=examples(
        "kdiffe data fetch ml-100k",
        "kdiffe data fetch ml-100k --out data/ml-4 --min-rating 4 --split leave_one_out",
    ),
)
@click.argument("name")
@out_option("out", "Folder to make; by default data/NAME.")
@INTERACTIONS
@click.option("--kg/--no-kg", "with_kg", default=True, help="Build the knowledge graph.  [default: yes]")
@click.option("--text/--no-text", "with_text", default=True, help="Make a text modality.  [default: yes]")
@OVERWRITE
def fetch_command(
    *,
    name: str,
    out: Path | None,
    min_rating: float | None,
    strategy: str | None,
    ratios: tuple[float, float, float],
    seed: int,
    with_kg: bool,
    with_text: bool,
    overwrite: bool,
) -> None:
    """Fetch the data set NAME and build it, knowledge graph included.

    Downloads are checked and kept in $KDIFFE_CACHE, by default ~/.cache/kdiffe-dgl.
    """
    entry = catalog_entry(name)
    out = out or Path("data") / name
    require_free(out, overwrite)
    click.echo(entry.terms, err=True)
    options = ImportOptions(min_rating, strategy, ratios, seed)
    with _progress(f"fetching {name}"):
        dataset = fetch(name, out, options, with_kg=with_kg, with_text=with_text, overwrite=overwrite)
    _report(dataset, out)


@data.command(
    "import",
    epilog=examples(
        "kdiffe data import raw/tiktok --format diffmm --modality-kg --neighbours 5 --out data/tiktok",
        "kdiffe data import raw/lfm2k --format mmrec --features text=raw/lfm2k/all-MiniLM-L6-v2.npy "
        "--features audio=raw/lfm2k/vggish.npy --item-labels raw/lfm2k/artists.dat --kg-rules lfm2k "
        "--metadata raw/lfm2k --metadata-format lastfm --kg-k-core 2 --out data/lfm2k",
        "kdiffe data import raw/ml-100k --format recbole --kg-rules ml-100k --out data/ml",
        "kdiffe data import ratings.csv --format table --user-column user_id --item-column asin "
        "--rating-column stars --min-rating 4 --out data/mine",
    ),
)
@click.argument("source", type=PATH)
@click.option(
    "--format", "layout", type=click.Choice(FORMATS), required=True, help="Layout of the published files."
)
@OUT
@click.option("--name", help="Name of the data set; by default that of the source.")
@click.option(
    "--features",
    type=NAMED_PATH,
    multiple=True,
    help="A modality and its .npy file, a row for each item; may be repeated. By default the .npy files of "
    "the source folder, named after the file.",
)
@click.option("--item-labels", type=PATH, help="Table of item ids and labels (first two columns).")
@click.option("--item-label", help='Label from RecBole fields, such as "{movie_title} ({release_year})".')
@INTERACTIONS
@click.option("--user-column", help="Column of user ids (table).  [default: user]")
@click.option("--item-column", help="Column of item ids (table).  [default: item]")
@click.option("--rating-column", help="Column of ratings (table).")
@click.option("--timestamp-column", help="Column of times: since 1970, or ISO 8601 (table).")
@click.option("--split-column", help="Column of train, validation or test (table).")
@click.option(
    "--time-unit",
    type=click.Choice(["s", "ms"]),
    default="s",
    show_default=True,
    help="Of times that are numbers: seconds or milliseconds since 1970 (table).",
)
@click.option("--delimiter", help="Between columns (table); by default found in the first line.")
@click.option("--columns", help="Names of the columns of a table without a header, with commas between.")
@click.option(
    "--encoding", default="utf-8", show_default=True, help="Of the text of a table, and of --item-labels."
)
@click.option("--kg-recipe", type=PATH, help="YAML file that says what the graph is made of.")
@click.option("--kg-rules", help="Rules that make a graph of the metadata: a preset or a YAML file.")
@click.option("--metadata", type=PATH, help="Item metadata for the rules; by default .item of RecBole.")
@click.option(
    "--metadata-format",
    type=click.Choice(METADATA_FORMATS),
    help="Layout of the metadata.  [default: recbole for RecBole, else table]",
)
@click.option("--metadata-id", default="id", show_default=True, help="Field of item ids in a metadata table.")
@click.option("--kg-triples", type=PATH, help="A given graph: head, relation, tail a line, or a .kg file.")
@click.option("--kg-links", type=PATH, help="Its item-id map: item id and entity id a line, or a .link file.")
@click.option(
    "--modality-kg", is_flag=True, help="Add nearest-neighbour and cluster relations of the features."
)
@click.option("--neighbours", type=int, help="Nearest neighbours of an item in each modality.  [default: 10]")
@click.option("--clusters", type=int, help="Clusters of each modality.  [default: square root of the items]")
@click.option("--kg-min-degree", "min_degree", type=int, help="Drop entities with fewer neighbours.")
@click.option("--kg-k-core", "k_core", type=int, help="Drop entities outside the k-core.")
@OVERWRITE
def import_command(
    *,
    source: Path,
    layout: str,
    out: Path,
    name: str | None,
    features: Sequence[tuple[str, Path]],
    item_labels: Path | None,
    item_label: str | None,
    min_rating: float | None,
    strategy: str | None,
    ratios: tuple[float, float, float],
    seed: int,
    user_column: str | None,
    item_column: str | None,
    rating_column: str | None,
    timestamp_column: str | None,
    split_column: str | None,
    time_unit: str,
    delimiter: str | None,
    columns: str | None,
    encoding: str,
    kg_recipe: Path | None,
    kg_rules: str | None,
    metadata: Path | None,
    metadata_format: str | None,
    metadata_id: str,
    kg_triples: Path | None,
    kg_links: Path | None,
    modality_kg: bool,
    neighbours: int | None,
    clusters: int | None,
    min_degree: int | None,
    k_core: int | None,
    overwrite: bool,
) -> None:
    """Import published files from SOURCE, a folder or file."""
    require_free(out, overwrite)
    table = TableOptions(
        user_column=user_column,
        item_column=item_column,
        rating_column=rating_column,
        timestamp_column=timestamp_column,
        split_column=split_column,
        time_unit=time_unit,
        delimiter=delimiter,
        columns=None if columns is None else tuple(columns.split(",")),
        encoding=encoding,
    )
    knowledge = KnowledgeOptions(
        recipe=kg_recipe,
        rules=kg_rules,
        metadata=metadata,
        metadata_format=metadata_format,
        metadata_id=metadata_id,
        triples=kg_triples,
        links=kg_links,
        modalities=given(neighbours=neighbours, clusters=clusters) if modality_kg else None,
        prune=given(min_degree=min_degree, k_core=k_core) or None,
    )
    with _progress(f"importing {source}"):
        dataset = import_dataset(
            source,
            layout,
            name=name,
            features=by_name("--features", features) or None,
            item_labels=item_labels,
            item_label=item_label,
            options=ImportOptions(min_rating, strategy, ratios, seed),
            table=table,
            knowledge=knowledge,
        )
        dataset.save(out, overwrite)
    _report(dataset, out)


@data.command(
    "describe",
    epilog=examples(
        "kdiffe data describe data/ml-100k",
        "kdiffe data describe data/ml-100k --json --verify",
    ),
)
@click.argument("folder", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--verify", is_flag=True, help="First compare every file with its recorded hash.")
def describe_command(folder: Path, as_json: bool, verify: bool) -> None:
    """Say what the data set in FOLDER holds."""
    if verify:
        RecDataset.verify(folder)
    facts = describe(RecDataset.load(folder))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for table in summary_tables(facts):
        click.echo(render(table), nl=False)


@data.command(
    "split",
    epilog=examples(
        "kdiffe data split data/ml-100k --strategy leave_one_out --out data/ml-loo",
        "kdiffe data split data/ml-100k --strategy time --ratios 8:1:1 --out data/ml-100k --overwrite",
    ),
)
@click.argument("folder", type=PATH)
@click.option("--strategy", type=click.Choice(STRATEGIES), default="ratio", show_default=True)
@SPLIT
@OUT
@OVERWRITE
def split_command(
    *,
    folder: Path,
    strategy: str,
    ratios: tuple[float, float, float],
    seed: int,
    out: Path,
    overwrite: bool,
) -> None:
    """Split the data set in FOLDER anew; all else stays as it is."""
    require_free(out, overwrite)
    dataset = RecDataset.load(folder)
    facts = dict(dataset.provenance) | {"split": split_facts(strategy, seed, ratios)}
    interactions = split_interactions(dataset.interactions, strategy, seed, ratios)
    dataset = dataset.replace(interactions=interactions, provenance=facts)
    dataset.save(out, overwrite, copy_sidecars(folder))
    _report(dataset, out)


_PLANTED = PlantedConfig()


@data.command(
    "synth",
    epilog=examples(
        "kdiffe data synth --out data/planted",
        "kdiffe data synth --out data/noisy --noise 0.3 --false-triples 0.5 --seed 7",
    ),
)
@OUT
@click.option("--seed", type=int, default=_PLANTED.seed, show_default=True, help="Seeds every draw.")
@click.option("--users", type=int, default=_PLANTED.n_users, show_default=True)
@click.option("--items", type=int, default=_PLANTED.n_items, show_default=True)
@click.option(
    "--interactions-per-user",
    type=float,
    default=_PLANTED.interactions_per_user,
    show_default=True,
    help="Mean.",
)
@click.option(
    "--noise", type=float, default=_PLANTED.noise, show_default=True, help="Share of interactions by chance."
)
@click.option(
    "--false-triples",
    type=float,
    default=_PLANTED.false_triples,
    show_default=True,
    help="Wrong triples of the relevant relations, as a share of the true ones.",
)
@click.option("--values", type=int, default=_PLANTED.n_values, show_default=True, help="Values a relation.")
@click.option(
    "--strength",
    type=float,
    default=_PLANTED.strength,
    show_default=True,
    help="Growth of the log odds of an item with each liked value.",
)
@OVERWRITE
def synth_command(
    *,
    out: Path,
    seed: int,
    users: int,
    items: int,
    interactions_per_user: float,
    noise: float,
    false_triples: float,
    values: int,
    strength: float,
    overwrite: bool,
) -> None:
    """Make a planted data set: why each interaction happened is known and written beside it."""
    require_free(out, overwrite)
    config = PlantedConfig(
        seed=seed,
        n_users=users,
        n_items=items,
        interactions_per_user=interactions_per_user,
        n_values=values,
        strength=strength,
        noise=noise,
        false_triples=false_triples,
    )
    with _progress("planting"):
        made = planted(config)
        save_planted(made, out, overwrite)
    _report(made.dataset, out)


def _progress(what: str) -> Any:
    return Console(stderr=True).status(f"{what} ...")


def knowledge_notes(dataset: RecDataset) -> None:
    """Say on standard error what the building of the knowledge graph warned of."""
    knowledge = dataset.provenance.get("knowledge") or {}
    for warning in knowledge.get("warnings", ()):
        click.echo(f"note: {warning}", err=True)


def _report(dataset: RecDataset, out: Path) -> None:
    """Say what was written, and on standard error what a person should know of it."""
    facts = describe(dataset)
    for table in summary_tables(facts):
        click.echo(render(table), nl=False)
    click.echo(f"written to {out}")
    knowledge_notes(dataset)
    if facts["users_without_training"]:
        click.echo(
            f"note: {facts['users_without_training']:,} users have no training interaction; they are kept, "
            "but a model knows nothing of their taste",
            err=True,
        )
    left_out = [f"{count:,} {why}" for why, count in facts["left_out"].items() if count]
    if left_out:
        click.echo(f"note: interactions left out: {', '.join(left_out)}", err=True)
    if facts["duplicates_merged"]:
        click.echo(f"note: {facts['duplicates_merged']:,} duplicate interactions were merged", err=True)
