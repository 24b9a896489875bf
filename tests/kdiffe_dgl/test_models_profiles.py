"""Profile views against the definition: plain loops and dense algebra in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kdiffe_dgl.evaluation.evaluator import Evaluator, dot_product
from kdiffe_dgl.models.climb import climb
from kdiffe_dgl.models.fusion import append_profiles
from kdiffe_dgl.models.kdiffe import KDiffE, _spread
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.profile_tables import (
    FactTable,
    fact_directions,
    fact_weights,
    feature_table,
    interaction_table,
)
from kdiffe_dgl.models.profiles import (
    FACTS,
    INTERACTIONS,
    FactEdges,
    ProfileConfig,
    ProfileSource,
    ProfileView,
    ProfileViews,
    profile_scale,
)
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.progress import NoProgress
from kdiffe_dgl.training.restore import restore_model
from kdiffe_dgl.training.run import train_run
from kdiffe_dgl.training.trainer import Trainer

# Items 0 to 3, entities 4 to 6; item 3 has no fact; one edge stands twice.
ITEMS = np.array([0, 0, 1, 2, 2, 2, 0])
ENTITIES = np.array([4, 5, 4, 4, 6, 0, 4])
EDGES = FactEdges(ITEMS, ENTITIES, 7)
OF_A = ProfileSource("features", "a")


def facts_by_hand() -> np.ndarray:
    known = {(0, 4), (0, 5), (1, 4), (2, 4), (2, 6), (2, 0)}
    rows = np.zeros((4, 7))
    for item, entity in known:
        having = sum(other == entity for _, other in known)
        rows[item, entity] = np.log(4 / having)
    lengths = np.array([np.sqrt(sum(value**2 for value in row)) for row in rows])
    return rows / np.maximum(lengths, 1e-12)[:, None]


def test_rows_of_facts_by_hand() -> None:
    facts = FactTable.of(fact_weights(ITEMS, ENTITIES, (4, 7)), 4)
    rows = facts_by_hand()
    lengths = np.linalg.norm(facts.weights.toarray(), axis=1, keepdims=True)
    np.testing.assert_allclose(facts.weights.toarray(), rows * lengths, atol=1e-12)
    assert facts.weights[0, 5] == pytest.approx(np.log(4))
    np.testing.assert_allclose(facts.table @ facts.directions.T, rows, atol=1e-6)


def test_a_fact_of_all_items_says_nothing() -> None:
    weights = fact_weights(np.arange(4), np.full(4, 6), (4, 7))
    assert not weights.toarray().any()
    assert fact_directions(weights, 3).shape == (7, 0)


def test_all_directions_keep_the_products_of_rows_and_few_are_the_best_of_their_rank() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((12, 9)) * (rng.random((12, 9)) < 0.5)
    rows = sp.csr_array(dense)
    table = rows @ fact_directions(rows, 100)
    np.testing.assert_allclose(table @ table.T, dense @ dense.T, atol=1e-10)
    few = rows @ fact_directions(rows, 3)
    left, values, _ = np.linalg.svd(dense)
    best = left[:, :3] * values[:3]
    np.testing.assert_allclose(few @ few.T, best @ best.T, atol=1e-8)


def test_table_of_features_is_whitened() -> None:
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5)) + 3).astype(np.float32)
    centred = features - features.mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :4] / np.linalg.norm(left[:, :4], axis=1, keepdims=True)
    found = feature_table(features, 4)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_products_of_the_interaction_table_are_partial_correlations() -> None:
    rng = np.random.default_rng(4)
    dense = (rng.random((14, 9)) < 0.4).astype(np.float32)
    dense[:, 5] = 0  # met by nobody
    found = interaction_table(sp.csr_matrix(dense), 100, ridge=0.5)
    inverse = np.linalg.inv(dense.T @ dense + 0.5 * dense.sum() / 9 * np.eye(9))
    scale = np.sqrt(np.diag(inverse))
    expected = -inverse / np.outer(scale, scale)
    others = ~np.eye(9, dtype=bool)
    np.testing.assert_allclose((found @ found.T)[others], expected[others], atol=1e-5)
    np.testing.assert_allclose(found[5], 0, atol=1e-6)


def test_few_directions_of_interactions_are_those_that_matter_most() -> None:
    rng = np.random.default_rng(5)
    dense = (rng.random((30, 12)) < 0.3).astype(np.float32)
    found = interaction_table(sp.csr_matrix(dense), 3, ridge=0.5)
    _, values, directions = np.linalg.svd(dense.astype(np.float64))
    share = values[:3] ** 2 / (values[:3] ** 2 + 0.5 * dense.sum() / 12)
    kept = directions[:3].T @ np.diag(share) @ directions[:3]
    left = np.sqrt(1 - np.diag(kept))
    np.testing.assert_allclose(found @ found.T, kept / np.outer(left, left), atol=1e-5)


def test_a_ridge_of_almost_nothing_leaves_finite_numbers() -> None:
    dense = (np.random.default_rng(6).random((9, 5)) < 0.5).astype(np.float32)
    assert np.isfinite(interaction_table(sp.csr_matrix(dense), 100, ridge=1e-17)).all()


def test_nothing_agrees_where_nobody_met_anything() -> None:
    assert not interaction_table(sp.csr_matrix((3, 4), dtype=np.float32), 2, ridge=10.0).any()


def test_the_weight_is_the_mean_deviation_of_the_scores() -> None:
    rng = np.random.default_rng(2)
    items = rng.normal(size=(11, 3)).astype(np.float32)
    profiles = rng.normal(size=(6, 3)).astype(np.float32)
    profiles[2] = 0  # has met nothing
    scale = profile_scale(profiles, items, 0.7)
    scores = (profiles * scale) @ (items * scale).T
    assert np.delete(scores, 2, axis=0).std(axis=1).mean() == pytest.approx(0.7, rel=1e-5)
    ratio = scores[0] / (profiles @ items.T)[0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_alike_products_rank_nothing() -> None:
    assert profile_scale(np.ones((3, 2), np.float32), np.ones((4, 2), np.float32), 1.0) == 0


def test_scores_are_agreement_with_the_mean_of_the_items_met() -> None:
    interactions = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=np.float32))
    config = ProfileConfig(knowledge_weight=1.0, modality_weight=0.5, interaction_weight=0.2, rank=10)
    features = {"a": np.random.default_rng(3).normal(size=(4, 2)).astype(np.float32)}
    views = ProfileViews(config, interactions, features, has_facts=True).views(EDGES, learned=1.0)
    assert [view.source for view in views] == [FACTS, OF_A, INTERACTIONS]
    assert [view.source.label for view in views] == ["facts", "features of a", "interactions"]
    rows = facts_by_hand()
    expected = np.array([(rows[0] + rows[1]) / 2, rows[2], np.zeros(7)]) @ rows.T
    found = views[0].users @ views[0].items.T
    np.testing.assert_allclose(found / found[0, 0], expected / expected[0, 0], atol=1e-5)
    known = interaction_table(interactions, 10, config.ridge)
    expected = np.array([(known[0] + known[1]) / 2, known[2], np.zeros(known.shape[1])]) @ known.T
    found = views[2].users @ views[2].items.T
    np.testing.assert_allclose(found / found[0, 0], expected / expected[0, 0], atol=1e-5)


@pytest.mark.parametrize("main", ["full", "regenerated"])
def test_the_model_adds_profiles_over_the_graph_that_it_reads(tiny_dataset: Any, main: str) -> None:
    def make(weight: float) -> KDiffE:
        generator = torch.Generator().manual_seed(0)
        config = KDiffEConfig.model_validate(
            {"dim": 4, "knowledge": {"main": main}, "profile": {"knowledge_weight": weight}}
        )
        model = KDiffE(tiny_dataset, config, generator, torch.device("cpu"))
        model.begin_epoch(generator)
        return model

    without, model = make(0.0), make(2.0)
    plain, full = (
        (users @ items.T).numpy() for users, items in map(KDiffE.representations, (without, model))
    )
    head, tail = model.edges.head.numpy(), model.edges.tail.numpy()
    if main == "regenerated":
        assert model.regenerated is not None
        kept = model.regenerated.kept.numpy()
        assert not kept.all()
        head, tail = head[kept], tail[kept]
    of_items = head < model.n_items
    shape = model.n_items, len(model.entity_embedding)
    rows = fact_weights(head[of_items], tail[of_items], shape).toarray()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    met = tiny_dataset.matrix("train").toarray() > 0
    profiles = np.array([rows[row].mean(axis=0) if row.any() else rows[0] * 0 for row in met])
    agreement = profiles @ rows.T
    agreement *= 2.0 * plain.std(axis=1).mean() / agreement[met.any(axis=1)].std(axis=1).mean()
    np.testing.assert_allclose(full - plain, agreement, atol=1e-3)


def test_facts_are_factorised_anew_when_the_graph_changes_and_only_then() -> None:
    interactions = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=np.float32))
    config = ProfileConfig(knowledge_weight=1.0)
    views = ProfileViews(config, interactions, {}, has_facts=True)
    first = views.views(EDGES, learned=1.0)[0]
    again = views.views(FactEdges(ITEMS.copy(), ENTITIES.copy(), 7), learned=1.0)[0]
    assert again.facts is first.facts
    fewer = FactEdges(ITEMS[1:5], ENTITIES[1:5], 7)
    other = views.views(fewer, learned=1.0)[0]
    fresh = ProfileViews(config, interactions, {}, has_facts=True).views(fewer, learned=1.0)[0]
    np.testing.assert_array_equal(other.users @ other.items.T, fresh.users @ fresh.items.T)
    assert not np.allclose(other.users @ other.items.T, first.users @ first.items.T)


def test_fitted_weights_are_the_best_that_were_measured_and_are_saved_with_the_model() -> None:
    interactions = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=np.float32))
    features = {"a": np.random.default_rng(3).normal(size=(4, 2)).astype(np.float32)}
    config = ProfileConfig(knowledge_weight=0.1, modality_weight=0.2, rank=10, fit_weights=True)
    profiles = ProfileViews(config, interactions, features, has_facts=True)
    assert profiles.weights == {FACTS: 0.1, OF_A: 0.2}

    def measure(views: list[ProfileView]) -> float:
        """Best with facts of weight 0.4 and without the features; scales are the roots of weights."""
        unit = ProfileViews(ProfileConfig(knowledge_weight=1, rank=10), interactions, {}, has_facts=True)
        whole = unit.views(EDGES, learned=4.0)[0].scale
        weights = {view.source: view.scale for view in views}
        return -abs((weights.get(FACTS, 0.0) / whole) ** 2 - 0.4) - weights.get(OF_A, 0.0)

    profiles.fit(EDGES, 4.0, measure)
    assert profiles.weights == {FACTS: 0.4, OF_A: 0.0}
    assert [view.source for view in profiles.views(EDGES, learned=4.0)] == [FACTS]
    again = ProfileViews(config, interactions, features, has_facts=True)
    again.load_state_dict(profiles.state_dict())
    assert again.weights == profiles.weights
    again.reset()
    assert again.weights == {FACTS: 0.1, OF_A: 0.2}


def test_a_view_of_weight_0_is_not_fitted() -> None:
    config = ProfileConfig(modality_weight=0.2, fit_weights=True)
    features = {"a": np.eye(3, dtype=np.float32)}
    found = ProfileViews(config, sp.csr_matrix(np.eye(3, dtype=np.float32)), features, has_facts=True)
    assert found.weights == {OF_A: 0.2}


def test_a_run_has_the_weights_that_were_fitted_at_its_best_epoch(tiny_dataset: Any, tmp_path: Any) -> None:
    settings = [
        "model.dim=8", "training.epochs=3", "training.min_steps=2",
        "model.profile={knowledge_weight: 0.1, modality_weight: 0.1, interaction_weight: 0.1}",
        "model.profile.rank=4", "model.profile.fit_weights=true",
    ]  # fmt: skip
    outcome = train_run(tiny_dataset, tmp_path / "run", resolve({}, settings), seed=3, device="cpu")
    scoring = outcome.fit.scoring
    assert scoring is not None
    run = RunFolder(tmp_path / "run")
    users, items = (torch.from_numpy(table) for table in run.representations())
    validator = Evaluator(tiny_dataset, "validation", cutoffs=(5, 10, 20, 50))
    found = validator.evaluate(dot_product(users, items)).metrics
    assert run.metrics()["validation"] == found == scoring.validation
    assert run.metrics()["scoring_weights"] == scoring.weights
    # Fitting starts from the weights that the epoch was chosen with, and can't lose.
    epoch = run.history()[outcome.fit.best_epoch - 1]
    assert found["recall@20"] >= epoch["validation"]["recall@20"]
    model = restore_model(run, tiny_dataset)
    assert model.scoring_weights() == scoring.weights
    again = model.representations()
    torch.testing.assert_close(again[0] @ again[1].T, users @ items.T, atol=1e-4, rtol=1e-4)

    # What climbing found, found again from the files, by the definition of the views.
    assert isinstance(model, KDiffE)
    learned = model.joint(model.score_views())

    def value(weights: tuple[float, ...]) -> float:
        views = model.profiles.views(model._fact_edges(), _spread(learned), weights)
        return float(validator.evaluate(dot_product(*append_profiles(learned, views))).metrics["recall@20"])

    fitted = tuple(scoring.weights.values())
    assert climb(fitted, value) == (fitted, found["recall@20"])
    # The weights of the settings are a place to start from, too, wherever the epoch's fit had ended.
    assert found["recall@20"] >= climb((0.1,) * len(fitted), value)[1]


def test_weights_are_fitted_at_the_fourth_validation_too(tiny_dataset: Any, tmp_path: Path) -> None:
    settings = [
        "model.dim=8", "training.epochs=5", "training.min_steps=2", "model.profile.rank=4",
        "model.profile.knowledge_weight=0.1", "model.profile.modality_weight=0.1",
        "model.profile.fit_weights=true", "training.monitor=ndcg@5",
    ]  # fmt: skip
    judge = Evaluator(tiny_dataset, "validation", cutoffs=(5,))

    class Watch(NoProgress):
        """Keeps the weights after each epoch, and what climbing finds at the fourth."""

        seen: ClassVar[list[tuple[float, ...]]] = []
        expected: tuple[float, ...] = ()

        def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
            model = trainer.model
            assert isinstance(model, KDiffE)
            self.seen.append(tuple(model.scoring_weights().values()))
            users, items = model.representations()
            assert judge.evaluate(dot_product(users, items)).metrics["ndcg@5"] == pytest.approx(
                record["validation"]["ndcg@5"]
            )
            if record["epoch"] != 4:
                return
            learned = model.joint(model.score_views())

            def value(weights: tuple[float, ...]) -> float:
                views = model.profiles.views(model._fact_edges(), _spread(learned), weights)
                found = judge.evaluate(dot_product(*append_profiles(learned, views)))
                return float(found.metrics["ndcg@5"])

            self.expected = climb(self.seen[0], value)[0]

    watch = Watch()
    config = resolve({}, settings)
    trainer = Trainer(tiny_dataset, config, 3, torch.device("cpu"), watch)
    run = RunFolder.create(
        tmp_path / "run", tiny_dataset, model="kdiffe", seed=3, config=config.to_dict(), overwrite=False
    )
    trainer.fit(run)
    assert watch.seen[:3] == [(0.1,) * len(watch.expected)] * 3
    assert watch.seen[3:] == [watch.expected] * 2
    assert watch.expected != watch.seen[0]
