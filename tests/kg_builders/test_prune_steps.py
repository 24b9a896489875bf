"""Hubs, relations that say nothing or the same as another, the budget, and kinds with a minimum degree."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kg_builders import InputError, KnowledgeGraph
from kg_builders.prune import PruneSettings, PruneStep, plan_pruning, prune_graph, prune_table
from kg_builders.schema import ITEM, NAMED_SCHEMA

Row = tuple[str, str, str]
OFF = {"inverse_relations": None, "synonymous_relations": None, "uninformative_relations": "keep"}


def graph(rows: list[Row], symmetric: tuple[str, ...] = ()) -> KnowledgeGraph:
    """A graph from short names; an end "i..." is an item, the kind of another is its first letter."""

    def kind(name: str) -> str:
        return ITEM if name[0] == "i" else name[0]

    named = [(kind(h), h, r, kind(t), t, None, "src") for h, r, t in rows]
    relations = pl.DataFrame(
        {"name": list(symmetric), "label": list(symmetric), "symmetric": [True] * len(symmetric)},
        schema={"name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean},
    )
    return KnowledgeGraph.from_named(
        pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"), relations=relations
    )


def rows_of(kg: KnowledgeGraph) -> list[Row]:
    return sorted(kg.to_named().select("head_id", "relation", "tail_id").rows())


def step_of(steps: list[PruneStep], name: str) -> PruneStep:
    return next(step for step in steps if step.name == name)


def pruned(kg: KnowledgeGraph, **chosen: object) -> tuple[KnowledgeGraph, list[PruneStep]]:
    return prune_graph(kg, PruneSettings.model_validate({**OFF, **chosen}))


NAMES = st.sampled_from(["i0", "i1", "i2", "i3", "a", "b", "c", "d", "e"])
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s", "t"]), NAMES), max_size=30)


@given(ROWS, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_hubs(rows: list[Row], most: int) -> None:
    kg, steps = pruned(graph(rows), max_degree=most, unreachable=False)
    near: dict[str, set[str]] = defaultdict(set)
    for head, _, tail in rows:
        if head != tail:
            near[head].add(tail)
            near[tail].add(head)
    gone = {name for name, others in near.items() if name[0] != "i" and len(others) > most}
    assert rows_of(kg) == sorted({row for row in rows if not {row[0], row[2]} & gone})
    told = step_of(steps, "hub entities").examples
    assert {text.split(" ")[0] for text in told} <= gone
    assert all(int(text.split(": ")[1]) == len(near[text.split(" ")[0]]) for text in told)


def test_minimum_degree_of_kinds() -> None:
    rows = [("i0", "r", "a1"), ("i0", "r", "b1"), ("i0", "r", "c1"), ("i1", "r", "c1"), ("i2", "r", "c2")]
    kg, steps = pruned(graph(rows), min_degree_of={"a": 2, "c": 2})
    assert rows_of(kg) == [("i0", "r", "b1"), ("i0", "r", "c1"), ("i1", "r", "c1")]
    assert (
        step_of(steps, "rare entities").reason == "entities with fewer than 1 neighbours (2 for a, 2 for c)"
    )
    with pytest.raises(
        InputError, match=r"min_degree_of: no entity is of the kind 'x'; expected one of a, b, c"
    ):
        pruned(graph(rows), min_degree_of={"x": 2})
    with pytest.raises(InputError, match="items are never dropped"):
        pruned(graph(rows), min_degree_of={"item": 2})


def described(count: int) -> list[Row]:
    return [(f"i{at}", "genre", f"g{at % 5}") for at in range(count)]


@pytest.mark.parametrize("turned", [False, True])
def test_a_relation_with_one_tail_for_all_is_dropped_with_the_reason(turned: bool) -> None:
    has = [(f"i{at}", "has_picture", "picture") for at in range(40)]
    has = [(tail, relation, head) for head, relation, tail in has] if turned else has
    # A relation that few have tells those few apart, whatever the number of its tails.
    few = [(f"i{at}", "compilation", "yes") for at in range(30)]
    kg, steps = prune_graph(graph(described(40) + has + few))
    assert rows_of(kg) == sorted(described(40) + few)
    step = step_of(steps, "uninformative relations")
    assert step.examples == ("has_picture (100.0% of item have picture (p) and nothing else)",)
    assert (step.triples, step.entities, step.relations, step.items) == (40, 1, 1, 40)
    warned, steps = prune_graph(
        graph(described(40) + has + few), PruneSettings(uninformative_relations="warn")
    )
    assert rows_of(warned) == sorted(described(40) + has + few)
    assert step_of(steps, "uninformative relations").examples == step.examples
    assert step_of(steps, "uninformative relations").reason.endswith("kept, as the settings say")


def test_uninformative_is_a_matter_of_the_whole_set_of_tails() -> None:
    both = [(f"i{at}", "has", thing) for at in range(40) for thing in ("picture", "text")]
    kg, steps = prune_graph(graph(described(40) + both))
    assert rows_of(kg) == sorted(described(40))
    assert "have picture (p), text (t) and nothing else" in steps[-2].examples[0]
    # Everything is a "movie", but half of the items are something besides.
    besides = [(f"i{at}", "is", "movie") for at in range(40)] + [
        (f"i{at}", "is", "western") for at in range(20)
    ]
    kg, _ = prune_graph(graph(described(40) + besides))
    assert rows_of(kg) == sorted(described(40) + besides)
    nearly = [(f"i{at}", "has", "picture" if at else "text") for at in range(40)]
    assert rows_of(prune_graph(graph(nearly))[0]) == sorted(nearly)
    assert rows_of(prune_graph(graph(nearly), PruneSettings(uninformative_share=0.97))[0]) == []
    # Facts about a single item are no reason to blame a relation.
    one = described(40) + [("i0", "keyword", f"k{at}") for at in range(40)]
    assert rows_of(prune_graph(graph(one))[0]) == sorted(one)
    # Of few items, nothing is said.
    small = [(f"i{at}", "has", "picture") for at in range(10)]
    assert rows_of(prune_graph(graph(small))[0]) == sorted(small)


def test_relations_between_the_same_ends_are_merged_into_the_larger_one() -> None:
    brand = [(f"i{at}", "brand", f"b{at % 7}") for at in range(50)]
    maker = [(head, "maker", tail) for head, _, tail in brand[:48]] + [("i48", "maker", "b0")]
    contained = [(head, "designer", tail) for head, _, tail in brand[:10]]
    plan = plan_pruning(graph(brand + maker + contained), PruneSettings(synonymous_relations=0.9))
    step = step_of(list(plan.steps), "synonymous relations")
    assert step.examples == ("maker (as brand, 0.941)",)
    assert (step.triples, step.moved, step.relations, step.entities, step.items) == (48, 1, 1, 0, 49)
    assert rows_of(plan.apply()) == sorted([*brand, ("i48", "brand", "b0"), *contained])
    moved = step.removed().filter(pl.col("moved_to").is_not_null())
    assert moved.select("head_id", "relation", "tail_id", "moved_to").rows() == [
        ("i48", "maker", "b0", "brand")
    ]
    assert "(1 moved" in str(prune_table([step]).columns[1]._cells)
    kept, _ = prune_graph(graph(brand + maker), PruneSettings(synonymous_relations=0.95))
    assert rows_of(kept) == sorted(brand + maker)


def test_ties_keep_the_first_name_and_symmetric_relations_are_compared_without_direction() -> None:
    pairs = [(f"i{at}", f"i{at + 1}") for at in range(10)]
    rows = [(a, "near", b) for a, b in pairs] + [(b, "alike", a) for a, b in pairs]
    kg, _ = prune_graph(graph(rows, symmetric=("near", "alike")))
    assert rows_of(kg) == sorted((*sorted((a, b))[:1], "alike", *sorted((a, b))[1:]) for a, b in pairs)


def test_relations_with_the_same_item_sets_but_other_tails() -> None:
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 40, 400)
    brand = [(f"i{at}", "brand", f"b{value}") for at, value in enumerate(owner)]
    shop = [(f"i{at}", "shop", f"s{value * 7 % 40}") for at, value in enumerate(owner)]
    blurred = [
        (f"i{at}", "store", f"t{value if at % 5 else (value + 1) % 40}") for at, value in enumerate(owner)
    ]
    kg, steps = prune_graph(graph(brand + shop + blurred))
    assert rows_of(kg) == sorted(brand + blurred)
    step = step_of(steps, "relations with the same item sets")
    assert step.examples == ("shop (as brand, 1.000)",)
    assert (step.triples, step.relations) == (400, 1)
    # A relation whose tails lead on says more than which items belong together.
    onward = [(f"s{value}", "in", f"c{value % 3}") for value in range(40)]
    kg, _ = prune_graph(graph(brand + shop + onward))
    assert rows_of(kg) == sorted(brand + shop + onward)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.03, 0.3]))
@example(9172, 0.0)  # one tail has a single item
@settings(max_examples=15, deadline=None)
def test_item_sets_are_compared_like_a_full_search_would(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, 15, 150)
    other = np.where(rng.random(150) < noise, rng.integers(0, 15, 150), owner)
    first = {(f"i{at}", f"b{value}") for at, value in enumerate(owner)}
    second = {(f"i{at}", f"c{value}") for at, value in enumerate(other)}
    sets = [defaultdict(set), defaultdict(set)]
    for found, pairs in zip(sets, (first, second), strict=True):
        for item, tail in pairs:
            found[tail].add(item)
    # Tails of a single item match nothing.
    ours, theirs = ([found for found in side.values() if len(found) > 1] for side in sets)
    shared = sum(max(len(one & other) for other in theirs) for one in ours)
    jaccard = shared / (300 - shared)
    rows = [(item, "x", tail) for item, tail in first] + [(item, "y", tail) for item, tail in second]
    _, steps = prune_graph(graph(rows), PruneSettings(synonymous_relations=0.8))
    merged = step_of(steps, "relations with the same item sets")
    if not noise or jaccard > 0.999:
        assert merged.examples == (f"y (as x, {jaccard:.3f})",)
    if jaccard < 0.8:
        assert merged.triples == 0


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_of_several_relations_the_rarest_stays(rows: list[Row]) -> None:
    kg, _ = pruned(graph(rows), duplicates_across_relations=True, unreachable=False)
    sizes = Counter(row[1] for row in set(rows))
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(set(rows), key=lambda row: (sizes[row[1]], row[1])):
        best.setdefault((row[0], row[2]), row)
    assert rows_of(kg) == sorted(best.values())


@given(ROWS, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_budget(rows: list[Row], most: int) -> None:
    kg, _ = pruned(graph(rows), facts_per_item=most, unreachable=False)
    before, after = set(rows), set(rows_of(kg))
    items = {end for row in before for end in (row[0], row[2]) if end[0] == "i"}
    joined: dict[str, set[Row]] = defaultdict(set)
    for head, relation, tail in before:
        for end, other in ((head, tail), (tail, head)):
            if end[0] == "i":
                joined[other].add((end, relation, other))

    def owner(row: Row) -> str | None:
        return next((end for end in (row[0], row[2]) if end[0] == "i"), None)

    def weight(row: Row) -> float:
        other = row[2] if row[0][0] == "i" else row[0]
        # Triples are counted, as loops and reversed facts are rare.
        shared = sum((h[0] == "i" and t == other) + (t[0] == "i" and h == other) for h, _, t in before)
        return 0.0 if shared < 2 and other[0] != "i" else np.log1p(len(items) / max(shared, 1))

    for item in items:
        facts = {row for row in before if owner(row) == item}
        kept = facts & after
        assert len(kept) == min(most, len(facts))
        if facts - kept:
            assert min(map(weight, kept)) >= max(map(weight, facts - kept)) - 1e-12
    assert {row for row in before if owner(row) is None} <= after


def test_budget_prefers_rare_shared_tails_and_tells_what_went() -> None:
    rows = [(f"i{at}", "all", "common") for at in range(30)]
    rows += [("i0", "some", "rare"), ("i1", "some", "rare"), ("i0", "only", "unique")]
    kg, steps = pruned(graph(rows), facts_per_item=1)
    kept = rows_of(kg)
    assert ("i0", "some", "rare") in kept
    assert ("i0", "all", "common") not in kept
    assert ("i0", "only", "unique") not in kept
    assert step_of(steps, "facts beyond the budget").examples == ("all: 2", "only: 1")


def test_a_plan_tells_the_same_as_pruning() -> None:
    rng = np.random.default_rng(1)
    rows = [(f"i{a}", f"r{r}", f"t{t}") for a, r, t in rng.integers(0, [60, 3, 40], (400, 3)).tolist()]
    chosen = PruneSettings(k_core=3, max_degree=20, facts_per_item=4, duplicates_across_relations=True)
    plan = plan_pruning(graph(rows), chosen)
    kg, steps = prune_graph(graph(rows), chosen)
    assert list(plan.steps) == steps
    assert plan.apply().triples.equals(kg.triples)
    assert len(plan.removed()) >= sum(step.triples for step in steps) > 0
    assert all(len(step.removed()) >= step.triples for step in steps)
    with pytest.raises(InputError, match="was not kept"):
        steps[0].without_source().removed()
    assert "source" not in steps[0].to_dict()
