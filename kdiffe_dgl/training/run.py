"""From a data set and settings to a finished run folder, in one call."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.serving.run_folder import RunFolder, require_free
from kdiffe_dgl.training.config import RunConfig, resolve
from kdiffe_dgl.training.trainer import FitResult, Progress, Trainer

__all__ = ["RunOutcome", "choose_device", "resume_run", "train_run"]


@dataclass(frozen=True)
class RunOutcome:
    """A run that has ended.

    Attributes
    ----------
    folder
        Its folder.
    fit
        Best epoch, history, and whether the user stopped it.
    test
        Test figures of the best epoch; None where the run was stopped or there is no test split.
    """

    folder: Path
    fit: FitResult
    test: Evaluation | None


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``"auto"`` is the GPU where torch has one.

    Raises
    ------
    InputError
        If the name is no device, or torch has no such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not (number.isascii() and number.isdigit())):
        raise InputError(f"device {name!r} is unknown; expected auto, cpu, cuda or cuda:0")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch finds no GPU here; expected cpu")
    if int(number or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r}: torch finds {torch.cuda.device_count()} GPUs, numbered from 0")
    return torch.device(name)


def train_run(
    dataset: RecDataset,
    folder: str | os.PathLike[str],
    config: RunConfig,
    *,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunOutcome:
    """Train a model, choose its epoch on validation, read the test split once, and write the run folder.

    Parameters
    ----------
    dataset
        The data set.
    folder
        Where the run goes.
    config
        Resolved settings.
    seed
        Seed of all randomness.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    overwrite
        Whether an earlier run in the folder is removed.
    progress
        Whom to tell.

    Raises
    ------
    InputError
        If the folder is taken, the device is not there, the data set can't be trained on, or training
        diverges. Unless an epoch was validated before, no folder is left behind.
    """
    require_free(folder, overwrite)
    trainer = Trainer(dataset, config, seed, device=choose_device(device), progress=progress)
    # Only now, when data and settings have proved fit, is an earlier run removed.
    run = RunFolder.create(
        folder, dataset, model=config.name, seed=seed, config=config.to_dict(), overwrite=overwrite
    )
    try:
        return _fit(trainer, run)
    except InputError:
        if not trainer.result.best_epoch:
            # Diverged with nothing to show: the place is free for the next attempt.
            shutil.rmtree(run.path)
        raise


def resume_run(
    dataset: RecDataset,
    folder: str | os.PathLike[str],
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> RunOutcome:
    """Go on with a run that was stopped, with its own settings and seed.

    The result is the same as that of a run that was not stopped.

    Raises
    ------
    InputError
        If the folder is no run, belongs to another data set, or is finished.
    """
    run = RunFolder(folder)
    run.check_dataset(dataset)
    if (run.path / "metrics.json").exists():
        raise InputError(f"{run.path}: the run is finished; expected one that was stopped before its end")
    config = resolve(run.config(), where=str(run.path / "config.yaml"))
    trainer = Trainer(dataset, config, run.info.seed, device=choose_device(device), progress=progress)
    trainer.resume(run)
    return _fit(trainer, run)


def _fit(trainer: Trainer, run: RunFolder) -> RunOutcome:
    fit = trainer.fit(run)
    test = None if fit.interrupted else trainer.finish(run)
    return RunOutcome(run.path, fit, test)
