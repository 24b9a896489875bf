"""Whether explanations are faithful: the score lost with the top paths against that lost with random ones.

Run ``python benchmarks/faithfulness.py RUN DATA``. For users drawn at random, the item recommended first is
explained. The edges of the best 1, 2, ... paths are deleted from the graphs, then those of as many paths
drawn at random from all that connect the two. Prints a table, and writes JSON and the curve as PNG.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from common import RESULTS, Figures, add_common_options, count, print_table, tell, write_results

from kdiffe_dgl.explain import Explainer
from kdiffe_dgl.explain.rank import rank_paths
from kdiffe_dgl.serving import Recommender

RESAMPLES = 2000


def score_drops(run: str, data: str, recommendations: int, n_paths: int, draws: int, seed: int) -> Figures:
    """Measure the drops of the score.

    Parameters
    ----------
    run, data
        Folders.
    recommendations
        How many users; those without a training item, or whose recommendation fewer paths than ``n_paths``
        connect, are passed over and counted.
    n_paths
        Most paths that are deleted.
    draws
        Random choices of paths for each recommendation; their mean counts.
    seed
        Of the users and of the choices.

    Returns
    -------
    dict
        ``top`` and ``random``: score lost with 1, 2, ... paths, ``[recommendations, n_paths]``; the counts of
        ``passed_over``; ``seconds`` for each ranking; ``scores``.
    """
    explainer, recommender = Explainer.load(run, data), Recommender.load(run)
    rng = np.random.default_rng(seed)
    dataset, score = explainer.dataset, explainer.score
    top: list[np.ndarray] = []
    random: list[np.ndarray] = []
    scores, seconds, connected = [], [], []
    passed_over = {"no training item": 0, "too few paths": 0}
    for user in rng.permutation(dataset.n_users).tolist():
        if len(top) == recommendations:
            break
        found = recommender.recommend([dataset.users["id"][user]], k=1)
        if not len(found) or found["reason"][0] != "model":
            passed_over["no training item"] += 1
            continue
        item = explainer.numbers(dataset.users["id"][user], found["item"][0])[1]
        assert item is not None
        paths = explainer.paths(user, item)
        if len(paths) < n_paths:
            passed_over["too few paths"] += 1
            continue
        started = time.perf_counter()
        ranked = rank_paths(score, user, item, paths, n_paths)
        seconds.append(time.perf_counter() - started)
        best = np.array([one.path for one in ranked], dtype=np.int64)
        chosen = [rng.choice(len(paths), n_paths, replace=False) for _ in range(draws)]
        deleted = [
            np.unique(paths.edges[order[: k + 1]][paths.edges[order[: k + 1]] >= 0])
            for order in (best, *chosen)
            for k in range(n_paths)
        ]
        whole = score.score(user, item)
        lost = whole - score.without(user, item, deleted).reshape(draws + 1, n_paths)
        top.append(lost[0])
        random.append(lost[1:].mean(axis=0))
        scores.append(whole)
        connected.append(len(paths))
        if len(top) % 20 == 0:
            tell(f"{len(top)} of {recommendations} recommendations")
    shape = (len(top), n_paths)
    return {
        "dataset": dataset.name, "top": np.reshape(top, shape).tolist(),
        "random": np.reshape(random, shape).tolist(), "scores": scores, "connecting_paths": connected,
        "seconds": seconds, "passed_over": passed_over,
    }  # fmt: skip


def summary(top: np.ndarray, random: np.ndarray, seed: int) -> Figures:
    """Return mean drops and their ratio, with its 95 % interval by bootstrap over the recommendations.

    Parameters
    ----------
    top, random
        Drops, ``[recommendations, paths]``.
    seed
        Of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(top), (RESAMPLES, len(top)))
    ratios = top[rows, -1].mean(axis=1) / random[rows, -1].mean(axis=1)
    return {
        "mean_drop_top": top.mean(axis=0).tolist(),
        "mean_drop_random": random.mean(axis=0).tolist(),
        "ratio": float(top[:, -1].mean() / random[:, -1].mean()),
        "ratio_interval": np.quantile(ratios, [0.025, 0.975]).tolist(),
        "share_top_above_random": float((top[:, -1] > random[:, -1]).mean()),
    }


def plot_drops(file: Path, dataset: str, top: np.ndarray, random: np.ndarray) -> None:
    """Draw the mean drops over the number of deleted paths, with standard errors."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    number = np.arange(1, top.shape[1] + 1)
    for name, drops, colour in (("best paths", top, "#0072b2"), ("random paths", random, "#7d8790")):
        error = drops.std(axis=0) / np.sqrt(len(drops))
        axes.errorbar(number, drops.mean(axis=0), error, label=name, color=colour, marker="o", capsize=3)
    axes.set(xlabel="deleted paths", ylabel="drop of the score", xticks=number)
    axes.set_title(f"{dataset}: {len(top)} recommendations", parse_math=False)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(True, alpha=0.3)
    axes.legend(frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    print(f"plot in {file}")


def main() -> None:
    """Measure, print a table, write JSON and the curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("run", help="run folder of a trained kdiffe")
    parser.add_argument("data", help="its data set folder")
    parser.add_argument("--recommendations", type=count, default=200)
    parser.add_argument("--paths", type=count, default=5, help="paths that are deleted  [default: 5]")
    parser.add_argument("--draws", type=count, default=10, help="random choices each  [default: 10]")
    add_common_options(parser)
    options = parser.parse_args()
    if options.threads:
        import torch  # noqa: PLC0415

        torch.set_num_threads(options.threads)
    found = score_drops(
        options.run, options.data, options.recommendations, options.paths, options.draws, options.seed
    )
    top, random = np.array(found["top"]), np.array(found["random"])
    if not len(top):
        raise SystemExit("no recommendation has enough connecting paths")
    figures = summary(top, random, options.seed)
    rows = [
        [str(k + 1), best, drawn, best / drawn]
        for k, (best, drawn) in enumerate(
            zip(figures["mean_drop_top"], figures["mean_drop_random"], strict=True)
        )
    ]
    print_table(
        f"{found['dataset']}: mean drop of the score, {len(top)} recommendations",
        ["deleted paths", "best", "random", "ratio"],
        rows,
    )
    low, high = figures["ratio_interval"]
    print(f"ratio with {options.paths} paths: {figures['ratio']:.2f} (95 % interval {low:.2f} to {high:.2f})")
    name = f"faithfulness-{found['dataset']}"
    plot_drops(RESULTS / f"{name}.png", found["dataset"], top, random)
    facts = {**found, **figures, "recommendations": len(top), "draws": options.draws, "seed": options.seed}
    write_results(name, facts, options.json, options.threads)


if __name__ == "__main__":
    main()
