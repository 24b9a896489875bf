"""Runs that are killed, stopped and resumed, and what is told of those that can't be."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import RunConfig, resolve
from kdiffe_dgl.training.run import choose_device, resume_run, train_run
from kdiffe_dgl.training.trainer import NoProgress, Trainer

SMALL: dict[str, Any] = {
    "model": {
        "name": "kdiffe",
        "dim": 8,
        "attention": {"walk_length": 5, "n_walks": 2},
        "knowledge": {"keep_rate": 0.5, "diffusion": {"steps": 3, "hidden": 8}},
        "modality": {"diffusion": {"steps": 3, "hidden": 8, "sampling_noise_steps": 2}},
    },
    "training": {
        "epochs": 6,
        "batch_size": 8,
        "learning_rate": 0.05,
        "checkpoint_seconds": 0,
        "monitor": "recall@2",
        "patience": 100,
    },
    "evaluation": {"cutoffs": [2, 5]},
}
CHECKPOINT = "checkpoint.safetensors"

# Runs once a kill point in a forked process, which kills itself just before the n-th call of a method.
CHILD = """
import json, os, signal, sys
import torch._dynamo  # the first optimiser loads it, which takes seconds: here once, not in each process
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run
from kdiffe_dgl.training.trainer import NoProgress, Trainer

folder, values, seed, points = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
for name, (owner, method, call) in points.items():
    child = os.fork()
    if child == 0:
        # Loaded here, since the threads that load it would not survive the fork.
        dataset = RecDataset.load(folder + "/data")
        cls = {"RunFolder": RunFolder, "Trainer": Trainer, "Progress": NoProgress}[owner]
        original, calls = getattr(cls, method), [0]

        def deadly(*args, **options):
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **options)

        setattr(cls, method, deadly)
        train_run(dataset, folder + "/" + name, resolve(values), seed=seed, device="cpu")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, name
"""
POINTS = {
    "in the first epoch": ("Progress", "batch_ends", 2),
    "in a later epoch": ("Progress", "batch_ends", 50),
    "before any file": ("RunFolder", "write_weights", 1),
    "between weights and representations": ("RunFolder", "write_representations", 2),
    "between the best epoch and its checkpoint": ("Trainer", "checkpoint", 2),
    "before the end is written": ("RunFolder", "write_metrics", 1),
}


@pytest.fixture(scope="module")
def noisy(tiny_dataset: RecDataset) -> RecDataset:
    """Random interactions, so that validation goes up and down and several epochs are best in turn."""
    rng = np.random.default_rng(1)
    items = np.argsort(rng.random((24, 18)), axis=1)[:, :9]
    pairs = pl.DataFrame(
        {
            "user": np.repeat(np.arange(24), 9),
            "item": items.reshape(-1),
            "split": np.tile(["train"] * 5 + ["validation"] * 2 + ["test"] * 2, 24),
        }
    )
    return tiny_dataset.replace(interactions=pairs)


def settings(*overrides: str) -> RunConfig:
    return resolve(SMALL, overrides, "test")


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key not in ("seconds", "phases")} for one in history]


def result(folder: Path) -> tuple[Any, ...]:
    """Everything that two runs must have in common to be the same."""
    run = RunFolder(folder)
    files = [(folder / name).read_bytes() for name in ("representations.safetensors", "model.safetensors")]
    return (*files, without_seconds(run.history()), run.metrics())


@pytest.fixture(scope="module")
def whole(noisy: RecDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not stopped, in which several epochs are best in turn."""
    for seed in range(20):
        folder = tmp_path_factory.mktemp("whole") / "run"
        fit = train_run(noisy, folder, settings(), seed=seed, device="cpu").fit
        values = [record["validation"]["recall@2"] for record in fit.history]
        if sum(values[epoch] > max([-1.0, *values[:epoch]]) for epoch in range(6)) >= 3:
            return folder
    raise AssertionError("no seed gives a run in which three epochs are best in turn")


@pytest.fixture(scope="module")
def seed(whole: Path) -> int:
    return RunFolder(whole).info.seed


@pytest.fixture(scope="module")
def killed(noisy: RecDataset, tmp_path_factory: pytest.TempPathFactory, seed: int) -> Path:
    """A folder of runs, each killed at one of the points."""
    folder = tmp_path_factory.mktemp("killed")
    noisy.save(folder / "data")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [str(folder), json.dumps(SMALL), str(seed), json.dumps(POINTS)]
    subprocess.run([sys.executable, "-c", CHILD, *arguments], env=environment, check=True, timeout=300)
    return folder


def stop_in_epoch(dataset: RecDataset, folder: Path, epoch: int, config: RunConfig, seed: int) -> None:
    """Train a run and press Ctrl-C in the middle of an epoch."""

    class Impatient(NoProgress):
        def __init__(self) -> None:
            self.epoch = 0

        def epoch_begins(self, epoch: int, batches: int) -> None:
            self.epoch = epoch

        def batch_ends(self, loss: float) -> None:
            if self.epoch == epoch:
                signal.raise_signal(signal.SIGINT)

    outcome = train_run(dataset, folder, config, seed=seed, device="cpu", progress=Impatient())
    assert outcome.fit.interrupted
    assert outcome.test is None
    assert not (folder / "metrics.json").exists()


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_reaches_the_same_result(
    noisy: RecDataset, whole: Path, killed: Path, point: str
) -> None:
    folder = killed / point
    assert not (folder / "metrics.json").exists()
    assert (folder / CHECKPOINT).exists() == (point not in ("in the first epoch", "before any file"))
    outcome = resume_run(noisy, folder, device="cpu")
    assert result(folder) == result(whole)
    assert outcome.fit.best_epoch == RunFolder(whole).metrics()["best_epoch"]
    assert not [file.name for file in folder.iterdir() if "checkpoint" in file.name]


def test_a_stopped_run_keeps_its_best_epoch_and_goes_on(
    noisy: RecDataset, whole: Path, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "run"
    stop_in_epoch(noisy, folder, 4, settings(), seed)
    history = without_seconds(RunFolder(folder).history())
    assert history == without_seconds(RunFolder(whole).history())[:3]
    best = int(np.argmax([record["validation"]["recall@2"] for record in history])) + 1
    short = train_run(noisy, tmp_path / "short", settings(f"training.epochs={best}"), seed=seed, device="cpu")
    np.testing.assert_array_equal(
        RunFolder(folder).representations()[1], RunFolder(short.folder).representations()[1]
    )
    resume_run(noisy, folder, device="cpu")
    assert result(folder) == result(whole)


def test_a_run_can_be_stopped_again_and_again(
    noisy: RecDataset, whole: Path, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "run"
    stop_in_epoch(noisy, folder, 2, settings(), seed)
    for _ in range(6):

        class Impatient(NoProgress):
            epochs = 0

            def epoch_begins(self, epoch: int, batches: int) -> None:
                self.epochs += 1
                if self.epochs == 2:
                    raise KeyboardInterrupt

        if not resume_run(noisy, folder, device="cpu", progress=Impatient()).fit.interrupted:
            break
    assert result(folder) == result(whole)


def test_ctrl_c_between_two_files_leaves_both_of_one_epoch(
    noisy: RecDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    folder, calls, original = tmp_path / "run", [0], RunFolder.write_representations

    def interrupted(self: RunFolder, user: Any, item: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        original(self, user, item)

    monkeypatch.setattr(RunFolder, "write_representations", interrupted)
    outcome = train_run(noisy, folder, settings(), seed=seed, device="cpu")
    assert outcome.fit.interrupted
    assert calls == [3]
    best = outcome.fit.best_epoch
    assert best > 1
    monkeypatch.undo()
    train_run(noisy, tmp_path / "short", settings(f"training.epochs={best}"), seed=seed, device="cpu")
    for name in ("representations.safetensors", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "short" / name).read_bytes()


def test_without_a_checkpoint_a_run_starts_afresh(
    noisy: RecDataset, whole: Path, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "run"
    rare = settings("training.checkpoint_seconds=1000")
    stop_in_epoch(noisy, folder, 4, rare, seed)
    assert not (folder / CHECKPOINT).exists()
    resume_run(noisy, folder, device="cpu")
    assert result(folder) == result(whole)


def test_resume_trains_no_further_where_patience_was_exhausted(
    noisy: RecDataset, tmp_path: Path, seed: int
) -> None:
    config = settings("training.patience=2", "training.epochs=50")
    expected = train_run(noisy, tmp_path / "whole", config, seed=seed, device="cpu")
    assert len(expected.fit.history) < 50
    # Stopped after training and before the test split was read.
    run = RunFolder.create(tmp_path / "run", noisy, model="kdiffe", seed=seed, config=config.to_dict())
    Trainer(noisy, config, seed).fit(run)

    class Watching(NoProgress):
        def epoch_begins(self, epoch: int, batches: int) -> None:
            raise AssertionError("no epoch should begin")

    resume_run(noisy, run.path, device="cpu", progress=Watching())
    assert result(run.path) == result(tmp_path / "whole")


def test_the_files_follow_the_checkpoint_on_resume(noisy: RecDataset, tmp_path: Path, seed: int) -> None:
    """A run on a device that does not repeat itself must not keep the files of a lost epoch."""
    folder = tmp_path / "run"
    stop_in_epoch(noisy, folder, 3, settings(), seed)
    run = RunFolder(folder)
    before = [(folder / name).read_bytes() for name in ("representations.safetensors", "model.safetensors")]
    run.write_representations(np.ones((24, 2)), np.ones((18, 2)))
    run.write_weights({"x": np.ones(1)})
    run.write_history([])
    Trainer(noisy, settings(), seed).resume(run)
    after = [(folder / name).read_bytes() for name in ("representations.safetensors", "model.safetensors")]
    assert after == before
    assert len(run.history()) == 2


# What can't be resumed


def test_a_finished_run_is_not_resumed(noisy: RecDataset, whole: Path) -> None:
    before = result(whole)
    with pytest.raises(InputError, match="the run is finished; expected one that was stopped"):
        resume_run(noisy, whole, device="cpu")
    assert result(whole) == before


def test_a_run_of_another_data_set_is_not_resumed(
    noisy: RecDataset, tiny_dataset: RecDataset, tmp_path: Path, seed: int
) -> None:
    stop_in_epoch(noisy, tmp_path / "run", 2, settings(), seed)
    with pytest.raises(InputError, match="the run belongs to data set 'tiny' with fingerprint"):
        resume_run(tiny_dataset, tmp_path / "run", device="cpu")


def test_what_is_no_run_is_not_resumed(noisy: RecDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        resume_run(noisy, tmp_path / "run", device="cpu")


def test_a_run_with_a_broken_configuration_is_not_resumed(
    noisy: RecDataset, tmp_path: Path, seed: int
) -> None:
    stop_in_epoch(noisy, tmp_path / "run", 2, settings(), seed)
    (tmp_path / "run" / "config.yaml").write_text("model: {name: kdiffe, dimm: 3}\n")
    with pytest.raises(
        InputError, match=r"config\.yaml: unknown key 'model\.dimm'; did you mean 'model\.dim'"
    ):
        resume_run(noisy, tmp_path / "run", device="cpu")


# Places and devices


def test_a_failure_does_not_remove_the_run_that_was_to_be_overwritten(noisy: RecDataset, whole: Path) -> None:
    before = result(whole)
    blind = noisy.replace(interactions=noisy.interactions.filter(pl.col("split") != "validation"))
    with pytest.raises(InputError, match="validation split is empty"):
        train_run(blind, whole, settings(), device="cpu", overwrite=True)
    noise = settings("model.knowledge.diffusion.noise_max=50")
    with pytest.raises(InputError, match="noise"):
        train_run(noisy, whole, noise, device="cpu", overwrite=True)
    assert result(whole) == before


def test_a_taken_folder_is_told_before_the_model_is_built(
    noisy: RecDataset, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: pytest.fail("the model was built"))
    with pytest.raises(InputError, match="holds a run already"):
        train_run(noisy, whole, settings(), device="cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", "mps", "", "cpu:", "cuda:-1"])
def test_an_unknown_device_is_told(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}' is unknown; expected auto, cpu, cuda or cuda:0"):
        choose_device(name)


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if torch.cuda.is_available():
        assert choose_device("cuda:0").type == "cuda"
        with pytest.raises(InputError, match="numbered from 0"):
            choose_device("cuda:99")
    else:
        with pytest.raises(InputError, match="torch finds no GPU here; expected cpu"):
            choose_device("cuda")
