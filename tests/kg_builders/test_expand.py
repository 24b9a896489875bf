"""Neighbourhoods against ego graphs, and what is taken first under a budget."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders.errors import InputError
from kg_builders.expand import extract_neighbourhood
from kg_builders.link import link_external
from kg_builders.sources import ExternalTriples, read_item_links, read_triples

Row = tuple[str, str, str]


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"head": pl.Utf8, "relation": pl.Utf8, "tail": pl.Utf8}
    return pl.DataFrame(rows, schema=schema, orient="row")


TRIPLES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("rs"), st.sampled_from("abcdefgh")), max_size=20
)


@settings(deadline=None)
@given(
    TRIPLES,
    st.sets(st.sampled_from("abxy")),
    st.integers(1, 4),
    st.sampled_from(["both", "out", "in"]),
    st.sampled_from([None, ("r",)]),
)
def test_without_limits_it_is_the_ego_graph(
    rows: list[Row], seeds: set[str], hops: int, directions: str, relations: tuple[str, ...] | None
) -> None:
    table = frame(rows)
    if relations is not None and "r" not in table["relation"]:
        relations = None
    found, report = extract_neighbourhood(
        table, sorted(seeds), hops, relations=relations, directions=directions
    )
    followed = [row for row in rows if relations is None or row[1] in relations]
    graph = nx.MultiDiGraph([(head, tail) for head, _, tail in followed])
    walked = {"both": graph.to_undirected(), "out": graph, "in": graph.reverse()}[directions]
    # Whoever is at most hops - 1 steps from a seed is expanded.
    expanded = {
        node for seed in seeds & set(graph) for node in nx.ego_graph(walked, seed, radius=hops - 1).nodes
    }
    expected = [
        row
        for row in followed
        if (directions != "in" and row[0] in expanded) or (directions != "out" and row[2] in expanded)
    ]
    assert found.rows() == expected
    reached = {node for seed in seeds & set(graph) for node in nx.ego_graph(walked, seed, radius=hops).nodes}
    assert {end for row in expected for end in (row[0], row[2])} <= reached
    assert report.absent == len(seeds - set(graph))
    assert sum(hop.reached for hop in report.hops) == len(reached - seeds)
    assert sum(hop.taken for hop in report.hops) == report.taken == len(expected)


@settings(deadline=None)
@given(
    TRIPLES, st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.sampled_from(["both", "out", "in"])
)
def test_limits_hold_and_every_triple_is_accounted_for(
    rows: list[Row], hops: int, budget: int, each: int, directions: str
) -> None:
    table = frame(rows)
    seeds = ["a", "b"]
    found, report = extract_neighbourhood(table, seeds, hops, budget, each, directions=directions)
    assert len(found) <= budget
    front, taken = {"a", "b"}, set()
    left = budget
    for hop in report.hops:
        assert hop.triples == hop.taken + hop.over_entity + hop.over_budget
        assert hop.taken <= min(left, each * hop.entities)
        left -= hop.taken
        assert hop.over_budget == 0 or left == 0
    # By hand, one triple after another.
    degree = {node: sum((row[0] == node) + (row[2] == node) for row in rows) for node in "abcdefgh"}
    known = set(front)
    for _ in range(hops):
        brought = [
            (place, by, other)
            for place, (head, _, tail) in enumerate(rows)
            for by, other, way in ((head, tail, "out"), (tail, head, "in"))
            if by in front and place not in taken and directions in ("both", way)
        ]
        support = {other: len({by for _, by, end in brought if end == other}) for _, _, other in brought}
        brought.sort(key=lambda triple: (-support[triple[2]], degree[triple[2]], triple[0]))
        shares: dict[str, int] = dict.fromkeys(front, 0)
        fresh: list[int] = []
        for place, by, _ in brought:
            shares[by] += 1
            if shares[by] <= each and place not in fresh:
                fresh.append(place)
        fresh = fresh[: budget - len(taken)]
        taken |= set(fresh)
        front = {end for place in fresh for end in (rows[place][0], rows[place][2])} - known
        known |= front
    assert found.rows() == [row for place, row in enumerate(rows) if place in taken]


def test_what_more_seeds_reach_comes_first_and_hubs_last() -> None:
    rows = [("s1", "r", "hub"), ("s1", "r", "own"), ("s1", "r", "shared"), ("s2", "r", "shared")]
    rows += [(f"x{number}", "r", "hub") for number in range(5)]
    taken, report = extract_neighbourhood(frame(rows), ["s1", "s2"], 1, max_triples=3)
    assert taken["tail"].to_list() == ["own", "shared", "shared"]
    assert report.hops[0].over_budget == 1
    taken, report = extract_neighbourhood(frame(rows), ["s1", "s2"], 2, max_per_entity=1)
    assert taken["tail"].to_list() == ["shared", "shared"]
    assert (report.hops[0].over_entity, report.hops[0].reached, report.hops[1].taken) == (2, 1, 0)
    assert "2 of 9 triples lie around 2 of 2 linked entities" in report.sentence()
    assert report.to_dict()["hops"][0]["hop"] == 1


def test_order_of_the_seeds_does_not_matter_and_other_columns_stay() -> None:
    rng = np.random.default_rng(4)
    table = pl.DataFrame(
        {
            "head": [f"e{number}" for number in rng.integers(0, 60, 400)],
            "relation": "r",
            "tail": [f"e{number}" for number in rng.integers(0, 60, 400)],
            "line": range(1, 401),
        }
    )
    seeds = ["e1", "e2", "e3", "e4"]
    one, report = extract_neighbourhood(table, seeds, 3, 100, 7)
    other, same = extract_neighbourhood(table, [*seeds[::-1], "e1"], 3, 100, 7)
    assert one.equals(other)
    assert report == same
    assert one["line"].is_sorted()
    assert len(one) == 100


def test_bad_settings_are_told() -> None:
    table = frame([("a", "by", "b")])
    with pytest.raises(InputError, match=r"neighbourhood: hops is 0; expected at least 1"):
        extract_neighbourhood(table, ["a"], 0)
    with pytest.raises(InputError, match=r"max_triples is -1; expected at least 1"):
        extract_neighbourhood(table, ["a"], max_triples=-1)
    with pytest.raises(InputError, match=r"the graph has no relation 'bye'; did you mean 'by'"):
        extract_neighbourhood(table, ["a"], relations=["bye"])
    with pytest.raises(InputError, match=r"unknown direction 'inn'; did you mean 'in'"):
        extract_neighbourhood(table, ["a"], directions="inn")
    with pytest.raises(InputError, match=r"a triple has no tail"):
        extract_neighbourhood(table.drop("tail"), ["a"])
    nothing, report = extract_neighbourhood(table, ["z", "y"])
    assert nothing.is_empty()
    assert (report.seeds, report.absent, report.absent_examples) == (2, 2, ("z", "y"))


def test_published_graph_around_the_catalogue(shared_data: Path) -> None:
    folder = shared_data / "lfm2k"
    triples = read_triples(folder / "kg.txt")
    links = read_item_links(folder / "item_index2entity_id.txt")
    ids = pl.read_csv(folder / "lfm2k_og_ids.inter", separator="\t", schema_overrides={"itemID": pl.Utf8})[
        "itemID"
    ]
    linked = links.filter(pl.col("item").is_in(ids.unique().implode()))
    near, report = extract_neighbourhood(triples, linked["entity"], 2)
    assert report.seeds == 397
    assert report.absent == 0
    assert report.hops[0].taken + report.hops[1].taken == len(near) <= len(triples)
    part, _ = extract_neighbourhood(triples, linked["entity"], 2, max_triples=1_000, max_per_entity=5)
    assert len(part) == 1_000
    items = pl.DataFrame({"id": linked["item"].unique().sort()}).with_columns(label="id")
    kg, _ = link_external(ExternalTriples(part, linked, "kg.txt", "map.txt"), items, "freebase")
    assert 0 < kg.n_triples <= 1_000
