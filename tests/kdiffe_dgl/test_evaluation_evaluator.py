"""The evaluator against a ranking written out in Python."""

import json
from typing import Literal

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation import Evaluator, dot_product
from kdiffe_dgl.evaluation.ranking import rank_items
from kdiffe_dgl.serving import Recommender

NAMES = ("train", "validation", "test")


def make_dataset(splits: np.ndarray) -> RecDataset:
    """Make a data set from a matrix [users, items]: -1 no interaction, otherwise index into NAMES."""
    users, items = np.nonzero(splits >= 0)
    return RecDataset(
        name="tiny",
        users=pl.DataFrame({"user": np.arange(len(splits)), "id": [f"u{i}" for i in range(len(splits))]})
        .with_columns(label="id")
        .cast({"user": pl.Int64}),
        items=pl.DataFrame(
            {"item": np.arange(splits.shape[1]), "id": [f"i{i}" for i in range(splits.shape[1])]}
        )
        .with_columns(label="id")
        .cast({"item": pl.Int64}),
        interactions=pl.DataFrame(
            {
                "user": users.astype(np.int64),
                "item": items.astype(np.int64),
                "split": [NAMES[value] for value in splits[users, items]],
            },
            schema={"user": pl.Int64, "item": pl.Int64, "split": pl.Utf8},
        ),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw splits, and scores with few distinct values, so that ties are common."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 9)))
    splits = draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, 2)))
    splits[0, 0] = 2
    return splits, draw(hnp.arrays(np.float32, shape, elements=st.sampled_from([-2.0, 0.0, 0.5, 1.0])))


@settings(deadline=None, max_examples=80)
@given(
    cases(),
    st.sampled_from([(), ("train",), ("train", "validation")]),
    st.integers(1, 4),
    st.sampled_from(["popular", "scores"]),
)
def test_lists_and_metrics_follow_the_definition(
    case: tuple[np.ndarray, np.ndarray],
    mask: tuple[str, ...],
    block: int,
    unknown: Literal["popular", "scores"],
) -> None:
    splits, scores = case
    cutoffs = (1, 3, 20)
    result = Evaluator(make_dataset(splits), "test", mask, cutoffs, block=block, unknown=unknown).evaluate(
        lambda users: torch.from_numpy(scores)[users]
    )
    if unknown == "popular":
        popularity = (splits == 0).sum(axis=0)
        scores = np.where((splits == 0).any(axis=1)[:, None], scores, popularity)
    expected_users = [u for u in range(len(splits)) if (splits[u] == 2).any()]
    assert result.users.tolist() == expected_users
    assert result.n_users_evaluated == len(expected_users)
    assert result.n_users_left_out == len(splits) - len(expected_users)
    masked = {NAMES.index(name) for name in mask}
    lists = {}
    for u in expected_users:
        open_items = [i for i in range(splits.shape[1]) if splits[u, i] not in masked]
        lists[u] = sorted(open_items, key=lambda i, u=u: (-scores[u, i], i))
    for k in cutoffs:
        shown = {u: items[:k] for u, items in lists.items()}
        hits = [sum(splits[u, i] == 2 for i in items) for u, items in shown.items()]
        relevant = [(splits[u] == 2).sum() for u in expected_users]
        np.testing.assert_allclose(result.per_user[f"recall@{k}"], np.divide(hits, relevant))
        np.testing.assert_allclose(result.per_user[f"precision@{k}"], np.divide(hits, k))
        first = [
            next((1 / (r + 1) for r, i in enumerate(items) if splits[u, i] == 2), 0.0)
            for u, items in shown.items()
        ]
        np.testing.assert_allclose(result.per_user[f"mrr@{k}"], first)
        assert result.metrics[f"mrr@{k}"] == pytest.approx(np.mean(first))
        distinct = {i for items in shown.values() for i in items}
        assert result.metrics[f"coverage@{k}"] == pytest.approx(len(distinct) / splits.shape[1])
        counts = [sum(i in items for items in shown.values()) for i in range(splits.shape[1])]
        difference = sum(abs(a - b) for a in counts for b in counts)
        assert result.metrics[f"gini@{k}"] == pytest.approx(difference / (2 * len(counts) * sum(counts)))
        train = splits == 0
        n_train = max(int(train.any(axis=1).sum()), 1)
        bits = -np.log2(np.maximum(train.sum(axis=0), 1) / n_train)
        np.testing.assert_allclose(
            result.per_user[f"novelty@{k}"], [bits[items].mean() for items in shown.values()], atol=1e-12
        )


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 12)),
        elements=st.sampled_from([0.0, 1.0, 2.0, 2.5]),
    ),
    st.data(),
)
def test_ties_go_to_the_lower_index(scores: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, scores.shape[1]))
    items, values = rank_items(torch.from_numpy(scores), k)
    for row, (chosen, value) in enumerate(zip(items.tolist(), values.tolist(), strict=True)):
        assert chosen == sorted(range(scores.shape[1]), key=lambda i, row=row: (-scores[row, i], i))[:k]
        assert value == scores[row, chosen].tolist()


def test_ties_are_broken_alike_in_wide_rows() -> None:
    scores = torch.randint(0, 3, (50, 5000), generator=torch.Generator().manual_seed(0)).float()
    items, _ = rank_items(scores, 100)
    expected = scores.sort(dim=1, descending=True, stable=True).indices[:, :100]
    assert torch.equal(items, expected)


SPLITS = np.array([[0, 1, 2, -1], [0, 0, -1, 2], [-1, 0, 1, -1]])


def test_masked_items_never_enter_a_list() -> None:
    scores = torch.tensor([[9.0, 8.0, 1.0, 0.0], [9.0, 8.0, 1.0, 0.0], [0.0] * 4])
    dataset = make_dataset(SPLITS)
    train = Evaluator(dataset, "test", ("train",), (1, 2)).evaluate(lambda users: scores[users])
    both = Evaluator(dataset, "test", ("train", "validation"), (1, 2)).evaluate(lambda users: scores[users])
    assert train.per_user["recall@1"].tolist() == [0.0, 0.0]
    assert both.per_user["recall@1"].tolist() == [1.0, 0.0]
    assert train.per_user["recall@2"].tolist() == [1.0, 1.0]


def test_users_without_training_items_are_measured_by_what_they_are_served() -> None:
    splits = np.array([[0, 0, -1, 2], [0, -1, 0, 2], [0, -1, -1, -1], [-1, 2, 1, -1], [-1, -1, 2, -1]])
    dataset = make_dataset(splits)
    rng = np.random.default_rng(5)
    users, items = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    seen = dataset.interactions.filter(pl.col("split") != "test")
    served = Recommender(dataset.users, dataset.items, users, items, seen).recommend(
        dataset.users["id"].to_list(), k=2
    )
    relevant = {(f"u{u}", f"i{i}") for u, i in zip(*np.nonzero(splits == 2), strict=True)}
    hits = [
        sum((user, item) in relevant for item in served.filter(pl.col("user") == user)["item"]) / 1
        for user in ("u0", "u1", "u3", "u4")
    ]
    score = dot_product(torch.from_numpy(users), torch.from_numpy(items))
    result = Evaluator(dataset, "test", ("train", "validation"), (2,)).evaluate(score)
    assert result.users.tolist() == [0, 1, 3, 4]
    assert result.per_user["recall@2"].tolist() == hits
    # Item 0 is the most popular one, items 1 and 2 are alike; the last two users have no history.
    assert hits[2:] == [1.0, 0.0]


def test_what_the_score_function_returns_is_not_changed() -> None:
    scores = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    before = scores.clone()
    Evaluator(make_dataset(SPLITS), "test").evaluate(lambda users: scores[: len(users)])
    assert torch.equal(scores, before)


def test_dot_product_scores_and_json() -> None:
    generator = torch.Generator().manual_seed(2)
    users = torch.randn(3, 5, generator=generator, requires_grad=True)
    items = torch.randn(4, 5, generator=generator)
    evaluator = Evaluator(make_dataset(SPLITS), "test", cutoffs=(2, 1, 2))
    result = evaluator.evaluate(dot_product(users, items))
    direct = evaluator.evaluate(lambda rows: (users @ items.T)[rows])
    assert result.metrics == direct.metrics
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert written["cutoffs"] == [1, 2]
    assert written["mask"] == ["train"]
    assert written["n_users_evaluated"] == 2
    assert written["n_users_left_out"] == 1
    assert written["metrics"]["recall@2"] == result.metrics["recall@2"]


@pytest.mark.parametrize(("bad", "row"), [(float("nan"), 1), (float("inf"), 0), (-float("inf"), 1)])
def test_scores_that_are_not_finite_are_refused(bad: float, row: int) -> None:
    scores = torch.zeros(3, 4)
    scores[row, 2] = bad
    with pytest.raises(InputError, match=f"a score of user {row} is NaN or infinite"):
        Evaluator(make_dataset(SPLITS), "test").evaluate(lambda users: scores[users])


@pytest.mark.parametrize("scores", [torch.zeros(2, 3), torch.zeros(1, 4), torch.zeros(2, 4).long()])
def test_scores_of_another_kind_are_refused(scores: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"expected floating point of shape \[2, 4\]"):
        Evaluator(make_dataset(SPLITS), "test").evaluate(lambda users: scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train"}, "unknown split 'train'"),
        ({"split": "test", "mask": ("train", "test")}, "both evaluated and masked"),
        ({"mask": ("trian",)}, "cannot mask 'trian'"),
        ({"mask": "train"}, "expected a list of splits"),
        ({"cutoffs": ()}, "expected numbers from 1 to 1000000"),
        ({"cutoffs": (10, 0)}, "expected numbers from 1 to 1000000"),
        ({"cutoffs": (10, 10**22)}, "expected numbers from 1 to 1000000"),
        ({"block": 0}, "the block is 0 users"),
    ],
)
def test_bad_settings_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Evaluator(make_dataset(SPLITS), **options)


def test_empty_split_is_named() -> None:
    with pytest.raises(InputError, match="the test split is empty"):
        Evaluator(make_dataset(np.array([[0, 1]])), "test")


def test_popularity_on_a_published_data_set(shared_data) -> None:  # type: ignore[no-untyped-def]
    """Recall@20 of popularity on Last.fm, measured independently with another toolkit: 0.1225."""
    rows = pl.read_csv(shared_data / "lfm2k" / "lfm2k.inter", separator="\t")
    names = pl.DataFrame({"x_label": [0, 1, 2], "split": NAMES}).cast({"x_label": pl.Int64})
    interactions = rows.join(names, on="x_label").select(
        pl.col("userID").alias("user"), pl.col("itemID").alias("item"), "split"
    )
    ids = {
        side: pl.DataFrame({side: range(interactions[side].max() + 1)}).with_columns(
            id=pl.col(side).cast(pl.Utf8), label=pl.col(side).cast(pl.Utf8)
        )
        for side in ("user", "item")
    }
    dataset = RecDataset(name="lfm2k", users=ids["user"], items=ids["item"], interactions=interactions)
    popularity = torch.from_numpy(np.asarray(dataset.matrix("train").sum(axis=0))).float().view(-1)
    result = Evaluator(dataset, "test", cutoffs=(20,)).evaluate(
        lambda users: popularity.expand(len(users), -1)
    )
    assert result.metrics["recall@20"] == pytest.approx(0.1225, abs=5e-4)
    assert result.metrics["ndcg@20"] == pytest.approx(0.0754, abs=5e-4)
