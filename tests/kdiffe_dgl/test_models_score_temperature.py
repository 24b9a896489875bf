"""Scores with a temperature are cosines over all views: in ranking, in the loss and in explanations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig

TAU = 0.25


def make(dataset: Any, **settings: Any) -> KDiffE:
    generator = torch.Generator().manual_seed(1)
    plain = {
        "knowledge": {"dropout": 0.0},
        "modality": {"dropout": 0.0, "score_weight": 0.3},
        "score_temperature": TAU,
    }
    config = KDiffEConfig.model_validate({"dim": 5, **plain, **settings})
    model = KDiffE(dataset, config, generator, torch.device("cpu"))
    model.begin_epoch(generator)
    return model


def cosine_scores(model: KDiffE) -> np.ndarray:
    """Return the scores of all pairs from the views, in NumPy, ``[users, items]``."""
    main, multimodal = model.score_views()
    scale = np.sqrt(model.config.modality.score_weight)
    users, items = (
        np.hstack([main[side].double().numpy(), scale * multimodal[side].double().numpy()]) for side in (0, 1)
    )
    lengths = np.outer(np.linalg.norm(users, axis=1), np.linalg.norm(items, axis=1))
    return users @ items.T / lengths / TAU


@pytest.mark.parametrize("bias", [False, True])
def test_score_is_the_cosine_over_all_views_by_the_temperature(tiny_dataset: Any, bias: bool) -> None:
    model = make(tiny_dataset, item_bias=bias)
    users, items = (table.numpy() for table in model.representations())
    expected = cosine_scores(model)
    if model.item_bias is not None:
        expected = expected + model.item_bias.detach().numpy().T
    np.testing.assert_allclose(users @ items.T, expected, atol=1e-5)


def test_softmax_loss_is_the_cross_entropy_of_these_scores(tiny_dataset: Any) -> None:
    model = make(tiny_dataset, ranking="softmax")
    users, items = torch.tensor([0, 2, 2]), torch.tensor([1, 0, 3])
    terms = model.losses(users, items, items, torch.Generator().manual_seed(2))
    rows = cosine_scores(model)[users.numpy()]
    expected = np.log(np.exp(rows).sum(axis=1)) - rows[np.arange(3), items.numpy()]
    assert float(terms["softmax"].detach()) == pytest.approx(expected.mean(), rel=1e-5)


def test_pairwise_loss_reads_the_same_scores(tiny_dataset: Any) -> None:
    model = make(tiny_dataset, ranking="bpr")
    users, positives, negatives = torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([3, 2])
    terms = model.losses(users, positives, negatives, torch.Generator().manual_seed(2))
    rows = cosine_scores(model)[users.numpy()]
    margin = rows[np.arange(2), positives.numpy()] - rows[np.arange(2), negatives.numpy()]
    assert float(terms["bpr"].detach()) == pytest.approx(np.log1p(np.exp(-margin)).mean(), rel=1e-5)


def test_without_temperature_the_weight_is_of_the_multimodal_dot_product(tiny_dataset: Any) -> None:
    model = make(tiny_dataset, score_temperature=0.0)
    users, items = (table.numpy() for table in model.representations())
    (main_users, main_items), (users_too, items_too) = model.score_views()
    expected = main_users @ main_items.T + 0.3 * (users_too @ items_too.T)
    np.testing.assert_allclose(users @ items.T, expected.numpy(), atol=1e-5)
