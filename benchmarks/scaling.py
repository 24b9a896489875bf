"""Time and memory of one diffusion epoch (training and regeneration) as one size of the data grows.

Run ``python benchmarks/scaling.py --what entities --sizes 1e4 1e5 1e6 --threads 2``. ``entities`` and
``triples`` scale the knowledge graph, 5 triples an entity or a fixed number of entities; ``users`` scales
the rows of one modality; ``modalities`` the number of them. Each size is measured in a process of its own,
in which the model's own ``begin_epoch`` is timed: what a training epoch does before its batches. Prints a
table, writes JSON and a log-log plot with the fitted exponents.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

import torch
from common import (
    RESULTS,
    Figures,
    add_common_options,
    count,
    fitted_exponent,
    measure_fresh,
    peak_memory_mb,
    plot_scaling,
    print_table,
    reset_peak_memory,
    tell,
    write_results,
)
from random_data import Sizes, random_dataset
from toolkit_epoch import PhaseClock, summed_phases

from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.training.config import preset, resolve

DEFAULTS = {
    "entities": [10_000, 30_000, 100_000],
    "triples": [100_000, 300_000, 1_000_000],
    "users": [3_000, 10_000, 30_000],
    "modalities": [1, 2, 4, 8],
}
TRIPLES_PER_ENTITY = 5
# What is measured doesn't use the attention-aware matrix; it has a benchmark of its own.
FIXED = ("model.attention.epsilon=0",)


def sizes_for(what: str, size: int) -> Sizes:
    """Return a data set in which one size is ``size`` and the others don't get in the way."""
    if what == "entities":
        # Of all entities a tenth are items, and a user has five of them.
        items, users = max(10, size // 10), max(10, size // 50)
        return Sizes(
            users=users, items=items, interactions=5 * users, entities=size - items,
            triples=TRIPLES_PER_ENTITY * size, modalities=0,
        )  # fmt: skip
    if what == "triples":
        return Sizes(users=2000, items=5000, interactions=10_000, entities=45_000, triples=size, modalities=0)
    if what == "users":
        return Sizes(users=size, items=5000, interactions=7 * size, entities=0, modalities=1)
    return Sizes(entities=0, modalities=size)


def diffusion_epoch(
    sizes: dict[str, int], preset_name: str, overrides: list[str], epochs: int, seed: int
) -> Figures:
    """Time ``begin_epoch`` of a model on random data of given sizes.

    Returns
    -------
    dict
        Phases of each epoch in seconds; peak memory in MB of building (data and model), and of the epochs
        with all that was built before still there.
    """
    dataset = random_dataset(Sizes(**sizes), seed)
    config = resolve(preset(preset_name), [*overrides, *FIXED])
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    model = model_class(config.name)(dataset, config.model, generator, torch.device("cpu"))
    built, building = time.perf_counter() - started, peak_memory_mb()
    reset_peak_memory()
    before = peak_memory_mb()
    clock = PhaseClock(model, list(dataset.features))
    model.train()
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        log = dict(model.begin_epoch(generator))
        seconds.append(time.perf_counter() - started)
    return {
        "sizes": sizes,
        "entities": dataset.kg.n_entities if dataset.kg is not None else 0,
        "triples": dataset.kg.n_triples if dataset.kg is not None else 0,
        "build_seconds": built,
        "epoch_seconds": seconds,
        "phases": clock.epochs,
        "log": log,
        "peak_memory_building_mb": building,
        "memory_before_epoch_mb": before,
        "peak_memory_mb": peak_memory_mb(),
    }


def summary(measured: Figures) -> dict[str, float]:
    """Return the fastest epoch and its phases, the peak of memory, and what the epoch adds to it."""
    number = min(range(len(measured["epoch_seconds"])), key=measured["epoch_seconds"].__getitem__)
    phases = summed_phases(measured["phases"][number])
    return {
        "epoch, s": measured["epoch_seconds"][number],
        "training, s": phases.get("diffusion training", 0.0),
        "regeneration, s": phases.get("regeneration", 0.0),
        "peak, MB": max(measured["peak_memory_mb"], measured["peak_memory_building_mb"]),
        # The libraries alone take some 400 MB, which would flatten the exponent of the peak.
        "epoch adds, MB": measured["peak_memory_mb"] - measured["memory_before_epoch_mb"],
    }


def main() -> None:
    """Measure every size, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--what", choices=DEFAULTS, default="entities")
    parser.add_argument("--sizes", type=count, nargs="+", help="sizes, such as 1e4 1e5 1e6")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--epochs", type=count, default=1, help="the fastest is shown  [default: 1]")
    add_common_options(parser)
    options = parser.parse_args()
    sizes = options.sizes or DEFAULTS[options.what]
    measured: list[Figures] = []
    for size in sizes:
        tell(f"{size:,} {options.what}")
        arguments: dict[str, Any] = {
            "sizes": asdict(sizes_for(options.what, size)),
            "preset_name": options.preset,
            "overrides": options.overrides,
            "epochs": options.epochs,
            "seed": options.seed,
        }
        measured.append(measure_fresh(diffusion_epoch, arguments, options.threads))
    found = [summary(each) for each in measured]
    exponents = {name: fitted_exponent(sizes, [each[name] for each in found]) for name in found[0]}
    print_table(
        f"One diffusion epoch, preset {options.preset}",
        [options.what, *found[0]],
        [
            *([f"{size:,}", *each.values()] for size, each in zip(sizes, found, strict=True)),
            None,
            ["exponent", *exponents.values()],
        ],
    )
    lines = {name: [each[name] for each in found] for name in found[0]}
    name = f"scaling_{options.what}"
    plot_scaling(
        RESULTS / f"{name}.png",
        f"One diffusion epoch over {options.what}",
        options.what,
        sizes,
        {
            "seconds": {key: lines[key] for key in ("epoch, s", "training, s", "regeneration, s")},
            "MB": {key: lines[key] for key in ("peak, MB", "epoch adds, MB")},
        },
    )
    facts = {"what": options.what, "sizes": sizes, "exponents": exponents, "measured": measured}
    write_results(name, facts, options.json, options.threads)


if __name__ == "__main__":
    main()
