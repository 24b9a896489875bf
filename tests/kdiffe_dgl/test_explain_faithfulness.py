"""The benchmark of faithfulness measures what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kdiffe_dgl.explain import Explainer
from kdiffe_dgl.explain.rank import rank_paths
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """Return the script, imported as it is run: with its neighbours on the path."""
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("faithfulness", SCRIPTS / "faithfulness.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drops_are_those_of_the_best_and_of_random_paths(
    benchmark: ModuleType, tmp_path: Path, tiny_dataset: Any
) -> None:
    tiny_dataset.save(tmp_path / "data")
    small = ["model.dim=8", "training.epochs=3", "training.batch_size=16"]
    train_run(tiny_dataset, tmp_path / "run", resolve({}, small), seed=1)
    found = benchmark.score_drops(str(tmp_path / "run"), str(tmp_path / "data"), 100, 3, 4, seed=0)
    top, random = np.array(found["top"]), np.array(found["random"])
    passed_over = sum(found["passed_over"].values())
    assert len(top) == len(random) == tiny_dataset.n_users - passed_over
    assert found["passed_over"]["no training item"] == 1  # user 23
    # The first of the drawn users, measured again.
    user = next(u for u in np.random.default_rng(0).permutation(tiny_dataset.n_users) if u != 23)
    explainer = Explainer.load(tmp_path / "run", tmp_path / "data")
    scores = [explainer.score.score(int(user), item) for item in range(tiny_dataset.n_items)]
    item = int(np.argmin(np.abs(np.array(scores) - found["scores"][0])))
    ranked = rank_paths(explainer.score, int(user), item, explainer.paths(int(user), item), 3)
    lost = np.cumsum([one.contribution for one in ranked])
    np.testing.assert_allclose(top[0][: len(lost)], lost, rtol=1e-6)
    assert (top[:, 0] >= random[:, 0] - 1e-9).all()  # no random path can beat the best one on average


def test_summary_is_a_ratio_of_means(benchmark: ModuleType, tmp_path: Path) -> None:
    top, random = np.array([[1.0, 4.0], [2.0, 8.0]]), np.array([[1.0, 1.0], [1.0, 2.0]])
    found = benchmark.summary(top, random, seed=0)
    assert found["ratio"] == pytest.approx(6.0 / 1.5)
    assert found["mean_drop_top"] == pytest.approx([1.5, 6.0])
    assert found["share_top_above_random"] == 1.0
    assert found["ratio_interval"] == pytest.approx([4.0, 4.0])
    benchmark.plot_drops(tmp_path / "curve.png", "planted $ set", top, random)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
