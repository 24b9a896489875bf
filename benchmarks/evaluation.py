"""Time of one full-ranking evaluation: of a data set's validation users, or of random data of some sizes.

Run ``python benchmarks/evaluation.py --data data/tiktok``, or without ``--data`` for random data; the first
size there is that of the published TikTok set. Representations are random. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from common import Figures, add_common_options, count, measure_fresh, print_table, write_results

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.evaluation import Evaluator, dot_product

SIZES = {"tiktok": (9308, 6710, 128, 6130), "10k x 20k": (10_000, 20_000, 64, 10_000)}


def random_split(n_users: int, n_items: int, n_evaluated: int, seed: int) -> RecDataset:
    """Make random interactions: six training items a user, and one validation item for some users."""
    generator = np.random.default_rng(seed)
    user = np.concatenate([np.repeat(np.arange(n_users), 6), np.arange(n_evaluated)])
    item = generator.integers(0, n_items, len(user))
    split = np.repeat(["train", "validation"], [6 * n_users, n_evaluated])
    pairs = pl.DataFrame({"user": user, "item": item, "split": split})
    identity = {
        side: pl.DataFrame({side: range(n)}).with_columns(
            id=pl.col(side).cast(pl.Utf8), label=pl.col(side).cast(pl.Utf8)
        )
        for side, n in (("user", n_users), ("item", n_items))
    }
    interactions = pairs.unique(["user", "item"], keep="last", maintain_order=True)
    return RecDataset("random", identity["user"], identity["item"], interactions)


def evaluation_time(
    data: str | None, shape: tuple[int, int], dim: int, n_evaluated: int, repeats: int, seed: int
) -> Figures:
    """Evaluate random representations on the validation split, and return the fastest time in seconds."""
    dataset = RecDataset.load(Path(data)) if data else random_split(*shape, n_evaluated, seed)
    evaluator = Evaluator(dataset, "validation")
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(dataset.n_users, dim, generator=generator)
    items = torch.randn(dataset.n_items, dim, generator=generator)
    seconds = {}
    # All scores equal is the worst case for breaking ties.
    for label, table in (("seconds", items), ("seconds_all_tied", torch.zeros_like(items))):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            evaluator.evaluate(dot_product(users, table))
            times.append(time.perf_counter() - start)
        seconds[label] = min(times)
    return {"users": len(evaluator.users), "items": dataset.n_items, "dim": dim, **seconds}


def main() -> None:
    """Print the table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--data", help="data set folder  [default: random data of several sizes]")
    parser.add_argument("--dim", type=count, default=128, help="dimensions with --data  [default: 128]")
    parser.add_argument("--repeats", type=count, default=3)
    add_common_options(parser)
    options = parser.parse_args()
    fixed = {"repeats": options.repeats, "seed": options.seed}
    if options.data:
        cases = {options.data: {"data": options.data, "shape": [], "dim": options.dim, "n_evaluated": 0}}
    else:
        cases = {
            name: {"data": None, "shape": [users, items], "dim": dim, "n_evaluated": evaluated}
            for name, (users, items, dim, evaluated) in SIZES.items()
        }
    rows = {
        name: measure_fresh(evaluation_time, {**case, **fixed}, options.threads)
        for name, case in cases.items()
    }
    columns = ["users", "items", "dim", "seconds", "seconds_all_tied", "peak_memory_mb"]
    print_table(
        "Full-ranking evaluation of the validation users",
        ["data", "users", "items", "dim", "seconds", "all tied", "peak, MB"],
        [[name, *(row[column] for column in columns)] for name, row in rows.items()],
    )
    write_results("evaluation", {"rows": rows}, options.json, options.threads)


if __name__ == "__main__":
    main()
