"""The pairwise view: an encoder of its own, trained by itself, and what it adds to the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.lightgcn import LightGCN
from kdiffe_dgl.models.pairwise_view import PairwiseView, PairwiseViewConfig
from kdiffe_dgl.models.peers.mgcn import MGCN
from kdiffe_dgl.models.profiles import PAIRS
from kdiffe_dgl.search import search_space
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.negatives import NegativeSampler
from kdiffe_dgl.training.restore import restore_model
from kdiffe_dgl.training.run import resume_run, train_run
from kdiffe_dgl.training.trainer import Trainer

CPU = torch.device("cpu")
ENCODER = {"dim": 4, "layers": 2, "neighbours": 3}
RUN = [
    "model.dim=8", "training.epochs=4", "training.min_steps=2", "training.checkpoint_seconds=0",
    "model.pairwise={weight: 0.4, min_steps: 3, learning_rate: 0.05}",
    "model.pairwise.encoder={dim: 4, layers: 2, neighbours: 3}",
]  # fmt: skip


def make(dataset: Any, **settings: Any) -> PairwiseView:
    config = PairwiseViewConfig.model_validate(
        {"weight": 0.4, "min_steps": 3, "encoder": ENCODER, **settings}
    )
    return PairwiseView(dataset, config, torch.Generator().manual_seed(5), CPU)


def products(view: tuple[Any, Any]) -> np.ndarray:
    users, items = (np.asarray(side, dtype=np.float64) for side in view)
    return users @ items.T


def test_an_epoch_is_some_passes_of_its_encoder_by_adam(tiny_dataset: Any) -> None:
    """A pass written again: the same batches, the encoder's losses, torch's plain Adam."""
    view = make(tiny_dataset, passes=2, learning_rate=0.01)
    log = view.train_epoch(torch.Generator().manual_seed(7))

    fresh = make(tiny_dataset).encoder
    optimiser = torch.optim.Adam(fresh.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(7)
    drawing = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    pairs = torch.from_numpy(np.asarray(tiny_dataset.pairs("train")))
    sampler = NegativeSampler(pairs.numpy(), tiny_dataset.n_users, tiny_dataset.n_items)
    size = -(-len(pairs) // 3)
    told: dict[str, float] = {}
    for _ in range(2):
        order = torch.randperm(len(pairs), generator=drawing)
        for start in range(0, len(pairs), size):
            users, items = pairs[order[start : start + size]].unbind(1)
            terms = fresh.losses(users, items, sampler.sample(users, drawing), generator)
            optimiser.zero_grad()
            sum(terms.values(), torch.zeros(())).backward()
            optimiser.step()
            for name, value in terms.items():
                told[f"pairs/{name}"] = told.get(f"pairs/{name}", 0.0) + float(value.detach()) * len(users)
    for found, expected in zip(view.encoder.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert log == pytest.approx({name: value / (2 * len(pairs)) for name, value in told.items()}, rel=1e-4)


def test_products_of_a_user_are_those_of_the_encoder_standardised(tiny_dataset: Any) -> None:
    view = make(tiny_dataset)
    view.train_epoch(torch.Generator().manual_seed(1))
    found = view.view()
    assert found.source == PAIRS
    raw = products(view.encoder.representations())
    expected = (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)
    # Of the last user nothing is known.
    assert not tiny_dataset.matrix("train")[23].nnz
    expected[23] = 0
    np.testing.assert_allclose(products((found.users, found.items)), expected, atol=1e-4)


def test_a_user_to_whom_all_items_are_alike_gets_nothing(tiny_dataset: Any) -> None:
    view = make(tiny_dataset.replace(features={}))
    with torch.no_grad():
        view.encoder.item_embedding.fill_(0.5)
        view.encoder.user_embedding.fill_(0.5)
        assert isinstance(view.encoder, LightGCN)
        view.encoder.config = view.encoder.config.model_copy(update={"layers": 0})
    found = view.view()
    assert not found.users.any()


def test_without_features_the_encoder_is_lightgcn(tiny_dataset: Any) -> None:
    assert isinstance(make(tiny_dataset).encoder, MGCN)
    bare = make(tiny_dataset.replace(features={})).encoder
    assert type(bare) is LightGCN
    assert bare.config.layers == 2
    assert bare.config.dim == 4


@pytest.mark.parametrize("temperature", [0.0, 0.2])
def test_the_score_has_it_as_a_share_of_the_learned_spread(tiny_dataset: Any, temperature: float) -> None:
    config = KDiffEConfig.model_validate(
        {
            "dim": 5,
            "score_temperature": temperature,
            "pairwise": {"weight": 0.3, "encoder": ENCODER},
            "profile": {"interaction_weight": 0.2},
        }
    )
    generator = torch.Generator().manual_seed(2)
    model = KDiffE(tiny_dataset, config, generator, CPU)
    model.begin_epoch(generator)
    assert model.pairwise_view is not None
    learned = products(model.joint(model.score_views()))
    raw = products(model.pairwise_view.encoder.representations())
    unit = (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)
    added = 0.3 * learned.std(axis=1).mean() * unit
    added[23] = 0
    (profile,) = (view for view in model.profile_views() if view.source != PAIRS)
    expected = learned + added + products((profile.users, profile.items))
    np.testing.assert_allclose(products(model.representations()), expected, atol=1e-4)


def test_the_ranking_loss_and_the_view_share_no_parameters(tiny_dataset: Any) -> None:
    settings = {"dim": 5, "pairwise": {"weight": 0.3, "encoder": ENCODER}}
    model = KDiffE(tiny_dataset, KDiffEConfig.model_validate(settings), torch.Generator().manual_seed(2), CPU)
    view = model.pairwise_view
    assert view is not None
    own = {id(parameter) for parameter in view.parameters()}
    optimised = [
        {id(p) for group in optimiser.param_groups for p in group["params"]}
        for optimiser in model.side_optimisers().values()
    ]
    assert own in optimised
    recommender = {id(parameter) for parameter in model.recommender_parameters()}
    assert not recommender & set.union(*optimised)
    assert recommender | set.union(*optimised) == {id(parameter) for parameter in model.parameters()}
    generator = torch.Generator().manual_seed(3)
    model.begin_epoch(generator)
    users, items = torch.tensor([0, 1]), torch.tensor([2, 3])
    model.zero_grad()
    torch.stack(list(model.losses(users, items, items + 1, generator).values())).sum().backward()
    assert all(parameter.grad is None for parameter in view.parameters())


def test_weight_0_leaves_it_out(tiny_dataset: Any) -> None:
    model = KDiffE(tiny_dataset, KDiffEConfig(dim=5), torch.Generator().manual_seed(2), CPU)
    assert model.pairwise_view is None
    assert "pairs" not in model.side_optimisers()


def test_a_run_that_was_stopped_goes_on_to_the_same_end(tiny_dataset: Any, tmp_path: Path) -> None:
    config = resolve({}, RUN)
    train_run(tiny_dataset, tmp_path / "whole", config, seed=3, device="cpu")
    whole = RunFolder(tmp_path / "whole")
    stopped = RunFolder.create(
        tmp_path / "stopped", tiny_dataset, model="kdiffe", seed=3, config=config.to_dict()
    )
    trainer = Trainer(tiny_dataset, config, 3)
    for _ in range(2):
        trainer._epoch()
    trainer.checkpoint(stopped)
    resume_run(tiny_dataset, stopped.path, device="cpu")
    for found, expected in zip(stopped.representations(), whole.representations(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert {"pairs/bpr", "pairs/contrast", "pairs/regularisation"} <= set(whole.history()[0]["side"])


def test_a_restored_run_has_the_view_of_its_best_epoch(tiny_dataset: Any, tmp_path: Path) -> None:
    fitted = [*RUN, "model.profile={interaction_weight: 0.1, fit_weights: true}"]
    train_run(tiny_dataset, tmp_path / "run", resolve({}, fitted), seed=3, device="cpu")
    run = RunFolder(tmp_path / "run")
    model = restore_model(run, tiny_dataset)
    assert set(model.scoring_weights()) == {"interactions", "pairs"}
    assert model.scoring_weights() == run.metrics()["scoring_weights"]
    for found, stored in zip(model.representations(), run.representations(), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), stored, rtol=1e-4, atol=1e-5)


def test_the_encoder_is_not_searched() -> None:
    names = [name for name in search_space(KDiffEConfig) if name.startswith("pairwise.")]
    assert names == ["pairwise.weight", "pairwise.passes"]


@pytest.mark.parametrize("features", [True, False])
def test_it_trains_beside_the_denoisers(tiny_dataset: Any, features: bool) -> None:
    """No task is so much dearer than the others that all run one after the other."""
    dataset = tiny_dataset if features else tiny_dataset.replace(features={})
    settings = {"dim": 5, "pairwise": {"weight": 0.3, "encoder": ENCODER}}
    model = KDiffE(dataset, KDiffEConfig.model_validate(settings), torch.Generator().manual_seed(2), CPU)
    assert model.pairwise_view is not None
    assert model.knowledge_diffusion is not None
    assert model.pairwise_view.cost < 3 * model.knowledge_diffusion.cost
