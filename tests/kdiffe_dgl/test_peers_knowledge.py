"""KGAT and KGCL against dense NumPy; what all peers with a knowledge graph have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from knowledge_oracles import (
    BATCH,
    N_ITEMS,
    N_USERS,
    Triple,
    batch,
    contrast,
    found,
    leaky,
    norms,
    ranking,
    softmax,
    softplus,
    triples,
    weights,
)

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.peers.kgat import KGAT, KGATConfig
from kdiffe_dgl.models.peers.kgcl import KGCL, KGCLConfig, keep_probability
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.restore import restore_model
from kdiffe_dgl.training.run import train_run

CPU = torch.device("cpu")


# --- KGAT ----------------------------------------------------------------------------------------


@pytest.fixture
def kgat(tiny_dataset: RecDataset) -> KGAT:
    config = KGATConfig(dim=5, layer_dims=(4, 3), dropout=0.0, triples=40, triple_weight=0.5)
    model = KGAT(tiny_dataset, config, torch.Generator().manual_seed(2), CPU)
    with torch.no_grad():  # biases start at zero, which would hide a mistake
        for bias in (*model.sum_bias, *model.product_bias):
            bias.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(3))
    return model


def collaborative(dataset: RecDataset) -> list[Triple]:
    """Return all edges over users and entities; 5 is the relation of an interaction, 6 its inverse."""
    edges = [(N_USERS + head, relation, N_USERS + tail) for (head, relation, tail), _ in triples(dataset)]
    for user, item in dataset.pairs("train").tolist():
        edges += [(user, 5, N_USERS + item), (N_USERS + item, 6, user)]
    return edges


def kgat_attention(edges: list[Triple], part: dict[str, np.ndarray]) -> dict[Triple, float]:
    nodes = np.vstack([part["user_embedding"], part["item_embedding"], part["entity_embedding"]])
    result = {}
    for node in {head for head, _, _ in edges}:
        own = [edge for edge in edges if edge[0] == node]
        logits = []
        for head, relation, tail in own:
            projected = part["relation_map"][relation].T
            inner = np.tanh(projected @ nodes[head] + part["relation_embedding"][relation])
            logits.append((projected @ nodes[tail]) @ inner)
        result.update(zip(own, softmax(logits), strict=True))
    return result


def test_kgat_equals_its_equations(tiny_dataset: RecDataset, kgat: KGAT) -> None:
    edges, part = collaborative(tiny_dataset), weights(kgat)
    kgat.begin_epoch(torch.Generator())
    attention = kgat_attention(edges, part)
    assert len(attention) == len(edges) == len(kgat.attention)
    stored = list(
        zip(kgat.graph.head.tolist(), kgat.graph.relation.tolist(), kgat.graph.tail.tolist(), strict=True)
    )
    np.testing.assert_allclose(kgat.attention.numpy(), [attention[edge] for edge in stored], rtol=1e-4)
    layer = np.vstack([part["user_embedding"], part["item_embedding"], part["entity_embedding"]])
    nodes, joined = layer, [layer]
    for number in range(2):
        near = np.zeros_like(layer)
        for (head, _, tail), weight in attention.items():
            near[head] += weight * layer[tail]
        layer = leaky((layer + near) @ part[f"of_sum.{number}"] + part[f"sum_bias.{number}"]) + leaky(
            (layer * near) @ part[f"of_product.{number}"] + part[f"product_bias.{number}"]
        )
        joined.append(layer / np.linalg.norm(layer, axis=1, keepdims=True))
    whole = np.hstack(joined)
    user, item = whole[:N_USERS], whole[N_USERS : N_USERS + N_ITEMS]
    for shown, expected in zip(kgat.representations(), (user, item), strict=True):
        np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-4, atol=1e-6)

    terms = found(kgat.losses(*batch(), generator=torch.Generator().manual_seed(9)))
    generator = torch.Generator().manual_seed(9)
    chosen = torch.randint(len(edges), (40,), generator=generator).tolist()
    wrong = torch.randint(len(nodes), (40,), generator=generator).tolist()

    def distance(head: int, relation: int, tail: int) -> float:
        projected = part["relation_map"][relation].T
        gap = projected @ nodes[head] + part["relation_embedding"][relation] - projected @ nodes[tail]
        return float(gap @ gap)

    expected_loss = np.mean(
        [
            softplus(distance(*stored[edge]) - distance(*stored[edge][:2], other))
            for edge, other in zip(chosen, wrong, strict=True)
        ]
    )
    assert terms == pytest.approx(
        {
            "bpr": ranking(user, item),
            "regularisation": kgat.config.regularisation * norms(part),
            "triples": 0.5 * expected_loss,
        },
        rel=1e-4,
    )


def test_kgat_keeps_its_attention_for_the_epoch(tiny_dataset: RecDataset, kgat: KGAT) -> None:
    before = kgat.attention.clone()
    with torch.no_grad():
        kgat.relation_map.mul_(3.0)
    torch.testing.assert_close(kgat.attention, before, rtol=0, atol=0)
    kgat.begin_epoch(torch.Generator())
    assert not torch.allclose(kgat.attention, before)
    kgat.load_graph_state({"attention": before})
    torch.testing.assert_close(kgat.attention, before, rtol=0, atol=0)
    for wrong in ({}, {"attention": before[:-1]}, {"other": before}):
        with pytest.raises(ValueError, match="model kgat: expected attention"):
            kgat.load_graph_state(wrong)


# --- KGCL ----------------------------------------------------------------------------------------


def kgcl_items(edges: list[Triple], part: dict[str, np.ndarray]) -> np.ndarray:
    entities = np.vstack([part["item_embedding"], part["entity_embedding"]])
    items = part["item_embedding"].copy()
    for node in range(N_ITEMS):
        own = [edge for edge in edges if edge[0] == node]
        if own:
            logits = [
                float(
                    leaky(
                        np.concatenate([entities[node], entities[tail]])
                        @ part["attention_map"]
                        @ part["relation_embedding"][relation]
                    )
                )
                for _, relation, tail in own
            ]
            for (_, _, tail), weight in zip(own, softmax(logits), strict=True):
                items[node] += weight * entities[tail]
    return items


def layers(rows: np.ndarray, user: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of an embedding and its propagation on the normalised adjacency."""
    with np.errstate(divide="ignore"):
        by_user, by_item = rows.sum(axis=1) ** -0.5, rows.sum(axis=0) ** -0.5
    by_user[~np.isfinite(by_user)], by_item[~np.isfinite(by_item)] = 0, 0
    scaled = by_user[:, None] * rows * by_item[None, :]
    return (user + scaled @ item) / 2, (item + scaled.T @ user) / 2


def test_kgcl_equals_its_equations(tiny_dataset: RecDataset) -> None:
    config = KGCLConfig(
        dim=5, layers=1, triple_dropout=0.5, keep=0.6, temperature=0.3, triples=40, triple_weight=0.5
    )
    model = KGCL(tiny_dataset, config, torch.Generator().manual_seed(2), CPU)
    part, known = weights(model), triples(tiny_dataset)
    told = model.begin_epoch(torch.Generator().manual_seed(5))

    generator = torch.Generator().manual_seed(5)
    assert tiny_dataset.kg is not None
    drawn = [torch.rand(tiny_dataset.kg.n_triples, generator=generator).numpy() for _ in range(2)]
    items = [kgcl_items([edge for edge, number in known if keep[number] >= 0.5], part) for keep in drawn]
    lengths = np.linalg.norm(items[0], axis=1) * np.linalg.norm(items[1], axis=1)
    weight = np.exp((items[0] * items[1]).sum(axis=1) / lengths)
    assert told["consistency"] == pytest.approx(np.mean(np.log(weight)), rel=1e-5)
    relative = np.maximum((weight - weight.min()) / (weight.max() - weight.min()), config.least)
    pairs = tiny_dataset.pairs("train")
    probability = np.minimum(0.6 * relative / np.mean([relative[item] for _, item in pairs]), 1.0)
    assert len(set(np.round(probability, 6))) > 5
    views = []
    for each in items:
        keep = torch.rand(len(pairs), generator=generator).numpy() < probability[pairs[:, 1]]
        assert 0 < keep.sum() < len(pairs)
        rows = np.zeros((N_USERS, N_ITEMS))
        rows[pairs[keep, 0], pairs[keep, 1]] = 1
        views.append(layers(rows, part["user_embedding"], each))

    whole = layers(
        tiny_dataset.matrix("train").toarray().astype(float),
        part["user_embedding"],
        kgcl_items([edge for edge, _ in known], part),
    )
    for shown, expected in zip(model.representations(), whole, strict=True):
        np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-4, atol=1e-6)

    terms = found(model.losses(*batch(), generator=torch.Generator().manual_seed(9)))
    generator = torch.Generator().manual_seed(9)
    entities = np.vstack([part["item_embedding"], part["entity_embedding"]])
    chosen = torch.randint(len(known), (40,), generator=generator).tolist()
    wrong = torch.randint(len(entities), (40,), generator=generator).tolist()

    def distance(head: int, relation: int, tail: int) -> float:
        return float(((entities[head] + part["relation_embedding"][relation] - entities[tail]) ** 2).sum())

    values = []
    for number, other in zip(chosen, wrong, strict=True):
        (head, relation, tail), _ = known[number]
        values.append(softplus(distance(head, relation, tail) - distance(head, relation, other)))
    assert terms == pytest.approx(
        {
            "bpr": ranking(*whole),
            "regularisation": config.regularisation * norms(part),
            "user_contrast": 0.1 * contrast(views[0][0], views[1][0], BATCH[0], 0.3),
            "item_contrast": 0.1 * contrast(views[0][1], views[1][1], BATCH[1], 0.3),
            "triples": 0.5 * np.mean(values),
        },
        rel=1e-4,
    )


def test_equally_consistent_items_keep_the_mean_share() -> None:
    same = keep_probability(torch.full((6,), 0.3), torch.arange(6.0), 0.7, 0.3)
    torch.testing.assert_close(same, torch.full((6,), 0.7))
    counts = torch.tensor([5.0, 1.0, 0.0, 3.0])
    spread = keep_probability(torch.tensor([0.9, -0.2, 0.4, 0.5]), counts, 0.4, 0.2)
    assert float((spread * counts).sum() / counts.sum()) == pytest.approx(0.4)
    assert spread.argmax() == 0
    assert float(spread[1] / spread[0]) == pytest.approx(0.2)
    assert float(keep_probability(torch.tensor([0.9, -0.2]), counts[:2], 1.0, 0.1).max()) == 1.0


# --- all ----------------------------------------------------------------------------------------


PEERS: dict[str, dict[str, Any]] = {
    "kgat": {"triples": 64},
    "kgcl": {"triples": 64},
    "kgrec": {"masked": 8},
    "diffkg": {"diffusion": {"hidden": 16}},
}


@pytest.mark.parametrize("name", PEERS)
def test_they_learn_repeat_and_are_restored(tiny_dataset: RecDataset, tmp_path: Path, name: str) -> None:
    values: dict[str, Any] = {
        "model": {"name": name, "dim": 8, **PEERS[name]},
        "training": {"epochs": 8, "batch_size": 32, "learning_rate": 0.02, "monitor": "recall@5"},
    }
    runs = [
        train_run(tiny_dataset, tmp_path / str(n), resolve(values), seed=3, device="cpu") for n in range(2)
    ]
    first, *_, last = (sum(epoch["losses"].values()) for epoch in runs[0].fit.history)
    assert last < first
    # Items of the liked genre are 6 of 18, so chance is far below this.
    assert runs[0].fit.best_value > 0.6
    files = [(run.folder / "representations.safetensors").read_bytes() for run in runs]
    assert files[0] == files[1]
    run = RunFolder(runs[0].folder)
    restored = restore_model(run, tiny_dataset).representations()
    for table, written in zip(restored, run.representations(), strict=True):
        np.testing.assert_allclose(table.numpy(), written, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PEERS)
def test_no_knowledge_graph_is_told(tiny_dataset: RecDataset, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"model {name}: data set 'tiny' has no knowledge graph"):
        train_run(tiny_dataset.replace(kg=None), tmp_path / "run", resolve({}, model=name), device="cpu")
    assert list(tmp_path.iterdir()) == []
