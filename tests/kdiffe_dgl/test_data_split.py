"""Splits: nothing lost, nothing twice, training for everyone, the same seed the same split."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdiffe_dgl.data.split import split_interactions
from kdiffe_dgl.errors import InputError


@st.composite
def interaction_tables(draw):
    pairs = draw(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), unique=True, min_size=1, max_size=60)
    )
    times = draw(st.lists(st.integers(0, 20), min_size=len(pairs), max_size=len(pairs)))
    return pl.DataFrame(
        {"user": [u for u, _ in pairs], "item": [i for _, i in pairs], "timestamp": times},
        schema={"user": pl.Int64, "item": pl.Int64, "timestamp": pl.Int64},
    )


def _by_user(table):
    groups: dict[int, list[dict]] = {}
    for row in table.iter_rows(named=True):
        groups.setdefault(row["user"], []).append(row)
    return groups


_ratios = st.tuples(st.floats(0.05, 10), st.floats(0, 10), st.floats(0, 10))


@settings(max_examples=60, deadline=None)
@given(
    table=interaction_tables(),
    strategy=st.sampled_from(["ratio", "leave_one_out", "time"]),
    seed=st.integers(0, 5),
    ratios=_ratios,
)
def test_union_is_preserved_and_the_row_order_means_nothing(table, strategy, seed, ratios):
    split = split_interactions(table, strategy, seed, ratios)
    assert split.drop("split").equals(table.sort("user", "item"))
    assert split["split"].is_in(["train", "validation", "test"]).all()
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=seed)
    assert split_interactions(shuffled, strategy, seed, ratios).equals(split)


@settings(max_examples=60, deadline=None)
@given(table=interaction_tables(), seed=st.integers(0, 5), ratios=_ratios)
def test_ratio_gives_each_user_its_shares_and_a_training_item(table, seed, ratios):
    split = split_interactions(table, "ratio", seed, ratios)
    for rows in _by_user(split).values():
        count = {name: sum(row["split"] == name for row in rows) for name in ("train", "validation", "test")}
        assert count["train"] >= 1
        wanted = {
            name: len(rows) * share / sum(ratios)
            for name, share in zip(("train", "validation", "test"), ratios, strict=True)
        }
        rounded = {name: math.floor(wanted[name] + 0.5 + 1e-9) for name in ("validation", "test")}
        if rounded["validation"] + rounded["test"] >= len(rows):
            rounded = {"validation": 0, "test": 0}
        assert {name: count[name] for name in rounded} == rounded


@settings(max_examples=60, deadline=None)
@given(table=interaction_tables(), seed=st.integers(0, 5))
def test_leave_one_out_takes_the_last_two(table, seed):
    for rows in _by_user(split_interactions(table, "leave_one_out", seed)).values():
        kept = {name: [r["timestamp"] for r in rows if r["split"] == name] for name in ("validation", "test")}
        rest = [row["timestamp"] for row in rows if row["split"] == "train"]
        if len(rows) < 3:
            assert kept == {"validation": [], "test": []}
        else:
            assert [len(times) for times in kept.values()] == [1, 1]
            assert max(rest) <= kept["validation"][0] <= kept["test"][0]


@settings(max_examples=60, deadline=None)
@given(table=interaction_tables(), ratios=_ratios)
def test_time_cuts_at_two_points(table, ratios):
    split = split_interactions(table, "time", 0, ratios)
    times = {
        name: split.filter(pl.col("split") == name)["timestamp"] for name in ("train", "validation", "test")
    }
    assert len(times["train"]) >= 1
    assert len(times["train"]) >= len(table) * ratios[0] / sum(ratios) - 1e-6
    order = [name for name in times if len(times[name])]
    for before, after in itertools.pairwise(order):
        assert times[before].max() < times[after].min()


def test_time_without_ties_gives_the_shares():
    table = pl.DataFrame({"user": [0] * 100, "item": range(100), "timestamp": range(100, 0, -1)})
    split = split_interactions(table, "time", ratios=(7, 1, 2))
    assert dict(split["split"].value_counts().iter_rows()) == {"train": 70, "validation": 10, "test": 20}
    assert split.filter(pl.col("split") == "test")["item"].to_list() == list(range(20))


def test_seeds_matter_and_draws_are_spread_evenly():
    table = pl.DataFrame({"user": np.repeat(np.arange(300), 10), "item": np.tile(np.arange(10), 300)})
    one, same, other = (split_interactions(table, "ratio", seed) for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)
    held_out = one.filter(pl.col("split") == "test")["item"].value_counts()
    # 300 draws over 10 items: 30 each, standard deviation 5.2.
    assert len(held_out) == 10
    assert held_out["count"].is_between(8, 52).all()


def test_default_ratio_needs_five_interactions():
    table = pl.DataFrame({"user": [0] * 4 + [1] * 5, "item": [*range(4), *range(5)]})
    split = split_interactions(table, "ratio")
    assert set(split.filter(pl.col("user") == 0)["split"]) == {"train"}
    assert split.filter(pl.col("user") == 1)["split"].sort().to_list() == [
        "test",
        *["train"] * 3,
        "validation",
    ]


def test_given_keeps_what_is_there():
    table = pl.DataFrame({"user": [0, 0], "item": [1, 0], "split": ["test", "train"]})
    assert split_interactions(table, "given")["split"].to_list() == ["train", "test"]


@pytest.mark.parametrize(
    ("strategy", "ratios", "message"),
    [
        ("random", (8, 1, 1), "strategy 'random' is unknown; expected given, ratio"),
        ("given", (8, 1, 1), "2 of 2 interactions have no split"),
        ("time", (8, 1, 1), "2 of 2 interactions have no timestamp"),
        ("ratio", (0, 1, 1), "0:1:1: expected three shares"),
        ("ratio", (1, -1, 1), "three shares"),
        ("time", (1, float("nan"), 1), "three shares"),
    ],
)
def test_what_a_strategy_needs(strategy, ratios, message):
    table = pl.DataFrame({"user": [0, 0], "item": [1, 0]})
    if strategy == "time" and "nan" in str(ratios):
        table = table.with_columns(timestamp=pl.Series([1, 2]))
    with pytest.raises(InputError, match=message):
        split_interactions(table, strategy, ratios=ratios)
