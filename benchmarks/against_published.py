"""One epoch of the toolkit against one of the published procedure, side by side in one run.

Run ``python benchmarks/against_published.py --data data/tiktok --preset tiktok --threads 2``; without
``--data``, random data of about the size of the published TikTok set. The two take turns, each in a process
of its own with the same threads. Validation alone is read. Prints tables, writes JSON and a PNG.

The published procedure is :mod:`published`, dense and row by row, in its settings for TikTok.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import (
    RESULTS,
    Figures,
    Stopwatch,
    add_common_options,
    count,
    measure_fresh,
    print_table,
    tell,
    write_results,
)
from epoch import add_data_options, sizes_of
from published import PublishedKDiffE, PublishedSettings
from toolkit_epoch import load_dataset, summed_phases, toolkit_epochs

from kdiffe_dgl.evaluation.evaluator import Evaluator, dot_product
from kdiffe_dgl.training.negatives import NegativeSampler

KINDS = ("diffusion training", "regeneration", "recommender", "validation", "whole epoch")


def published_epochs(data: str | None, sizes: dict[str, int], epochs: int, seed: int) -> Figures:
    """Train some epochs of the published procedure; returns the phases and the validation of each."""
    dataset = load_dataset(data, sizes, seed)
    if dataset.kg is None or not dataset.features:
        raise SystemExit(f"data set {dataset.name!r}: expected a knowledge graph and features to compare on")
    settings = PublishedSettings()
    started = time.perf_counter()
    model = PublishedKDiffE(dataset, settings, seed)
    build = time.perf_counter() - started
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    pairs = torch.from_numpy(np.asarray(dataset.pairs("train")))
    sampler = NegativeSampler(pairs.numpy(), dataset.n_users, dataset.n_items)
    validator = Evaluator(dataset, "validation")
    records: list[Figures] = []
    for number in range(1, epochs + 1):
        watch, started, processor = Stopwatch(), time.perf_counter(), time.process_time()
        losses = model.begin_epoch(watch)
        with watch.phase("recommender"):
            order = torch.randperm(len(pairs), generator=model.generator)
            total = 0.0
            for rows in order.split(settings.batch_size):
                users, positives = pairs[rows].T
                loss = model.loss(users, positives, sampler.sample(users, model.generator))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(rows) / len(pairs)
        with watch.phase("validation"):
            metrics = validator.evaluate(dot_product(*model.representations())).metrics
        watch.seconds["whole epoch"] = time.perf_counter() - started
        losses["recommender"] = total
        records.append(
            {
                "phases": watch.seconds,
                "cpu_seconds": time.process_time() - processor,
                "validation": metrics,
                "losses": losses,
            }
        )
        tell(f"published, epoch {number}: {watch.seconds['whole epoch']:.1f} s, {metrics['recall@20']:.4f}")
    return {"settings": vars(settings), "build_seconds": build, "epochs": records}


def fastest(runs: list[Figures]) -> dict[str, float]:
    """Return the fastest time of each kind of phase over all epochs of all runs of one side."""
    epochs = [summed_phases(record["phases"]) for run in runs for record in run["epochs"]]
    return {kind: min(epoch.get(kind, 0.0) for epoch in epochs) for kind in KINDS}


def recalls(run: Figures) -> list[float]:
    """Return the validation Recall@20 after each epoch."""
    return [record["validation"]["recall@20"] for record in run["epochs"]]


def draw(path: Path, sides: dict[str, dict[str, float]], quality: dict[str, list[float]]) -> None:
    """Draw the time of each phase of both sides, and their quality after each epoch."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    place = np.arange(len(KINDS))
    for number, (name, seconds) in enumerate(sides.items()):
        bars = left.bar(place + 0.4 * number - 0.2, [seconds[kind] for kind in KINDS], 0.4, label=name)
        left.bar_label(bars, fmt="{:.3g}", fontsize=8)
    left.set_yscale("log")
    left.set_xticks(place, [kind.replace(" ", "\n") for kind in KINDS])
    left.set_ylabel("seconds (fastest epoch)")
    left.legend()
    for name, values in quality.items():
        right.plot(np.arange(1, len(values) + 1), values, "o-", label=name)
    right.set(xlabel="epoch", ylabel="validation Recall@20")
    right.legend()
    right.grid(True, alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"plot in {path}")


def report(title: str, runs: dict[str, list[Figures]]) -> Figures:
    """Print both tables and return what they hold."""
    times = {name: fastest(each) for name, each in runs.items()}
    memory = {name: max(run["peak_memory_mb"] for run in each) for name, each in runs.items()}
    published, toolkit = times["published"], times["toolkit"]
    ratios = {kind: published[kind] / toolkit[kind] for kind in KINDS if toolkit[kind] > 0}
    processor = {
        name: min(record["cpu_seconds"] for run in each for record in run["epochs"])
        for name, each in runs.items()
    }
    rows: list[list[Any] | None] = [
        [kind, published[kind], toolkit[kind], ratios.get(kind)] for kind in KINDS[:-1]
    ]
    whole, megabytes = KINDS[-1], [memory["published"], memory["toolkit"]]
    rows += [None, [whole, published[whole], toolkit[whole], ratios.get(whole)]]
    seconds = [processor["published"], processor["toolkit"]]
    rows.append(["its processor time, all threads", *seconds, seconds[0] / seconds[1]])
    rows += [None, ["peak memory, MB", *megabytes, megabytes[0] / megabytes[1]]]
    print_table(title, ["phase", "published, s", "toolkit, s", "times faster"], rows)
    quality = {name: recalls(each[0]) for name, each in runs.items()}
    print_table(
        "Validation Recall@20",
        ["after epoch", "published", "toolkit"],
        [
            [str(number + 1), f"{one:.4f}", f"{other:.4f}"]
            for number, (one, other) in enumerate(zip(quality["published"], quality["toolkit"], strict=True))
        ],
    )
    return {
        "fastest_seconds": times,
        "cpu_seconds": processor,
        "peak_memory_mb": memory,
        "times_faster": ratios,
        "recall@20": quality,
    }


def main() -> None:
    """Let both train in turn, print the tables, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    add_data_options(parser)
    parser.add_argument("--epochs", type=count, default=2, help="epochs of each side  [default: 2]")
    parser.add_argument(
        "--rounds", type=count, default=1, help="how often both take their turn  [default: 1]"
    )
    add_common_options(parser)
    options = parser.parse_args()
    common = {
        "data": options.data, "sizes": sizes_of(options), "epochs": options.epochs, "seed": options.seed,
    }  # fmt: skip
    own = {**common, "preset_name": options.preset, "overrides": options.overrides}
    runs: dict[str, list[Figures]] = {"published": [], "toolkit": []}
    for _ in range(options.rounds):
        tell("the published procedure trains")
        runs["published"].append(measure_fresh(published_epochs, common, options.threads))
        tell("the toolkit trains")
        runs["toolkit"].append(measure_fresh(toolkit_epochs, own, options.threads))
    facts = runs["toolkit"][0]
    title = f"{facts['dataset']}, preset {facts['preset']}: fastest of {options.epochs} epochs"
    found = report(title, runs)
    draw(RESULTS / "against_published.png", found["fastest_seconds"], found["recall@20"])
    write_results("against_published", {**found, "runs": runs}, options.json, options.threads)


if __name__ == "__main__":
    main()
