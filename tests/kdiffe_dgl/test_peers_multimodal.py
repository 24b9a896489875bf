"""What multimodal peers share; MGCN, FREEDOM, VBPR and BM3 against dense NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from peer_models import affine, array, batch, make

from kdiffe_dgl.config import Component
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.peers.bm3 import BM3
from kdiffe_dgl.models.peers.diffmm import DiffMM
from kdiffe_dgl.models.peers.freedom import FREEDOM, prune_edges
from kdiffe_dgl.models.peers.item_features import FeatureConfig, ItemFeatures, linear, projected_rows
from kdiffe_dgl.models.peers.item_graph import item_graph
from kdiffe_dgl.models.peers.lgmrec import LGMRec
from kdiffe_dgl.models.peers.mgcn import MGCN
from kdiffe_dgl.models.peers.mmgcn import MMGCN
from kdiffe_dgl.models.peers.slmrec import SLMRec
from kdiffe_dgl.models.peers.vbpr import VBPR
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.trainer import Trainer

CPU = torch.device("cpu")
PEERS: tuple[type[RecommenderModel], ...] = (MGCN, FREEDOM, VBPR, BM3, LGMRec, SLMRec, MMGCN, DiffMM)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def bpr(positive: np.ndarray, negative: np.ndarray) -> float:
    return float(-np.log(sigmoid(positive - negative)).mean())


def rows_dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([a @ b for a, b in zip(first, second, strict=True)])


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return rows_dot(first, second) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


def norm(tables: Iterable[np.ndarray]) -> float:
    return sum(float((table**2).sum()) for table in tables)


def dense_adjacency(pairs: np.ndarray, n_users: int, n_items: int) -> np.ndarray:
    """D^-1/2 A D^-1/2 over users and items."""
    matrix = np.zeros((n_users + n_items, n_users + n_items))
    for user, item in pairs:
        matrix[user, n_users + item] = matrix[n_users + item, user] = 1
    degrees = matrix.sum(axis=1)
    scale = np.array([d**-0.5 if d else 0.0 for d in degrees])
    return scale[:, None] * matrix * scale[None, :]


def layer_mean(adjacency: np.ndarray, model: Any, layers: int) -> np.ndarray:
    x = np.concatenate([array(model.user_embedding), array(model.item_embedding)])
    return sum(np.linalg.matrix_power(adjacency, k) @ x for k in range(layers + 1)) / (layers + 1)


def dense_item_graph(features: np.ndarray, k: int, weighted: bool) -> np.ndarray:
    x = np.asarray(features, dtype=np.float64)
    similarity = np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in x] for a in x])
    weights = np.zeros_like(similarity)
    for row in range(len(x)):
        nearest = sorted(range(len(x)), key=lambda other: -similarity[row, other])[:k]
        for other in nearest:
            if similarity[row, other] > 0:
                weights[row, other] = similarity[row, other] if weighted else 1.0
    scale = weights.sum(axis=1) ** -0.5
    return scale[:, None] * weights * scale[None, :]


# --- what they share -----------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("k", [1, 4, 18])
def test_item_graph_holds_the_normalised_nearest_items(tiny_dataset: Any, k: int, weighted: bool) -> None:
    for features in tiny_dataset.features.values():
        found = item_graph(features, k, weighted).toarray()
        np.testing.assert_allclose(found, dense_item_graph(features, k, weighted), atol=1e-6)


def test_an_item_without_the_feature_has_itself_alone(tiny_dataset: Any) -> None:
    features = tiny_dataset.features["image"].copy()
    features[3] = 0
    graph = item_graph(features, 5, True).toarray()
    assert graph[3, 3] == 1
    assert np.count_nonzero(graph[3]) == np.count_nonzero(graph[:, 3]) == 1


def test_feature_tables_are_trained_or_not_and_scaled_or_not(tiny_dataset: Any) -> None:
    original = list(tiny_dataset.features.values())
    raw = ItemFeatures(tiny_dataset, FeatureConfig(), "some")
    assert raw.modalities == ("image", "text")
    assert raw.widths == [6, 5]
    assert len(list(raw.parameters())) == len(raw.state_dict()) == 2
    for table, matrix in zip(raw.tables, original, strict=True):
        np.testing.assert_array_equal(table.detach(), matrix)
    fixed = ItemFeatures(tiny_dataset, FeatureConfig(trained=False, scaled=True), "some")
    assert not list(fixed.parameters())
    assert not fixed.state_dict()
    for table, matrix in zip(fixed.tables, original, strict=True):
        lengths = np.sqrt((matrix.astype(float) ** 2).sum(axis=1))
        np.testing.assert_allclose(table, matrix / lengths.mean(), rtol=1e-5)


@pytest.mark.parametrize("count", [3, 30])
def test_rows_are_projected_alike_whichever_way_costs_less(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(10, 4, generator=generator, dtype=torch.float64)
    # From the generator, and in double precision: near zero, single precision is off by more than the bound.
    layer = linear(4, 2, generator).double()
    rows = torch.randint(10, (count,), generator=generator)
    expected = affine(layer, array(table))[rows.numpy()]
    np.testing.assert_allclose(array(projected_rows(layer, table, rows)), expected, rtol=1e-5)


@pytest.mark.parametrize("cls", PEERS)
def test_data_without_features_are_refused_in_one_sentence(tiny_dataset: Any, cls: Any) -> None:
    bare = dataclasses.replace(tiny_dataset, features={})
    with pytest.raises(InputError, match=f"no item features.*{cls.name}") as caught:
        make(cls, bare)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", PEERS)
def test_every_parameter_is_reached(tiny_dataset: Any, cls: Any) -> None:
    model = make(cls, tiny_dataset)
    generator = torch.Generator().manual_seed(1)
    model.begin_epoch(generator)
    torch.stack(list(model.losses(*batch(tiny_dataset), generator).values())).sum().backward()
    own = {id(parameter) for parameter in model.recommender_parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in own:  # of a side network
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("cls", PEERS)
def test_one_seed_gives_one_result_and_the_loss_falls(tiny_dataset: Any, cls: Any) -> None:
    from kdiffe_dgl.models.registry import MODELS

    assert cls.name in MODELS
    overrides = ["training.min_steps=2", "training.learning_rate=0.02"]
    config = resolve({"model": {"name": cls.name, "dim": 6}}, overrides)
    tables = []
    for seed in (0, 0, 1):
        trainer = Trainer(tiny_dataset, config, seed)
        for _ in range(5):
            trainer._epoch()
        history = trainer.result.history
        assert sum(history[-1]["losses"].values()) < sum(history[0]["losses"].values())
        tables.append(trainer.model.representations())
    assert torch.equal(tables[0][0], tables[1][0])
    assert torch.equal(tables[0][1], tables[1][1])
    assert not torch.equal(tables[0][0], tables[2][0])


@pytest.mark.parametrize("cls", PEERS)
def test_any_number_of_modalities_of_any_name(tiny_dataset: Any, cls: Any) -> None:
    image, text = tiny_dataset.features.values()
    third = np.concatenate([image, text], axis=1)
    for features in ({"a.b": image}, {"a.b": image, "text": text, "parameters": third}):
        dataset = dataclasses.replace(tiny_dataset, features=features)
        model = make(cls, dataset)
        generator = torch.Generator().manual_seed(1)
        model.begin_epoch(generator)
        assert all(term.isfinite() for term in model.losses(*batch(dataset), generator).values())
        user, item = model.representations()
        assert len(user) == dataset.n_users
        assert len(item) == dataset.n_items


# --- MGCN ----------------------------------------------------------------------------------------


def dense_mgcn(model: MGCN, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """B and Z by the equations of the class."""
    config, n = model.config, dataset.n_users
    adjacency = dense_adjacency(dataset.pairs("train"), n, dataset.n_items)
    behaviour = layer_mean(adjacency, model, config.layers)
    views = []
    for number, features in enumerate(dataset.features.values()):
        projected = affine(model.projections[number], np.asarray(features, dtype=np.float64))
        items = array(model.item_embedding) * sigmoid(affine(model.gates[number], projected))
        graph = dense_item_graph(features, config.neighbours, True)
        items = np.linalg.matrix_power(graph, config.item_layers) @ items
        views.append(np.concatenate([adjacency[:n, n:] @ items, items]))
    side = np.zeros_like(behaviour)
    for node in range(len(behaviour)):
        scores = [
            array(model.query.weight)[0] @ np.tanh(affine(model.query_hidden, view[node])) for view in views
        ]
        weights = np.exp(scores) / np.exp(scores).sum()
        common = sum(weight * view[node] for weight, view in zip(weights, views, strict=True))
        side[node] = common + sum(
            sigmoid(affine(preference, behaviour[node])) * (view[node] - common)
            for preference, view in zip(model.preferences, views, strict=True)
        )
    return behaviour, side / (len(views) + 1)


@pytest.mark.parametrize("item_layers", [1, 2])
def test_mgcn_equals_its_equations(tiny_dataset: Any, item_layers: int) -> None:
    settings = {"neighbours": 4, "item_layers": item_layers, "contrast_weight": 0.3, "regularisation": 0.2}
    model = make(MGCN, tiny_dataset, **settings)
    with torch.no_grad():
        model.user_embedding.mul_(3)  # away from zero, where gates and softmax are all but linear
        model.query.weight.mul_(20)
    behaviour, side = dense_mgcn(model, tiny_dataset)
    user, item = model.representations()
    np.testing.assert_allclose(np.concatenate([array(user), array(item)]), behaviour + side, atol=1e-5)

    users, positives, negatives = (index.numpy() for index in batch(tiny_dataset))
    terms = model.losses(*batch(tiny_dataset), torch.Generator())
    n = tiny_dataset.n_users
    z, nodes = behaviour + side, (users, n + positives, n + negatives)
    expected = bpr(rows_dot(z[nodes[0]], z[nodes[1]]), rows_dot(z[nodes[0]], z[nodes[2]]))
    np.testing.assert_allclose(terms["bpr"].item(), expected, rtol=1e-5)
    expected = 0.2 / 2 * norm(z[rows] for rows in nodes) / len(users)
    np.testing.assert_allclose(terms["regularisation"].item(), expected, rtol=1e-5)
    contrast = 0.0
    for rows in nodes[:2]:
        total = 0.0
        for node in rows:
            scores = np.array([cosine(side[[node]], behaviour[[other]])[0] / 0.2 for other in rows])
            own = cosine(side[[node]], behaviour[[node]])[0] / 0.2
            total += np.log(np.exp(scores).sum()) - own
        contrast += total / len(rows)
    np.testing.assert_allclose(terms["contrast"].item(), 0.3 * contrast, rtol=1e-5)


# --- FREEDOM -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weights", "alphas"), [({}, (0.5, 0.5)), ({"image": 1, "text": 3}, (0.25, 0.75))])
def test_freedom_equals_its_equations(tiny_dataset: Any, weights: Any, alphas: tuple[float, float]) -> None:
    settings = {"neighbours": 4, "feature_weight": 0.7, "graph_weights": weights, "pruning": 0.5}
    model = make(FREEDOM, tiny_dataset, **settings)
    n, pairs = tiny_dataset.n_users, tiny_dataset.pairs("train")
    graph = sum(
        alpha * dense_item_graph(features, 4, False)
        for alpha, features in zip(alphas, tiny_dataset.features.values(), strict=True)
    )

    def dense(kept: np.ndarray) -> np.ndarray:
        z = layer_mean(dense_adjacency(kept, n, tiny_dataset.n_items), model, 2)
        z[n:] += graph @ array(model.item_embedding)
        return z

    z = dense(pairs)
    user, item = model.representations()
    np.testing.assert_allclose(np.concatenate([array(user), array(item)]), z, atol=1e-6)

    model.begin_epoch(torch.Generator().manual_seed(3))
    kept = prune_edges(model._edge_weight, 0.5, torch.Generator().manual_seed(3)).numpy()
    assert len(kept) == len(pairs) // 2
    thin = dense(pairs[kept])
    users, positives, negatives = (index.numpy() for index in batch(tiny_dataset))
    terms = model.losses(*batch(tiny_dataset), torch.Generator())
    of_users = thin[users]
    expected = bpr(rows_dot(of_users, thin[n + positives]), rows_dot(of_users, thin[n + negatives]))
    np.testing.assert_allclose(terms["bpr"].item(), expected, rtol=1e-5)
    for number, (name, features) in enumerate(tiny_dataset.features.items()):
        projected = affine(model.projections[number], np.asarray(features, dtype=np.float64))
        expected = 0.7 * bpr(
            rows_dot(of_users, projected[positives]), rows_dot(of_users, projected[negatives])
        )
        np.testing.assert_allclose(terms[f"bpr/{name}"].item(), expected, rtol=1e-5)
    # The thinned graph is for training alone.
    assert torch.equal(model.representations()[0], user)


def test_pruning_draws_as_weighted_sampling_without_replacement_does() -> None:
    weight = torch.tensor([4.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    generator, draws = torch.Generator().manual_seed(0), 4000
    counts = np.zeros(4)
    for _ in range(draws):
        kept = prune_edges(weight, 0.5, generator)
        assert kept.tolist() == sorted(set(kept.tolist()))
        counts[kept.numpy()] += 1
    expected = np.zeros(4)
    share = weight.numpy() / 8
    for first in range(4):
        for second in range(4):
            if first != second:
                chance = share[first] * share[second] / (1 - share[first])
                expected[[first, second]] += chance
    np.testing.assert_allclose(counts / draws, expected, atol=0.025)


def test_freedom_weighs_edges_by_the_degrees_of_their_ends(tiny_dataset: Any) -> None:
    model = make(FREEDOM, tiny_dataset)
    pairs = tiny_dataset.pairs("train")
    expected = [((pairs[:, 0] == user).sum() * (pairs[:, 1] == item).sum()) ** -0.5 for user, item in pairs]
    np.testing.assert_allclose(model._edge_weight.numpy(), expected)


@pytest.mark.parametrize(
    "weights", [{"image": 1.0}, {"image": 1.0, "sound": 1.0}, {"image": -1.0, "text": 2.0}]
)
def test_freedom_refuses_graph_weights_that_do_not_fit(tiny_dataset: Any, weights: Any) -> None:
    with pytest.raises(InputError, match=r"model\.graph_weights .*expected"):
        make(FREEDOM, tiny_dataset, graph_weights=weights)


# --- VBPR ----------------------------------------------------------------------------------------


def test_vbpr_equals_its_equation(tiny_dataset: Any) -> None:
    model = make(VBPR, tiny_dataset, feature_dim=3, regularisation=0.2, features={"scaled": False})
    with torch.no_grad():
        for parameter in (model.item_bias, model.feature_bias):
            parameter.uniform_(-1, 1, generator=torch.Generator().manual_seed(5))
    features = np.concatenate(
        [np.asarray(m, dtype=np.float64) for m in tiny_dataset.features.values()], axis=1
    )
    score = np.zeros((tiny_dataset.n_users, tiny_dataset.n_items))
    e, beta = array(model.feature_embedding), array(model.feature_bias)[:, 0]
    for user in range(tiny_dataset.n_users):
        for item in range(tiny_dataset.n_items):
            f = features[item]
            score[user, item] = (
                array(model.item_bias)[item, 0]
                + array(model.user_embedding)[user] @ array(model.item_embedding)[item]
                + array(model.user_feature_factors)[user] @ (e.T @ f)
                + beta @ f
            )
    user, item = model.representations()
    np.testing.assert_allclose(array(user) @ array(item).T, score, atol=1e-5)

    users, positives, negatives = (index.numpy() for index in batch(tiny_dataset))
    terms = model.losses(*batch(tiny_dataset), torch.Generator())
    expected = bpr(score[users, positives], score[users, negatives])
    np.testing.assert_allclose(terms["bpr"].item(), expected, rtol=1e-5)
    used = norm([array(model.user_embedding)[users], array(model.user_feature_factors)[users]])
    for items in (positives, negatives):
        used += norm([array(model.item_embedding)[items], array(model.item_bias)[items]])
    expected = 0.1 * (used / len(users) + norm([e, beta]))
    np.testing.assert_allclose(terms["regularisation"].item(), expected, rtol=1e-5)


# --- BM3 -----------------------------------------------------------------------------------------


def test_bm3_equals_its_equations(tiny_dataset: Any) -> None:
    settings: dict[str, Any] = {"layers": 2, "feature_weight": 0.7, "regularisation": 0.2, "dropout": 0.0}
    model = make(BM3, tiny_dataset, features={"scaled": False}, **settings)
    n = tiny_dataset.n_users
    h = layer_mean(dense_adjacency(tiny_dataset.pairs("train"), n, tiny_dataset.n_items), model, 2)
    h_user, h_item = h[:n], h[n:] + array(model.item_embedding)

    def predict(x: np.ndarray) -> np.ndarray:
        return affine(model.predictor, x)

    user, item = model.representations()
    np.testing.assert_allclose(array(user), predict(h_user), atol=1e-6)
    np.testing.assert_allclose(array(item), predict(h_item), atol=1e-6)

    users, items, negatives = batch(tiny_dataset)
    terms = model.losses(users, items, negatives, torch.Generator())
    u, i = h_user[users.numpy()], h_item[items.numpy()]
    expected = (2 - cosine(predict(u), i) - cosine(predict(i), u)).mean()
    np.testing.assert_allclose(terms["reconstruction"].item(), expected, rtol=1e-5)
    expected = 0.0
    for number, features in enumerate(tiny_dataset.features.values()):
        m = affine(model.projections[number], np.asarray(features, dtype=np.float64))[items.numpy()]
        expected += (2 - cosine(predict(m), i) - cosine(predict(m), m)).mean()
    np.testing.assert_allclose(terms["alignment"].item(), 0.7 * expected, rtol=1e-5)
    expected = 0.1 * norm([u, i]) / len(users)
    np.testing.assert_allclose(terms["regularisation"].item(), expected, rtol=1e-5)


def test_bm3_targets_pass_no_gradient_and_are_dropped_out(tiny_dataset: Any) -> None:
    model = make(BM3, tiny_dataset, dropout=0.5)
    view = torch.ones(200, 50, requires_grad=True)
    target = model._target(view, torch.Generator().manual_seed(0))
    assert not target.requires_grad
    assert set(target.unique().tolist()) == {0.0, 2.0}
    assert 0.45 < (target == 0).float().mean().item() < 0.55


def test_published_settings_are_the_defaults() -> None:
    expected: dict[type[RecommenderModel], dict[str, Any]] = {
        MGCN: {"dim": 64, "layers": 2, "item_layers": 1, "neighbours": 10, "contrast_weight": 0.01},
        FREEDOM: {"dim": 64, "layers": 2, "item_layers": 1, "neighbours": 10, "pruning": 0.8},
        BM3: {"dim": 64, "layers": 1, "dropout": 0.3, "feature_weight": 2.0},
        VBPR: {"dim": 64},
        LGMRec: {"dim": 64, "layers": 2, "modality_layers": 2, "hyperedges": 4, "global_weight": 0.3},
        SLMRec: {"dim": 64, "layers": 3, "temperature": 0.2},
        DiffMM: {"dim": 64, "layers": 1, "adjacency_weight": 0.2, "residual": 0.5, "top": 5},
        MMGCN: {"dim": 64, "layers": 3, "modality_dim": 256},
    }
    for cls, settings in expected.items():
        config: Component = cls.Config()
        assert {key: getattr(config, key) for key in settings} == settings, cls
