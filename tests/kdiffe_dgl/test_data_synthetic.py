"""The planted data: interactions follow the relevant relations and not the others, and the truth is told."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.planted_files import save_planted
from kdiffe_dgl.data.synthetic import PlantedConfig, picture_features, planted
from kdiffe_dgl.errors import InputError


@pytest.fixture(scope="module")
def example():
    return planted(PlantedConfig(seed=3, noise=0.2, false_triples=0.25))


def _lift(example, triples):
    """How much likelier two items of one user share a value than two items by chance."""
    items = {name: number for number, name in enumerate(example.dataset.items["id"])}
    values = {name: number for number, name in enumerate(triples["tail_id"].unique(maintain_order=True))}
    member = np.zeros((len(items), len(values)))
    for head, tail in triples.select("head_id", "tail_id").iter_rows():
        member[items[head], values[tail]] = 1
    share = (member @ member.T > 0).astype(float)
    np.fill_diagonal(share, 0)
    liked = example.dataset.matrix().toarray()
    together = np.einsum("ui,ij,uj->", liked, share, liked)
    count = liked.sum(axis=1)
    return together / (count * (count - 1)).sum() / (share.sum() / (len(items) * (len(items) - 1)))


def test_relevant_relations_cause_interactions_and_noise_relations_do_not(example):
    triples = example.triples
    for relation in example.config.relevant:
        of_relation = triples.filter(pl.col("relation") == relation)
        assert _lift(example, of_relation.filter("relevant")) > 1.3
        assert abs(_lift(example, of_relation.filter(~pl.col("relevant"))) - 1) < 0.2
    for relation in example.config.noise_relations:
        of_relation = triples.filter(pl.col("relation") == relation)
        assert not of_relation["relevant"].any()
        assert abs(_lift(example, of_relation) - 1) < 0.1


def test_the_truth_of_interactions(example):
    causes = example.causes
    assert len(causes) == len(example.dataset.interactions)
    # 400 users, about 15 each: the standard error of the share is 0.005.
    assert causes["by_chance"].mean() == pytest.approx(0.2, abs=0.025)
    mean = dict(causes.group_by("by_chance").agg(pl.col("shared").mean()).iter_rows())
    assert mean[False] > mean[True] + 0.8
    likes = {}
    for user, _, tail in example.preferences.select("user_id", "relation", "tail_id").iter_rows():
        likes.setdefault(user, set()).add(tail)
    true_values = {}
    for head, tail in example.triples.filter("relevant").select("head_id", "tail_id").iter_rows():
        true_values.setdefault(head, set()).add(tail)
    for row in causes.sample(200, seed=1).iter_rows(named=True):
        assert row["shared"] == len(likes[row["user_id"]] & true_values[row["item_id"]])


def test_counts_follow_the_configuration(example):
    config = example.config
    assert (example.dataset.n_users, example.dataset.n_items) == (config.n_users, config.n_items)
    per_user = example.dataset.matrix().getnnz(axis=1)
    assert per_user.min() >= 5
    assert per_user.mean() == pytest.approx(config.interactions_per_user, abs=0.7)
    relevant = example.triples.filter(pl.col("relation") == "genre")
    assert relevant["relevant"].sum() == config.n_items * config.values_per_item
    assert (~relevant["relevant"]).sum() == round(0.25 * config.n_items * config.values_per_item)
    kg = example.dataset.kg
    assert kg.n_triples == len(example.triples)
    assert kg.item_coverage() == 1.0
    assert set(example.dataset.features) == {"image", "text"}


def test_pictures_show_the_first_relevant_relation(example):
    features = example.dataset.features["image"]
    values = (
        example.triples.filter((pl.col("relation") == "genre") & pl.col("relevant"))
        .group_by("head_id")
        .agg(pl.col("tail_id").sort().str.join(" "))
        .sort("head_id")["tail_id"]
        .to_numpy()
    )
    same = values[:, None] == values[None, :]
    np.fill_diagonal(same, False)
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert same.sum() > 50
    assert distance[same].max() < np.median(distance[~same])


def test_picture_features_are_means_and_deviations():
    picture = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    picture[0, :4] = 255
    mean, deviation, tiles = np.split(picture_features(picture)[0], [3, 6])
    np.testing.assert_allclose(mean, 0.5)
    np.testing.assert_allclose(deviation, 0.5)
    np.testing.assert_allclose(tiles.reshape(4, 4, 3)[:, :, 0], [[1] * 4, [1] * 4, [0] * 4, [0] * 4])


def test_same_seed_same_data_other_seed_other_data():
    config = {"n_users": 30, "n_items": 40, "interactions_per_user": 8}
    one, same, other = (planted(PlantedConfig(seed=seed, **config)) for seed in (1, 1, 2))
    assert one.dataset.fingerprint == same.dataset.fingerprint
    assert one.metadata.equals(same.metadata)
    np.testing.assert_array_equal(one.pictures, same.pictures)
    assert one.dataset.fingerprint != other.dataset.fingerprint


def test_files(tmp_path):
    from PIL import Image

    made = planted(PlantedConfig(n_users=20, n_items=30, interactions_per_user=6, picture_size=8))
    save_planted(made, tmp_path / "p")
    assert RecDataset.load(tmp_path / "p").fingerprint == made.dataset.fingerprint
    RecDataset.verify(tmp_path / "p")
    truth = json.loads((tmp_path / "p/truth/truth.json").read_text())
    assert truth["relevant_relations"] == ["genre", "maker"]
    assert truth["noise_relations"] == ["warehouse", "courier"]
    assert truth["config"]["n_items"] == 30
    assert pl.read_parquet(tmp_path / "p/truth/triples.parquet").equals(made.triples)
    lines = (tmp_path / "p/raw/items.jsonl").read_text().splitlines()
    assert len(lines) == 30
    stated = {(json.loads(line)["id"], tail) for line in lines for tail in json.loads(line)["genre"]}
    of_genre = made.triples.filter(pl.col("relation") == "genre")
    assert stated == set(of_genre.select("head_id", "tail_id").iter_rows())
    first = json.loads(lines[0])
    with Image.open(tmp_path / "p/raw" / first["image"]) as picture:
        np.testing.assert_array_equal(np.asarray(picture), made.pictures[0])
    assert len(list((tmp_path / "p/raw/pictures").iterdir())) == 30


@pytest.mark.parametrize(
    "change",
    [
        {"n_users": 0},
        {"noise": 1.5},
        {"false_triples": -0.1},
        {"values_per_item": 17},
        {"interactions_per_user": 4},
        {"interactions_per_user": float("nan")},
        {"relevant": ()},
        {"noise_relations": ("genre",)},
    ],
)
def test_impossible_configurations(change):
    with pytest.raises(InputError, match="planted data"):
        PlantedConfig(**change)
