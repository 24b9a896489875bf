"""``kg-build prune``: what it would take, what it takes, and all of it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kg_builders import read_knowledge_graph


def triples(folder: Path) -> list[tuple[Any, ...]]:
    return sorted(read_knowledge_graph(folder).to_named().rows(), key=repr)


def steps(folder: Path) -> list[str]:
    return pl.read_parquet(folder / "removed.parquet")["step"].unique(maintain_order=True).to_list()


def test_dry_run_prune_and_restore(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    before = sorted(path.name for path in shop.iterdir())
    dry = kg_build("prune", "kg", "--k-core", 3, "--dry-run")
    assert dry.exit_code == 0
    assert "3-core" in dry.stdout
    assert sorted(path.name for path in shop.iterdir()) == before
    done = kg_build("prune", "kg", "--k-core", 3, "--out", "pruned")
    assert done.stdout.startswith(dry.stdout.partition("nothing is written")[0])
    assert triples(shop / "pruned") == []
    assert kg_build("prune", "pruned", "--restore", "all", "--out", "again").exit_code == 0
    assert triples(shop / "again") == triples(shop_graph)
    whole, back = read_knowledge_graph(shop_graph), read_knowledge_graph(shop / "again")
    assert sorted(back.relations.drop("relation").rows()) == sorted(whole.relations.drop("relation").rows())
    assert sorted(back.entities.drop("entity").rows()) == sorted(whole.entities.drop("entity").rows())
    idle = kg_build("prune", "kg", "--dry-run")
    assert idle.stdout.startswith("Pruning: nothing to take, by ")


def test_prunings_one_after_another_can_be_undone(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    for options in (("--min-degree", 2), ("--drop-relation", "brand"), ("--max-share", 0.4)):
        result = kg_build("prune", "kg", *options, "--out", "kg", "--overwrite")
        assert result.exit_code == 0, result.stderr
    names = steps(shop / "kg")
    assert len(names) == 3
    last = names[-1]
    result = kg_build("prune", "kg", "--restore", last, "--out", "part")
    assert result.exit_code == 0, result.stderr
    # The others stay away, and can still be put back.
    assert steps(shop / "part") == names[:-1]
    assert {row[2] for row in triples(shop / "part")} == {"tag"}
    assert kg_build("prune", "part", "--restore", "all", "--out", "one").exit_code == 0
    assert kg_build("prune", "kg", "--restore", "all", "--out", "two").exit_code == 0
    assert kg_build("build", "recipe.yaml", "--out", "whole", "--quiet").exit_code == 0
    assert triples(shop / "one") == triples(shop / "two") == triples(shop / "whole")


def test_a_step_that_runs_twice_has_two_names(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    whole = triples(shop_graph)
    assert kg_build("prune", "kg", "--max-share", 0.4, "--out", "one").exit_code == 0
    assert kg_build("prune", "one", "--max-share", 0.2, "--out", "two").exit_code == 0
    assert steps(shop / "two") == ["common entities", "common entities (2)"]
    assert kg_build("prune", "two", "--restore", "common entities (2)", "--out", "three").exit_code == 0
    assert triples(shop / "three") == triples(shop / "one")
    assert kg_build("prune", "three", "--restore", "all", "--out", "four").exit_code == 0
    assert triples(shop / "four") == whole


def test_what_is_read_the_other_way_survives_a_restore(kg_build: Any, shop: Path) -> None:
    recipe = (shop / "recipe.yaml").read_text()
    (shop / "recipe.yaml").write_text(
        recipe.replace("relation: tag}", "relation: tag, inverse_label: is on}")
    )
    assert kg_build("build", "recipe.yaml", "--out", "kg", "--quiet").exit_code == 0
    relations = read_knowledge_graph(shop / "kg").relations.sort("name")
    assert relations["inverse_label"].to_list() == [None, "is on"]
    assert kg_build("prune", "kg", "--drop-relation", "tag", "--out", "pruned").exit_code == 0
    assert kg_build("prune", "pruned", "--restore", "all", "--out", "again").exit_code == 0
    back = read_knowledge_graph(shop / "again").relations.sort("name")
    assert back.drop("relation").rows() == relations.drop("relation").rows()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "expected a folder to make (--out), or --dry-run"),
        (("--out", "x", "--dry-run"), "and not both"),
        (("--restore", "all", "--dry-run"), "--restore writes a graph"),
        (("--restore", "all", "--k-core", 2, "--out", "x"), "expected no other setting beside it"),
        (("--restore", "2-cor", "--out", "x"), "nothing was taken by a step '2-cor'"),
        (("--drop-relation", "tagg", "--dry-run"), "did you mean 'tag'"),
        (("--max-share", 2, "--dry-run"), "max_share"),
        (("--settings", "p.yaml", "--dry-run"), "p.yaml"),
        (("--useful", "--dry-run"), "interactions"),
        (("--interactions", "items.csv", "--dry-run"), "--interactions choose relations with --useful"),
        (("--out", "kg"), "kg: exists already"),
    ],
)
def test_what_does_not_fit(kg_build: Any, shop_graph: Path, options: tuple[Any, ...], told: str) -> None:
    (shop_graph.parent / "p.yaml").write_text("k_cores: 2\n")
    before = {path.name for path in shop_graph.parent.iterdir()}
    result = kg_build("prune", "kg", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert {path.name for path in shop_graph.parent.iterdir()} == before
