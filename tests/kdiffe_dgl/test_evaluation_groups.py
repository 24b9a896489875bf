"""Groups of users and items against loops over each of them."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner

from kdiffe_dgl.api import Run
from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation import Evaluator
from kdiffe_dgl.evaluation.groups import group_values, items_by_popularity, users_by_activity


@pytest.fixture(scope="module")
def dataset() -> RecDataset:
    """Return 30 users and 25 items, among them users and items without training interactions."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(30):
        chosen = rng.choice(25, size=3 + user % 9, replace=False, p=_popularity())
        splits = ["test", "validation", *["train"] * (len(chosen) - 2)]
        rows += [
            (user, int(item), "test" if user < 2 else split)
            for item, split in zip(chosen, splits, strict=True)
        ]
    frame = pl.DataFrame(rows, schema=["user", "item", "split"], orient="row")
    # Item 24 is met in the test split alone, item 23 not at all.
    cold = (pl.col("item") == 24) & (pl.col("split") != "test")
    frame = frame.filter(~cold & (pl.col("item") != 23))
    frame = pl.concat([frame, pl.DataFrame({"user": [5], "item": [24], "split": ["test"]})])
    ids = {"label": pl.lit(None, pl.Utf8)}
    users = pl.DataFrame({"user": range(30), "id": [f"u{n}" for n in range(30)]}).with_columns(**ids)
    items = pl.DataFrame({"item": range(25), "id": [f"i{n}" for n in range(25)]}).with_columns(**ids)
    return RecDataset("grouped", users, items, frame.unique(["user", "item"], keep="first"))


def _popularity() -> np.ndarray:
    weights = 1.0 / np.arange(1, 26)
    return weights / weights.sum()


def training_counts(dataset: RecDataset, column: str, size: int) -> list[int]:
    counts = [0] * size
    for row in dataset.interactions.iter_rows(named=True):
        counts[row[column]] += row["split"] == "train"
    return counts


@pytest.mark.parametrize("n_groups", [1, 2, 4, 9])
def test_users_are_grouped_at_the_quantiles_of_their_activity(dataset, n_groups):
    counts = training_counts(dataset, "user", dataset.n_users)
    active = sorted(count for count in counts if count)
    # A user's group: how many of the quantiles their count is above.
    bounds = {active[-(-len(active) * k // n_groups) - 1] for k in range(1, n_groups)}
    expected = {
        user: sum(count > bound for bound in bounds) if count else -1 for user, count in enumerate(counts)
    }
    found = users_by_activity(dataset, n_groups)
    for one in range(dataset.n_users):
        for other in range(dataset.n_users):
            together = found.member[one] == found.member[other]
            assert together == (expected[one] == expected[other])
    assert found.groups[0].label == "0"
    assert [group.low for group in found.groups] == sorted(group.low for group in found.groups)
    assert sum(group.size for group in found.groups) == dataset.n_users


def test_items_are_grouped_by_thirds_of_the_interactions(dataset):
    counts = training_counts(dataset, "item", dataset.n_items)
    total = sum(counts)
    found = items_by_popularity(dataset)
    names = [found.groups[number].name for number in found.member]
    for item, count in enumerate(counts):
        above = sum(other for other in counts if other > count)
        expected = "cold" if not count else ("head", "mid", "tail")[min(2, 3 * above // total)]
        assert names[item] == expected
    assert set(names) == {"head", "mid", "tail", "cold"}


def test_values_by_group_are_those_of_a_loop_over_users_and_pairs(dataset):
    scores = torch.rand(dataset.n_users, dataset.n_items, generator=torch.Generator().manual_seed(1))
    evaluation = Evaluator(dataset, "test", cutoffs=(3, 10)).evaluate(lambda users: scores[users])
    found = group_values(dataset, evaluation, ["recall@3", "ndcg@10"], n_groups=3)
    users, items = users_by_activity(dataset, 3), items_by_popularity(dataset)

    train = {
        (u, i) for u, i, s in dataset.interactions.select("user", "item", "split").rows() if s == "train"
    }
    test = [(u, i) for u, i, s in dataset.interactions.select("user", "item", "split").rows() if s == "test"]
    popularity = training_counts(dataset, "item", dataset.n_items)
    for user in set(range(dataset.n_users)) - {user for user, _ in train}:
        scores[user] = torch.tensor(popularity)
    lists = {
        user: sorted(
            (item for item in range(dataset.n_items) if (user, item) not in train),
            key=lambda item, user=user: (-float(scores[user, item]), item),
        )
        for user in range(dataset.n_users)
    }
    for number, group in enumerate(items.groups):
        pairs = [(user, item) for user, item in test if items.member[item] == number]
        if not pairs:
            assert group.label not in found["items"]
            continue
        assert found["items"][group.label]["n"] == len(pairs)
        for cutoff in (3, 10):
            share = sum(item in lists[user][:cutoff] for user, item in pairs) / len(pairs)
            assert found["items"][group.label][f"recall@{cutoff}"] == pytest.approx(share)
    for number, group in enumerate(users.groups):
        values = []
        for user in np.flatnonzero(users.member == number):
            mine = [item for whose, item in test if whose == user]
            if mine:
                values.append(sum(item in lists[user][:3] for item in mine) / len(mine))
        assert found["users"][group.label]["n"] == len(values)
        assert found["users"][group.label]["recall@3"] == pytest.approx(np.mean(values))
    # The groups make up the whole.
    whole = sum(each["n"] * each["ndcg@10"] for each in found["users"].values())
    assert whole / evaluation.n_users_evaluated == pytest.approx(evaluation.metrics["ndcg@10"])


def test_bad_questions_are_refused(dataset):
    scores = torch.zeros(dataset.n_users, dataset.n_items)
    evaluation = Evaluator(dataset, "test", cutoffs=(3,)).evaluate(lambda users: scores[users])
    with pytest.raises(InputError, match="'coverage@3' has no values by user"):
        group_values(dataset, evaluation, ["coverage@3"])
    with pytest.raises(InputError, match="0 groups of users; expected at least 1"):
        users_by_activity(dataset, 0)


def test_the_command_shows_groups_where_they_are_asked_for(dataset, tmp_path):
    dataset.save(tmp_path / "data")
    Run.train(dataset, tmp_path / "run", model="popularity")
    command = ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "data"), "--cutoffs", "5"]
    plain, grouped = CliRunner().invoke(main, command), CliRunner().invoke(main, [*command, "--groups"])
    assert grouped.stdout.startswith(plain.stdout)
    assert "Users by number of training interactions" in grouped.stdout
    assert "tail (" in grouped.stdout
    facts = json.loads(CliRunner().invoke(main, [*command, "--groups", "--format", "json"]).stdout)
    users = facts["groups"]["users"].values()
    mean = sum(one["n"] * one["ndcg@5"] for one in users) / sum(one["n"] for one in users)
    assert mean == pytest.approx(facts["metrics"]["ndcg@5"])
