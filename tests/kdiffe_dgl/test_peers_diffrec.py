"""DiffRec: loss and reverse process against full-width NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.peers.diffrec import DiffRec, DiffRecConfig
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

STEPS = 4


@pytest.fixture
def model(tiny_dataset: RecDataset) -> DiffRec:
    config = DiffRecConfig(hidden=7, steps=STEPS, noise_scale=1.0, noise_max=0.5, dropout=0.0)
    return DiffRec(tiny_dataset, config, torch.Generator().manual_seed(4), torch.device("cpu"))


def predicted(model: DiffRec, noisy: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the network's rows, at full width."""
    part = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    waves = np.array(
        [
            [math.cos(t * 10_000 ** (-k / 5)) for k in range(5)]
            + [math.sin(t * 10_000 ** (-k / 5)) for k in range(5)]
            for t in steps
        ]
    )
    time = waves @ part["time"] + part["time_bias"]
    hidden = np.tanh(noisy @ part["encoder"] + time @ part["time_encoder"] + part["hidden_bias"])
    return hidden @ part["decoder"].T + part["bias"]


def variances() -> tuple[np.ndarray, np.ndarray]:
    """Return β and ᾱ of the schedule, whose total variance grows from 1e-4 to 0.5."""
    total = np.linspace(1e-4, 0.5, STEPS)
    beta = np.array([1e-5] + [1 - (1 - total[t]) / (1 - total[t - 1]) for t in range(1, STEPS)])
    return beta, np.cumprod(1 - beta)


def test_the_loss_equals_its_equation(tiny_dataset: RecDataset, model: DiffRec) -> None:
    users = torch.tensor([5, 2, 5, 23, 9])  # one twice, one without training items
    found = model.losses(users, users, users, torch.Generator().manual_seed(6))
    generator = torch.Generator().manual_seed(6)
    steps = torch.randint(STEPS, (4,), generator=generator).numpy()
    noise = torch.randn(4, 18, generator=generator).double().numpy()
    clean = tiny_dataset.matrix("train").toarray()[[2, 5, 9, 23]]
    _, alpha_bar = variances()
    snr = alpha_bar / (1 - alpha_bar)
    noisy = np.sqrt(alpha_bar[steps])[:, None] * clean + np.sqrt(1 - alpha_bar[steps])[:, None] * noise
    weight = np.array([1.0 if t == 0 else snr[t - 1] - snr[t] for t in steps])
    assert len(set(weight)) > 1
    expected = np.mean(weight * ((clean - predicted(model, noisy, steps)) ** 2).mean(axis=1))
    assert found.keys() == {"reconstruction"}
    assert float(found["reconstruction"].detach()) == pytest.approx(expected, rel=1e-4)


def test_scores_are_those_of_reverse_steps_at_full_width(tiny_dataset: RecDataset, model: DiffRec) -> None:
    beta, alpha_bar = variances()
    before = np.concatenate([[1.0], alpha_bar[:-1]])
    row = tiny_dataset.matrix("train").toarray().astype(np.float64)
    for t in range(STEPS - 1, -1, -1):
        clean = predicted(model, row, np.full(24, t))
        of_clean = beta[t] * np.sqrt(before[t]) / (1 - alpha_bar[t])
        of_noisy = (1 - before[t]) * np.sqrt(1 - beta[t]) / (1 - alpha_bar[t])
        row = of_clean * clean + of_noisy * row
    user, item = model.representations()
    assert user.shape == (24, 8)
    np.testing.assert_allclose((user @ item.T).numpy(), row, rtol=1e-4, atol=1e-5)


def test_dropout_is_drawn_in_training_only(tiny_dataset: RecDataset, model: DiffRec) -> None:
    users = torch.arange(20)
    kept = float(
        model.losses(users, users, users, torch.Generator().manual_seed(1))["reconstruction"].detach()
    )
    model.config = model.config.model_copy(update={"dropout": 0.5})
    model.train()
    dropped = model.losses(users, users, users, torch.Generator().manual_seed(1))["reconstruction"]
    assert float(dropped.detach()) != pytest.approx(kept, rel=1e-3)
    first, second = model.representations()[0], model.representations()[0]
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_it_learns_and_repeats(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "model": {"name": "diffrec", "hidden": 16},
        "training": {"epochs": 15, "batch_size": 32, "learning_rate": 0.01, "monitor": "recall@5"},
    }
    runs = [
        train_run(tiny_dataset, tmp_path / str(n), resolve(values), seed=3, device="cpu") for n in range(2)
    ]
    # Items of the liked genre are 6 of 18, so chance is far below this.
    assert runs[0].fit.best_value > 0.6
    files = [(run.folder / "representations.safetensors").read_bytes() for run in runs]
    assert files[0] == files[1]
