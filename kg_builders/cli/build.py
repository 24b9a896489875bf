"""``kg-build build``: from raw metadata to a resolved, pruned and explained knowledge graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kg_builders.build import build_graph
from kg_builders.cli.options import SOURCES, check_interactions, pruning_options, read_pairs
from kg_builders.cli.progress import PhaseProgress
from kg_builders.cli.shell import PATH, examples, given, out_option, render
from kg_builders.engines import ENGINES, open_engine
from kg_builders.errors import InputError
from kg_builders.output import require_free, write_build
from kg_builders.recipe import Recipe, load_recipe, parse_recipe
from kg_builders.review import read_review
from kg_builders.sources.tabular import table_format

__all__ = ["build"]


@click.command(
    "build",
    epilog=examples(
        "kg-build build recipe.yaml --out kg",
        "kg-build build --source amazon --input meta_Books.jsonl.gz --rules amazon --resolve brand --out kg",
        "kg-build build --source lastfm --input raw/lfm2k --rules lfm2k --out kg/lfm2k",
        "kg-build build --source recbole --input ml-100k.item --rules ml-100k --k-core 2 --dry-run",
        "kg-build build --source table --input items.csv --mapping mapping.yaml --rules rules.yaml --out kg",
        "kg-build build recipe.yaml --review kg/review.csv --out kg --overwrite",
        "kg-build build recipe.yaml --engine spark --master spark://host:7077 --out kg",
    ),
)
@click.argument("recipe", type=PATH, required=False)
@click.option("--source", type=SOURCES, help="Layout of the metadata, without a recipe.")
@click.option("--input", "source_path", help="Its file, folder or address.")
@click.option("--mapping", help="YAML file that says what the fields of a table hold.")
@click.option("--rules", help="Rules: a preset or a YAML file.")
@out_option("out", "Folder to make.")
@click.option("--engine", "engine_name", type=click.Choice(ENGINES), default="polars", show_default=True)
@click.option("--master", help="Address of a Spark cluster.  [default: this machine]")
@click.option("--max-bad", type=float, help="Share of bad records to leave out.  [default: 0.01]")
@click.option("--resolve", "kinds", multiple=True, help="Kind of entities to merge, or 'all'; repeatable.")
@click.option("--review", type=PATH, help="Table of decided merges, as an earlier build wrote it.")
@pruning_options
@click.option("--dry-run", is_flag=True, help="Say what would be built and taken away, and write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace a knowledge graph that is already there.")
@click.option("--quiet", is_flag=True, help="No progress and no tables.")
def build(
    *,
    recipe: Path | None,
    source: str | None,
    source_path: str | None,
    mapping: str | None,
    rules: str | None,
    out: Path | None,
    engine_name: str,
    master: str | None,
    max_bad: float | None,
    kinds: Sequence[str],
    review: Path | None,
    interactions: Path | None,
    dry_run: bool,
    overwrite: bool,
    quiet: bool,
    **pruning: Any,
) -> None:
    """Build a knowledge graph by RECIPE, or from --source, --input and --rules.

    Options beside a recipe take the place of what it says. The folder holds the graph as Parquet, and beside
    it what was read, merged and taken away: build.json, review.csv, link_review.csv, removed.parquet,
    report.html.
    """
    if out is None and not dry_run:
        raise InputError("no --out; expected a folder to make, or --dry-run")
    if out is not None and not dry_run:
        require_free(out, overwrite)
    changes = given(
        # A file is looked for here, like every other option's; a bare name is a preset.
        rules=str(Path(rules).absolute()) if rules is not None and Path(rules).is_file() else rules,
        max_bad=max_bad,
        resolve={"kinds": "all" if "all" in kinds else list(kinds)} if kinds else None,
        prune=given(**pruning) or None,
    )
    if recipe is None:
        if source is None or source_path is None or rules is None:
            raise InputError("expected a recipe, or --source, --input and --rules")
        place = given(kind=source, path=source_path, mapping=mapping)
        chosen = parse_recipe({"source": place, **changes}, "options")
        folder = Path()
    else:
        if source is not None or source_path is not None or mapping is not None:
            raise InputError(f"{recipe}: names the source; expected no --source, --input or --mapping")
        chosen, folder = _changed(_load(recipe), changes), recipe.parent
    check_interactions(interactions, chosen.prune)
    with PhaseProgress(quiet) as progress, open_engine(engine_name, master) as engine:
        kg, report = build_graph(
            chosen,
            folder,
            engine=engine,
            interactions=None if interactions is None else read_pairs(interactions),
            reviewed=None if review is None else read_review(review),
            progress=progress,
        )
        if out is not None and not dry_run:
            progress.phase("writing")
            write_build(kg, report, out, chosen, overwrite)
    if not quiet:
        click.echo(render(report.render()), nl=False)
    click.echo("nothing is written: a dry run" if dry_run else f"written to {out}")


def _load(recipe: Path) -> Recipe:
    # YAML is read from JSON too, so that a recipe may be called .json.
    if table_format(recipe) is not None and recipe.suffix.lower() != ".json":
        raise InputError(
            f"{recipe}: is a table by its ending; expected a recipe, or --source table --input {recipe} "
            "with --rules"
        )
    return load_recipe(recipe)


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Return the recipe with options in place of what it says; of pruning, only the steps that are named."""
    data = recipe.model_dump(exclude_unset=True)
    data["prune"] = {**data.get("prune", {}), **changes.pop("prune", {})}
    if "resolve" in changes and data.get("resolve"):
        changes["resolve"] = {**data["resolve"], **changes["resolve"]}
    return parse_recipe({**data, **changes}, "options")
