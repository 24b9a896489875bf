"""Time and memory of the attention-aware matrix, on a data set folder or a random graph.

Run ``python benchmarks/attention.py --help`` for the options. Prints a table and, with ``--json``,
writes the same figures.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from kdiffe_dgl.graph.attention import attention_similarity, visited_sets


def random_interactions(n_users: int, n_items: int, n_edges: int, seed: int) -> sp.csr_matrix:
    """Return a graph ``[users, items]`` whose items have popularities that fall as 1 / rank."""
    generator = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, n_items + 1)
    users = generator.integers(0, n_users, n_edges)
    items = generator.choice(n_items, n_edges, p=popularity / popularity.sum())
    matrix = sp.csr_matrix((np.ones(n_edges, dtype=np.float32), (users, items)), shape=(n_users, n_items))
    matrix.data[:] = 1
    return matrix


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="data set folder; without it, a random graph")
    parser.add_argument("--users", type=int, default=9308)
    parser.add_argument("--items", type=int, default=6710)
    parser.add_argument("--edges", type=int, default=59541)
    parser.add_argument("--walk-length", type=int, default=130)
    parser.add_argument("--walks", type=int, default=6)
    parser.add_argument("--restart-prob", type=float, nargs="+", default=[0.2, 0.5])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 0], help="0: all cores")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    if options.data:
        from kdiffe_dgl.data.dataset import RecDataset  # noqa: PLC0415  # needed for this option alone

        interactions = RecDataset.load(options.data).matrix("train")
    else:
        interactions = random_interactions(options.users, options.items, options.edges, seed=0)
    before = peak_memory_mb()
    print(f"{interactions.shape[0]} users, {interactions.shape[1]} items, {interactions.nnz} edges")
    print(
        f"{'restart':>8}{'workers':>9}{'sets s':>9}{'total s':>9}{'set size':>10}{'mean S':>8}{'peak MB':>9}"
    )
    rows = []
    for restart_prob in options.restart_prob:
        for workers in options.workers:
            arguments = (interactions, options.walk_length, options.walks, restart_prob, 0, workers or None)
            start = time.perf_counter()
            sets = visited_sets(*arguments)
            sets_seconds = time.perf_counter() - start
            mean_size = sets.nnz / sets.shape[0]
            del sets
            start = time.perf_counter()
            similarity = attention_similarity(*arguments)
            row = {
                "restart_prob": restart_prob,
                "workers": workers,
                "sets_seconds": sets_seconds,
                "total_seconds": time.perf_counter() - start,
                "mean_set_size": mean_size,
                "mean_similarity": float(similarity.data.mean()),
                "peak_memory_above_start_mb": peak_memory_mb() - before,
            }
            rows.append(row)
            values = list(row.values())
            print("{:>8}{:>9}{:>9.2f}{:>9.2f}{:>10.1f}{:>8.3f}{:>9.0f}".format(*values))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
