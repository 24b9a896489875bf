"""The benchmark of what facts could add: agreement and metrics by hand, folds, data where facts matter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import agreement
import ceiling
import numpy as np
import polars as pl
import pytest
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluator, dot_product
from kdiffe_dgl.serving.run_folder import RunFolder


@pytest.fixture
def dataset(tiny_dataset: RecDataset) -> RecDataset:
    """The tiny data set, with a user who chose something but has met nothing."""
    split = pl.when((pl.col("user") == 22) & (pl.col("split") == "train")).then(pl.lit("validation"))
    changed = tiny_dataset.interactions.with_columns(split.otherwise("split").alias("split"))
    return tiny_dataset.replace(interactions=changed)


def tables(dataset: RecDataset) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    drawn = [rng.normal(size=(size, 4)).astype(np.float32) for size in (dataset.n_users, dataset.n_items)]
    return drawn[0], drawn[1]


def choices(dataset: RecDataset, split: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for user, item in dataset.pairs(split).tolist():
        found.setdefault(user, []).append(item)
    return found


def write_run(folder: Path, dataset: RecDataset, users: np.ndarray, items: np.ndarray) -> Path:
    run = RunFolder.create(folder, dataset, model="kdiffe", seed=0, config={})
    run.write_representations(users, items)
    return run.path


# --- agreement -----------------------------------------------------------------------------------


def expected_agreement(cosine: np.ndarray, dataset: RecDataset, found: ceiling.Candidates) -> np.ndarray:
    """Look at one user and one candidate at a time, ``[2, users, candidates]``."""
    train = choices(dataset, "train")
    expected = np.zeros((2, *found.items.shape))
    for row, user in enumerate(found.users.tolist()):
        for place, item in enumerate(found.items[row].tolist()):
            values = sorted((cosine[met, item] for met in train.get(user, ())), reverse=True)
            if values:
                expected[:, row, place] = np.mean(values), np.mean(values[:3])
    return expected


@pytest.mark.parametrize("cells", [1, 200, 2**22])
def test_agreement_of_facts_is_that_of_a_dense_matrix(dataset, monkeypatch, cells):
    monkeypatch.setattr(agreement, "CELLS", cells)
    found = ceiling.find_candidates(dataset, *tables(dataset), 7)
    has = np.zeros((dataset.n_items, dataset.kg.n_entities))
    for head, tail in dataset.kg.triples.select("head", "tail").rows():
        for item, entity in ((head, tail), (tail, head)):
            if item < dataset.n_items:
                has[item, entity] = 1
    carriers = has.sum(axis=0)
    weights = has * [np.log(dataset.n_items / n) if n else 0.0 for n in carriers]
    cosine = weights @ weights.T / np.outer(*[np.linalg.norm(weights, axis=1)] * 2)
    given = agreement.agreement(agreement.FactCosines(dataset), found.met, found.items)
    np.testing.assert_allclose(given, expected_agreement(cosine, dataset, found), atol=1e-6)
    assert np.std(given[0]) > 0.05
    assert 22 in found.users  # who has met nothing


@pytest.mark.parametrize("cells", [1, 2**22])
def test_agreement_of_features_is_that_of_a_dense_matrix(dataset, monkeypatch, cells):
    monkeypatch.setattr(agreement, "CELLS", cells)
    found = ceiling.find_candidates(dataset, *tables(dataset), 7)
    features = dataset.features["image"].astype(np.float64)
    centred = features - features.mean(axis=0)
    cosine = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    given = agreement.agreement(agreement.FeatureCosines(dataset.features["image"]), found.met, found.items)
    np.testing.assert_allclose(given, expected_agreement(cosine, dataset, found), atol=1e-6)
    assert given[1].min() < 0 < given[1].max()


# --- candidates and metrics ----------------------------------------------------------------------


def test_candidates_are_the_best_items_not_met(dataset):
    users, items = tables(dataset)
    found = ceiling.find_candidates(dataset, users, items, 17)
    train, chosen = choices(dataset, "train"), choices(dataset, "validation")
    assert found.users.tolist() == sorted(chosen)
    degrees = dataset.matrix("train").toarray()
    by_user, by_item = degrees.sum(axis=1), degrees.sum(axis=0)
    for row, user in enumerate(found.users.tolist()):
        scores = {item: users[user] @ items[item] for item in range(dataset.n_items)}
        free = [item for item in scores if item not in train.get(user, ())]
        best = sorted(free, key=lambda item: -scores[item])[:17]
        n_found = len(best)
        assert found.items[row, :n_found].tolist() == best
        np.testing.assert_allclose(found.scores[row, :n_found], [scores[item] for item in best], rtol=1e-5)
        assert np.isnan(found.scores[row, n_found:]).all()
        expected = [item in chosen[user] for item in best] + [False] * (17 - n_found)
        assert found.chosen[row].tolist() == expected
        assert found.n_chosen[row] == len(chosen[user])
        for place, item in enumerate(best):
            together = sum(
                degrees[other, met]
                * degrees[other, item]
                / by_user[other]
                / np.sqrt(by_item[met] * by_item[item])
                for other in range(dataset.n_users)
                for met in train.get(user, ())
                if degrees[other, item]
            )
            assert found.cooccurrence[row, place] == pytest.approx(together, abs=1e-5)


def test_figures_of_the_model_are_those_of_its_evaluation(dataset, monkeypatch):
    monkeypatch.setattr(ceiling, "CUTOFF", 3)
    monkeypatch.setattr(ceiling, "METRICS", ("recall@3", "ndcg@3"))
    users, items = tables(dataset)
    score = dot_product(torch.from_numpy(users), torch.from_numpy(items))
    whole = Evaluator(dataset, "validation", ("train",), (3,), unknown="scores").evaluate(score)
    for n_candidates in (3, 9, 18):
        found = ceiling.find_candidates(dataset, users, items, n_candidates)
        own = ceiling.measured(found, found.scores)
        for metric in ceiling.METRICS:
            np.testing.assert_allclose(own.per_user[metric], whole.per_user[metric])
            assert own.metrics[metric] == pytest.approx(whole.metrics[metric])
        best = ceiling.measured(found, found.chosen.astype(float))
        reachable = np.minimum(found.chosen.sum(axis=1), 3) / found.n_chosen
        np.testing.assert_allclose(best.per_user["recall@3"], reachable)
    # With all items among the candidates, nothing is lost but what a list can't hold.
    assert best.per_user["ndcg@3"].tolist() == [1.0] * len(found.users)
    # Places without an item stay last, however they are preferred.
    nothing = np.where(np.isnan(found.scores), 9.0, found.scores)
    assert ceiling.measured(found, nothing).metrics == own.metrics


# --- the ranker ----------------------------------------------------------------------------------


def test_a_user_is_ranked_by_the_choices_of_others(dataset):
    found = ceiling.find_candidates(dataset, *tables(dataset), 18)
    columns = [found.scores, found.cooccurrence]
    before = ceiling.CrossFit(found, 2, 0)(columns)
    changed = found.chosen.copy()
    changed[0] = np.roll(changed[0], 1)
    other = ceiling.Candidates(**{**vars(found), "chosen": changed})
    after = ceiling.CrossFit(other, 2, 0)(columns)
    same = (before == after).all(axis=1)
    assert same[0]
    # The other fold learns from user 0, and this one does not.
    assert sorted({int(same.sum()), int((~same).sum())}) == sorted({len(same) // 2, -(-len(same) // 2)})


def test_folds_that_leave_nothing_to_learn_from_are_refused(dataset):
    found = ceiling.find_candidates(dataset, *tables(dataset), 18)
    for folds in (1, len(found.users) + 1):
        with pytest.raises(InputError, match=f"{folds} folds of {len(found.users)} users"):
            ceiling.CrossFit(found, folds, 0)
    nothing = ceiling.Candidates(**{**vars(found), "chosen": np.zeros_like(found.chosen)})
    with pytest.raises(InputError, match="no chosen and unchosen candidates"):
        ceiling.CrossFit(nothing, 2, 0)


def test_facts_that_cause_choices_are_found_and_shuffled_ones_are_not():
    dataset = planted(
        PlantedConfig(
            n_users=160, n_items=150, interactions_per_user=20, noise_relations=(), noise=0.0,
            false_triples=0.0, strength=4.0,
        )
    ).dataset.replace(features={})  # fmt: skip
    # All that this model knows is how popular items are.
    popularity = np.asarray(dataset.matrix("train").sum(axis=0), dtype=np.float32).T
    found = ceiling.find_candidates(dataset, np.ones((160, 1), dtype=np.float32), popularity, 100)
    evaluations = ceiling.look(dataset, found, folds=2, shuffles=2, seed=0)
    assert list(evaluations) == ["score", "interactions", "facts", "shuffled", "ceiling"]
    recall = {name: [each.metrics["recall@20"] for each in several] for name, several in evaluations.items()}
    assert recall["facts"][0] > max(recall["shuffled"]) + 0.08
    assert recall["facts"][0] > recall["interactions"][0] + 0.08
    assert recall["ceiling"][0] >= recall["facts"][0]
    assert recall["shuffled"][0] != recall["shuffled"][1]
    (gain, _) = ceiling.compare_kinds(evaluations, 0)["facts - shuffled"]
    assert gain.difference == pytest.approx(recall["facts"][0] - np.mean(recall["shuffled"]))
    assert gain.p_t < 1e-3
    (loss, _) = ceiling.compare_kinds(evaluations, 0)["shuffled - interactions"]
    assert abs(loss.difference) < gain.difference / 2


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Give a function that runs the benchmark on a data set and returns its figures."""
    threads = torch.get_num_threads()

    def run(dataset: RecDataset, *arguments: str) -> dict:
        dataset.save(tmp_path / "data", overwrite=True)
        if not (tmp_path / "run").exists():
            write_run(tmp_path / "run", dataset, *tables(dataset))
        given = ["run", "data", "--folds", "2", "--shuffles", "1", "--json", "figures.json", *arguments]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ceiling.py", *given])
        ceiling.main()
        return json.loads((tmp_path / "figures.json").read_text())

    yield run
    torch.set_num_threads(threads)


def test_figures_are_printed_and_written(run, dataset, tmp_path, capsys):
    found = run(dataset, "--threads", "1")
    assert list(found["figures"]) == list(ceiling.TITLES)
    assert len(found["comparisons"]) == len(ceiling.PAIRS)
    assert found["users"] == 23
    assert found["candidates"] == dataset.n_items
    assert found["machine"]["threads"] == 1
    printed = capsys.readouterr().out
    for name, title in ceiling.TITLES.items():
        assert title in printed
        assert f"{found['figures'][name][0]['ndcg@20']:.4f}" in printed
    given = found["comparisons"]["everything - features"][0]["difference"]
    assert f"{given:+.4f}" in printed
    # Test choices change nothing.
    train = dataset.interactions.filter(pl.col("split") != "test")
    (tmp_path / "run").rename(tmp_path / "before")
    again = run(dataset.replace(interactions=train))
    assert again["figures"] == found["figures"]


def test_what_the_data_lack_has_no_rows(run, dataset):
    found = run(dataset.replace(kg=None, features={}))
    assert list(found["figures"]) == ["score", "interactions", "ceiling"]
    assert found["comparisons"] == {}


def test_mistakes_are_told(run, dataset, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(dataset, "--candidates", "19")
    with pytest.raises(SystemExit, match="2"):
        run(dataset, "--seed=-1")
    with pytest.raises(SystemExit, match="2"):
        run(dataset.replace(kg=None))
    train = dataset.interactions.with_columns(split=pl.lit("train"))
    with pytest.raises(InputError, match="no validation items"):
        ceiling.find_candidates(dataset.replace(interactions=train), *tables(dataset), 20)
    told = capsys.readouterr().err
    assert "--candidates 19: the lists are longer; expected at least 20" in told
    assert "--seed -1: expected a number from 0" in told
    assert "expected the data set that it was trained on" in told
