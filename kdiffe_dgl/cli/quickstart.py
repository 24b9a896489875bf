"""``kdiffe quickstart``: the whole way on MovieLens, from the download to recommendations."""

from __future__ import annotations

import time
from pathlib import Path

import click
import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kdiffe_dgl.cli.data import knowledge_notes
from kdiffe_dgl.cli.progress import TrainingProgress
from kdiffe_dgl.cli.train import settings_for, summary
from kdiffe_dgl.data.catalog import catalog_entry
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.describe import describe, summary_tables
from kdiffe_dgl.data.fetch import fetch
from kdiffe_dgl.data.storage import INDEX
from kdiffe_dgl.evaluation.report import write_report
from kdiffe_dgl.evaluation.tables import metrics_table
from kdiffe_dgl.serving.recommender import Recommender
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.run import choose_device, train_run
from kg_builders.cli.shell import INTERRUPTED, out_option, render

__all__ = ["quickstart"]

_NAME = "ml-100k"


@click.command(
    epilog="\b\nExamples:\n  kdiffe quickstart\n  kdiffe quickstart --output demo --user 405 --seed 1"
)
@out_option("output", "Folder for the data set and the run.", default=Path("quickstart"), show_default=True)
@click.option("--user", help="Original id of the user to recommend to.  [default: the most active one]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all randomness."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over the preset.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.pass_context
def quickstart(
    ctx: click.Context, output: Path, user: str | None, seed: int, overrides: tuple[str, ...], device: str
) -> None:
    """Fetch MovieLens 100K, build its knowledge graph, train KDiffE, evaluate, and recommend.

    The data set is fetched once; the run of an earlier quick start in the same folder is replaced.
    """
    started = time.monotonic()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    data, run = output / "data", output / "run"
    # Settings or a device that are wrong are told before anything is fetched.
    settings = settings_for(overrides=overrides)
    choose_device(device)
    console.print(f"[bold]1/4[/bold] {_NAME}: data and knowledge graph")
    if (data / INDEX).exists():
        dataset = RecDataset.load(data)
        console.print(f"    found in {data}", markup=False)
    else:
        console.print(catalog_entry(_NAME).terms)
        dataset = fetch(_NAME, data)
    for table in summary_tables(describe(dataset)):
        click.echo(render(table), nl=False)
    knowledge_notes(dataset)

    if user is not None and user not in set(dataset.users["id"]):
        raise click.BadParameter(
            f"no user {user!r}; expected an id of {data}/users.parquet", param_hint="--user"
        )
    console.print("[bold]2/4[/bold] training; the epoch is chosen on validation")
    with TrainingProgress(console, settings.training.epochs, settings.training.monitor) as progress:
        outcome = train_run(
            dataset, run, settings, seed=seed, device=device, overwrite=True, progress=progress
        )
    if outcome.fit.interrupted:
        click.echo(summary(outcome))
        ctx.exit(INTERRUPTED)

    console.print("[bold]3/4[/bold] evaluation; the test split is read once")
    metrics = RunFolder(run).metrics()
    splits = {split: metrics[split] for split in ("validation", "test")}
    click.echo(
        render(metrics_table(splits, f"{settings.name} on {_NAME}, epoch {outcome.fit.best_epoch}")), nl=False
    )

    console.print("[bold]4/4[/bold] recommendations")
    chosen = user if user is not None else _most_active(dataset)
    click.echo(render(_history(dataset, chosen)), nl=False)
    listed = Recommender.load(run).recommend([chosen], k=10)
    table = Table("rank", "title", "score", title=escape(f"recommended to user {chosen}"))
    for rank, label, score in listed.select("rank", "label", "score").iter_rows():
        table.add_row(str(rank), escape(label), f"{score:.3f}")
    click.echo(render(table), nl=False)
    report = write_report(run)
    click.echo(f"report          {report}")
    click.echo(f"training curve  {run / 'curves.png'}")
    click.echo(f"more            kdiffe recommend {run} --user {chosen}")
    console.print(f"done in {time.monotonic() - started:.0f} s")


def _most_active(dataset: RecDataset) -> str:
    """Return the original id of the user with most training interactions."""
    counts = dataset.matrix("train").getnnz(axis=1)
    return str(dataset.users["id"][int(counts.argmax())])


def _history(dataset: RecDataset, user: str) -> Table:
    """List some items that a user has met in training, the best-rated ones where ratings are known."""
    number = dataset.users.filter(pl.col("id") == user)["user"][0]
    met = dataset.interactions.filter((pl.col("user") == number) & (pl.col("split") == "train"))
    if "rating" in met.columns:
        met = met.sort("rating", "item", descending=[True, False])
    titles = met.join(dataset.items.select("item", "label"), on="item", maintain_order="left")["label"]
    table = Table("title", title=escape(f"some of the {len(titles)} items that user {user} has met"))
    for title in titles.head(8):
        table.add_row(escape(title))
    return table
