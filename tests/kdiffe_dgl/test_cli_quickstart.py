"""``kdiffe quickstart`` on a data set that is there already, so without a download."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from kdiffe_dgl.cli import main
from kdiffe_dgl.cli.progress import TrainingProgress
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.serving import Recommender, RunFolder

QUICK = (
    "model={dim: 8, attention: {walk_length: 5, n_walks: 2}, knowledge: {diffusion: {steps: 3, hidden: 8}}, "
    "modality: {diffusion: {steps: 3, hidden: 8}}}",
    "training={epochs: 2, batch_size: 32}",
)


@pytest.fixture
def place(tiny_dataset: RecDataset, tmp_path: Path) -> Path:
    """A quick start folder with data; a title has the brackets of rich's markup in it."""
    items = tiny_dataset.items.with_columns(label=pl.lit("[rec] Film [/b] ") + pl.col("id"))
    tiny_dataset.replace(items=items).save(tmp_path / "demo" / "data")
    return tmp_path / "demo"


def quickstart(place: Path, *arguments: object) -> Result:
    quick = [part for setting in QUICK for part in ("--set", setting)]
    command = ["quickstart", "--output", str(place), *quick, *map(str, arguments)]
    return CliRunner().invoke(main, command)


def test_everything_is_shown_and_written(place: Path, tiny_dataset: RecDataset) -> None:
    result = quickstart(place, "--user", "u3", "--seed", 4)
    assert result.exit_code == 0, result.output
    for step in ("1/4", "2/4", "3/4", "4/4", f"found in {place / 'data'}", "epoch    2 "):
        assert step in result.stderr
    run = RunFolder(place / "run")
    assert run.info.seed == 4
    assert f"{run.metrics()['test']['recall@20']:.4f}" in result.stdout
    for name in ("report.html", "curves.png"):
        assert (place / "run" / name).stat().st_size > 1000
        assert str(place / "run" / name) in result.stdout
    # The user's titles, and those recommended in their order, brackets and all.
    met = tiny_dataset.interactions.filter((pl.col("user") == 3) & (pl.col("split") == "train"))["item"]
    before, after = result.stdout.split("recommended to user u3")
    for item in met:
        assert f"[rec] Film [/b] i{item} " in before
    listed = Recommender.load(place / "run").recommend(["u3"], k=10)
    rows = [line for line in after.splitlines() if "Film" in line]
    assert len(rows) == len(listed) == 10
    for row, (rank, label) in zip(rows, listed.select("rank", "label").iter_rows(), strict=True):
        assert f" {rank} " in row
        assert f"{label} " in row


def test_the_most_active_user_is_the_default_and_a_second_start_replaces_the_run(
    place: Path, tiny_dataset: RecDataset
) -> None:
    counts = tiny_dataset.interactions.filter(pl.col("split") == "train")["user"].value_counts()
    assert counts["count"].max() == 4  # users 0 to 22 have 4 each; the first of them is taken
    assert "recommended to user u0" in quickstart(place).stdout
    again = quickstart(place, "--seed", 9)
    assert again.exit_code == 0, again.output
    assert RunFolder(place / "run").info.seed == 9


def test_an_unknown_user_is_told_before_training(place: Path) -> None:
    result = quickstart(place, "--user", "nobody")
    assert result.exit_code == 2
    assert "no user 'nobody'; expected an id of" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (place / "run").exists()


def test_a_wrong_setting_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    result = quickstart(tmp_path / "new", "--set", "model.dimm=3")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --set model.dimm=3: unknown key 'model.dimm'; did you mean 'model.dim'?\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_device_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    result = quickstart(tmp_path / "new", "--device", "abacus")
    assert result.exit_code == 2
    assert result.stderr == "error: device 'abacus' is unknown; expected auto, cpu, cuda or cuda:0\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = TrainingProgress.epoch_begins

    def interrupt(self: TrainingProgress, epoch: int, batches: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        begin(self, epoch, batches)

    monkeypatch.setattr(TrainingProgress, "epoch_begins", interrupt)
    result = quickstart(place)
    assert result.exit_code == 130
    assert "stopped after 1 epoch; the best weights so far, of epoch 1, are in" in result.stdout
    assert len(Recommender.load(place / "run").recommend(["u0"], k=3)) == 3
