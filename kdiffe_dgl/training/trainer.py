"""The training loop: side networks, batches, validation, the best epoch, checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation, Evaluator, dot_product
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kdiffe_dgl.training.config import RunConfig
from kdiffe_dgl.training.negatives import NegativeSampler

__all__ = ["FitResult", "NoProgress", "Progress", "Trainer"]

_CHECKPOINT = "checkpoint.safetensors"


class Progress(Protocol):
    """What a training run tells while it goes on."""

    def epoch_begins(self, epoch: int, batches: int) -> None:
        """Tell that an epoch begins with the training of side networks."""

    def batch_ends(self, loss: float) -> None:
        """Tell that a batch is done."""

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Tell what an epoch brought; ``record`` is its entry in the history."""


class NoProgress:
    """Tells nothing."""

    def epoch_begins(self, epoch: int, batches: int) -> None:
        """Do nothing."""

    def batch_ends(self, loss: float) -> None:
        """Do nothing."""

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        """Do nothing."""


@dataclass
class FitResult:
    """What a training run brought.

    Attributes
    ----------
    best_epoch
        Epoch with the best validation metric; 0 where none was validated.
    best_value
        That metric.
    history
        One entry an epoch.
    interrupted
        Whether the run was stopped by the user.
    """

    best_epoch: int = 0
    best_value: float = -math.inf
    history: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False


class Trainer:
    """Trains a model on a data set and keeps the best epoch by validation.

    Parameters
    ----------
    dataset
        Data set with training and validation interactions.
    config
        Resolved settings.
    run
        Folder that receives the best weights and representations, the history and the checkpoint.
    seed
        Seed of all randomness: on a CPU, one seed gives one result, to the last bit.
    device
        Where to compute.
    progress
        Whom to tell.

    Raises
    ------
    InputError
        If there are no training interactions to learn from.
    """

    def __init__(
        self,
        dataset: RecDataset,
        config: RunConfig,
        run: RunFolder,
        seed: int,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.dataset, self.config, self.run = dataset, config, run
        self.device = torch.device(device)
        self.progress: Progress = progress or NoProgress()
        self.pairs = torch.from_numpy(np.asarray(dataset.pairs("train")))
        if not len(self.pairs):
            raise InputError(
                f"data set {dataset.name!r}: the train split is empty; expected interactions to learn from"
            )
        initial, sampling, model = (int(state) for state in np.random.SeedSequence(seed).generate_state(3))
        self.sampling = torch.Generator().manual_seed(sampling)
        self.generator = torch.Generator(self.device).manual_seed(model)
        self.model: RecommenderModel = model_class(config.name)(
            dataset, config.model, torch.Generator().manual_seed(initial), self.device
        )
        self.sampler = NegativeSampler(self.pairs.numpy(), dataset.n_users, dataset.n_items)
        self.optimiser = torch.optim.Adam(
            self.model.recommender_parameters(), lr=config.training.learning_rate
        )
        cutoff = int(config.training.monitor.partition("@")[2])
        self.validator = Evaluator(dataset, "validation", cutoffs=(*config.evaluation.cutoffs, cutoff))
        self.result = FitResult()
        self._last_checkpoint = time.monotonic()

    # --- the loop --------------------------------------------------------------------------------

    def fit(self) -> FitResult:
        """Train to the last epoch, until validation stops improving, or until the user interrupts.

        Returns
        -------
        FitResult
            The run folder then holds the weights and representations of the best epoch.
        """
        training = self.config.training
        try:
            while not self._finished():
                self._epoch(len(self.result.history) + 1)
                if time.monotonic() - self._last_checkpoint >= training.checkpoint_seconds:
                    self.checkpoint()
        except KeyboardInterrupt:
            # The checkpoint of the last whole epoch stays: what this epoch has changed is lost.
            self.result.interrupted = True
        self.run.write_history(self.result.history)
        return self.result

    def _finished(self) -> bool:
        done, training = len(self.result.history), self.config.training
        validated = [record["epoch"] for record in self.result.history if record["validation"]]
        waited = sum(epoch > self.result.best_epoch for epoch in validated)
        return done >= training.epochs or waited >= training.patience

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        batches = -(-len(self.pairs) // self.config.training.batch_size)
        self.progress.epoch_begins(epoch, batches)
        self.model.train()
        side = dict(self.model.begin_epoch(self.generator))
        prepared = time.perf_counter()
        losses = self._train_batches()
        trained = time.perf_counter()
        record: dict[str, Any] = {"epoch": epoch, "losses": losses, "side": side, "validation": None}
        best = False
        if epoch % self.config.training.validate_every == 0 or epoch == self.config.training.epochs:
            user, item = self._representations()
            record["validation"] = self.validator.evaluate(dot_product(user, item)).metrics
            best = record["validation"][self.config.training.monitor] > self.result.best_value
        finished = time.perf_counter()
        record["seconds"] = finished - started
        record["phases"] = {
            "side": prepared - started,
            "recommender": trained - prepared,
            "validation": finished - trained,
        }
        self.result.history.append(record)
        if best:
            self.result.best_epoch = epoch
            self.result.best_value = record["validation"][self.config.training.monitor]
            self.run.write_weights(self.model.state_dict())
            self.run.write_representations(user, item)
            self.run.write_history(self.result.history)
        self.progress.epoch_ends(record, best)

    def _train_batches(self) -> dict[str, float]:
        order = torch.randperm(len(self.pairs), generator=self.sampling)
        totals: dict[str, Tensor] = {}
        for rows in order.split(self.config.training.batch_size):
            users, positives = self.pairs[rows].T.contiguous()
            negatives = self.sampler.sample(users, self.sampling)
            terms = self.model.losses(
                users.to(self.device), positives.to(self.device), negatives.to(self.device), self.generator
            )
            loss = torch.stack(list(terms.values())).sum()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            share = len(rows) / len(self.pairs)
            for name, value in terms.items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value.detach() * share
            self.progress.batch_ends(float(loss.detach()))
        means = {name: float(value) for name, value in totals.items()}
        if not all(math.isfinite(value) for value in means.values()):
            name = next(name for name, value in means.items() if not math.isfinite(value))
            raise InputError(
                f"training diverged: the loss term {name!r} is not finite; expected a lower training.learning_rate"
            )
        return means

    def _representations(self) -> tuple[Tensor, Tensor]:
        self.model.eval()
        return self.model.representations()

    # --- state -----------------------------------------------------------------------------------

    def _state(self) -> Checkpoint:
        progress = {
            "history": self.result.history,
            "best_epoch": self.result.best_epoch,
            "best_value": self.result.best_value if self.result.best_epoch else None,
        }
        optimisers = {"recommender": self.optimiser, **self.model.side_optimisers()}
        generators = {"sampling": self.sampling, "model": self.generator}
        return Checkpoint(self.model, optimisers, generators, progress)

    def checkpoint(self) -> None:
        """Write the state after a whole epoch into the run folder."""
        save_checkpoint(self._state(), self.run.path / _CHECKPOINT)
        self._last_checkpoint = time.monotonic()

    def resume(self) -> int:
        """Go back to the last checkpoint, or stay at the start where there is none.

        Returns
        -------
        int
            Epochs already done.

        Raises
        ------
        InputError
            If the checkpoint is damaged or of another model.
        """
        path = self.run.path / _CHECKPOINT
        if path.exists():
            state = self._state()
            load_checkpoint(state, path)
            progress = state.progress
            best = progress["best_value"]
            self.result = FitResult(
                progress["best_epoch"], -math.inf if best is None else best, list(progress["history"])
            )
        return len(self.result.history)

    def finish(self) -> Evaluation | None:
        """Read the test split, once, with the best epoch's representations, and write the metrics.

        Returns
        -------
        Evaluation or None
            Test figures; None where the data set has no test interactions, or no epoch was validated.
        """
        if not self.result.best_epoch:
            return None
        user, item = (torch.from_numpy(table) for table in self.run.representations())
        best = self.result.history[self.result.best_epoch - 1]
        test = None
        if len(self.dataset.pairs("test")):
            evaluation = self.config.evaluation
            tester = Evaluator(self.dataset, "test", mask=evaluation.test_mask, cutoffs=evaluation.cutoffs)
            test = tester.evaluate(dot_product(user, item))
        self.run.write_metrics(
            {
                "best_epoch": self.result.best_epoch,
                "monitor": self.config.training.monitor,
                "validation": best["validation"],
                "test": test.metrics if test is not None else None,
                "mask": list(self.config.evaluation.test_mask),
            }
        )
        (self.run.path / _CHECKPOINT).unlink(missing_ok=True)
        return test
