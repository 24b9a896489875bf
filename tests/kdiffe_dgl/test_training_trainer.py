"""The training loop: one seed one result, the best epoch by validation, the test split untouched."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluator, dot_product
from kdiffe_dgl.models.peers.bprmf import BPRMF
from kdiffe_dgl.models.registry import MODELS
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import RunConfig, resolve
from kdiffe_dgl.training.run import RunOutcome, train_run
from kdiffe_dgl.training.trainer import Trainer

SMALL: dict[str, Any] = {
    "model": {
        "name": "kdiffe",
        "dim": 8,
        "attention": {"walk_length": 5, "n_walks": 2},
        "knowledge": {"keep_rate": 0.5, "diffusion": {"steps": 3, "hidden": 8}},
        "modality": {"diffusion": {"steps": 3, "hidden": 8, "sampling_noise_steps": 2}},
    },
    "training": {"epochs": 4, "batch_size": 32, "learning_rate": 0.02, "patience": 100},
    "evaluation": {"cutoffs": [2, 5]},
}
BY_RECALL_AT_2 = "training.monitor=recall@2"


def settings(*overrides: str, model: str | None = None) -> RunConfig:
    return resolve(SMALL, (BY_RECALL_AT_2, *overrides), "test", model)


def devices() -> list[Any]:
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
    return ["cpu", pytest.param("cuda", marks=absent)]


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key not in ("seconds", "phases")} for one in history]


def contents(folder: Path) -> tuple[bytes, ...]:
    names = ("representations.safetensors", "model.safetensors")
    return tuple((folder / name).read_bytes() for name in names)


def assert_same_result(first: Path, second: Path) -> None:
    """Compare what two runs learnt and measured, to the last bit."""
    assert contents(first) == contents(second)
    assert without_seconds(RunFolder(first).history()) == without_seconds(RunFolder(second).history())
    assert RunFolder(first).metrics() == RunFolder(second).metrics()


@pytest.fixture(scope="module")
def wide_dataset(tiny_dataset: RecDataset) -> RecDataset:
    """700 users and 500 items: large enough for torch and DGL to split their work over threads."""
    rng = np.random.default_rng(3)
    n_users, n_items = 700, 500
    side = {
        kind: pl.DataFrame({kind: range(n)}).with_columns(
            id=pl.lit(kind) + pl.col(kind).cast(pl.Utf8), label=pl.lit(None, dtype=pl.Utf8)
        )
        for kind, n in (("user", n_users), ("item", n_items))
    }
    pairs = pl.DataFrame({"user": rng.integers(0, n_users, 9000), "item": rng.integers(0, n_items, 9000)})
    pairs = pairs.unique(maintain_order=True)
    split = np.where(np.arange(len(pairs)) % 10 == 0, "validation", "train")
    from kg_builders.schema import KnowledgeGraph

    count = 4000
    named = pl.DataFrame(
        {
            "head_kind": ["item"] * count,
            "head_id": [f"item{i}" for i in rng.integers(0, n_items, count)],
            "relation": [f"r{i}" for i in rng.integers(0, 3, count)],
            "tail_kind": ["tag"] * count,
            "tail_id": [f"t{i}" for i in rng.integers(0, 60, count)],
            "tail_label": [None] * count,
            "source": ["test"] * count,
        },
        schema_overrides={"tail_label": pl.Utf8},
    ).unique(maintain_order=True)
    relations = pl.DataFrame(
        {"name": ["r0", "r1", "r2"], "label": ["r0", "r1", "r2"], "symmetric": [False] * 3}
    )
    kg = KnowledgeGraph.from_named(named, side["item"].select("id", "label"), relations)
    features = {"image": rng.normal(size=(n_items, 40)).astype(np.float32)}
    pairs = pairs.with_columns(split=pl.Series(split))
    return RecDataset("wide", side["user"], side["item"], pairs, kg, features, {})


@pytest.mark.parametrize("model", ["kdiffe", "lightgcn"])
def test_one_seed_gives_one_result_and_another_seed_another(
    tiny_dataset: RecDataset, tmp_path: Path, model: str
) -> None:
    config = settings(model=model)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(hash(name) % 100)  # the generators in use are explicit: this one is not read
        train_run(tiny_dataset, tmp_path / name, config, seed=seed, device="cpu")
    assert_same_result(tmp_path / "a", tmp_path / "b")
    user, item = RunFolder(tmp_path / "a").representations()
    other_user, other_item = RunFolder(tmp_path / "c").representations()
    assert not np.allclose(user @ item.T, other_user @ other_item.T, atol=1e-3)


def test_one_seed_gives_one_result_on_two_threads(wide_dataset: RecDataset, tmp_path: Path) -> None:
    # In a process of its own, where idle threads sleep: on a busy machine, those that spin for work
    # make this ten times slower.
    code = (
        "import json, sys, torch\n"
        "from kdiffe_dgl.data.dataset import RecDataset\n"
        "from kdiffe_dgl.training.config import resolve\n"
        "from kdiffe_dgl.training.run import train_run\n"
        "dataset, values = RecDataset.load(sys.argv[1]), json.loads(sys.argv[2])\n"
        "for folder in sys.argv[3:]:\n"
        "    assert torch.get_num_threads() == 2\n"
        "    train_run(dataset, folder, resolve(values), seed=1, device='cpu')\n"
    )
    wide = "{dim: 64, modality: {diffusion: {hidden: 64}}, knowledge: {diffusion: {hidden: 64}}}"
    config = settings(f"model={wide}", "training.epochs=2", "training.batch_size=2048").to_dict()
    wide_dataset.save(tmp_path / "data")
    arguments = [tmp_path / "data", json.dumps(config), tmp_path / "a", tmp_path / "b"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, check=True, timeout=300
    )
    assert_same_result(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("device", devices())
def test_a_run_learns_and_its_files_agree(tiny_dataset: RecDataset, tmp_path: Path, device: str) -> None:
    config = settings("training.epochs=25")
    outcome = train_run(tiny_dataset, tmp_path / "run", config, seed=0, device=device)
    run, metrics = RunFolder(outcome.folder), RunFolder(outcome.folder).metrics()
    # Items of the liked genre are 6 of 18, so chance is far below this.
    assert metrics["validation"]["recall@5"] > 0.6
    assert metrics["best_epoch"] == outcome.fit.best_epoch
    assert metrics["validation"] == run.history()[outcome.fit.best_epoch - 1]["validation"]
    assert outcome.test is not None
    assert metrics["test"] == outcome.test.metrics
    assert [record["epoch"] for record in run.history()] == list(range(1, 26))
    assert resolve(run.config()) == config
    assert not [file.name for file in outcome.folder.iterdir() if "checkpoint" in file.name]
    first, last = run.history()[0]["losses"], run.history()[-1]["losses"]
    assert last["bpr"] < 0.8 * first["bpr"]


def test_the_best_epoch_by_validation_is_what_is_kept(wide_dataset: RecDataset, tmp_path: Path) -> None:
    # Random interactions: validation jumps up and down.
    config = settings("training.epochs=12", "training.batch_size=2048", model="lightgcn")
    tables: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Recorder:
        def epoch_begins(self, epoch: int, batches: int) -> None: ...

        def batch_ends(self, loss: float) -> None: ...

        def fitting_begins(self) -> None: ...

        def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
            tables.append(trainer.model.representations())
            told.append(best)

    told: list[bool] = []
    trainer = Trainer(wide_dataset, config, 0, progress=Recorder())
    run = RunFolder.create(tmp_path / "run", wide_dataset, model="lightgcn", seed=0, config=config.to_dict())
    result = trainer.fit(run)
    values = [record["validation"]["recall@2"] for record in result.history]
    assert min(values[1:]) < max(values)
    best = int(np.argmax(values))  # the first of the best
    assert 0 < best < 11, "the case is of no use unless the best epoch is in the middle"
    assert result.best_epoch == best + 1
    assert told == [value > max([-1.0, *values[:epoch]]) for epoch, value in enumerate(values)]
    user, item = run.representations()
    np.testing.assert_array_equal(user, tables[best][0].numpy())
    np.testing.assert_array_equal(item, tables[best][1].numpy())
    measured = Evaluator(wide_dataset, "validation", cutoffs=(2, 5)).evaluate(dot_product(*tables[best]))
    assert measured.metrics == result.history[best]["validation"]
    # The weights are those of the same epoch: they give the same representations again.
    state = {name: torch.from_numpy(value) for name, value in run.weights().items()}
    trainer.model.load_state_dict(state)
    np.testing.assert_array_equal(trainer.model.representations()[0].numpy(), user)


def test_training_stops_when_validation_does_not_improve(wide_dataset: RecDataset, tmp_path: Path) -> None:
    def stopped(*overrides: str) -> RunOutcome:
        config = settings("training.epochs=60", "training.batch_size=2048", *overrides, model="lightgcn")
        return train_run(wide_dataset, tmp_path / "-".join(overrides), config, device="cpu")

    each = stopped("training.patience=3").fit
    assert len(each.history) == each.best_epoch + 3 < 60
    every_second = stopped("training.patience=2", "training.validate_every=2").fit
    validated = [record["epoch"] for record in every_second.history if record["validation"]]
    assert validated == list(range(2, len(every_second.history) + 1, 2))
    assert len(every_second.history) == every_second.best_epoch + 4 < 60


def test_the_last_epoch_is_validated(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    config = settings("training.epochs=3", "training.validate_every=5", model="lightgcn")
    outcome = train_run(tiny_dataset, tmp_path / "run", config, device="cpu")
    assert [record["validation"] is not None for record in outcome.fit.history] == [False, False, True]
    assert outcome.fit.best_epoch == 3


def test_the_test_split_does_not_reach_training(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    known = tiny_dataset.interactions.filter(pl.col("split") != "test")
    blind = tiny_dataset.replace(interactions=known)
    config = settings()
    full = train_run(tiny_dataset, tmp_path / "full", config, device="cpu")
    half = train_run(blind, tmp_path / "blind", config, device="cpu")
    assert contents(full.folder) == contents(half.folder)
    assert without_seconds(full.fit.history) == without_seconds(half.fit.history)
    assert full.test is not None
    assert half.test is None
    assert RunFolder(half.folder).metrics()["test"] is None


def test_the_test_split_is_read_once_at_the_end(
    tiny_dataset: RecDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []
    original = RecDataset.matrix
    outer: list[Trainer] = []

    def watched(self: RecDataset, *splits: str) -> Any:
        if not splits or "test" in splits:
            read.append((",".join(splits), len(outer[0].result.history) if outer else -1))
        return original(self, *splits)

    monkeypatch.setattr(RecDataset, "matrix", watched)
    config = settings()
    outer.append(trainer := Trainer(tiny_dataset, config, 0))
    run = RunFolder.create(tmp_path / "run", tiny_dataset, model="kdiffe", seed=0, config=config.to_dict())
    trainer.fit(run)
    assert read == []
    trainer.finish(run)
    assert read == [("test", 4)]


def test_validation_interactions_choose_the_epoch_and_nothing_else(
    tiny_dataset: RecDataset, tmp_path: Path
) -> None:
    """With one epoch there is no choice, so the weights must not depend on the validation split."""
    some = tiny_dataset.interactions.filter((pl.col("split") != "validation") | (pl.col("user") < 3))
    config = settings("training.epochs=1")
    for name, dataset in (("all", tiny_dataset), ("some", tiny_dataset.replace(interactions=some))):
        train_run(dataset, tmp_path / name, config, device="cpu")
    assert contents(tmp_path / "all") == contents(tmp_path / "some")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["training.learning_rate=1e30"], "training.learning_rate"),
        (["model.knowledge.diffusion.learning_rate=1e30"], "side network"),
        (["model.knowledge.diffusion.guidance=1e38"], "diffusion/knowledge"),
        (["model.modality.diffusion.learning_rate=1e30"], "side network"),
        (["model.modality.diffusion.guidance=1e38"], "diffusion/image"),
    ],
)
def test_divergence_is_one_sentence_and_leaves_nothing(
    tiny_dataset: RecDataset, tmp_path: Path, overrides: list[str], named: str
) -> None:
    with pytest.raises(InputError, match=r"training diverged in epoch [12]: ") as caught:
        train_run(tiny_dataset, tmp_path / "run", settings(*overrides), device="cpu")
    assert named in str(caught.value)
    if "epoch 1" in str(caught.value):
        assert list(tmp_path.iterdir()) == []


def test_divergence_keeps_the_best_epoch_before_it(
    tiny_dataset: RecDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings("training.epochs=6", "training.checkpoint_seconds=0", model="lightgcn")
    trainer = Trainer(tiny_dataset, config, 0)
    run = RunFolder.create(tmp_path / "run", tiny_dataset, model="lightgcn", seed=0, config=config.to_dict())
    begin = trainer.model.begin_epoch

    def poisoned(generator: torch.Generator) -> Any:
        if len(trainer.result.history) == 2:
            with torch.no_grad():
                next(trainer.model.parameters()).fill_(math.nan)
        return begin(generator)

    monkeypatch.setattr(trainer.model, "begin_epoch", poisoned)
    with pytest.raises(InputError, match="diverged in epoch 3: 'bpr' is nan"):
        trainer.fit(run)
    assert len(run.history()) == 2
    assert np.isfinite(run.representations()[0]).all()
    assert all(np.isfinite(value).all() for value in run.weights().values())


def test_no_validation_split_is_told_before_anything_is_done(
    tiny_dataset: RecDataset, tmp_path: Path
) -> None:
    rest = tiny_dataset.interactions.filter(pl.col("split") != "validation")
    with pytest.raises(InputError, match="'tiny': the validation split is empty"):
        train_run(tiny_dataset.replace(interactions=rest), tmp_path / "run", settings(), device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_no_training_split_is_told(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    rest = tiny_dataset.interactions.filter(pl.col("split") != "train")
    with pytest.raises(InputError, match="'tiny': the train split is empty"):
        train_run(tiny_dataset.replace(interactions=rest), tmp_path / "run", settings(), device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_user_with_every_item_is_told(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    everything = pl.DataFrame({"user": [0] * 18, "item": range(18), "split": ["train"] * 18})
    rest = tiny_dataset.interactions.filter(pl.col("user") != 0)
    greedy = tiny_dataset.replace(interactions=pl.concat([rest, everything.cast(dict(rest.schema))]))
    with pytest.raises(InputError, match="user 0 has all 18 items"):
        train_run(greedy, tmp_path / "run", settings(), device="cpu")
    assert list(tmp_path.iterdir()) == []


class TwoHills(BPRMF):
    """A fit of its weight ends at 0, which ranks badly, unless it begins where the settings are."""

    name = "two-hills"
    weight: Tensor

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.register_buffer("weight", torch.tensor(1.0))

    def scoring_weights(self) -> dict[str, float]:
        return {"weight": float(self.weight)}

    def fit_scoring(self, measure: Callable[[Tensor, Tensor], float]) -> None:
        self.weight.fill_(0.0 if self.weight == 1 else 2.0)

    def reset_scoring(self) -> None:
        self.weight.fill_(5.0)

    def representations(self) -> tuple[Tensor, Tensor]:
        users, items = super().representations()
        taste = torch.eye(3)
        right = float(self.weight == 2.0)
        return (
            torch.cat([0.01 * users, right * taste[torch.arange(len(users)) % 3]], dim=1),
            torch.cat([items, taste[torch.arange(len(items)) % 3]], dim=1),
        )


def test_the_last_fit_of_weights_starts_from_the_settings_too(
    tiny_dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "two-hills", TwoHills)
    config = resolve({"model": {"name": "two-hills"}}, ["training.epochs=1", BY_RECALL_AT_2])
    outcome = train_run(tiny_dataset, tmp_path / "run", config, seed=0, device="cpu")
    assert outcome.fit.scoring is not None
    assert dict(outcome.fit.scoring.weights) == {"weight": 2.0}
    assert RunFolder(tmp_path / "run").metrics()["validation"]["recall@2"] == outcome.fit.best_value


@pytest.mark.parametrize("metric", ["recall@2", "ndcg@2", "ndcg@7"])
def test_weights_are_fitted_on_the_metric_that_is_asked_for(
    tiny_dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    measured: list[tuple[float, float]] = []

    class Asking(TwoHills):
        def fit_scoring(self, measure: Callable[[Tensor, Tensor], float]) -> None:
            super().fit_scoring(measure)
            user, item = self.representations()
            found = Evaluator(tiny_dataset, "validation", cutoffs=(2, 7)).evaluate(dot_product(user, item))
            measured.append((measure(user, item), found.metrics[metric]))

    monkeypatch.setitem(MODELS, "two-hills", Asking)
    asked = [] if metric == "recall@2" else [f"training.fit_metric={metric}"]
    config = resolve({"model": {"name": "two-hills"}}, ["training.epochs=1", BY_RECALL_AT_2, *asked])
    outcome = train_run(tiny_dataset, tmp_path / "run", config, seed=0, device="cpu")
    assert len(measured) == 2
    assert len({value for value, _ in measured}) == 2  # two hills
    assert all(value == pytest.approx(expected) for value, expected in measured)
    assert outcome.fit.scoring is not None
    # The better hill counts, and what chose the epoch is told of it.
    assert outcome.fit.scoring.validation[metric] == pytest.approx(max(value for value, _ in measured))
    assert outcome.fit.best_value == outcome.fit.scoring.validation["recall@2"]
