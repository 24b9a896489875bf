"""The statistic against plain loops, and planted reasons for choices found among relations without any."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from kg_builders import InputError, KnowledgeGraph
from kg_builders.prune import PruneSettings, plan_pruning, prune_graph
from kg_builders.schema import ITEM, NAMED_SCHEMA
from kg_builders.usefulness import USEFULNESS_SCHEMA, relation_usefulness

N_USERS, N_ITEMS = 200, 240
Rows = list[tuple[str, str, str]]


def graph(rows: Rows) -> KnowledgeGraph:
    """A graph from short names; an end "i..." is an item."""
    named = [
        (ITEM if h[0] == "i" else "thing", h, r, ITEM if t[0] == "i" else "thing", t, None, "src")
        for h, r, t in rows
    ]
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def planted(seed: int, likes: float = 3.0) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """Two values of each item, of which the first causes choices; popularity differs between items."""
    rng = np.random.default_rng(seed)
    genre, popularity = rng.integers(0, 16, N_ITEMS), rng.normal(size=N_ITEMS)
    liked = rng.random((N_USERS, 16)) < 0.15
    keys = likes * liked[:, genre] + popularity + rng.gumbel(size=(N_USERS, N_ITEMS))
    item = np.argsort(-keys, axis=1)[:, :12].ravel()
    user = np.repeat(np.arange(N_USERS), 12)
    return genre, popularity, pl.DataFrame({"user": user, "item": [f"i{number}" for number in item]})


def verdicts(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.select("relation", "verdict").iter_rows())


def small(seed: int) -> tuple[Rows, dict[str, list[str]], pl.DataFrame]:
    rng = np.random.default_rng(seed)
    baskets = {
        f"u{user}": [f"i{item}" for item in rng.choice(15, rng.integers(2, 7), False)] for user in range(9)
    }
    chosen = sorted({item for basket in baskets.values() for item in basket})
    rows: Rows = [(item, "has", f"t{tail}") for item in chosen for tail in rng.choice(5, 2, False)]
    rows += [(f"t{tail}", "part_of", f"p{tail % 2}") for tail in range(5)]
    rows += [(str(a), "next", str(b)) for a, b in rng.choice(chosen, (12, 2)) if a != b]
    table = pl.DataFrame(
        [(u, i) for u, b in baskets.items() for i in b], schema=["user", "item"], orient="row"
    )
    return sorted(set(rows)), baskets, table


@pytest.mark.parametrize("seed", range(5))
def test_the_statistic_is_a_count_of_pairs(seed: int) -> None:
    rows, baskets, table = small(seed)
    observed = dict(
        relation_usefulness(graph(rows), table, permutations=19).select("relation", "observed").iter_rows()
    )
    tails, members = defaultdict(set), defaultdict(set)
    for head, relation, tail in rows:
        if relation == "has":
            tails[head].add(tail)
            members[tail].add(head)
    by_tails = by_link = 0.0
    linked = {frozenset((h, t)) for h, r, t in rows if r == "next"}
    for basket in baskets.values():
        for a, b in itertools.permutations(basket, 2):
            by_tails += sum(1 / (len(members[t]) - 1) for t in tails[a] & tails[b]) / (len(basket) - 1)
            by_link += (frozenset((a, b)) in linked) / (len(basket) - 1)
    assert observed["has"] == pytest.approx(by_tails)
    assert observed["next"] == pytest.approx(by_link)
    # Two hops: ways of a user to two different tails of the same whole.
    whole = {f"t{tail}": tail % 2 for tail in range(5)}
    met = set().union(*tails.values())
    by_whole = 0.0
    for basket in baskets.values():
        ways = [tail for item in basket for tail in tails[item]]
        for a, b in itertools.permutations(ways, 2):
            if a != b and whole[a] == whole[b]:
                size = sum(whole[tail] == whole[a] for tail in met)
                by_whole += 1 / (size - 1) / (len(ways) - 1)
    assert observed["part_of"] == pytest.approx(by_whole)


@pytest.mark.parametrize("seed", range(4))
def test_planted_reasons_are_told_from_noise(seed: int) -> None:
    genre, popularity, choices = planted(seed)
    rng = np.random.default_rng(seed + 100)
    rows: Rows = [(f"i{item}", "genre", f"g{value}") for item, value in enumerate(genre)]
    rows += [(f"i{item}", "courier", f"c{value}") for item, value in enumerate(rng.integers(0, 16, N_ITEMS))]
    # Random values of the popular items only, and values that follow popularity: chosen together, but by all.
    famous = np.flatnonzero(popularity > 0.7)
    rows += [
        (f"i{item}", "prize", f"z{value}")
        for item, value in zip(famous, rng.integers(0, 6, len(famous)), strict=True)
    ]
    rank = np.argsort(np.argsort(popularity))
    rows += [(f"i{item}", "sales", f"s{place // 24}") for item, place in enumerate(rank)]
    rows += [(f"i{item}", "picture", "yes") for item in range(N_ITEMS)]
    rows += [(f"i{item}", "isbn", f"n{item}") for item in range(N_ITEMS)]
    rows += [(f"i{item}", "award", f"a{item % 2}") for item in range(4)]
    alike = [pair for pair in itertools.combinations(range(N_ITEMS), 2) if genre[pair[0]] == genre[pair[1]]]
    rows += [(f"i{alike[at][0]}", "similar", f"i{alike[at][1]}") for at in rng.choice(len(alike), 300, False)]
    rows += [(f"i{a}", "random", f"i{b}") for a, b in rng.integers(0, N_ITEMS, (300, 2)) if a != b]
    table = relation_usefulness(graph(rows), choices)
    told = verdicts(table)
    assert {name for name, verdict in told.items() if verdict == "useful"} == {"genre", "similar"}
    assert set(table["relation"][:2]) == {"genre", "similar"}
    assert told["isbn"] == "joins nothing"
    assert told["award"] == "too few"
    assert {told[name] for name in ("courier", "sales", "random")} == {"chance"}
    assert told["prize"] in {"chance", "too few"}
    assert told["picture"] in {"chance", "too few"}
    row = table.row(by_predicate=pl.col("relation") == "genre", named=True)
    assert row["lift"] > 1.5
    assert row["z"] == pytest.approx((row["observed"] - row["expected"]) / row["deviation"])
    assert row["p"] < 1e-6
    assert table.schema == pl.Schema(USEFULNESS_SCHEMA)


def test_two_hops_tell_what_the_second_hop_adds() -> None:
    rng = np.random.default_rng(5)
    style, scene, rows = rng.integers(0, 60, N_ITEMS), np.arange(60) % 6, []
    liked = rng.random((N_USERS, 6)) < 0.25
    keys = 3.0 * liked[:, scene[style]] + rng.gumbel(size=(N_USERS, N_ITEMS))
    item = np.argsort(-keys, axis=1)[:, :12].ravel()
    choices = pl.DataFrame({"user": np.repeat(np.arange(N_USERS), 12), "item": [f"i{n}" for n in item]})
    rows += [(f"i{number}", "style", f"y{value}") for number, value in enumerate(style)]
    rows += [(f"y{value}", "scene", f"s{scene[value]}") for value in range(60)]
    rows += [(f"h{value}", "home_of", f"y{at}") for at, value in enumerate(rng.integers(0, 6, 60))]
    rows += [("s0", "near", "s1"), ("s1", "near", "s2")]
    table = relation_usefulness(graph(rows), choices)
    joins = dict(table.select("relation", "joins").iter_rows())
    assert joins == {"style": "shared tails", "scene": "two hops", "home_of": "two hops", "near": "farther"}
    told = verdicts(table)
    assert (told["style"], told["scene"], told["home_of"]) == ("useful", "useful", "chance")
    assert told["near"] == "not judged"


def test_p_values_of_noise_are_spread_evenly() -> None:
    _, _, choices = planted(1)
    rng = np.random.default_rng(101)
    rows: Rows = []
    for relation in range(40):
        values = rng.integers(0, [2, 20, 80][relation % 3], N_ITEMS)
        rows += [(f"i{item}", f"r{relation}", f"v{relation}.{value}") for item, value in enumerate(values)]
    table = relation_usefulness(graph(rows), choices, permutations=29)
    p = np.sort(table["p"].to_numpy())
    # Kolmogorov-Smirnov distance of 40 even p-values: above 0.25 once in 100 times.
    assert np.abs(p - (np.arange(40) + 0.5) / 40).max() < 0.25
    assert (table["verdict"] == "useful").sum() == 0


def test_figures_repeat_and_do_not_depend_on_other_relations() -> None:
    genre, _, choices = planted(2)
    rows: Rows = [(f"i{item}", "genre", f"g{value}") for item, value in enumerate(genre)]
    more = [(f"i{item}", "a", f"a{item % 7}") for item in range(N_ITEMS)]
    first, again = (
        relation_usefulness(
            graph(given), choices.sample(fraction=1, shuffle=True, seed=seed), permutations=19
        )
        for seed, given in enumerate((rows, rows + more))
    )
    figures = ["observed", "expected", "z", "p"]
    one, two = (table.filter(pl.col("relation") == "genre").select(figures) for table in (first, again))
    assert one.row(0) == pytest.approx(two.row(0), rel=1e-9)
    with_split = choices.with_columns(split=pl.lit("train"))
    assert relation_usefulness(graph(rows), with_split, permutations=19).equals(
        relation_usefulness(graph(rows), choices, permutations=19)
    )


def test_pruning_keeps_useful_relations_and_says_why() -> None:
    genre, _, choices = planted(3)
    rng = np.random.default_rng(103)
    good: Rows = [(f"i{item}", "genre", f"g{value}") for item, value in enumerate(genre)]
    few: Rows = [(f"i{item}", "award", f"a{item % 2}") for item in range(4)]
    noise: Rows = [(f"i{at}", "courier", f"c{v}") for at, v in enumerate(rng.integers(0, 16, N_ITEMS))]
    plan = plan_pruning(graph(good + few + noise), PruneSettings(keep_relations="useful"), choices)
    step = next(step for step in plan.steps if step.name == "useless relations")
    assert (step.triples, step.relations, step.items) == (N_ITEMS, 1, N_ITEMS)
    assert step.examples[0].startswith("courier (lift ")
    assert step.reason.startswith("useful are genre; taken are relations that tell no more than chance")
    assert step.reason.endswith("(training only)")
    assert sorted(plan.apply().relations["name"]) == ["award", "genre"]
    assert plan.usefulness is not None
    assert verdicts(plan.usefulness)["courier"] == "chance"
    # With a budget, the useful relation goes first: the noise has rarer tails and a lift near 1.
    both = plan_pruning(
        graph(good + noise),
        PruneSettings(keep_relations="useful", significance=0.01, facts_per_item=1),
        choices,
    )
    assert both.apply().relations["name"].to_list() == ["genre"]


def test_only_training_interactions_are_let_in() -> None:
    genre, _, choices = planted(0)
    kg = graph([(f"i{item}", "genre", f"g{value}") for item, value in enumerate(genre)])
    useful = PruneSettings(keep_relations="useful")
    with pytest.raises(InputError, match="keep_relations: useful needs training interactions"):
        prune_graph(kg, useful)
    for split in ("test", "validation", None):
        mixed = choices.with_row_index("row").with_columns(
            split=pl.when(pl.col("row") == 7).then(pl.lit(split)).otherwise(pl.lit("train"))
        )
        with pytest.raises(InputError, match=rf"interactions: row 7 is of the split {split!r}, and 1 row"):
            prune_graph(kg, useful, mixed)
    with pytest.raises(InputError, match="no column 'item'; expected user, item"):
        relation_usefulness(kg, choices.drop("item"))
    with pytest.raises(InputError, match="row 0 has no user"):
        relation_usefulness(kg, choices.with_columns(user=pl.lit(None, dtype=pl.Utf8)))
    with pytest.raises(InputError, match=r"none is with an item of the graph; .* such as 'i0', got 'x'"):
        relation_usefulness(kg, choices.with_columns(item=pl.lit("x")))
    with pytest.raises(InputError, match="got no row"):
        relation_usefulness(kg, choices.clear())
