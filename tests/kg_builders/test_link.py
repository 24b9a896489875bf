"""A given graph joined to the catalogue, and the test of its links."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kg_builders import InputError, KnowledgeGraph, link_external
from kg_builders.agreement import link_agreement
from kg_builders.schema import ITEM, NAMED_SCHEMA
from kg_builders.sources import ExternalTriples, read_item_links, read_triples

ITEMS = pl.DataFrame({"id": ["2", "1", "3"], "label": ["Two", "One", None]})


def given(triples: list[tuple[str, str, str]], links: list[tuple[str, str]]) -> ExternalTriples:
    frame = pl.DataFrame(triples, schema=["head", "relation", "tail"], orient="row").with_row_index("line", 1)
    pairs = pl.DataFrame(links, schema=["item", "entity"], orient="row").with_row_index("line", 1)
    return ExternalTriples(frame, pairs, "kg.txt", "map.txt")


def test_linked_entities_become_items() -> None:
    external = given(
        [("e1", "by", "2"), ("e2", "by", "2"), ("e2", "after", "e1"), ("e2", "by", "2"), ("9", "by", "e8")],
        [("1", "e1"), ("2", "e2"), ("77", "e8"), ("3", "e5")],
    )
    kg, report = link_external(external, ITEMS, "freebase")
    assert kg.entities.select("id", "label", "kind").rows() == [
        ("2", "Two", ITEM), ("1", "One", ITEM), ("3", "3", ITEM),
        ("2", "2", "freebase"), ("9", "9", "freebase"), ("e8", "e8", "freebase"),
    ]  # fmt: skip
    assert set(kg.to_named().select("head_kind", "head_id", "relation", "tail_kind", "tail_id").rows()) == {
        (ITEM, "1", "by", "freebase", "2"),
        (ITEM, "2", "by", "freebase", "2"),
        (ITEM, "2", "after", ITEM, "1"),
        ("freebase", "9", "by", "freebase", "e8"),
    }
    assert kg.triples["source"].unique().sort().to_list() == ["kg.txt:after:given", "kg.txt:by:given"]
    assert (report.items, report.linked, report.unlinked) == (3, 2, ("3",))
    assert (report.foreign_links, report.idle_links, report.repeated, report.loops) == (1, 1, 1, 0)
    assert report.coverage == pytest.approx(2 / 3)
    assert "2 of 3 items are linked (66.7%)" in report.sentence()
    assert report.to_dict()["triples"] == 4


def test_an_entity_of_two_items_gives_its_triples_to_both() -> None:
    kg, report = link_external(given([("e", "by", "x"), ("e", "like", "e")], [("1", "e"), ("2", "e")]), ITEMS)
    named = kg.to_named().select("head_id", "relation", "tail_id").rows()
    assert set(named) == {("1", "by", "x"), ("2", "by", "x"), ("1", "like", "2"), ("2", "like", "1")}
    assert (report.shared_entities, report.loops) == (1, 2)


def test_entities_of_named_items_outside_the_catalogue_get_their_names() -> None:
    others = pl.DataFrame({"id": ["77", "1"], "label": ["Seventy", "Uno"]})
    external = given([("e8", "by", "x"), ("e1", "by", "x")], [("77", "e8"), ("1", "e1")])
    kg, _ = link_external(external, ITEMS, "freebase", others)
    labels = dict(kg.entities.select("id", "label").rows())
    assert (labels["e8"], labels["1"], labels["x"]) == ("Seventy", "One", "x")


def test_union_with_an_extracted_graph_joins_the_items() -> None:
    row = (ITEM, "1", "genre", "genre", "drama", "Drama", "items.csv:genre:list")
    own = KnowledgeGraph.from_named(pl.DataFrame([row], schema=NAMED_SCHEMA, orient="row"), ITEMS)
    linked, _ = link_external(given([("e", "by", "x")], [("1", "e")]), ITEMS)
    both = own.union(linked)
    assert both.n_items == 3
    assert both.entities["label"].to_list() == ["Two", "One", "3", "x", "Drama"]
    assert set(both.to_named()["head_id"]) == {"1"}


def test_bad_names() -> None:
    with pytest.raises(InputError, match=r"kg.txt: entity kind 'item' is kept for catalogue items"):
        link_external(given([("a", "r", "b")], [("1", "a")]), ITEMS, ITEM)
    with pytest.raises(InputError, match=r"kg.txt, line 2: relation 'r\^-1' ends with"):
        link_external(given([("a", "r", "b"), ("a", "r^-1", "b")], [("1", "a")]), ITEMS)


def test_published_lastfm_graph(shared_data: Path) -> None:
    folder = shared_data / "lfm2k"
    ids = sorted(
        {line.split("\t")[1] for line in (folder / "lfm2k_og_ids.inter").read_text().split("\n")[1:] if line}
    )
    items = pl.DataFrame({"id": ids, "label": ids})
    links = read_item_links(folder / "item_index2entity_id.txt")
    triples = read_triples(folder / "kg.txt")
    loops = (triples["head"] == triples["tail"]).sum()
    external = ExternalTriples(triples, links, "kg.txt", "item_index2entity_id.txt")
    kg, report = link_external(external, items, "freebase")
    assert report.linked == 397
    assert report.foreign_links == 3_846 - 397
    assert (report.loops, report.repeated) == (loops, 0)
    assert kg.n_triples == 15_518 - loops
    assert kg.n_items == 1_425
    assert kg.n_relations == triples.filter(pl.col("head") != pl.col("tail"))["relation"].n_unique()


def _facts(relation: str, values: np.ndarray, rows: np.ndarray) -> KnowledgeGraph:
    named = [
        (ITEM, f"i{row}", relation, relation, f"v{value}", None, "x")
        for row, value in zip(rows, values, strict=True)
    ]
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def test_agreement_tells_right_links_from_wrong_ones() -> None:
    rng = np.random.default_rng(5)
    genre = rng.integers(0, 6, 200)
    noisy = np.where(rng.random(200) < 0.5, genre, rng.integers(0, 6, 200))
    rows = np.arange(200)
    own = _facts("genre", genre, rows)
    right = link_agreement(own, _facts("kind", noisy, rows))
    wrong = link_agreement(own, _facts("kind", noisy, rng.permutation(rows)))
    assert right.items == wrong.items == 200
    assert right.score is not None
    assert right.score > 10
    assert not right.by_chance
    assert wrong.by_chance
    assert wrong.to_dict()["by_chance"] is True


def test_agreement_of_few_items_or_of_empty_facts_is_not_judged() -> None:
    few = _facts("genre", np.zeros(10, dtype=int), np.arange(10))
    assert link_agreement(few, few).score is None
    same = _facts("genre", np.zeros(50, dtype=int), np.arange(50))
    judged = link_agreement(same, same)
    assert (judged.items, judged.score, judged.by_chance) == (50, None, False)


def test_agreement_statistic_is_the_centred_product() -> None:
    from scipy import sparse

    from kg_builders.agreement import _criterion

    rng = np.random.default_rng(0)
    left, right = (
        rng.random((9, 4)) * (rng.random((9, 4)) < 0.5),
        rng.random((9, 5)) * (rng.random((9, 5)) < 0.5),
    )
    centring = np.eye(9) - 1 / 9
    expected = np.linalg.norm(left.T @ centring @ right) ** 2
    assert _criterion(sparse.csr_matrix(left), sparse.csr_matrix(right)) == pytest.approx(expected)
