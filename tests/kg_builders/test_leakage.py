"""Graphs made from held-out interactions are caught; honest ones, also very good ones, are not."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kg_builders import InputError, KnowledgeGraph
from kg_builders.leakage import LeakReport, check_leakage, graph_as_written
from kg_builders.schema import ITEM, NAMED_SCHEMA
from kg_builders.sources.triples import read_triples

N_USERS, N_ITEMS, N_GENRES = 250, 300, 12
Pairs = list[tuple[int, int]]


def interactions(seed: int = 0) -> tuple[np.ndarray, pl.DataFrame]:
    """Genre of each item, and choices that it causes, a fifth of them held out at random."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, N_GENRES, N_ITEMS)
    liked = rng.random((N_USERS, N_GENRES)) < 0.15
    keys = 3.0 * liked[:, genre] + rng.gumbel(size=(N_USERS, N_ITEMS)) + rng.normal(size=N_ITEMS)
    item = np.argsort(-keys, axis=1)[:, :12]
    split = np.array(["train"] * 10 + ["validation", "test"])
    rows = {
        "user": np.repeat(np.arange(N_USERS), 12),
        "item": item.ravel(),
        "split": np.concatenate([rng.permutation(split) for _ in range(N_USERS)]),
    }
    return genre, pl.DataFrame(rows).with_columns(pl.col("user", "item").cast(pl.Utf8))


GENRE, CHOICES = interactions()
TRAIN, HELD = CHOICES.filter(pl.col("split") == "train"), CHOICES.filter(pl.col("split") != "train")


def together(choices: pl.DataFrame) -> Pairs:
    """Pairs of items that a user chose both of."""
    baskets = choices.group_by("user").agg(pl.col("item").cast(pl.Int64))["item"].to_list()
    return sorted({pair for basket in baskets for pair in itertools.combinations(sorted(basket), 2)})


def graph(**relations: list[tuple[object, object]]) -> KnowledgeGraph:
    """A graph of relations from items to items (numbers) or to other entities (texts)."""
    named = [
        (ITEM, str(head), name, ITEM if isinstance(tail, int) else name, str(tail), None, "src")
        for name, pairs in relations.items()
        for head, tail in pairs
    ]
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def leaks(report: LeakReport) -> list[tuple[str, str]]:
    return [(leak.relation, leak.trace) for leak in report.leaks]


def write_published_layout(path: Path, choices: pl.DataFrame) -> None:
    """Write "has picture", "has text" and "has sound" of an item once per interaction, as published."""
    lines = [f"{item} {node} {node}" for item in choices["item"] for node in (1, 2, 3)]
    path.write_text("\n".join(lines) + "\n")


def test_triples_repeated_once_per_interaction_are_caught(tmp_path: Path) -> None:
    items = CHOICES["item"]
    write_published_layout(tmp_path / "kg.txt", CHOICES)
    written = graph_as_written(read_triples(tmp_path / "kg.txt", " "), items)
    assert written.n_triples == 3 * len(CHOICES)
    report = check_leakage(written, TRAIN, HELD)
    assert leaks(report) == [("1", "counts"), ("2", "counts"), ("3", "counts")]
    evidence = report.leaks[0].evidence
    assert "100% of " in evidence
    assert "interactions of training and held-out, 0% as many as interactions of training" in evidence
    with pytest.raises(InputError, match=r"relation '1' was made from held-out interactions: 100% .*2 more"):
        report.refuse()
    assert report.to_dict()["found"] is True


def test_counts_of_one_held_out_split_are_caught_and_counts_of_training_are_not(tmp_path: Path) -> None:
    some = CHOICES.filter(pl.col("split") != "test")
    write_published_layout(tmp_path / "kg.txt", some)
    report = check_leakage(
        graph_as_written(read_triples(tmp_path / "kg.txt", " "), CHOICES["item"]), TRAIN, HELD
    )
    assert [leak.trace for leak in report.leaks] == ["counts"] * 3
    assert "training and validation" in report.leaks[0].evidence
    for honest in (TRAIN, CHOICES.unique("item", maintain_order=True)):
        write_published_layout(tmp_path / "kg.txt", honest)
        written = graph_as_written(read_triples(tmp_path / "kg.txt", " "), CHOICES["item"])
        assert not check_leakage(written, TRAIN, HELD).found


def test_pairs_chosen_together_are_caught_if_they_come_from_held_out_interactions() -> None:
    everything, trained, held = together(CHOICES), together(TRAIN), together(HELD)
    kg = graph(all_pairs=everything, train_pairs=trained, held_pairs=held)
    report = check_leakage(kg, TRAIN, HELD)
    assert {relation for relation, _ in leaks(report)} == {"all_pairs", "held_pairs"}
    assert ("all_pairs", "unknown pairs") in leaks(report)
    assert ("held_pairs", "better at held-out") in leaks(report)


def test_baskets_as_entities_are_caught_if_they_hold_held_out_choices() -> None:
    def baskets(choices: pl.DataFrame) -> list[tuple[object, object]]:
        return [(int(item), f"u{user}") for user, item in choices.select("user", "item").iter_rows()]

    report = check_leakage(graph(bought_by=baskets(CHOICES), trained_by=baskets(TRAIN)), TRAIN, HELD)
    assert leaks(report) == [("bought_by", "counts"), ("bought_by", "unknown pairs")]


@pytest.mark.parametrize("seed", range(5))
def test_metadata_that_causes_the_choices_is_no_leak(seed: int) -> None:
    genre, choices = interactions(seed)
    train, held = choices.filter(pl.col("split") == "train"), choices.filter(pl.col("split") != "train")
    rng = np.random.default_rng(seed)
    alike = [(a, b) for a, b in itertools.combinations(range(N_ITEMS), 2) if genre[a] == genre[b]]
    kg = graph(
        genre=[(item, f"g{value}") for item, value in enumerate(genre)],
        noise=[(item, f"n{value}") for item, value in enumerate(rng.integers(0, 30, N_ITEMS))],
        alike=alike,
        picture=[(item, "yes") for item in range(N_ITEMS)],
    )
    report = check_leakage(kg, train, held, np.random.default_rng(seed))
    assert not report.found
    report.refuse()
    shares = {figure["relation"]: figure for figure in report.figures}
    assert shares["alike"]["held_out_share"] == pytest.approx(shares["alike"]["set_aside_share"], rel=0.3)
    assert shares["picture"]["pairs"] == 0


def test_the_same_draws_give_the_same_report_and_few_cases_say_nothing() -> None:
    kg = graph(genre=[(item, f"g{value}") for item, value in enumerate(GENRE)], few=together(HELD)[:10])
    first, second = (check_leakage(kg, TRAIN, HELD, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert not first.found


def test_bad_interactions_are_refused() -> None:
    kg = graph(genre=[(item, f"g{value}") for item, value in enumerate(GENRE)])
    with pytest.raises(InputError, match=r"row 0 is of the split 'validation'|row 0 is of the split 'test'"):
        check_leakage(kg, HELD, HELD)
    with pytest.raises(InputError, match="row 0 is of the split 'train'; expected validation or test"):
        check_leakage(kg, TRAIN, TRAIN)
    with pytest.raises(InputError, match="are in training and held out; expected disjoint splits"):
        check_leakage(kg, TRAIN, TRAIN.drop("split"))
    with pytest.raises(InputError, match="none is with an item of the graph"):
        check_leakage(kg, TRAIN.with_columns(item=pl.lit("x")), HELD)
    with pytest.raises(InputError, match="no column 'item'"):
        check_leakage(kg, TRAIN.drop("item"), HELD)


def test_metadata_is_no_leak_where_time_divides_the_splits() -> None:
    """Items come out over time and users choose new ones: held-out choices join what training didn't."""
    rng = np.random.default_rng(1)
    years, a_year, brands = 10, 60, 40
    year = np.repeat(np.arange(years), a_year)
    brand = rng.integers(0, brands, len(year))
    rows = []
    for now in range(years):
        for user in range(60):
            weight = np.where(year <= now, np.exp(year - now), 0.0)
            weight *= np.where(np.isin(brand, rng.choice(brands, 8, replace=False)), 4, 1)
            chosen = rng.choice(len(year), 10, replace=False, p=weight / weight.sum())
            rows += [(f"u{user}", f"i{item}", now + rng.random()) for item in chosen]
    table = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").sort("time")
    table = table.unique(["user", "item"], keep="first", maintain_order=True).drop("time")
    bound = int(0.8 * len(table))
    kg = graph(
        brand=[(f"i{item}", f"b{value}") for item, value in enumerate(brand)],
        year=[(f"i{item}", f"y{value}") for item, value in enumerate(year)],
    )
    assert leaks(check_leakage(kg, table[:bound], table[bound:])) == []
