"""Time and memory of the attention-aware matrix, on a data set folder or a random graph.

Run ``python benchmarks/attention.py`` for the size of the published TikTok set, with ``--data`` for a data
set, with ``--edges 1e7 --users 1e6 --items 2e5`` for ten million interactions, or with several numbers of
edges to see how it scales (users and items then grow in proportion). Prints a table and writes JSON, and
for several sizes a log-log plot.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

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
from random_data import random_interactions

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.attention import attention_similarity


def attention_matrix(
    data: str | None,
    shape: tuple[int, int, int],
    walk_length: int,
    n_walks: int,
    restart_prob: float,
    workers: int | None,
    repeats: int,
    seed: int,
) -> Figures:
    """Compute the matrix of a data set, or of a random graph with ``shape`` users, items and edges."""
    interactions = RecDataset.load(Path(data)).matrix("train") if data else random_interactions(*shape, seed)
    reset_peak_memory()
    before, seconds = peak_memory_mb(), []
    for _ in range(repeats):
        started = time.perf_counter()
        similarity = attention_similarity(interactions, walk_length, n_walks, restart_prob, seed, workers)
        seconds.append(time.perf_counter() - started)
    return {
        "users": interactions.shape[0],
        "items": interactions.shape[1],
        "edges": int(interactions.nnz),
        "restart_prob": restart_prob,
        "seconds": min(seconds),
        "all_seconds": seconds,
        "mean_similarity": float(similarity.data.mean()),
        "memory_before_mb": before,
        "peak_memory_mb": peak_memory_mb(),
    }


def main() -> None:
    """Measure, print a table, write JSON and, for several sizes, a plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--data", help="data set folder  [default: a random graph]")
    parser.add_argument("--users", type=count, default=9308)
    parser.add_argument("--items", type=count, default=6710)
    parser.add_argument("--edges", type=count, nargs="+", default=[59_541])
    parser.add_argument("--walk-length", type=count, default=130, help="M  [default: 130]")
    parser.add_argument("--walks", type=count, default=6, help="R  [default: 6]")
    parser.add_argument("--restart-prob", type=float, nargs="+", default=[0.2])
    parser.add_argument("--workers", type=count, help="threads of the walks  [default: all cores]")
    parser.add_argument("--repeats", type=count, default=1, help="the fastest is shown  [default: 1]")
    add_common_options(parser)
    options = parser.parse_args()
    greatest, rows = max(options.edges), []
    for restart_prob in options.restart_prob:
        for edges in options.edges:
            tell(f"{options.data or f'{edges:,} edges'}, restart {restart_prob}")
            share = edges / greatest
            arguments: dict[str, Any] = {
                "data": options.data,
                "shape": [max(2, round(options.users * share)), max(2, round(options.items * share)), edges],
                "walk_length": options.walk_length,
                "n_walks": options.walks,
                "restart_prob": restart_prob,
                "workers": options.workers or options.threads,
                "repeats": options.repeats,
                "seed": options.seed,
            }
            rows.append(measure_fresh(attention_matrix, arguments, options.threads))
    columns = [
        "users", "items", "edges", "restart_prob", "seconds", "mean_similarity", "memory_before_mb",
        "peak_memory_mb",
    ]  # fmt: skip
    print_table(
        f"Attention-aware matrix, M {options.walk_length}, R {options.walks}",
        [column.replace("_", " ").replace(" mb", ", MB") for column in columns],
        [[f"{row['users']:,}", *(row[column] for column in columns[1:])] for row in rows],
    )
    facts: Figures = {"walk_length": options.walk_length, "walks": options.walks, "rows": rows}
    if len(options.edges) > 1 and not options.data:
        chosen = [row for row in rows if row["restart_prob"] == options.restart_prob[0]]
        sizes = [row["edges"] for row in chosen]
        seconds, memory = ([row[key] for row in chosen] for key in ("seconds", "peak_memory_mb"))
        facts["exponents"] = {
            "seconds": fitted_exponent(sizes, seconds), "peak_memory_mb": fitted_exponent(sizes, memory),
        }  # fmt: skip
        panels = {"seconds": {"time": seconds}, "MB": {"peak memory": memory}}
        plot_scaling(RESULTS / "attention.png", "Attention-aware matrix", "interactions", sizes, panels)
    write_results("attention", facts, options.json, options.threads)


if __name__ == "__main__":
    main()
