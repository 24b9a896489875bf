"""The views of KDiffE and the loss terms, each against the equation in dense NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.graph.bipartite import BipartiteOperator, propagate
from kdiffe_dgl.graph.operators import Propagation, normalised_adjacency
from kdiffe_dgl.graph.views import interaction_view, view_operator
from kdiffe_dgl.models.base import dropout
from kdiffe_dgl.models.knowledge import KnowledgeView, RelationalAttention, attention_weights
from kdiffe_dgl.models.modality import FeatureProjection, ModalityViews
from kdiffe_dgl.training.losses import bpr_loss, info_nce, softmax_loss, squared_norm

DIM, USERS, ITEMS, RELATIONS, ENTITIES = 6, 5, 7, 3, 12


def unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(norm, 1e-12)


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def knowledge_case(seed: int) -> tuple[dgl.DGLGraph, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    head, relation, tail = (
        rng.integers(ENTITIES - 2, size=30),
        rng.integers(RELATIONS, size=30),
        rng.integers(ENTITIES, size=30),
    )
    triples = np.unique(np.stack([head, relation, tail], axis=1), axis=0)
    graph = dgl.graph((torch.tensor(triples[:, 2]), torch.tensor(triples[:, 0])), num_nodes=ENTITIES)
    graph.edata["relation"] = torch.tensor(triples[:, 1])
    return graph, triples, rng.normal(size=(ENTITIES, DIM)), rng.normal(size=(RELATIONS, DIM))


def dense_attention(
    triples: np.ndarray, entities: np.ndarray, relations: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Triple by triple, as the paper writes it."""
    logits = np.array(
        [leaky((np.concatenate([entities[h], entities[t]]) @ weight) @ relations[r]) for h, r, t in triples]
    )
    alpha = np.zeros(len(triples))
    for head in np.unique(triples[:, 0]):
        mine = triples[:, 0] == head
        alpha[mine] = softmax(logits[mine])
    return alpha


def make_view(graph: dgl.DGLGraph, fused: bool) -> KnowledgeView:
    view = KnowledgeView(graph, torch.device("cpu"))
    view.fused = fused  # False: the path of all other devices, here on the CPU
    return view


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_relational_attention_equals_the_equation(seed: int, fused: bool) -> None:
    graph, triples, entities, relations = knowledge_case(seed)
    weight = np.random.default_rng(seed + 100).normal(size=(2 * DIM, DIM))
    found = attention_weights(
        make_view(graph, fused), *(torch.tensor(x) for x in (entities, relations, weight))
    )
    np.testing.assert_allclose(
        found.numpy(), dense_attention(triples, entities, relations, weight), rtol=1e-6
    )


def test_scattered_and_fused_messages_have_the_same_gradients() -> None:
    graph, _, entities, _ = knowledge_case(3)
    encoder = RelationalAttention(RELATIONS, DIM, 2, 0.5, 0.0, torch.Generator().manual_seed(0)).double()
    target = torch.tensor(np.random.default_rng(5).normal(size=entities.shape))
    gradients = []
    for fused in (True, False):
        leaf = torch.tensor(entities, requires_grad=True)
        loss = (encoder(make_view(graph, fused), leaf, None) * target).sum()
        gradients.append(torch.autograd.grad(loss, [leaf, *encoder.parameters()]))
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("layers", "residual"), [(0, 0.5), (1, 0.5), (2, 0.0), (3, 0.7)])
@pytest.mark.parametrize("normalise", [True, False])
def test_knowledge_view_equals_the_equation(
    layers: int, residual: float, fused: bool, normalise: bool
) -> None:
    graph, triples, entities, _ = knowledge_case(7)
    encoder = RelationalAttention(
        RELATIONS, DIM, layers, residual, 0.5, torch.Generator().manual_seed(0), normalise
    ).double()
    found = encoder(make_view(graph, fused), torch.tensor(entities), None).detach().numpy()
    weight, relations = encoder.weight.detach().numpy(), encoder.relations.detach().numpy()
    layer = total = entities
    for _ in range(layers):
        alpha = dense_attention(triples, layer, relations, weight)
        message = np.zeros_like(layer)
        for (head, _, tail), share in zip(triples, alpha, strict=True):
            message[head] += share * layer[tail]
        layer = unit(layer + message) if normalise else (layer + message) / 2
        total = residual * total + layer
    np.testing.assert_allclose(found, total, rtol=1e-6)


def test_message_dropout_is_drawn_from_the_generator_and_keeps_the_mean() -> None:
    x = torch.ones(400, 100)
    first, again = (dropout(x, 0.3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.unique().tolist() == pytest.approx([0.0, 1 / 0.7], rel=1e-4)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.01)
    lanes = np.corrcoef((first.reshape(-1, 4) == 0).numpy().T)
    assert np.abs(lanes - np.eye(4)).max() < 0.05  # entries that share a random number are independent
    assert dropout(x, 0.3, None) is x


@pytest.mark.parametrize("kind", ["linear", "matrix"])
def test_projection_equals_the_equation(kind: str) -> None:
    projection = FeatureProjection(9, DIM, kind, torch.Generator().manual_seed(1)).double()
    features = np.random.default_rng(0).normal(size=(ITEMS, 9))
    raw = features @ projection.weight.detach().numpy()
    if kind == "linear":
        projection.bias.data += 0.3
        expected = unit(raw + 0.3)
    else:
        expected = unit(leaky(raw))
    np.testing.assert_allclose(projection(torch.tensor(features)).detach().numpy(), expected, rtol=1e-6)


def random_graph(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((USERS, ITEMS)) < 0.4).astype(float)


def dense_normalised(interactions: np.ndarray) -> np.ndarray:
    users, items = interactions.shape
    full = np.zeros((users + items, users + items))
    full[:users, users:] = interactions
    full += full.T + np.eye(users + items)
    scale = full.sum(axis=1) ** -0.5
    return scale[:, None] * full * scale


def test_generated_view_becomes_its_normalised_adjacency() -> None:
    graph = random_graph(3)
    users, items = (torch.tensor(index) for index in np.nonzero(graph))
    view = interaction_view(users, items, USERS, ITEMS)
    assert view.num_nodes("user") == USERS
    assert view.num_nodes("item") == ITEMS
    operator = view_operator(view, torch.device("cpu"))
    np.testing.assert_allclose(
        torch.cat(operator(*torch.eye(USERS + ITEMS).split([USERS, ITEMS]))).numpy(),
        dense_normalised(graph),
        rtol=1e-5,
    )


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("gated", [False, True])
def test_modality_views_equal_the_equations(n_modalities: int, layers: int, gated: bool) -> None:
    rng = np.random.default_rng(n_modalities)
    names = [f"modality {m}" for m in range(n_modalities)]
    raw = {name: torch.tensor(rng.normal(size=(ITEMS, 3 + m))) for m, name in enumerate(names)}
    views = ModalityViews(
        raw, DIM, "linear", layers, 0.2, 0.6, 0.5, torch.Generator().manual_seed(2), gated
    ).double()
    views.fusion.data = torch.tensor(rng.normal(size=n_modalities))
    users, items = rng.normal(size=(USERS, DIM)), rng.normal(size=(ITEMS, DIM))
    main = dense_normalised(random_graph(0))
    generated = {name: dense_normalised(random_graph(m + 1)) for m, name in enumerate(names)}

    operator = BipartiteOperator.from_scipy(sp.csr_matrix(main), USERS)
    graphs = {
        name: BipartiteOperator.from_scipy(sp.csr_matrix(matrix), USERS) for name, matrix in generated.items()
    }
    projected = views.project(None)
    found = torch.cat(views.multimodal(projected, torch.tensor(users), torch.tensor(items), operator, graphs))
    shares, fused = softmax(views.fusion.detach().numpy()), np.zeros((USERS + ITEMS, DIM))
    for share, name in zip(shares, names, strict=True):
        features = projected[name].detach().numpy()
        if gated:
            features = items / (1 + np.exp(-np.sqrt(DIM) * features))
        encoded = main @ np.concatenate([users, features])
        back = main @ np.concatenate([encoded[:USERS], items])
        fused += share * (encoded + back + 0.2 * (generated[name] @ np.concatenate([users, items])))
    total = sum(np.linalg.matrix_power(main, k) @ fused for k in range(layers + 1)) + 0.6 * unit(fused)
    np.testing.assert_allclose(found.detach().numpy(), total, rtol=1e-6)

    name = names[-1]
    contrastive = torch.cat(views.contrastive(projected[name], torch.tensor(users), operator, graphs[name]))
    start = generated[name] @ np.concatenate([users, projected[name].detach().numpy()])
    expected = sum(np.linalg.matrix_power(main, k) @ start for k in range(layers + 1))
    np.testing.assert_allclose(contrastive.detach().numpy(), expected, rtol=1e-6)


def test_propagation_sums_the_layers_of_the_attention_aware_matrix() -> None:
    interactions = sp.csr_matrix(random_graph(0))
    similarity = interactions.copy()
    similarity.data = np.random.default_rng(1).random(similarity.nnz)
    matrix = normalised_adjacency(interactions, similarity, 0.7).toarray()
    nodes = np.random.default_rng(2).normal(size=(USERS + ITEMS, DIM))
    operator = BipartiteOperator.from_scipy(sp.csr_matrix(matrix.astype(np.float64)), USERS)
    users, items = torch.tensor(nodes[:USERS]), torch.tensor(nodes[USERS:])
    expected = nodes + matrix @ nodes + matrix @ (matrix @ nodes)
    for from_users in (None, operator.to_items(users)):
        found = torch.cat(propagate(operator, users, items, 2, from_users))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    rows = torch.tensor([3, 0, 3]), torch.tensor([6, 2])
    some = torch.cat(propagate(operator, users, items, 2, None, rows))
    np.testing.assert_allclose(some.numpy(), expected[[3, 0, 3, USERS + 6, USERS + 2]], rtol=1e-5)


def test_an_operator_that_joins_users_with_users_is_refused() -> None:
    with pytest.raises(ValueError, match="bipartite"):
        BipartiteOperator.from_scipy(sp.csr_matrix(np.ones((4, 4))), 2)


def test_rows_of_a_product_and_their_gradients_equal_the_dense_ones() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((5, 4)) * (rng.random((5, 4)) < 0.5)
    matrix[2] = 0
    operator, rows = Propagation.from_scipy(sp.csr_matrix(matrix)), torch.tensor([4, 2, 0, 4])
    x = torch.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    np.testing.assert_allclose(operator.at(rows, x).detach().numpy(), (matrix @ x.detach().numpy())[rows])
    assert torch.autograd.gradcheck(lambda table: operator.at(rows, table), (x,))


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 2.0]))
@settings(max_examples=25, deadline=None)
def test_info_nce_equals_the_equation(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    anchors, candidates, positive = (
        rng.normal(size=(4, DIM)),
        rng.normal(size=(9, DIM)),
        rng.integers(9, size=4),
    )
    found = info_nce(*(torch.tensor(x) for x in (anchors, candidates, positive)), temperature)
    similarity = unit(anchors) @ unit(candidates).T / temperature
    expected = -np.mean([log_softmax(row)[p] for row, p in zip(similarity, positive, strict=True)])
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_softmax_loss_equals_the_equation_also_for_large_scores() -> None:
    rng = np.random.default_rng(0)
    users, items, positive = (
        40 * rng.normal(size=(4, DIM)),
        rng.normal(size=(9, DIM)),
        rng.integers(9, size=4),
    )
    found = softmax_loss(*(torch.tensor(x) for x in (users, items, positive)))
    expected = -np.mean([log_softmax(row)[p] for row, p in zip(users @ items.T, positive, strict=True)])
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_info_nce_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    anchors, candidates = (torch.tensor(rng.normal(size=(n, 4)), requires_grad=True) for n in (3, 6))
    positive = torch.tensor([5, 0, 0])
    assert torch.autograd.gradcheck(lambda a, c: info_nce(a, c, positive, 0.2), (anchors, candidates))


def test_bpr_and_norm_equal_the_equations() -> None:
    positive, negative = np.array([1.0, -2.0, 300.0, -300.0]), np.array([0.5, 1.0, 0.0, 300.0])
    expected = np.mean(np.logaddexp(0, negative - positive))
    assert float(bpr_loss(torch.tensor(positive), torch.tensor(negative))) == pytest.approx(expected)
    parts = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])]
    assert float(squared_norm(parts)) == pytest.approx(30.0)
