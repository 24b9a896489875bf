"""Time of one training epoch by phase, and peak memory, on a data set folder or on random data.

Run ``python benchmarks/epoch.py --data data/mine --preset default``, or without ``--data`` for random data
of the size of the published TikTok set. Prints a table and writes the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import RunConfig, preset, preset_names, resolve
from kdiffe_dgl.training.trainer import Trainer
from kg_builders.schema import KnowledgeGraph

RESULTS = Path(__file__).parent / "results" / "epoch.json"


def random_dataset(options: argparse.Namespace) -> RecDataset:
    """Return random interactions, one relation from items to entities, and one matrix a modality."""
    generator = np.random.default_rng(options.seed)
    n_users, n_items = options.users, options.items
    sides = {
        side: pl.DataFrame({side: range(n)}).with_columns(
            id=pl.col(side).cast(pl.Utf8), label=pl.col(side).cast(pl.Utf8)
        )
        for side, n in (("user", n_users), ("item", n_items))
    }
    popularity = 1.0 / np.arange(1, n_items + 1)
    drawn = {
        "user": generator.integers(0, n_users, options.interactions),
        "item": generator.choice(n_items, options.interactions, p=popularity / popularity.sum()),
    }
    pairs = pl.DataFrame(drawn).unique(maintain_order=True)
    split = np.where(generator.random(len(pairs)) < 0.1, "validation", "train")
    triples = pl.DataFrame(
        {
            "head_kind": "item",
            "head_id": generator.integers(0, n_items, options.triples).astype(str),
            "relation": "about",
            "tail_kind": "topic",
            "tail_id": generator.integers(0, options.entities, options.triples).astype(str),
            "source": "random",
        }
    )
    triples = triples.unique(maintain_order=True).with_columns(tail_label=pl.lit(None, dtype=pl.Utf8))
    relations = pl.DataFrame({"name": ["about"], "label": ["about"], "symmetric": [False]})
    features = {
        f"modality-{number + 1}": generator.normal(size=(n_items, options.width)).astype(np.float32)
        for number in range(options.modalities)
    }
    kg = KnowledgeGraph.from_named(triples, sides["item"].select("id", "label"), relations)
    interactions = pairs.with_columns(split=pl.Series(split))
    return RecDataset("random", sides["user"], sides["item"], interactions, kg, features, {})


class PhaseClock:
    """Divides ``begin_epoch`` into the training of each denoiser and the regeneration that follows it.

    It watches the model's own calls from outside: what lies between the end of one denoiser's training
    and the beginning of the next one's is the regeneration of the first one's graph.

    Parameters
    ----------
    model
        The model to watch.

    Attributes
    ----------
    epochs
        Phase -> seconds, one mapping an epoch.
    """

    def __init__(self, model: Any) -> None:
        self.epochs: list[dict[str, float]] = []
        self._mark, self._phase = 0.0, ""
        if not isinstance(model, KDiffE):
            return
        diffusions = {name: one for name, one in model.modality_diffusions.items()}
        if model.knowledge_diffusion is not None:
            diffusions = {"KG": model.knowledge_diffusion, **diffusions}
        for name, diffusion in diffusions.items():
            self._watch(diffusion, "train_epoch", f"diffusion training, {name}", f"regeneration, {name}")
        self._watch(model, "begin_epoch", "preparation", "")

    def _watch(self, owner: Any, method: str, within: str, after: str) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        def watched(*arguments: Any, **options: Any) -> Any:
            if method == "begin_epoch":
                self.epochs.append({})
            self._enter(within)
            result = original(*arguments, **options)
            self._enter(after)
            return result

        setattr(owner, method, watched)

    def _enter(self, phase: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._phase:
            spent = self.epochs[-1]
            spent[self._phase] = spent.get(self._phase, 0.0) + now - self._mark
        self._mark, self._phase = now, phase


def measure(dataset: RecDataset, config: RunConfig, seed: int, device: str) -> dict[str, Any]:
    """Build the model, train some epochs, and return the phases of each in seconds."""
    started = time.perf_counter()
    trainer = Trainer(dataset, config, seed, device=device)
    build = time.perf_counter() - started
    clock = PhaseClock(trainer.model)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        run = RunFolder.create(folder, dataset, model=config.name, seed=seed, config=config.to_dict())
        result = trainer.fit(run)
    epochs = []
    for number, record in enumerate(result.history):
        side = clock.epochs[number] if clock.epochs else {}
        later = {name: record["phases"][name] for name in ("recommender", "validation")}
        epochs.append({**side, **later, "whole epoch": record["seconds"]})
    return {"build": build, "epochs": epochs}


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="data set folder; without it, random data")
    parser.add_argument("--preset", help="settings  [default: named like the data set, or default]")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--epochs", type=int, default=3, help="epochs; the fastest of each phase is shown")
    parser.add_argument("--threads", type=int, help="threads of torch  [default: as torch chooses]")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS, help="file for the figures")
    for name, size in (
        ("users", 9308), ("items", 6710), ("interactions", 66000), ("entities", 1000),
        ("triples", 60000), ("modalities", 2), ("width", 128),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=size, help=f"random data  [default: {size}]")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset = RecDataset.load(options.data) if options.data else random_dataset(options)
    name = options.preset or (dataset.name if dataset.name in preset_names() else "default")
    config = resolve(preset(name), [*options.overrides, f"training.epochs={options.epochs}"])

    before = peak_memory_mb()
    measured = measure(dataset, config, options.seed, options.device)
    phases = {phase: min(epoch[phase] for epoch in measured["epochs"]) for phase in measured["epochs"][0]}
    figures = {
        "dataset": dataset.name,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "train_interactions": len(dataset.pairs("train")),
        "triples": len(dataset.kg.triples) if dataset.kg is not None else 0,
        "modalities": list(dataset.features),
        "preset": name,
        "overrides": options.overrides,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "build_seconds": measured["build"],
        "phase_seconds": phases,
        "epochs": measured["epochs"],
        "peak_memory_mb": peak_memory_mb(),
        "peak_memory_before_model_mb": before,
    }
    title = (
        f"{config.name} on {dataset.name}, preset {name}: fastest of {options.epochs} epochs, "
        f"{options.device}, {torch.get_num_threads()} threads"
    )
    table = Table("phase", title=title)
    table.add_column("seconds", justify="right")
    table.add_row("model and attention-aware matrix (once)", f"{measured['build']:.2f}", end_section=True)
    for phase, seconds in phases.items():
        table.add_row(phase, f"{seconds:.2f}")
    Console().print(table)
    print(f"peak memory {figures['peak_memory_mb']:.0f} MB, {before:.0f} MB of it before the model")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"figures in {options.json}")


if __name__ == "__main__":
    main()
