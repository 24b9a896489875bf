"""The training loop: side networks, batches, validation, the best epoch, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation, Evaluator, dot_product
from kdiffe_dgl.evaluation.metrics import cutoff_of
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.models.closed_form import ClosedFormModel
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.optimiser import adam
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.batches import PairBatches, batch_size
from kdiffe_dgl.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kdiffe_dgl.training.config import RunConfig
from kdiffe_dgl.training.progress import FitResult, FittedScoring, NoProgress, Progress
from kdiffe_dgl.training.restore import model_seed

__all__ = ["FitResult", "FittedScoring", "NoProgress", "Progress", "Trainer"]

_CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class _State:
    """Where training stands after a whole epoch; replaced at once, so Ctrl-C can't tear it.

    Attributes
    ----------
    result
        History and best epoch.
    best
        On the CPU: ``weights/NAME``, ``graphs/NAME``, ``user`` and ``item`` of the best epoch; empty before
        it. They are part of the checkpoint, so the run folder never mixes two epochs, whenever a run is
        killed.
    """

    result: FitResult = field(default_factory=FitResult)
    best: Mapping[str, Tensor] = field(default_factory=dict)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Make torch add up gradients in one order, and restore its settings afterwards.

    On a CPU the gradient of ``table[rows]`` is otherwise summed by racing threads. On a GPU nothing is
    changed: some operations have no deterministic form there.
    """
    if device.type != "cpu":
        yield
        return
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor would cost time, and all that is read here was written before.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


class Trainer:
    """Trains a model on a data set and keeps the best epoch by validation.

    A closed-form model is fitted when it is built: for it, training is one epoch without batches.

    Parameters
    ----------
    dataset
        Data set with training and validation interactions.
    config
        Resolved settings.
    seed
        Seed of all randomness: on a CPU, one seed gives one result, to the last bit.
    device
        Where to compute.
    progress
        Whom to tell.

    Raises
    ------
    InputError
        If there are no interactions to learn from, or none to validate on.
    """

    def __init__(
        self,
        dataset: RecDataset,
        config: RunConfig,
        seed: int,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.dataset, self.config = dataset, config
        self.device = torch.device(device)
        self.progress: Progress = progress or NoProgress()
        self.pairs = np.asarray(dataset.pairs("train"))
        if not len(self.pairs):
            raise InputError(
                f"data set {dataset.name!r}: the train split is empty; expected interactions to learn from"
            )
        training = config.training
        self.batch_size = batch_size(len(self.pairs), training.batch_size, training.min_steps)
        # All that can be wrong with the data is found before the model is built, which may take a while.
        needed = [cutoff_of(metric) for metric in (training.monitor, training.fitted_on)]
        self.validator = Evaluator(dataset, "validation", cutoffs=(*config.evaluation.cutoffs, *needed))
        cls = model_class(config.name)
        # A model that is not trained by steps needs no negatives, so data without any suit it.
        by_steps = not issubclass(cls, ClosedFormModel)
        self.epochs = training.epochs if by_steps else 1
        self.batches = (
            PairBatches(self.pairs, dataset.n_users, dataset.n_items, self.batch_size) if by_steps else None
        )
        _, sampling, model = (int(state) for state in np.random.SeedSequence(seed).generate_state(3))
        self.sampling = torch.Generator().manual_seed(sampling)
        self.generator = torch.Generator(self.device).manual_seed(model)
        self.model: RecommenderModel = cls(
            dataset, config.model, torch.Generator().manual_seed(model_seed(seed)), self.device
        )
        self.optimiser = (
            adam(self.model.recommender_parameters(), training.learning_rate) if by_steps else None
        )
        self._state = _State()
        self._last_checkpoint = time.monotonic()

    # --- the loop --------------------------------------------------------------------------------

    @property
    def result(self) -> FitResult:
        """History and best epoch so far."""
        return self._state.result

    def fit(self, run: RunFolder) -> FitResult:
        """Train to the last epoch, until validation stops improving, or until the user interrupts.

        Parameters
        ----------
        run
            Folder that receives the best weights and representations, the history and the checkpoint.

        Returns
        -------
        FitResult
            The run folder then holds the weights and representations of the best epoch.

        Raises
        ------
        InputError
            If training diverges; the run folder keeps the best epoch before that.
        """
        with _deterministic(self.device):
            return self._fit(run)

    def _fit(self, run: RunFolder) -> FitResult:
        interrupted = False
        try:
            while not self._finished():
                if self._epoch():
                    self._write_best(run)
                if time.monotonic() - self._last_checkpoint >= self.config.training.checkpoint_seconds:
                    self.checkpoint(run)
            if self._fit_scoring():
                self._write_best(run)
        except KeyboardInterrupt:
            # What the epoch had changed is lost; the checkpoint is that of a whole epoch.
            interrupted = True
            self._write_best(run)
        finally:
            run.write_history(self.result.history)
        return replace(self.result, interrupted=interrupted)

    def _finished(self) -> bool:
        done, training = len(self.result.history), self.config.training
        validated = [record["epoch"] for record in self.result.history if record["validation"]]
        waited = sum(epoch > self.result.best_epoch for epoch in validated)
        return done >= self.epochs or waited >= training.patience

    def _epoch(self) -> bool:
        """Train one epoch more; return whether it is the best so far."""
        training, epoch = self.config.training, len(self.result.history) + 1
        started = time.perf_counter()
        self.progress.epoch_begins(epoch, -(-len(self.pairs) // self.batch_size) if self.optimiser else 0)
        self.model.train()
        try:
            side = dict(self.model.begin_epoch(self.generator))
        except torch.linalg.LinAlgError as error:
            raise self._diverged(epoch, "the weights of a side network are no longer finite") from error
        self._require_finite(epoch, side)
        prepared = time.perf_counter()
        losses = self._train_batches()
        self._require_finite(epoch, losses)
        trained = time.perf_counter()
        record: dict[str, Any] = {"epoch": epoch, "losses": losses, "side": side, "validation": None}
        state = self._state
        best_epoch, best_value, best = state.result.best_epoch, state.result.best_value, state.best
        if epoch % training.validate_every == 0 or epoch == self.epochs:
            user, item = self._finite_representations(epoch)
            refit = _is_refit(1 + sum(bool(earlier["validation"]) for earlier in state.result.history))
            if refit and self.model.scoring_weights():
                self._refit()
                user, item = self._finite_representations(epoch)
            record["validation"] = self.validator.evaluate(dot_product(user, item)).metrics
            value = record["validation"][training.monitor]
            if value > best_value:
                best_epoch, best_value, best = epoch, value, self._snapshot(user, item)
        finished = time.perf_counter()
        record["seconds"] = finished - started
        record["phases"] = {
            "side": prepared - started,
            "recommender": trained - prepared,
            "validation": finished - trained,
        }
        self._state = _State(FitResult(best_epoch, best_value, [*state.result.history, record]), best)
        self.progress.epoch_ends(record, best_epoch == epoch)
        return best_epoch == epoch

    def _fit_scoring(self) -> bool:
        """Fit weights of the score at the best epoch; return whether there are any.

        A fit ends where no single change gains any more, so it is made from two places: from the weights that
        the epoch was chosen with, and from those of the settings. The better one counts.
        """
        chosen, training = self._state, self.config.training
        if not (chosen.best and self.model.scoring_weights()):
            return False
        self.progress.fitting_begins()
        best_fit = -1.0
        for anew in (False, True):
            self.model.load_state_dict(_part(chosen.best, "weights"))
            self.model.load_graph_state(_part(chosen.best, "graphs"))
            if anew:
                at_hand = dict(self.model.scoring_weights())
                self.model.reset_scoring()
                if self.model.scoring_weights() == at_hand:
                    break
            self._refit()
            user, item = self.model.representations()
            found = self.validator.evaluate(dot_product(user, item)).metrics
            if found[training.fitted_on] > best_fit:
                best_fit = found[training.fitted_on]
                scoring = FittedScoring(self.model.scoring_weights(), found)
                result = replace(chosen.result, best_value=found[training.monitor], scoring=scoring)
                self._state = _State(result, self._snapshot(user, item))
        return True

    def _refit(self) -> None:
        """Fit weights of the score to the model as it is."""
        metric = self.config.training.fitted_on
        # One figure is wanted of each of many evaluations, and lists no longer than it needs.
        judge = Evaluator(self.dataset, "validation", cutoffs=(cutoff_of(metric),))
        self.model.eval()
        self.model.fit_scoring(
            lambda user, item: float(judge.evaluate(dot_product(user, item)).metrics[metric])
        )

    def _snapshot(self, user: Tensor, item: Tensor) -> dict[str, Tensor]:
        tensors = {f"weights/{name}": value for name, value in self.model.state_dict().items()}
        tensors.update(user=user, item=item)
        tensors.update({f"graphs/{name}": value for name, value in self.model.graph_state().items()})
        return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}

    def _write_best(self, run: RunFolder) -> None:
        best = self._state.best
        if not best:
            return
        run.write_weights(_part(best, "weights"))
        run.write_graphs(_part(best, "graphs"))
        run.write_representations(best["user"], best["item"])
        run.write_history(self.result.history)

    def _require_finite(self, epoch: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                raise self._diverged(epoch, f"{name!r} is {value}")

    @staticmethod
    def _diverged(epoch: int, what: str) -> InputError:
        return InputError(
            f"training diverged in epoch {epoch}: {what}; expected a lower training.learning_rate, "
            "or a lower learning rate or loss weight of the part that is named"
        )

    def _train_batches(self) -> dict[str, float]:
        if self.optimiser is None or self.batches is None:
            return {}
        return self.batches.train(
            self.model,
            self.optimiser,
            self.sampling,
            self.generator,
            lambda loss: self.progress.batch_ends(float(loss)),
        )

    def _finite_representations(self, epoch: int) -> tuple[Tensor, Tensor]:
        self.model.eval()
        user, item = self.model.representations()
        if not (user.isfinite().all() and item.isfinite().all()):
            raise self._diverged(epoch, "a representation is not finite")
        return user, item

    # --- state -----------------------------------------------------------------------------------

    def _checkpoint(self) -> Checkpoint:
        result = self.result
        progress = {
            "history": result.history,
            "best_epoch": result.best_epoch,
            "best_value": result.best_value if result.best_epoch else None,
        }
        optimisers = self.model.side_optimisers()
        if self.optimiser is not None:
            optimisers = {"recommender": self.optimiser, **optimisers}
        generators = {"sampling": self.sampling, "model": self.generator}
        return Checkpoint(self.model, optimisers, generators, progress, dict(self._state.best))

    def checkpoint(self, run: RunFolder) -> None:
        """Write the state after a whole epoch into the run folder."""
        save_checkpoint(self._checkpoint(), run.path / _CHECKPOINT)
        self._last_checkpoint = time.monotonic()

    def resume(self, run: RunFolder) -> int:
        """Go back to the last checkpoint, or stay at the start where there is none.

        The best epoch's files in the run folder become those of the checkpoint.

        Returns
        -------
        int
            Epochs already done.

        Raises
        ------
        InputError
            If the checkpoint is damaged, or of another model or device.
        """
        path = run.path / _CHECKPOINT
        if path.exists():
            stored = self._checkpoint()
            load_checkpoint(stored, path)
            progress = stored.progress
            best = progress["best_value"]
            result = FitResult(
                progress["best_epoch"], -math.inf if best is None else best, list(progress["history"])
            )
            self._state = _State(result, stored.extra)
            self._write_best(run)
        return len(self.result.history)

    def finish(self, run: RunFolder) -> Evaluation | None:
        """Read the test split, once, with the best epoch's representations, and write the metrics.

        Returns
        -------
        Evaluation or None
            Test figures; None where the data set has no test interactions.
        """
        user, item = (torch.from_numpy(table) for table in run.representations())
        scoring = self.result.scoring
        validation = self.result.history[self.result.best_epoch - 1]["validation"]
        test = None
        if len(self.dataset.pairs("test")):
            evaluation = self.config.evaluation
            tester = Evaluator(self.dataset, "test", mask=evaluation.test_mask, cutoffs=evaluation.cutoffs)
            test = tester.evaluate(dot_product(user, item))
        run.write_metrics(
            {
                "best_epoch": self.result.best_epoch,
                "monitor": self.config.training.monitor,
                "validation": validation if scoring is None else dict(scoring.validation),
                "test": test.metrics if test is not None else None,
                "mask": list(self.config.evaluation.test_mask),
                **({} if scoring is None else {"scoring_weights": dict(scoring.weights)}),
            }
        )
        (run.path / _CHECKPOINT).unlink(missing_ok=True)
        return test


def _part(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors of one part of a snapshot, ``PART/NAME``, by name."""
    return {
        path.removeprefix(f"{part}/"): value for path, value in state.items() if path.startswith(f"{part}/")
    }


def _is_refit(validation: int) -> bool:
    """Return whether weights of the score are fitted at a validation: at the 4th, 8th, 16th and so on.

    Epochs are compared, and training stops, by scores with these weights; those that training began with
    may be far off for the data. Fitting takes many evaluations, and finds less and less to mend.
    """
    return validation >= 4 and validation.bit_count() == 1
