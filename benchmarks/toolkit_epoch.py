"""Training epochs of the toolkit with the time of each phase, for benchmarks that compare or scale them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import Figures, peak_memory_mb
from random_data import Sizes, random_dataset

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.trainer import GraphDiffusion
from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import DEFAULT_PRESET, preset, resolve
from kdiffe_dgl.training.trainer import NoProgress, Trainer

__all__ = ["PhaseClock", "load_dataset", "summed_phases", "toolkit_epochs"]


def load_dataset(data: str | None, sizes: dict[str, int], seed: int) -> RecDataset:
    """Read a data set folder, or draw random data where there is none."""
    return RecDataset.load(Path(data)) if data else random_dataset(Sizes(**sizes), seed)


class PhaseClock:
    """Divides ``begin_epoch`` into the training of each denoiser and the regeneration of its graph.

    It watches the model's own calls from outside. Denoisers may work side by side: the time of the whole is
    then shared out in proportion to the time of each.

    Parameters
    ----------
    model
        The model to watch.
    modalities
        Names of the modalities, in their order in the data set.

    Attributes
    ----------
    epochs
        Phase -> seconds, one mapping an epoch.
    """

    def __init__(self, model: RecommenderModel, modalities: list[str]) -> None:
        self.epochs: list[dict[str, float]] = []
        self._spent: dict[str, float] = {}
        self._lock = threading.Lock()
        diffusions = [module for module in model.modules() if isinstance(module, GraphDiffusion)]
        names = iter(modalities)
        for diffusion in diffusions:
            # A modality's rows are users by items; those of the knowledge graph are square.
            shape = diffusion.matrix.n_rows, diffusion.matrix.width
            name = next(names) if shape == (model.n_users, model.n_items) else "KG"
            self._watch(diffusion, "train_epoch", f"diffusion training, {name}")
            for method in ("top_among", "top_columns"):
                self._watch(diffusion, method, f"regeneration, {name}")
        self._watch(model, "begin_epoch", None)

    def _watch(self, owner: Any, method: str, phase: str | None) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        def watched(*arguments: Any, **options: Any) -> Any:
            started = _now()
            result = original(*arguments, **options)
            seconds = _now() - started
            if phase is None:
                self._end_epoch(seconds)
            else:
                with self._lock:
                    self._spent[phase] = self._spent.get(phase, 0.0) + seconds
            return result

        setattr(owner, method, watched)

    def _end_epoch(self, seconds: float) -> None:
        total = sum(self._spent.values())
        scale = min(1.0, seconds / total) if total else 1.0
        phases = {phase: spent * scale for phase, spent in self._spent.items()}
        self.epochs.append({"preparation": seconds - total * scale, **phases})
        self._spent = {}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class _ProcessorClock(NoProgress):
    """Notes the processor time of each epoch, over all threads: it depends less on what else runs."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._since = 0.0

    def epoch_begins(self, epoch: int, batches: int) -> None:
        self._since = time.process_time()

    def epoch_ends(self, record: dict[str, Any], best: bool) -> None:
        self.seconds.append(time.process_time() - self._since)


def toolkit_epochs(
    data: str | None,
    sizes: dict[str, int],
    preset_name: str | None,
    overrides: list[str],
    epochs: int,
    seed: int,
    device: str = "cpu",
) -> Figures:
    """Build a model, train some epochs, and return the phases and the validation metrics of each.

    Parameters
    ----------
    data, sizes
        Data set folder, or sizes of random data.
    preset_name, overrides
        Settings, as on the command line.
    epochs
        Epochs to train; none is left out for want of improvement.
    seed, device
        Of the run.
    """
    dataset = load_dataset(data, sizes, seed)
    name = preset_name or DEFAULT_PRESET
    fixed = [f"training.epochs={epochs}", f"training.patience={epochs}", "training.validate_every=1"]
    config = resolve(preset(name), [*overrides, *fixed])
    before = peak_memory_mb()
    started = time.perf_counter()
    processor = _ProcessorClock()
    trainer = Trainer(dataset, config, seed, device=device, progress=processor)
    build = time.perf_counter() - started
    clock = PhaseClock(trainer.model, list(dataset.features))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        run = RunFolder.create(folder, dataset, model=config.name, seed=seed, config=config.to_dict())
        result = trainer.fit(run)
    records = []
    for number, record in enumerate(result.history):
        side = clock.epochs[number] if clock.epochs else {}
        later = {phase: record["phases"][phase] for phase in ("recommender", "validation")}
        records.append(
            {
                "phases": {**side, **later, "whole epoch": record["seconds"]},
                "cpu_seconds": processor.seconds[number],
                "validation": record["validation"],
            }
        )
    return {
        "dataset": dataset.name,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "entities": dataset.kg.n_entities if dataset.kg is not None else 0,
        "triples": dataset.kg.n_triples if dataset.kg is not None else 0,
        "train_interactions": len(dataset.pairs("train")),
        "modalities": {each: matrix.shape[1] for each, matrix in dataset.features.items()},
        "model": config.name,
        "preset": name,
        "overrides": overrides,
        "device": device,
        "build_seconds": build,
        "epochs": records,
        "peak_memory_before_model_mb": before,
    }


def summed_phases(phases: dict[str, float]) -> dict[str, float]:
    """Add up the phases of all graphs: ``regeneration, KG`` counts as ``regeneration``."""
    total: dict[str, float] = {}
    for name, seconds in phases.items():
        kind = name.partition(",")[0]
        total[kind] = total.get(kind, 0.0) + seconds
    return total
