"""Models in closed form: one pass of the trainer, a run folder like any other, their equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.serving import Recommender
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.restore import restore_model
from kdiffe_dgl.training.run import resume_run, train_run
from kdiffe_dgl.training.trainer import Trainer

CLOSED = ["popularity"]


def scores(dataset: RecDataset, name: str, **settings: Any) -> np.ndarray:
    """Return all scores of a model as the trainer builds it."""
    trainer = Trainer(dataset, resolve({"model": {"name": name, **settings}}), 0)
    user, item = trainer.model.representations()
    return (user.double() @ item.double().T).numpy()


def training_rows(dataset: RecDataset) -> np.ndarray:
    return dataset.matrix("train").toarray().astype(np.float64)


@pytest.mark.parametrize("name", CLOSED)
def test_one_pass_makes_a_whole_run(tiny_dataset: RecDataset, tmp_path: Path, name: str) -> None:
    tiny_dataset.save(tmp_path / "data")
    run, data = tmp_path / "run", str(tmp_path / "data")
    done = CliRunner().invoke(main, ["train", "--data", data, "--model", name, "--output", str(run)])
    assert done.exit_code == 0, done.output
    assert "best epoch 1 of 1 by validation" in done.stdout
    folder = RunFolder(run)
    (record,) = folder.history()
    assert record["losses"] == {}
    assert folder.metrics()["validation"] == record["validation"]
    user, item = folder.representations()
    np.testing.assert_allclose(user @ item.T, scores(tiny_dataset, name), rtol=1e-5, atol=1e-6)
    evaluated = CliRunner().invoke(main, ["evaluate", str(run), "--data", data, "--format", "json"])
    assert evaluated.exit_code == 0, evaluated.output
    assert f"{folder.metrics()['test']['recall@20']}" in evaluated.stdout
    assert len(Recommender.load(run).recommend(["u1", "u2"], k=3)) == 6
    assert (run / "report.html").stat().st_size > 1000
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

    monkeypatch.setattr(Trainer, "_representations", stop)
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
