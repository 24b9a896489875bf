"""``kg-build link`` and given graphs of a recipe: by id map and by label, bounded, with a review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kg_builders import read_knowledge_graph

RDFS = "http://www.w3.org/2000/01/rdf-schema#label"
TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
NT = f"""\
<http://x/q1> <{RDFS}> "Axe"@en .
<http://x/q1> <{TYPE}> <http://x/Tool> .
<http://x/q2> <{RDFS}> "axe"@en .
<http://x/q2> <{TYPE}> <http://x/Band> .
<http://x/q3> <{RDFS}> "Cup" .
<http://x/q3> <{TYPE}> <http://x/Tool> .
<http://x/q9> <{RDFS}> "Iron"@en .
<http://x/q1> <http://x/madeOf> <http://x/q9> .
<http://x/q2> <http://x/plays> <http://x/q8> .
<http://x/q3> <http://x/madeOf> <http://x/q7> .
<http://x/q9> <http://x/minedIn> <http://x/q6> .
"""
TURTLE = """\
@prefix x: <http://x/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
x:q1 a x:Tool ; rdfs:label "Axe"@en ; x:madeOf x:q9 .
x:q3 a x:Tool ; rdfs:label "Cup" ; x:madeOf x:q7 .
x:q9 rdfs:label "Iron"@en ; x:minedIn x:q6 .
"""


def tails(folder: Path, kind: str = "external") -> set[tuple[str, str]]:
    named = read_knowledge_graph(folder).to_named().filter(pl.col("tail_kind") == kind)
    return set(named.select("head_id", "tail_id").rows())


def test_rdf_by_label_and_its_review(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    (shop / "given.nt").write_text(NT)
    result = kg_build("link", "kg", "--triples", "given.nt", "--out", "linked")
    assert result.exit_code == 0, result.stderr
    # Two are called Axe: neither is taken, both are listed.
    assert ("c", "http://x/q7") in tails(shop / "linked")
    assert not {pair for pair in tails(shop / "linked") if pair[0] == "a"}
    review = shop / "linked" / "link_review.csv"
    table = pl.read_csv(review)
    assert set(table.select("canonical_id", "merged_id", "decision").rows()) == {
        ("a", "http://x/q1", "keep"), ("a", "http://x/q2", "keep"), ("c", "http://x/q3", "merge"),
    }  # fmt: skip
    edited = table.with_columns(
        decision=pl.when(pl.col("merged_id") == "http://x/q1").then(pl.lit("merge")).otherwise("decision")
    )
    edited.write_csv(shop / "mine.csv")
    result = kg_build(
        "link", "kg", "--triples", "given.nt", "--review", "mine.csv", "--out", "linked", "--overwrite"
    )
    assert result.exit_code == 0, result.stderr
    assert {("a", "http://x/q9"), ("c", "http://x/q7")} <= tails(shop / "linked")
    assert "Iron" in read_knowledge_graph(shop / "linked").entities["label"].to_list()
    # A type decides as well.
    typed = kg_build("link", "kg", "--triples", "given.nt", "--type", "item=http://x/Tool", "--out", "typed")
    assert typed.exit_code == 0
    assert ("a", "http://x/q9") in tails(shop / "typed")
    # A recipe leaves the same table, and takes it back.
    recipe = (shop / "recipe.yaml").read_text() + "external: [{kind: rdf, triples: given.nt}]\n"
    (shop / "recipe.yaml").write_text(recipe)
    assert kg_build("build", "recipe.yaml", "--out", "whole", "--quiet").exit_code == 0
    assert pl.read_csv(shop / "whole" / "link_review.csv").equals(table)
    (shop / "recipe.yaml").write_text(recipe.replace("given.nt}", "given.nt, review: mine.csv}"))
    assert kg_build("build", "recipe.yaml", "--out", "whole", "--quiet", "--overwrite").exit_code == 0
    assert {("a", "http://x/q9"), ("c", "http://x/q7")} <= tails(shop / "whole")


def test_what_a_given_graph_left_out_is_told(kg_build: Any, shop: Path) -> None:
    more = "".join(f"<http://x/q9> <http://x/minedIn> <http://x/m{number}> .\n" for number in range(200))
    (shop / "given.nt").write_text(NT + "<http://x/q1> oops\n" + more)
    (shop / "other.nt").write_text(NT)
    (shop / "items.csv").write_text((shop / "items.csv").read_text() + "e,Egg\n")
    (shop / "recipe.yaml").write_text(
        (shop / "recipe.yaml").read_text()
        + "max_bad: 0.5\nexternal: [{kind: rdf, triples: given.nt}, {kind: rdf, triples: other.nt}]\n"
    )
    result = kg_build("build", "recipe.yaml", "--out", "kg")
    assert result.exit_code == 0, result.stderr
    shown = " ".join(result.stdout.split())
    assert "items.csv: 1 of 5 records left out: line 6" in shown
    assert "given.nt: 1 of 212 records left out: line 12" in shown
    told = json.loads((shop / "kg" / "build.json").read_text())["bad_records"]
    assert (told["file"], told["bad"]) == ("items.csv", 1)
    assert [(other["file"], other["records"], other["bad"]) for other in told["others"]] == [
        ("given.nt", 212, 1), ("other.nt", 11, 0),
    ]  # fmt: skip
    page = (shop / "kg" / "report.html").read_text()
    assert "The first records skipped in given.nt" in page


def test_turtle_hops_and_budget(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    (shop / "given.ttl").write_text(TURTLE)
    options = ("link", "kg", "--triples", "given.ttl", "--entity", "wiki")
    for hops, expected in ((1, 4), (2, 5)):
        result = kg_build(*options, "--hops", hops, "--out", f"hops{hops}")
        assert result.exit_code == 0, result.stderr
        found = read_knowledge_graph(shop / f"hops{hops}").to_named()
        assert len(found.filter(pl.col("source").str.starts_with("given.ttl"))) == expected
    result = kg_build(*options, "--hops", 2, "--max-triples", 1, "--out", "small")
    assert result.exit_code == 0
    assert len(tails(shop / "small", "wiki")) == 1
    told = json.loads((shop / "small" / "build.json").read_text())
    assert told["expansions"]
    assert told["label_links"]


def test_id_maps(kg_build: Any, shop_graph: Path) -> None:
    shop = shop_graph.parent
    (shop / "kg.txt").write_text("q1\tmade_of\tq9\nq2\tmade_of\tq9\n")
    (shop / "map.txt").write_text("a\tq1\nb\tq2\nzz\tq5\n")
    result = kg_build("link", "kg", "--triples", "kg.txt", "--links", "map.txt", "--out", "linked")
    assert result.exit_code == 0, result.stderr
    assert {("a", "q9"), ("b", "q9")} <= tails(shop / "linked")
    assert "2 of 4 items are linked" in " ".join(result.stdout.split())
    (shop / "f.kg").write_text("head_id:token\trelation_id:token\ttail_id:token\nq1\tmade_of\tq9\n")
    (shop / "f.link").write_text("item_id:token\tentity_id:token\na\tq1\n")
    result = kg_build("link", "kg", "--triples", "f.kg", "--links", "f.link", "--out", "atomic")
    assert result.exit_code == 0
    assert tails(shop / "atomic") == {("a", "q9")}
    (shop / "names.csv").write_text("id,label\nq1,Axe\nq2,Bow\n")
    result = kg_build("link", "kg", "--triples", "kg.txt", "--labels", "names.csv", "--out", "named")
    assert result.exit_code == 0
    assert tails(shop / "named") == {("a", "q9"), ("b", "q9")}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--triples", "none.txt", "--links", "map.txt"), "none.txt: "),
        (("--triples", "kg.txt"), "kg.txt: "),
        (("--triples", "kg.txt", "--links", "map.txt", "--type", "item=x"), "--links say who is who"),
        (("--triples", "kg.txt", "--links", "map.txt", "--near", "0.9"), "--links say who is who"),
        (("--triples", "kg.txt", "--links", "map.txt", "--hops", "0"), "hops"),
        (("--triples", "kg.txt", "--labels", "map.txt"), "map.txt: has a header but no rows"),
        (("--triples", "kg.txt", "--labels", "map.txt", "--type", "item"), "--type item: expected KIND=TYPE"),
        (("--triples", "kg.txt", "--links", "map.txt", "--entity", "item"), "kept for catalogue items"),
        (("--triples", "f.kg"), "f.kg: "),
        (
            ("--triples", "kg.txt", "--links", "strange.txt"),
            "strange.txt: links no item of the catalogue, whose ids look like 'a'; its own look like '0a'",
        ),
        (
            ("--triples", "kg.txt", "--links", "idle.txt"),
            "idle.txt: no entity that it links is in kg.txt, whose entities look like 'q1'; its own look",
        ),
        (("--triples", "broken.nt"), "broken.nt"),
    ],
)
def test_what_does_not_fit(kg_build: Any, shop_graph: Path, options: tuple[str, ...], told: str) -> None:
    shop = shop_graph.parent
    (shop / "kg.txt").write_text("q1\tmade_of\tq9\n")
    (shop / "map.txt").write_text("a\tq1\n")
    (shop / "strange.txt").write_text("0a\tq1\n0b\tq1\n")
    (shop / "idle.txt").write_text("a\tm1\n")
    (shop / "broken.nt").write_text("<http://x/q1> oops\n")
    result = kg_build("link", "kg", *options, "--out", "linked")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not (shop / "linked").exists()
