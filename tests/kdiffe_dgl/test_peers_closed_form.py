"""Models in closed form: one pass of the trainer, a run folder like any other, their equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from click.testing import CliRunner

from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.peers.item_weights import nearest_by_product
from kdiffe_dgl.serving import Recommender
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.restore import restore_model
from kdiffe_dgl.training.run import resume_run, train_run
from kdiffe_dgl.training.trainer import Trainer

CLOSED = ["ease", "itemknn", "popularity", "rp3beta"]


def scores(dataset: RecDataset, name: str, **settings: Any) -> np.ndarray:
    """Return all scores of a model as the trainer builds it."""
    trainer = Trainer(dataset, resolve({"model": {"name": name, **settings}}), 0)
    user, item = trainer.model.representations()
    return (user.double() @ item.double().T).numpy()


def training_rows(dataset: RecDataset) -> np.ndarray:
    return dataset.matrix("train").toarray().astype(np.float64)


def test_one_pass_makes_a_whole_run(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    tiny_dataset.save(tmp_path / "data")
    run, data = tmp_path / "run", str(tmp_path / "data")
    done = CliRunner().invoke(main, ["train", "--data", data, "--model", "ease", "--output", str(run)])
    assert done.exit_code == 0, done.output
    assert "best epoch 1 of 1 by validation" in done.stdout
    evaluated = CliRunner().invoke(main, ["evaluate", str(run), "--data", data, "--format", "json"])
    assert evaluated.exit_code == 0, evaluated.output
    assert f"{RunFolder(run).metrics()['test']['recall@20']}" in evaluated.stdout
    assert (run / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("name", CLOSED)
def test_a_run_folder_like_any_other(tiny_dataset: RecDataset, tmp_path: Path, name: str) -> None:
    folder = RunFolder(train_run(tiny_dataset, tmp_path / "run", resolve({}, model=name)).folder)
    (record,) = folder.history()
    assert record["losses"] == {}
    assert folder.metrics()["validation"] == record["validation"]
    user, item = folder.representations()
    np.testing.assert_allclose(user @ item.T, scores(tiny_dataset, name), rtol=1e-5, atol=1e-6)
    assert len(Recommender.load(folder.path).recommend(["u1", "u2"], k=3)) == 6
    restored = restore_model(folder, tiny_dataset)
    for table, written in zip(restored.representations(), (user, item), strict=True):
        np.testing.assert_array_equal(table.numpy(), written)


@pytest.mark.parametrize("name", CLOSED)
def test_a_user_with_every_item_is_no_obstacle(tiny_dataset: RecDataset, tmp_path: Path, name: str) -> None:
    """Nothing is sampled, so no negative has to exist."""
    everything = pl.DataFrame({"user": [0] * 18, "item": range(18), "split": ["train"] * 18})
    rest = tiny_dataset.interactions.filter(pl.col("user") != 0)
    greedy = tiny_dataset.replace(interactions=pl.concat([rest, everything.cast(dict(rest.schema))]))
    outcome = train_run(greedy, tmp_path / "run", resolve({}, model=name), device="cpu")
    assert outcome.fit.best_epoch == 1


@pytest.mark.parametrize("name", CLOSED)
def test_a_run_that_was_stopped_is_made_anew(
    tiny_dataset: RecDataset, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = resolve({"training": {"checkpoint_seconds": 0}}, model=name)
    whole = train_run(tiny_dataset, tmp_path / "whole", config, device="cpu")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_finite_representations", stop)
    assert train_run(tiny_dataset, tmp_path / "run", config, device="cpu").fit.interrupted
    monkeypatch.undo()
    resumed = resume_run(tiny_dataset, tmp_path / "run", device="cpu")
    name = "representations.safetensors"
    assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    # A whole epoch was written before the end of a run: going on from there trains nothing more.
    trainer = Trainer(tiny_dataset, config, 0)
    run = RunFolder.create(
        tmp_path / "third", tiny_dataset, model=config.name, seed=0, config=config.to_dict()
    )
    trainer.fit(run)
    assert (run.path / "checkpoint.safetensors").exists()
    again = resume_run(tiny_dataset, run.path, device="cpu")
    assert len(again.fit.history) == 1
    assert again.test is not None
    assert whole.test is not None
    assert again.test.metrics == whole.test.metrics


def test_popularity_counts_training_users(tiny_dataset: RecDataset) -> None:
    expected = np.tile(training_rows(tiny_dataset).sum(axis=0), (24, 1))
    np.testing.assert_array_equal(scores(tiny_dataset, "popularity"), expected)
    assert expected[0, 17] == 0  # the cold item


def kept_of_row(values: np.ndarray, count: int) -> list[int]:
    """Return the columns of the largest positive values, the first of equal ones."""
    found = sorted((column for column in range(len(values)) if values[column] > 0), key=lambda c: -values[c])
    return found[:count]


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(3, 0.0), (5, 7.0), (100, 2.0)])
def test_itemknn_equals_its_equation(tiny_dataset: RecDataset, neighbours: int, shrinkage: float) -> None:
    rows = training_rows(tiny_dataset)
    expected = np.zeros((24, 18))
    for target in range(18):
        near = np.zeros(18)
        for other in set(range(18)) - {target}:
            common = rows[:, target] @ rows[:, other]
            lengths = np.linalg.norm(rows[:, target]) * np.linalg.norm(rows[:, other])
            near[other] = common / (lengths + shrinkage) if common else 0.0
        for other in kept_of_row(near, neighbours):
            expected[:, target] += rows[:, other] * near[other]
    found = scores(tiny_dataset, "itemknn", neighbours=neighbours, shrinkage=shrinkage)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("neighbours", "alpha", "beta"), [(100, 1.0, 0.0), (4, 1.0, 0.6), (6, 0.7, 0.3)])
def test_rp3beta_equals_a_walk_over_matrices(
    tiny_dataset: RecDataset, neighbours: int, alpha: float, beta: float
) -> None:
    rows = training_rows(tiny_dataset)
    of_users, of_items = rows.sum(axis=1), rows.sum(axis=0)
    expected = np.zeros((24, 18))
    for source in np.flatnonzero(of_items):
        reached = np.zeros(18)
        for user in np.flatnonzero(rows[:, source]):
            for target in np.flatnonzero(rows[user]):
                probability = (1 / of_items[source]) ** alpha * (1 / of_users[user]) ** alpha
                reached[target] += probability / of_items[target] ** beta
        reached[source] = 0.0
        for target in kept_of_row(reached, neighbours):
            expected[:, target] += rows[:, source] * reached[target]
    found = scores(tiny_dataset, "rp3beta", neighbours=neighbours, alpha=alpha, beta=beta)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("regularisation", [0.5, 30.0])
def test_ease_minimises_its_objective(tiny_dataset: RecDataset, regularisation: float) -> None:
    """Each column is the ridge regression of an item on the others, solved one by one."""
    rows = training_rows(tiny_dataset)
    weights = np.zeros((18, 18))
    for item in range(18):
        others = [other for other in range(18) if other != item]
        system = rows[:, others].T @ rows[:, others] + regularisation * np.eye(17)
        weights[others, item] = np.linalg.solve(system, rows[:, others].T @ rows[:, item])
    found = scores(tiny_dataset, "ease", regularisation=regularisation)
    np.testing.assert_allclose(found, rows @ weights, rtol=1e-4, atol=1e-6)


def test_ease_without_an_inverse_is_told(tiny_dataset: RecDataset) -> None:
    with pytest.raises(InputError, match=r"model.regularisation=1e-200 is too small"):
        scores(tiny_dataset, "ease", regularisation=1e-200)


@pytest.mark.parametrize("block", [1, 40, 1 << 22])
def test_blocks_do_not_change_the_neighbours(
    tiny_dataset: RecDataset, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    whole = scores(tiny_dataset, "rp3beta", neighbours=4)
    monkeypatch.setattr("kdiffe_dgl.models.peers.item_weights._BLOCK_ENTRIES", block)
    np.testing.assert_array_equal(scores(tiny_dataset, "rp3beta", neighbours=4), whole)


def test_the_first_of_equal_neighbours_are_kept() -> None:
    left = sp.csr_matrix(np.eye(4))
    right = sp.csr_matrix(np.array([[9, 2, 2, 2], [1, 9, 3, 1], [5, 5, 9, 5], [0, 0, 7, 9]], dtype=float))
    kept = nearest_by_product(left, right, lambda rows, columns, values: values, 2)
    expected = [[0, 2, 2, 0], [1, 0, 3, 0], [5, 5, 0, 0], [0, 0, 7, 0]]
    np.testing.assert_array_equal(kept.toarray(), expected)


def test_too_much_memory_is_refused_before_anything_is_made(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    limit = 4 * (24 + 18) * 18 / 2**30
    for name in ("ease", "itemknn", "rp3beta"):
        config = resolve({}, [f"model.max_gib={0.99 * limit}"], model=name)
        with pytest.raises(
            InputError, match=rf"model {name}: the representations of 24 users and 18 items need"
        ):
            train_run(tiny_dataset, tmp_path / name, config, device="cpu")
        assert not (tmp_path / name).exists()
        Trainer(tiny_dataset, resolve({}, [f"model.max_gib={1.01 * limit}"], model=name), 0)
