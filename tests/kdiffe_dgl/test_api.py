"""The Python calls return what the commands print and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from kdiffe_dgl.api import Run, settings_for
from kdiffe_dgl.cli import main
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.training.config import preset, resolve
from kdiffe_dgl.training.trainer import NoProgress

SMALL = ["model.dim=8", "training.epochs=1", "training.batch_size=16"]
# Generated graphs in the score, and all facts, so that something connects all users with their lists.
SCORED = [*SMALL, "model.modality.score_weight=0.1", "model.knowledge.main=full"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Any) -> Path:
    folder = tmp_path_factory.mktemp("api")
    tiny_dataset.save(folder / "data")
    Run.train(tiny_dataset, folder / "run", overrides=SCORED, seed=1)
    return folder


@pytest.fixture
def run(folders: Path) -> Run:
    return Run(folders / "run", folders / "data")


def command(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_training_is_that_of_the_command(folders: Path, tiny_dataset: Any, run: Run) -> None:
    options = [part for setting in SCORED for part in ("--set", setting)]
    places = ["--data", str(folders / "data"), "--output", str(folders / "by-command")]
    command("train", *places, "--seed", "1", "--quiet", *options)
    other = Run(folders / "by-command", tiny_dataset)
    assert other.folder.config() == run.folder.config()
    assert other.folder.metrics() == run.folder.metrics()
    assert run.outcome is None


def test_the_default_folder_is_that_of_the_command(
    folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    made = Run.train(folders / "data", overrides=SMALL, model="lightgcn", seed=3)
    assert made.folder.path == Path("runs") / f"{made.dataset.name}-lightgcn-3"
    assert made.outcome is not None
    assert made.outcome.test is not None
    assert made.evaluate().metrics == pytest.approx(made.outcome.test.metrics)


def test_settings_are_layered() -> None:
    settings = settings_for(overrides=["training.epochs=7"])
    assert settings == resolve(preset("default"), ["training.epochs=7"])
    assert settings_for("lfm2k") == resolve(preset("lfm2k"))
    assert settings_for("lfm2k", model="lightgcn").name == "lightgcn"


def test_a_stopped_run_goes_on(folders: Path, tiny_dataset: Any, tmp_path: Path, run: Run) -> None:
    class Impatient(NoProgress):
        def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
            raise KeyboardInterrupt

    longer = [*SMALL, "training.epochs=2"]
    stopped = Run.train(tiny_dataset, tmp_path / "stopped", overrides=longer, seed=1, progress=Impatient())
    assert stopped.outcome is not None
    assert stopped.outcome.fit.interrupted
    whole = Run.train(tiny_dataset, tmp_path / "whole", overrides=longer, seed=1)
    assert stopped.resume().test is not None
    assert stopped.folder.metrics() == whole.folder.metrics()
    assert stopped.outcome.test is not None


def test_figures_are_those_of_the_command(folders: Path, run: Run) -> None:
    printed = command(
        "evaluate", str(folders / "run"), "--data", str(folders / "data"), "--split", "validation",
        "--cutoffs", "3,7", "--format", "json",
    )  # fmt: skip
    found = run.evaluate("validation", cutoffs=(3, 7))
    assert json.loads(printed)["metrics"] == found.metrics
    wider = run.evaluate("test", ("train", "validation"))
    assert wider.mask == ("train", "validation")


def test_lists_and_explanations_are_those_of_the_command(folders: Path, run: Run) -> None:
    printed = command("recommend", str(folders / "run"), "--user", "u4", "-k", "3", "--format", "json")
    listed = run.recommend(["u4"], k=3)
    assert json.loads(printed) == [pytest.approx(row) for row in listed.to_dicts()]
    printed = command(
        "explain",
        str(folders / "run"),
        "--data",
        str(folders / "data"),
        "--user",
        "u4",
        "--format",
        "json",
    )
    found = run.explain("u4")
    assert found.item.id == listed["item"][0]
    assert json.loads(printed)["paths"] == json.loads(found.to_json())["paths"]
    several = run.explain_top("u4", 2, paths=2)
    assert [one.item.id for one in several] == listed["item"].to_list()[:2]
    assert all(len(one.paths) <= 2 for one in several)
    assert run.explain("u4", "i7", facts_only=True).item.id == "i7"


def test_who_has_met_everything_is_told(folders: Path, tiny_dataset: Any, tmp_path: Path) -> None:
    splits = ["train"] * 17 + ["validation"]
    everything = pl.DataFrame({"user": [4] * 18, "item": list(range(18)), "split": splits})
    kept = tiny_dataset.interactions.filter(pl.col("user") != 4).select("user", "item", "split")
    dataset = tiny_dataset.replace(interactions=pl.concat([kept, everything.cast(dict(kept.schema))]))
    full = Run.train(dataset, tmp_path / "run", overrides=SMALL)
    with pytest.raises(InputError, match="user 'u4' has met all items; expected an item to explain"):
        full.explain("u4")


def test_bad_input(folders: Path, run: Run, tiny_dataset: Any) -> None:
    with pytest.raises(InputError, match="unknown user 'u44'; the nearest ids are"):
        run.explain("u44")
    with pytest.raises(InputError, match="expected a run folder"):
        Run(folders / "nowhere", folders / "data").evaluate()
    fewer = tiny_dataset.replace(features={})
    with pytest.raises(InputError, match=r"another data set|trained on"):
        Run(folders / "run", fewer).evaluate()


def test_what_notebooks_show(folders: Path, run: Run, tiny_dataset: Any) -> None:
    assert isinstance(run.curves(), Figure)
    assert run.report().name == "report.html"
    hostile = tiny_dataset.replace(name="<script>alert(1)</script>")
    shown = {"run": run, "evaluation": run.evaluate(), "data": hostile, "graph": tiny_dataset.kg}
    for name, one in shown.items():
        html = one._repr_html_()
        assert "<script" not in html, name
    assert "recall" in run._repr_html_()
    assert "&lt;script&gt;" in hostile._repr_html_()
    assert f"{tiny_dataset.kg.n_triples:,} triples" in tiny_dataset.kg._repr_html_()
