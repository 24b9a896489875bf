"""Recommendations against a ranking written out in Python."""

import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.ranking import rank_items
from kdiffe_dgl.serving import Recommender, RunFolder, recommender
from kdiffe_dgl.serving.ranking import rank_rows


@pytest.fixture
def run(tiny_dataset: RecDataset, tmp_path: Path) -> RunFolder:
    """A run of the tiny data set with random representations; user u23 has no training items."""
    folder = RunFolder.create(tmp_path / "run", tiny_dataset, model="m", seed=0, config={})
    rng = np.random.default_rng(5)
    folder.write_representations(rng.normal(size=(24, 6)), rng.normal(size=(18, 6)))
    return folder


@st.composite
def tied_scores(draw: st.DrawFn) -> np.ndarray:
    """Draw a matrix with few distinct values, some of them masked."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 12)))
    return draw(hnp.arrays(np.float32, shape, elements=st.sampled_from([-np.inf, -1.0, 0.0, 2.0])))


@settings(deadline=None)
@given(tied_scores(), st.integers(1, 15))
def test_rank_rows_follows_the_definition_and_the_evaluator(scores: np.ndarray, k: int) -> None:
    columns, values = rank_rows(scores, k)
    for row in range(len(scores)):
        order = sorted(range(scores.shape[1]), key=lambda i, row=row: (-scores[row, i], i))[:k]
        shown = [i for i in order if scores[row, i] > -np.inf]
        assert columns[row][values[row] > -np.inf].tolist() == shown
        assert values[row].tolist() == scores[row, order].tolist()
    items, tops = rank_items(torch.from_numpy(scores), min(k, scores.shape[1]))
    assert tops.tolist() == values.tolist()
    assert items[tops > -torch.inf].tolist() == columns[values > -np.inf].tolist()


def by_definition(run: RunFolder, user: str, k: int, exclude_seen: bool) -> list[tuple[str, float]]:
    """Rank the catalogue for a user who has training items."""
    users, items = run.representations()
    number = run.users().filter(pl.col("id") == user)["user"][0]
    seen = set(run.seen().filter(pl.col("user") == number)["item"]) if exclude_seen else set()
    scores = {i: float(np.float32(users[number] @ items[i])) for i in range(len(items)) if i not in seen}
    ranked = sorted(scores, key=lambda i: (-scores[i], i))[:k]
    return [(run.items()["id"][i], scores[i]) for i in ranked]


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("k", [1, 5, 500])
def test_lists_follow_the_definition(run: RunFolder, k: int, exclude_seen: bool) -> None:
    asked = ["u22", "u0", "u7"]
    frame = Recommender.load(run.path).recommend(asked, k=k, exclude_seen=exclude_seen)
    assert frame["user"].unique(maintain_order=True).to_list() == asked
    assert set(frame["reason"]) == {"model"}
    for user in asked:
        expected = by_definition(run, user, k, exclude_seen)
        part = frame.filter(pl.col("user") == user)
        assert part["item"].to_list() == [item for item, _ in expected]
        assert part["rank"].to_list() == list(range(1, len(expected) + 1))
        np.testing.assert_allclose(part["score"], [score for _, score in expected], rtol=1e-5)
        assert part["label"].to_list() == [item.replace("i", "Item ") for item, _ in expected]


def test_blocks_do_not_change_the_result(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Recommender.load(run.path)
    everyone = [*loaded.users["id"].to_list(), "stranger"]
    whole = loaded.recommend(everyone, k=4, unknown="popular")
    monkeypatch.setattr(recommender, "_BLOCK_SCORES", 3 * 18)
    blocks = loaded.recommend(everyone, k=4, unknown="popular")
    assert blocks.drop("score").equals(whole.drop("score"))
    np.testing.assert_allclose(blocks["score"], whole["score"], rtol=1e-5)


def test_nothing_seen_is_recommended(run: RunFolder) -> None:
    loaded = Recommender.load(run.path)
    frame = loaded.recommend(loaded.users["id"].to_list(), k=18)
    seen = (
        run.seen()
        .join(run.users().select("user", uid="id"), on="user")
        .join(run.items().select("item", iid="id"), on="item")
    )
    assert not len(frame.join(seen, left_on=["user", "item"], right_on=["uid", "iid"]))
    assert len(frame) == 24 * 18 - len(seen)


def test_users_without_model_get_what_is_popular(run: RunFolder, tiny_dataset: RecDataset) -> None:
    counts = np.asarray(tiny_dataset.matrix("train").sum(axis=0)).ravel()
    expected = sorted(range(18), key=lambda i: (-counts[i], i))[:6]
    frame = Recommender.load(run.path).recommend(["u23", "nobody", "u1"], k=6, unknown="popular")
    for user, reason in (("u23", "popular: no training items"), ("nobody", "popular: unknown user")):
        part = frame.filter(pl.col("user") == user)
        assert part["item"].to_list() == [f"i{i}" for i in expected]
        assert part["score"].to_list() == counts[expected].tolist()
        assert part["reason"].unique().to_list() == [reason]
    assert frame.filter(pl.col("user") == "u1")["reason"].unique().to_list() == ["model"]


def test_user_without_training_items_is_known(run: RunFolder) -> None:
    assert len(Recommender.load(run.path).recommend(["u23"], k=3)) == 3


def test_seen_validation_item_of_a_user_without_training_items_is_left_out(tmp_path: Path) -> None:
    users = pl.DataFrame({"user": [0, 1], "id": ["a", "b"], "label": ["a", "b"]})
    items = pl.DataFrame({"item": [0, 1, 2], "id": ["x", "y", "z"], "label": ["x", "y", "z"]})
    seen = pl.DataFrame({"user": [0, 1], "item": [1, 0], "split": ["validation", "train"]})
    frame = Recommender(
        users, items, np.ones((2, 1), np.float32), np.ones((3, 1), np.float32), seen
    ).recommend(["a", "b"])
    assert frame.filter(pl.col("user") == "a")["item"].to_list() == ["x", "z"]
    # All scores are equal: the order is that of the data set.
    assert frame.filter(pl.col("user") == "b")["item"].to_list() == ["y", "z"]


def test_one_string_is_one_user_and_repeats_count_once(run: RunFolder) -> None:
    loaded = Recommender.load(run.path)
    assert loaded.recommend("u12", k=2).equals(loaded.recommend(["u12", "u12"], k=2))
    assert loaded.recommend([], k=2).schema == pl.Schema(recommender.RECOMMENDATION_SCHEMA)


def test_unknown_users_are_named_with_their_neighbours(run: RunFolder) -> None:
    loaded = Recommender.load(run.path)
    with pytest.raises(InputError, match=r"unknown user 'u112' and 1 more; the nearest ids are .*'u12'"):
        loaded.recommend(["u1", "u112", "zzz"])
    with pytest.raises(InputError, match="unknown user 'zzz'; expected one of 24 original user ids"):
        loaded.recommend(["zzz"])


def test_ids_that_are_not_utf8_can_be_told(run: RunFolder) -> None:
    recommender = Recommender.load(run.path)
    with pytest.raises(InputError, match=r"unknown user '\\\\udcff'"):
        recommender.recommend(["\udcff"])
    with pytest.raises(InputError, match=r"unknown item '\\\\udcff'"):
        recommender.similar_items("\udcff")
    assert recommender.recommend(["\udcff"], 1, unknown="popular")["user"].to_list() == [r"\udcff"]


def test_neighbours_in_a_large_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommender, "_MAX_COMPARED", 10)
    ids = pl.Series([f"user{i}" for i in range(1000)])
    assert "user123" in recommender.nearest("user1234", ids.slice(120, 20))
    assert recommender.nearest("", ids) == []


@pytest.mark.parametrize(
    ("options", "message"), [({"k": 0}, "k is 0"), ({"unknown": "guess"}, "unknown is 'guess'")]
)
def test_bad_options_are_named(run: RunFolder, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recommender.load(run.path).recommend(["u1"], **options)


def test_similar_items_by_cosine(run: RunFolder) -> None:
    _, items = run.representations()
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    cosine = unit @ unit[3]
    expected = sorted((i for i in range(18) if i != 3), key=lambda i: -cosine[i])[:5]
    frame = Recommender.load(run.path).similar_items("i3", k=5)
    assert frame["item"].to_list() == [f"i{i}" for i in expected]
    np.testing.assert_allclose(frame["score"], cosine[expected], rtol=1e-5)
    assert len(Recommender.load(run.path).similar_items("i3", k=99)) == 17


def test_similar_items_of_what_does_not_exist(run: RunFolder) -> None:
    loaded = Recommender.load(run.path)
    with pytest.raises(InputError, match="unknown item 'i33'; the nearest ids are 'i3'"):
        loaded.similar_items("i33")
    with pytest.raises(InputError, match="k is 0"):
        loaded.similar_items("i3", k=0)


def test_item_without_direction_is_similar_to_nothing(run: RunFolder) -> None:
    _, items = run.representations()
    items[4] = 0.0
    run.write_representations(np.ones((24, 6)), items)
    assert Recommender.load(run.path).similar_items("i4")["score"].to_list() == [0.0] * 17


def test_needs_neither_torch_nor_dgl(run: RunFolder) -> None:
    program = (
        "import sys\n"
        "from kdiffe_dgl.serving import Recommender\n"
        f"assert len(Recommender.load({str(run.path)!r}).recommend(['u1'], k=3)) == 3\n"
        "print(sorted({'torch', 'dgl'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("width", [256, 257, 319, 320, 5000, 40_000])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("distinct", [2, 40, 10**6])
def test_wide_rows_are_ranked_by_chunks_in_the_same_order(width: int, k: int, distinct: int) -> None:
    rng = np.random.default_rng(width + k)
    scores = rng.integers(0, distinct, (6, width)).astype(np.float32)
    scores[0, rng.permutation(width)[: width - 2]] = -np.inf  # fewer than k are left
    scores[1, : width - 1] = -np.inf  # the last, ragged chunk alone
    scores[2] = 7
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    columns, values = rank_rows(scores, k)
    items, tops = rank_items(torch.from_numpy(scores), k)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))
    np.testing.assert_array_equal(tops.numpy(), values)
    shown = values > -np.inf
    np.testing.assert_array_equal(columns[shown], expected[shown])
    np.testing.assert_array_equal(items.numpy()[shown], expected[shown])
    assert columns.max() < width
    assert items.max() < width
