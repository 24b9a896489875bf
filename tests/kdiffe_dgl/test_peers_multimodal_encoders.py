"""LGMRec, SLMRec, MMGCN and DiffMM against dense NumPy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from peer_models import affine, array, batch, make

from kdiffe_dgl.models.peers.diffmm import DiffMM
from kdiffe_dgl.models.peers.lgmrec import LGMRec
from kdiffe_dgl.models.peers.mmgcn import MMGCN
from kdiffe_dgl.models.peers.slmrec import SLMRec

CPU = torch.device("cpu")


def unit(x: np.ndarray) -> np.ndarray:
    return np.array([row / max(np.linalg.norm(row), 1e-12) for row in x])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(scores: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean([np.log(np.exp(s).sum()) - s[r] for s, r in zip(scores, right, strict=True)]))


def interactions(dataset: Any) -> np.ndarray:
    matrix = np.zeros((dataset.n_users, dataset.n_items))
    for user, item in dataset.pairs("train"):
        matrix[user, item] = 1
    return matrix


def adjacency(matrix: np.ndarray) -> np.ndarray:
    n = len(matrix)
    whole = np.zeros((n + matrix.shape[1],) * 2)
    whole[:n, n:], whole[n:, :n] = matrix, matrix.T
    return whole


def normalised(whole: np.ndarray) -> np.ndarray:
    scale = np.array([d**-0.5 if d else 0.0 for d in whole.sum(axis=1)])
    return scale[:, None] * whole * scale[None, :]


def mean_rows(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def layer_mean(operator: np.ndarray, x: np.ndarray, layers: int) -> np.ndarray:
    return sum(np.linalg.matrix_power(operator, k) @ x for k in range(layers + 1)) / (layers + 1)


def bpr(z: np.ndarray, n_users: int, dataset: Any) -> float:
    users, positives, negatives = (index.numpy() for index in batch(dataset))
    u, i, j = z[users], z[n_users + positives], z[n_users + negatives]
    return float(np.mean(np.log1p(np.exp(-(u * (i - j)).sum(axis=1)))))


# --- LGMRec --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hyper_layers", [1, 2])
def test_lgmrec_equals_its_equations(tiny_dataset: Any, hyper_layers: int) -> None:
    settings = {"hyper_layers": hyper_layers, "contrast_weight": 0.3, "regularisation": 0.2, "dropout": 0.0}
    model = make(LGMRec, tiny_dataset, global_weight=0.8, features={"scaled": False}, **settings)
    r, n = interactions(tiny_dataset), tiny_dataset.n_users
    a = normalised(adjacency(r))
    start = np.concatenate([array(model.user_embedding), array(model.item_embedding)])
    collaborative = layer_mean(a, start, 2)
    local, global_views = collaborative.copy(), []
    for number, features in enumerate(tiny_dataset.features.values()):
        f = np.asarray(features, dtype=np.float64)
        items = f @ array(model.projections[number])
        local += unit(a @ a @ np.concatenate([mean_rows(r) @ items, items]))
        logits = f @ array(model.hyperedges[number])
        h_items, h_users = softmax(logits / 0.2), softmax(r @ logits / 0.2)
        items = collaborative[n:]
        for _ in range(hyper_layers):
            users = h_users @ (h_items.T @ items)
            items = h_items @ (h_items.T @ items)
        global_views.append(np.concatenate([users, items]))
    z = local + 0.8 * unit(sum(global_views))
    user, item = model.representations()
    np.testing.assert_allclose(np.concatenate([array(user), array(item)]), z, atol=1e-5)

    # Without a generator there is no noise, and the losses are those of the same embeddings.
    no_noise: Any = None
    terms = model.losses(*batch(tiny_dataset), no_noise)
    np.testing.assert_allclose(terms["bpr"].item(), bpr(z, n, tiny_dataset), rtol=1e-5)
    users, positives, negatives = (index.numpy() for index in batch(tiny_dataset))
    rows = np.concatenate([users, n + positives, n + negatives])
    np.testing.assert_allclose(
        terms["regularisation"].item(), 0.1 * (z[rows] ** 2).sum() / len(users), rtol=1e-5
    )
    first, second = (unit(view) for view in global_views)
    contrast = cross_entropy(first[users] @ second[:n].T / 0.2, users)
    contrast += cross_entropy(first[n + positives] @ second[n:].T / 0.2, positives)
    np.testing.assert_allclose(terms["contrast"].item(), 0.3 * len(users) * contrast, rtol=1e-5)


def test_lgmrec_chooses_hyperedges_by_gumbel_noise_in_training_alone(tiny_dataset: Any) -> None:
    model = make(LGMRec, tiny_dataset, temperature=0.01)
    logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(20_000, 1)
    # So cold, the softmax is all but an argmax, which falls on each as the softmax of the logits says.
    chosen = model._chosen(logits, torch.Generator().manual_seed(0)).mean(dim=0)
    torch.testing.assert_close(chosen, torch.softmax(logits[0], dim=0), atol=0.01, rtol=0)
    assert torch.equal(model.representations()[0], model.representations()[0])


def test_lgmrec_contrasts_nothing_with_one_modality(tiny_dataset: Any) -> None:
    dataset = dataclasses.replace(tiny_dataset, features={"text": tiny_dataset.features["text"]})
    terms = make(LGMRec, dataset).losses(*batch(dataset), torch.Generator())
    assert sorted(terms) == ["bpr", "regularisation"]


# --- SLMRec --------------------------------------------------------------------------------------


def test_slmrec_equals_its_equations(tiny_dataset: Any) -> None:
    settings = {"contrast_weight": 0.3, "contrast_temperature": 0.7, "regularisation": 0.2, "layers": 2}
    model = make(SLMRec, tiny_dataset, **settings)
    n = tiny_dataset.n_users
    a = normalised(adjacency(interactions(tiny_dataset)))
    starts = [array(model.item_embedding)]
    for number, features in enumerate(tiny_dataset.features.values()):
        starts.append(affine(model.projections[number], unit(np.asarray(features, dtype=np.float64))))
    encodings = [layer_mean(a, np.concatenate([array(model.user_embedding), s]), 2) for s in starts]
    whole = np.concatenate(encodings, axis=1)
    z_user, z_item = affine(model.user_fusion, whole[:n]), affine(model.item_fusion, whole[n:])
    user, item = model.representations()
    np.testing.assert_allclose(array(user), z_user, atol=1e-5)
    np.testing.assert_allclose(array(item), z_item, atol=1e-5)

    users, positives, _ = (index.numpy() for index in batch(tiny_dataset))
    terms = model.losses(*batch(tiny_dataset), torch.Generator())
    own = np.arange(len(users))
    main = cross_entropy(unit(z_user)[users] @ unit(z_item)[positives].T / 0.2, own)
    np.testing.assert_allclose(terms["softmax"].item(), main, rtol=1e-5)
    x, expected = encodings[0][n + positives], 0.0
    for number, encoding in enumerate(encodings[1:]):
        x = affine(model.coarser[number], x)
        y = affine(model.aligned[number], encoding[n + positives])
        expected += cross_entropy(x @ y.T / 0.7, own)
    np.testing.assert_allclose(terms["contrast"].item(), 0.3 * expected, rtol=1e-5)
    norm = (array(model.user_embedding)[users] ** 2).sum() + (starts[0][positives] ** 2).sum()
    np.testing.assert_allclose(terms["regularisation"].item(), 0.1 * norm / len(users), rtol=1e-5)


# --- MMGCN ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 3])
def test_mmgcn_equals_its_equations(tiny_dataset: Any, layers: int) -> None:
    model = make(MMGCN, tiny_dataset, layers=layers, modality_dim=5, regularisation=0.2)
    n, mean = tiny_dataset.n_users, mean_rows(adjacency(interactions(tiny_dataset)))
    embeddings = np.concatenate([array(model.user_embedding), array(model.item_embedding)])

    def phi(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.01 * x)

    modal = []
    for convolution, preference, features in zip(
        model.convolutions, model.preferences, tiny_dataset.features.values(), strict=True
    ):
        projected = affine(convolution.project, np.asarray(features, dtype=np.float64))
        x = unit(np.concatenate([array(preference), projected]))
        for layer in range(layers):
            h = phi(mean @ affine(convolution.aggregate[layer], x))
            own = phi(affine(convolution.keep[layer], x)) + embeddings
            x = phi(affine(convolution.combine[layer], np.concatenate([h, own], axis=1)))
        modal.append(x)
    z = sum(modal) / 2
    user, item = model.representations()
    np.testing.assert_allclose(np.concatenate([array(user), array(item)]), z, atol=1e-6)

    terms = model.losses(*batch(tiny_dataset), torch.Generator())
    np.testing.assert_allclose(terms["bpr"].item(), bpr(z, n, tiny_dataset), rtol=1e-5)
    users, positives, negatives = (index.numpy() for index in batch(tiny_dataset))
    rows = np.concatenate([users, n + positives, n + negatives])
    norm = (embeddings[rows] ** 2).sum()
    norm += sum((array(preference)[users] ** 2).sum() for preference in model.preferences)
    np.testing.assert_allclose(terms["regularisation"].item(), 0.1 * norm / len(users), rtol=1e-5)


# --- DiffMM --------------------------------------------------------------------------------------


@pytest.mark.parametrize("main", [True, False])
def test_diffmm_equals_its_equations(tiny_dataset: Any, main: bool) -> None:
    settings = {"layers": 2, "contrast_weight": 0.3, "contrast_main": main, "regularisation": 0.2}
    model = make(DiffMM, tiny_dataset, top=2, diffusion={"hidden": 7, "steps": 3}, **settings)
    log = model.begin_epoch(torch.Generator().manual_seed(2))
    assert sorted(log) == ["diffusion/image", "diffusion/text"]
    with torch.no_grad():
        model.modality_views.fusion.copy_(torch.tensor([0.4, -0.3]))
    r, n = interactions(tiny_dataset), tiny_dataset.n_users
    loops = np.eye(n + tiny_dataset.n_items)
    a = normalised(adjacency(r) + loops)
    user, item = array(model.user_embedding), array(model.item_embedding)
    state = model.graph_state()
    modal, contrasted = [], []
    for number, features in enumerate(tiny_dataset.features.values()):
        edges = np.zeros_like(r)
        edges[state[f"users/{number}"], state[f"items/{number}"]] = 1
        assert set(edges.sum(axis=1)) <= {0.0, 2.0}  # two items for each user with training items
        generated = normalised(adjacency(edges) + loops)
        projection = model.modality_views.projections[number]
        f = np.asarray(features, dtype=np.float64) @ array(projection.weight) + array(projection.bias)
        first = a @ np.concatenate([user, unit(f)])
        second = a @ np.concatenate([first[:n], item])
        modal.append(first + second + 0.2 * generated @ np.concatenate([user, item]))
        z = generated @ np.concatenate([user, unit(f)])
        contrasted.append(z + a @ z + a @ a @ z)
    weights = softmax(np.array([[0.4, -0.3]]))[0]
    fused = weights[0] * modal[0] + weights[1] * modal[1]
    z = fused + a @ fused + a @ a @ fused + 0.5 * unit(fused)
    found = model.representations()
    np.testing.assert_allclose(np.concatenate([array(found[0]), array(found[1])]), z, atol=1e-5)

    terms = model.losses(*batch(tiny_dataset), torch.Generator())
    np.testing.assert_allclose(terms["bpr"].item(), bpr(z, n, tiny_dataset), rtol=1e-5)
    expected = 0.2 * ((user**2).sum() + (item**2).sum())
    np.testing.assert_allclose(terms["regularisation"].item(), expected, rtol=1e-5)
    users, positives, _ = (index.numpy() for index in batch(tiny_dataset))
    expected = 0.0
    whole, image, text = (unit(view) for view in (z, *contrasted))
    for one, other in [(whole, image), (whole, text)] if main else [(image, text)]:
        expected += cross_entropy(one[users] @ other[:n].T / 0.5, users)
        expected += cross_entropy(one[n + positives] @ other[n:].T / 0.5, positives)
    np.testing.assert_allclose(terms["contrast"].item(), 0.3 * expected, rtol=1e-5)


def test_diffmm_takes_up_its_graphs_and_only_them(tiny_dataset: Any) -> None:
    settings: dict[str, Any] = {"diffusion": {"hidden": 7, "steps": 3}}
    first, second = (make(DiffMM, tiny_dataset, **settings) for _ in range(2))
    first.begin_epoch(torch.Generator().manual_seed(2))
    assert second.graph_state() == {}
    second.load_graph_state(first.graph_state())
    assert torch.equal(first.representations()[1], second.representations()[1])
    with pytest.raises(ValueError, match="without users/0"):
        second.load_graph_state({})
