"""``kdiffe train`` as people use it: runs, Ctrl-C, --resume, and every refusal on one line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch
from click.testing import CliRunner, Result

from kdiffe_dgl.cli import main
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.serving import Recommender, RunFolder
from kdiffe_dgl.training.config import preset_names

SMALL = """
model:
  dim: 8
  attention: {walk_length: 5, n_walks: 2}
  knowledge: {diffusion: {steps: 3, hidden: 8}}
  modality: {diffusion: {steps: 3, hidden: 8}}
training: {epochs: 3, batch_size: 32, learning_rate: 0.02, monitor: recall@2}
evaluation: {cutoffs: [2, 5]}
"""


@pytest.fixture(scope="module")
def place(tiny_dataset: RecDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, settings, and a finished run."""
    folder = tmp_path_factory.mktemp("train")
    tiny_dataset.save(folder / "data")
    (folder / "small.yaml").write_text(SMALL)
    done = train(folder, "--output", folder / "run")
    assert done.exit_code == 0, done.output
    return folder


def kdiffe(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def train(place: Path, *arguments: object) -> Result:
    return kdiffe("train", "--data", place / "data", "--config", place / "small.yaml", *arguments)


def assert_one_sentence(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    for part in parts:
        assert part in result.stderr


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# What a run brings


def test_a_run_tells_its_progress_and_its_result(place: Path, tmp_path: Path) -> None:
    result = train(place, "--output", tmp_path / "run", "--seed", 3)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[0] == "kdiffe on tiny, preset default, seed 3"
    pattern = r"epoch +(\d)  loss \d+\.\d{4}  validation recall@2 (\d\.\d{4})  \d+\.\d s(  best so far)?"
    told = [re.fullmatch(pattern, line) for line in lines[1:]]
    run = RunFolder(tmp_path / "run")
    values = [record["validation"]["recall@2"] for record in run.history()]
    assert [float(match[2]) for match in told if match] == [round(value, 4) for value in values]
    metrics = run.metrics()
    weights = ", ".join(f"{name} {weight:g}" for name, weight in metrics["scoring_weights"].items())
    assert result.stdout.splitlines()[:4] == [
        f"best epoch {metrics['best_epoch']} of 3 by validation",
        f"weights in the score, fitted on validation  {weights}",
        "test  "
        + "  ".join(
            f"{name} {metrics['test'][name]:.4f}" for name in ("recall@2", "ndcg@2", "recall@5", "ndcg@5")
        ),
        f"run folder  {tmp_path / 'run'}",
    ]
    assert run.info.seed == 3
    assert {file.name for file in run.path.iterdir()} >= {
        "config.yaml", "model.safetensors", "representations.safetensors", "history.json", "metrics.json",
        "users.parquet", "items.parquet", "seen.parquet", "run.json", "report.html", "curves.png",
    }  # fmt: skip
    assert not [file.name for file in run.path.iterdir() if file.name.startswith(".")]


def test_quiet_tells_only_the_result(place: Path, tmp_path: Path) -> None:
    # The file names no model, so its settings are meant for the one that is asked for.
    result = train(place, "--output", tmp_path / "run", "--quiet", "--model", "lightgcn")
    assert_one_sentence(result, "small.yaml: unknown key 'model.attention'")
    result = kdiffe("train", "--data", place / "data", "--model", "lightgcn", "--set", "training.epochs=1",
                    "--output", tmp_path / "run", "--quiet")  # fmt: skip
    assert result.exit_code == 0
    assert result.stderr == ""
    assert RunFolder(tmp_path / "run").info.model == "lightgcn"


def test_evaluate_report_and_recommend_take_the_run(place: Path, tmp_path: Path) -> None:
    run = RunFolder(place / "run")
    for split in ("validation", "test"):
        told = kdiffe(
            "evaluate",
            run.path,
            "--data",
            place / "data",
            "--split",
            split,
            "--cutoffs",
            "2,5",
            "--format",
            "json",
        )
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["metrics"] == run.metrics()[split]
    report = kdiffe("report", run.path)
    assert report.exit_code == 0, report.output
    assert f"{run.metrics()['test']['recall@5']:.4f}" in Path(report.stdout.strip()).read_text()
    listed = kdiffe("recommend", run.path, "--user", "u3", "-k", "4", "--format", "json")
    assert listed.exit_code == 0, listed.output
    assert "Item" in listed.stdout


def test_the_same_command_gives_the_same_files(place: Path, tmp_path: Path) -> None:
    assert train(place, "--output", tmp_path / "run").exit_code == 0
    for name in ("representations.safetensors", "model.safetensors", "metrics.json", "config.yaml"):
        assert (tmp_path / "run" / name).read_bytes() == (place / "run" / name).read_bytes()


def test_the_default_place_names_data_model_and_seed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(place, "--set", "training.epochs=1", "--seed", 2).exit_code == 0
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["tiny-kdiffe-2"]


def test_options_stand_over_files_and_files_over_presets(place: Path, tmp_path: Path) -> None:
    name = next(name for name in preset_names() if name != "default")
    result = train(place, "--output", tmp_path / "run", "--preset", name, "--set", "training.epochs=1",
                   "--set", "model.contrast.temperature=0.35")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"preset {name}" in result.stderr
    config = RunFolder(tmp_path / "run").config()
    assert (config["training"]["epochs"], config["training"]["batch_size"]) == (1, 32)
    assert config["model"]["contrast"]["temperature"] == 0.35


def test_overwrite_replaces_an_earlier_run(place: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        result = train(
            place, "--output", tmp_path / "run", "--set", "training.epochs=1", "--seed", seed, "--overwrite"
        )
        assert result.exit_code == 0, result.output
        assert RunFolder(tmp_path / "run").info.seed == seed


# Refusals


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "model.dimm=3"], ["--set model.dimm=3: unknown key 'model.dimm'; did you mean 'model.d"]),
        (["--set", "training.epochs=0"], ["training.epochs is 0; expected a number of at least 1"]),
        (["--set", "epochs"], ["--set epochs: expected key=value"]),
        (["--model", "lightgn"], ["unknown model 'lightgn'; did you mean 'lightgcn'?"]),
        (["--preset", "defaul"], ["unknown preset 'defaul'; did you mean 'default'?"]),
        (["--config", "none.yaml"], ["none.yaml: no such configuration file"]),
        (["--device", "gpu"], ["device 'gpu' is unknown; expected auto, cpu, cuda or cuda:0"]),
        (["--set", "training.learning_rate=1e30"], ["training diverged in epoch 1"]),
        (["--set", "model.modality.diffusion.noise_max=99"], ["noise"]),
        (["--resume"], ["--resume needs", "no such folder"]),
    ],
)  # fmt: skip
def test_refusals_leave_nothing(place: Path, tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    if arguments == ["--resume"]:
        assert_one_sentence(kdiffe("train", "--data", place / "data", "--resume"), parts[0])
        result = kdiffe("train", "--data", place / "data", "--resume", "--output", tmp_path / "run")
        assert_one_sentence(result, parts[1])
    else:
        assert_one_sentence(train(place, "--output", tmp_path / "run", "--quiet", *arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_no_gpu_is_told(place: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch finds a GPU here")
    result = train(place, "--output", tmp_path / "run", "--device", "cuda", "--quiet")
    assert_one_sentence(result, "device 'cuda': torch finds no GPU here; expected cpu")
    assert list(tmp_path.iterdir()) == []


def test_no_data_set_is_told(place: Path, tmp_path: Path) -> None:
    result = kdiffe("train", "--data", tmp_path / "none", "--output", tmp_path / "run")
    assert_one_sentence(result, f"{tmp_path / 'none'}")
    assert list(tmp_path.iterdir()) == []


def test_no_validation_split_is_told(place: Path, tmp_path: Path, tiny_dataset: RecDataset) -> None:
    rest = tiny_dataset.interactions.filter(pl.col("split") != "validation")
    tiny_dataset.replace(interactions=rest).save(tmp_path / "data")
    result = kdiffe("train", "--data", tmp_path / "data", "--output", tmp_path / "run", "--quiet")
    assert_one_sentence(result, "the validation split is empty")
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_taken_place_is_left_alone(place: Path, tmp_path: Path) -> None:
    before = snapshot(place)
    assert_one_sentence(train(place, "--output", place / "run", "--quiet"), "holds a run already")
    # Not even --overwrite removes what is no run.
    result = train(place, "--output", place / "data", "--quiet", "--overwrite")
    assert_one_sentence(result, "holds other files")
    # A run that can't begin does not cost the earlier one.
    bad = train(place, "--output", place / "run", "--overwrite", "--quiet", "--set", "model.dim=0")
    assert_one_sentence(bad, "model.dim is 0")
    assert snapshot(place) == before


@pytest.mark.parametrize(
    "option",
    [
        ["--set", "model.dim=3"],
        ["--config", "x.yaml"],
        ["--preset", "default"],
        ["--model", "kdiffe"],
        ["--seed", "0"],
        ["--overwrite"],
    ],
)
def test_resume_takes_no_settings(place: Path, option: list[str]) -> None:
    result = kdiffe("train", "--data", place / "data", "--output", place / "run", "--resume", *option)
    assert_one_sentence(
        result, f"--resume takes the settings and the seed of the run, not {option[0]}; expected"
    )


def test_resume_of_what_is_finished_or_of_other_data(
    place: Path, tmp_path: Path, tiny_dataset: RecDataset
) -> None:
    before = snapshot(place / "run")
    result = kdiffe("train", "--data", place / "data", "--output", place / "run", "--resume", "--quiet")
    assert_one_sentence(result, "the run is finished")
    tiny_dataset.replace(features={}).save(tmp_path / "other")
    result = kdiffe("train", "--data", tmp_path / "other", "--output", place / "run", "--resume", "--quiet")
    assert_one_sentence(result, "the run belongs to data set 'tiny'")
    assert snapshot(place / "run") == before


# Ctrl-C


def test_ctrl_c_saves_the_best_weights_and_resume_completes(place: Path, tmp_path: Path) -> None:
    """A real process group gets SIGINT, as from a terminal."""
    arguments = [
        "train", "--data", place / "data", "--config", place / "small.yaml",
        "--set", "training={epochs: 400, patience: 1000, checkpoint_seconds: 0}",
        "--output", tmp_path / "run",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "kdiffe_dgl", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # As many threads as here, where the run is resumed: the order of sums depends on it.
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert process.stderr is not None
    told = ""
    while "epoch    3 " not in told:
        line = process.stderr.readline()
        assert line, f"the run ended by itself: {told}"
        told += line
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, rest = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in told + rest
    run = RunFolder(tmp_path / "run")
    history = run.history()
    assert 3 <= len(history) < 400
    values = [record["validation"]["recall@2"] for record in history]
    best = values.index(max(values)) + 1
    assert out.splitlines()[0] == (
        f"stopped after {len(history)} epochs; the best weights so far, of epoch {best}, are in {run.path}"
    )
    assert f"--output {run.path} --resume" in out
    assert run.weights()
    assert not (run.path / "metrics.json").exists()
    # Already now it recommends.
    assert len(Recommender.load(run.path).recommend(["u3"], k=5)) == 5
    listed = kdiffe("recommend", run.path, "--user", "u3", "-k", 5, "--format", "json")
    assert listed.exit_code == 0, listed.output

    # With fewer epochs to go, so that the test is quick.
    config = (run.path / "config.yaml").read_text()
    goal = len(history) + 2
    (run.path / "config.yaml").write_text(config.replace("epochs: 400", f"epochs: {goal}"))
    resumed = kdiffe("train", "--data", place / "data", "--output", run.path, "--resume")
    assert resumed.exit_code == 0, resumed.output
    straight = train(place, "--output", tmp_path / "straight", "--quiet",
                     "--set", f"training={{epochs: {goal}, patience: 1000}}")  # fmt: skip
    assert straight.exit_code == 0, straight.output
    for name in ("representations.safetensors", "model.safetensors", "metrics.json"):
        assert (run.path / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_stopped_before_any_validation(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kdiffe_dgl.cli.progress import TrainingProgress

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingProgress, "batch_ends", interrupt)
    result = train(place, "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 130
    assert result.stdout.startswith(
        "stopped after 0 epochs; no epoch was validated yet, so there are no weights"
    )
    monkeypatch.undo()
    resumed = kdiffe("train", "--data", place / "data", "--output", tmp_path / "run", "--resume", "--quiet")
    assert resumed.exit_code == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        place / "run" / "model.safetensors"
    ).read_bytes()
