"""The run folder: what is written is read back, and every fault is one sentence that names the file."""

import json
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.serving import RunFolder
from kdiffe_dgl.serving.files import atomic_file

DIM = 4
CONFIG = {"model": {"dim": DIM, "name": "naïve"}, "training": {"rate": 0.001, "epochs": 3}}


@pytest.fixture
def run(tiny_dataset: RecDataset, tmp_path: Path) -> RunFolder:
    """A finished run with random representations."""
    folder = RunFolder.create(tmp_path / "deep" / "run", tiny_dataset, model="kdiffe", seed=3, config=CONFIG)
    rng = np.random.default_rng(0)
    folder.write_representations(
        rng.normal(size=(tiny_dataset.n_users, DIM)), rng.normal(size=(tiny_dataset.n_items, DIM))
    )
    folder.write_weights({"embedding": torch.arange(6.0).view(2, 3), "scale": torch.tensor(2.0)})
    folder.write_history([{"epoch": 0, "seconds": 1.5, "losses": {"bpr": 0.7}, "validation": None}])
    folder.write_metrics({"validation": {"recall@20": 0.5}, "test": {"recall@20": 0.4}, "mask": ["train"]})
    return folder


def test_reads_back_what_was_written(run: RunFolder, tiny_dataset: RecDataset) -> None:
    again = RunFolder(run.path)
    assert again.info.model == "kdiffe"
    assert again.info.dataset == tiny_dataset.name
    assert again.info.fingerprint == tiny_dataset.fingerprint
    assert again.info.seed == 3
    assert {"python", "torch", "numpy", "dgl"} <= set(again.info.versions)
    assert again.config() == CONFIG
    assert again.users().equals(tiny_dataset.users)
    assert again.items().equals(tiny_dataset.items)
    expected = tiny_dataset.interactions.filter(pl.col("split") != "test")
    assert again.seen().equals(expected.select("user", "item", "split"))
    weights = again.weights()
    np.testing.assert_array_equal(weights["embedding"], np.arange(6.0, dtype=np.float32).reshape(2, 3))
    assert weights["scale"].shape == ()
    assert again.history()[0]["losses"] == {"bpr": 0.7}
    assert again.metrics()["test"] == {"recall@20": 0.4}


def test_representations_keep_their_values_from_either_library(run: RunFolder) -> None:
    user = torch.randn(24, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # A transposed matrix is not contiguous, which the format requires.
    item = np.random.default_rng(1).normal(size=(3, 18)).T
    run.write_representations(user.requires_grad_(), item)
    read_user, read_item = run.representations()
    assert read_user.dtype == read_item.dtype == np.float32
    np.testing.assert_array_equal(read_user, user.detach().numpy().astype(np.float32))
    np.testing.assert_array_equal(read_item, item.astype(np.float32))


def test_seen_may_be_training_only(tiny_dataset: RecDataset, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", tiny_dataset, model="m", seed=0, config={}, seen=("train",))
    assert run.seen()["split"].unique().to_list() == ["train"]


def test_dataset_of_the_run_is_accepted_and_another_refused(run: RunFolder, tiny_dataset: RecDataset) -> None:
    run.check_dataset(tiny_dataset)
    other = tiny_dataset.replace(interactions=tiny_dataset.interactions.head(40), name="other")
    with pytest.raises(InputError, match=r"belongs to data set 'tiny' with fingerprint .*, not to 'other'"):
        run.check_dataset(other)


def test_leaves_no_temporary_files(run: RunFolder) -> None:
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]
    assert stat.S_IMODE((run.path / "run.json").stat().st_mode) == 0o644


def test_failed_write_keeps_the_old_file(run: RunFolder) -> None:
    before = (run.path / "history.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_history([{"epoch": 0, "losses": {"bpr": float("nan")}}])
    assert (run.path / "history.json").read_bytes() == before


def test_block_that_fails_writes_nothing(tmp_path: Path) -> None:
    def half_write() -> None:
        with atomic_file(tmp_path / "a.csv") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_write()
    assert not list(tmp_path.iterdir())


def test_target_that_is_a_folder_or_has_none(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with (
        pytest.raises(InputError, match=r"taken: can't be written \(Is a directory\)"),
        atomic_file(tmp_path / "taken"),
    ):
        pass
    with pytest.raises(InputError, match="can't be written"), atomic_file(tmp_path / "no" / "file.csv"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_place_that_is_taken(run: RunFolder, tiny_dataset: RecDataset, tmp_path: Path) -> None:
    options = {"model": "m", "seed": 0, "config": {}}
    with pytest.raises(InputError, match="holds a run already"):
        RunFolder.create(run.path, tiny_dataset, **options)
    assert RunFolder(run.path).info.model == "kdiffe"
    fresh = RunFolder.create(run.path, tiny_dataset, **options, overwrite=True)
    assert fresh.info.model == "m"
    assert not (run.path / "metrics.json").exists()

    other = tmp_path / "other"
    other.mkdir()
    RunFolder.create(other, tiny_dataset, **options)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds other files"):
        RunFolder.create(notes, tiny_dataset, **options, overwrite=True)
    assert (notes / "mine.txt").read_text() == "keep me"
    with pytest.raises(InputError, match="is a file"):
        RunFolder.create(notes / "mine.txt", tiny_dataset, **options, overwrite=True)
    with pytest.raises(
        InputError, match=r"can't be written \(File exists\)|can't be written \(Not a directory\)"
    ):
        RunFolder.create(notes / "mine.txt" / "run", tiny_dataset, **options)


READERS = {
    "config.yaml": RunFolder.config,
    "users.parquet": RunFolder.users,
    "items.parquet": RunFolder.items,
    "seen.parquet": RunFolder.seen,
    "model.safetensors": RunFolder.weights,
    "representations.safetensors": RunFolder.representations,
    "history.json": RunFolder.history,
    "metrics.json": RunFolder.metrics,
    "run.json": lambda run: RunFolder(run.path),
}


@pytest.mark.parametrize("name", sorted(READERS))
def test_missing_file_is_named(run: RunFolder, name: str) -> None:
    assert name in {path.name for path in run.path.iterdir()}
    (run.path / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing file; expected a run folder"):
        READERS[name](run)


def test_every_file_of_a_run_is_tested(run: RunFolder) -> None:
    assert {path.name for path in run.path.iterdir()} == set(READERS)


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_truncated_file_is_named(run: RunFolder, name: str, share: float) -> None:
    file = run.path / name
    content = file.read_bytes()
    if name == "config.yaml" and share:
        # Half a YAML file can be a whole one, so break it in another way.
        content = content + b"\n  - [\n"
        share = 1.0
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=name) as caught:
        READERS[name](run)
    assert len(str(caught.value).splitlines()) == 1


def edit_json(run: RunFolder, **changes: object) -> None:
    file = run.path / "run.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 99}, "run.json: schema version 99; expected 1"),
        ({"fingerprint": None}, "run.json: field 'fingerprint' is missing"),
        ({"seed": -3}, "run.json: field 'seed' is -3; expected a whole number from 0"),
        ({"seed": True}, "run.json: field 'seed' is True; expected a whole number from 0"),
        ({"versions": ["torch"]}, "run.json: field 'versions' is missing or not a dict"),
    ],
)
def test_index_that_is_not_one(run: RunFolder, changes: dict, message: str) -> None:
    edit_json(run, **changes)
    with pytest.raises(InputError, match=message):
        RunFolder(run.path)


def test_index_of_another_shape(run: RunFolder) -> None:
    (run.path / "run.json").write_text("[1]")
    with pytest.raises(InputError, match=r"run\.json: holds list; expected an object"):
        RunFolder(run.path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        RunFolder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [
        ((23, DIM), (18, DIM), "'user' has 23 rows; expected 24"),
        ((24, DIM), (19, DIM), "'item' has 19 rows; expected 18"),
        ((24, DIM), (18, 3), "users have 4 dimensions and items 3"),
        ((24,), (18, DIM), "lacks a float32 matrix 'user'"),
    ],
)
def test_representations_that_do_not_fit(run: RunFolder, user: tuple, item: tuple, message: str) -> None:
    run.write_representations(np.zeros(user), np.zeros(item))
    with pytest.raises(InputError, match=message):
        run.representations()


def test_representations_that_are_not_finite(run: RunFolder) -> None:
    run.write_representations(np.full((24, DIM), np.nan), np.zeros((18, DIM)))
    with pytest.raises(InputError, match="'user' holds NaN"):
        run.representations()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"user": [0], "id": ["a"]}), "lacks the column 'label'"),
        (pl.DataFrame({"user": ["0"], "id": ["a"], "label": ["A"]}), "column 'user' is String"),
        (pl.DataFrame({"user": [0, 1], "id": ["a", None], "label": ["A", "B"]}), "row 1 has no 'id'"),
        (pl.DataFrame({"user": [1], "id": ["a"], "label": ["A"]}), "user numbers must be 0, 1, 2"),
    ],
)
def test_id_map_that_is_not_one(run: RunFolder, frame: pl.DataFrame, message: str) -> None:
    frame.write_parquet(run.path / "users.parquet")
    with pytest.raises(InputError, match=message):
        run.users()


def test_seen_that_does_not_fit_the_id_maps(run: RunFolder) -> None:
    pl.DataFrame({"user": [0], "item": [18], "split": ["train"]}).write_parquet(run.path / "seen.parquet")
    with pytest.raises(InputError, match="unknown item 18; expected a number from 0 to 17"):
        run.seen()


@pytest.mark.parametrize("name", ["run.json", "history.json", "metrics.json", "config.yaml"])
def test_files_that_are_nested_without_end_are_named(run: RunFolder, name: str) -> None:
    # PyYAML takes seconds for as many as the parser of JSON needs.
    depth = 100_000 if name.endswith(".json") else 2000
    (run.path / name).write_text("[" * depth, encoding="utf-8")
    with pytest.raises(InputError, match=rf"{name}: is not valid (JSON|YAML) \(nested too deeply"):
        READERS[name](RunFolder(run.path))


@pytest.mark.parametrize("digits", [30, 5000])
def test_whole_numbers_beyond_any_column_are_refused(run: RunFolder, digits: int) -> None:
    (run.path / "history.json").write_text(f'[{{"epoch": {"9" * digits}}}]', encoding="utf-8")
    with pytest.raises(InputError, match=rf"history\.json: is not valid JSON \(a number of {digits} digits"):
        run.history()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_refused(run: RunFolder, value: float) -> None:
    run.write_weights({"numbers": np.array([1, 2]), "embedding": np.array([[1.0, value]])})
    with pytest.raises(InputError, match=r"model\.safetensors: 'embedding' holds NaN or infinite values"):
        run.weights()
