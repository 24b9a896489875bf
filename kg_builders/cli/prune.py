"""``kg-build prune``: take away what helps nobody, see first what that would be, or put it back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import polars as pl

from kg_builders.build_report import prune_summary
from kg_builders.cli.options import FORCE, check_interactions, pruning_options, read_pairs
from kg_builders.cli.shell import PATH, examples, given, out_option, render
from kg_builders.config import load_yaml, parse_settings
from kg_builders.errors import InputError
from kg_builders.io import REMOVED_FILE, read_knowledge_graph, staged_knowledge_graph
from kg_builders.output import read_removed, require_free, write_steps
from kg_builders.prune import PruneSettings, plan_pruning, restore

__all__ = ["prune"]


@click.command(
    "prune",
    epilog=examples(
        "kg-build prune kg --k-core 2 --dry-run",
        "kg-build prune kg --max-share 0.2 --min-degree 2 --out kg-pruned",
        "kg-build prune kg --useful --interactions train.csv --out kg-useful",
        "kg-build prune kg --settings prune.yaml --out kg --overwrite",
        "kg-build prune kg-pruned --restore 2-core --out kg-again",
    ),
)
@click.argument("graph", type=PATH)
@out_option("out", "Folder to make.")
@click.option("--settings", type=PATH, help="YAML file of steps; options take the place of what it says.")
@click.option("--drop-relation", "drop_relations", multiple=True, help="Relation to drop; may be repeated.")
@click.option("--min-relation-triples", type=int, help="Drop relations with fewer triples.")
@click.option("--max-degree", type=int, help="Drop entities with more neighbours.")
@click.option("--facts-per-item", type=int, help="Facts that an item keeps, the most informative ones.")
@pruning_options
@click.option("--dry-run", is_flag=True, help="Say what each step would take and why, and write nothing.")
@click.option("--restore", "back", multiple=True, help="Step to undo, or 'all'; then nothing is pruned.")
@FORCE
def prune(
    *,
    graph: Path,
    out: Path | None,
    settings: Path | None,
    back: Sequence[str],
    interactions: Path | None,
    dry_run: bool,
    overwrite: bool,
    **steps: Any,
) -> None:
    """Prune the knowledge graph in the folder GRAPH.

    What is taken is kept in removed.parquet of the new graph, after what a build or an earlier pruning took,
    so that --restore can put it back.
    """
    changes = given(**steps)
    if (out is None) == (not dry_run):
        raise InputError("expected a folder to make (--out), or --dry-run, and not both")
    if out is not None:
        require_free(out, overwrite)
    if back:
        if out is None:
            raise InputError("--restore writes a graph; expected --out and no --dry-run")
        if changes or settings is not None or interactions is not None:
            raise InputError("--restore puts back and prunes nothing; expected no other setting beside it")
        _restore(graph, out, back, overwrite)
        return
    values = {} if settings is None else load_yaml(settings)
    if not isinstance(values, dict):
        raise InputError(f"{settings}: expected a mapping of settings")
    chosen = parse_settings(PruneSettings, values | changes, "options" if settings is None else str(settings))
    check_interactions(interactions, chosen)
    kg, earlier = read_knowledge_graph(graph), read_removed(graph)
    plan = plan_pruning(kg, chosen, None if interactions is None else read_pairs(interactions))
    click.echo(render(prune_summary(plan.steps)), nl=False)
    if out is None:
        click.echo("nothing is written: a dry run")
        return
    pruned = plan.apply()
    with staged_knowledge_graph(pruned, out, overwrite) as folder:
        write_steps(plan.steps, folder / REMOVED_FILE, earlier)
    click.echo(f"written to {out}: {pruned.n_triples:,} triples of {pruned.n_entities:,} entities")


def _restore(graph: Path, out: Path, steps: Sequence[str], overwrite: bool) -> None:
    file = graph / REMOVED_FILE
    if not file.is_file():
        raise InputError(f"{file}: no such file; expected what an earlier pruning took")
    removed = read_removed(graph)
    chosen = None if "all" in steps else list(steps)
    kg = restore(read_knowledge_graph(graph), removed, chosen)
    # What stays away can still be put back later.
    left = removed.clear() if chosen is None else removed.filter(~pl.col("step").is_in(chosen))
    with staged_knowledge_graph(kg, out, overwrite) as folder:
        write_steps((), folder / REMOVED_FILE, left)
    click.echo(f"written to {out}: {kg.n_triples:,} triples of {kg.n_entities:,} entities")
