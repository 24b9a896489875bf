"""BPR-MF and SGL: their losses against plain NumPy, and what they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.peers.bprmf import BPRMF, BPRMFConfig
from kdiffe_dgl.models.peers.sgl import SGL, SGLConfig
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

CPU = torch.device("cpu")
BATCH = ([0, 3, 5, 3], [1, 2, 0, 4], [6, 7, 8, 9])


def batch() -> list[torch.Tensor]:
    return [torch.tensor(part) for part in BATCH]


def tables(model: Any) -> tuple[np.ndarray, np.ndarray]:
    return (
        model.user_embedding.detach().double().numpy(),
        model.item_embedding.detach().double().numpy(),
    )


def bpr(user: np.ndarray, item: np.ndarray) -> float:
    values = [
        -np.log(1 / (1 + np.exp(-(user[u] @ item[i] - user[u] @ item[j]))))
        for u, i, j in zip(*BATCH, strict=True)
    ]
    return float(np.mean(values))


def norms(user: np.ndarray, item: np.ndarray) -> float:
    return (
        float(
            np.mean(
                [
                    (user[u] ** 2).sum() + (item[i] ** 2).sum() + (item[j] ** 2).sum()
                    for u, i, j in zip(*BATCH, strict=True)
                ]
            )
        )
        / 2
    )


def propagated(rows: np.ndarray, user: np.ndarray, item: np.ndarray, layers: int) -> tuple[np.ndarray, ...]:
    """Return the mean of LightGCN's layers, from the dense adjacency."""
    n_users = len(user)
    adjacency = np.block([[np.zeros((n_users, n_users)), rows], [rows.T, np.zeros((len(item), len(item)))]])
    degrees = adjacency.sum(axis=1)
    roots = np.array([degree**-0.5 if degree else 0.0 for degree in degrees])
    operator = roots[:, None] * adjacency * roots[None, :]
    layer = np.vstack([user, item])
    whole = [layer]
    for _ in range(layers):
        layer = operator @ layer
        whole.append(layer)
    mean = np.mean(whole, axis=0)
    return mean[:n_users], mean[n_users:]


def contrast(first: np.ndarray, second: np.ndarray, nodes: list[int], temperature: float) -> float:
    def unit(row: np.ndarray) -> np.ndarray:
        return row / max(np.linalg.norm(row), 1e-12)

    values = []
    for node in sorted(set(nodes)):
        similar = [np.exp(unit(first[node]) @ unit(row) / temperature) for row in second]
        values.append(-np.log(similar[node] / sum(similar)))
    return float(np.mean(values))


def test_bprmf_equals_its_equation(tiny_dataset: RecDataset) -> None:
    config = BPRMFConfig(dim=5, regularisation=0.3)
    model = BPRMF(tiny_dataset, config, torch.Generator().manual_seed(1), CPU)
    user, item = tables(model)
    terms = {
        name: float(value.detach())
        for name, value in model.losses(*batch(), generator=torch.Generator()).items()
    }
    assert terms["bpr"] == pytest.approx(bpr(user, item), rel=1e-5)
    assert terms["regularisation"] == pytest.approx(0.3 * norms(user, item), rel=1e-5)
    shown = model.representations()
    np.testing.assert_array_equal(shown[0].double().numpy(), user)
    np.testing.assert_array_equal(shown[1].double().numpy(), item)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_sgl_equals_its_equations(tiny_dataset: RecDataset, dropout: float) -> None:
    config = SGLConfig(dim=5, layers=2, edge_dropout=dropout, temperature=0.4, contrast_weight=0.7)
    model = SGL(tiny_dataset, config, torch.Generator().manual_seed(1), CPU)
    model.begin_epoch(torch.Generator().manual_seed(8))
    user, item = tables(model)
    # Bernoulli masks over the interactions, sorted by user and item, one after the other.
    generator = torch.Generator().manual_seed(8)
    pairs, views = tiny_dataset.pairs("train"), []
    for _ in range(2):
        kept = torch.rand(len(pairs), generator=generator).numpy() >= dropout
        rows = np.zeros((24, 18))
        rows[pairs[kept, 0], pairs[kept, 1]] = 1
        assert 0 < kept.sum() <= len(pairs)
        views.append(propagated(rows, user, item, 2))
    whole = propagated(tiny_dataset.matrix("train").toarray(), user, item, 2)
    terms = {
        name: float(value.detach()) for name, value in model.losses(*batch(), generator=generator).items()
    }
    expected = {
        "bpr": bpr(*whole),
        "regularisation": config.regularisation * norms(user, item),
        "user_contrast": 0.7 * contrast(views[0][0], views[1][0], BATCH[0], 0.4),
        "item_contrast": 0.7 * contrast(views[0][1], views[1][1], BATCH[1], 0.4),
    }
    assert terms == pytest.approx(expected, rel=1e-5)
    for shown, dense in zip(model.representations(), whole, strict=True):
        np.testing.assert_allclose(shown.numpy(), dense, atol=1e-6)


def test_sgl_draws_other_graphs_in_each_epoch_and_keeps_the_share(tiny_dataset: RecDataset) -> None:
    model = SGL(tiny_dataset, SGLConfig(edge_dropout=0.5), torch.Generator(), CPU)
    generator = torch.Generator().manual_seed(2)
    eye, sizes, seen = torch.eye(42), [], set()
    for _ in range(30):
        model.begin_epoch(generator)
        for graph in model._dropped:
            dense = graph(eye)
            sizes.append(int((dense > 0).sum()) // 2)
            seen.add(dense.numpy().tobytes())
    assert len(seen) == 60
    # 60 draws of 92 edges: the standard error of the mean share is 0.007.
    assert np.mean(sizes) / len(tiny_dataset.pairs("train")) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", ["bprmf", "sgl"])
def test_they_learn_and_repeat(tiny_dataset: RecDataset, tmp_path: Path, name: str) -> None:
    values: dict[str, Any] = {
        "model": {"name": name, "dim": 8},
        "training": {"epochs": 12, "batch_size": 32, "learning_rate": 0.02, "monitor": "recall@5"},
    }
    runs = [
        train_run(tiny_dataset, tmp_path / str(n), resolve(values), seed=3, device="cpu") for n in range(2)
    ]
    # Items of the liked genre are 6 of 18, so chance is far below this.
    assert runs[0].fit.best_value > 0.6
    files = [(run.folder / "representations.safetensors").read_bytes() for run in runs]
    assert files[0] == files[1]
