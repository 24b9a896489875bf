"""Runs of benchmarks: trained where they are missing, measured on the test split."""

from __future__ import annotations

from pathlib import Path

import torch
from common import tell

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.evaluation.evaluator import Evaluation, Evaluator, dot_product
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import RunConfig
from kdiffe_dgl.training.run import train_run

__all__ = ["measure"]


def measure(dataset: RecDataset, folder: Path, config: RunConfig, seed: int) -> tuple[RunFolder, Evaluation]:
    """Train a run unless it is there, and return it with its test figures of each user."""
    if not (folder / "metrics.json").is_file():
        tell(f"training {folder}")
        train_run(dataset, folder, config, seed=seed, device="cpu", overwrite=True)
    run = RunFolder(folder)
    run.check_dataset(dataset)
    if run.config() != config.to_dict() or run.info.seed != seed:
        raise SystemExit(f"{folder}: made with other settings or another seed; expected another --runs")
    user, item = (torch.from_numpy(table) for table in run.representations())
    tester = Evaluator(dataset, "test", mask=config.evaluation.test_mask, cutoffs=config.evaluation.cutoffs)
    return run, tester.evaluate(dot_product(user, item))
